"""Where a miss is computed: OpenAI-compatible servers and our own runner."""
