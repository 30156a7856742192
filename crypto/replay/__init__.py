"""Replay: run the model again over an opened answer. Needs the `replay` extra; nothing else imports from here."""
