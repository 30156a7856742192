"""The log: from the outbox to signed, witnessed checkpoints over tiles on disk."""
