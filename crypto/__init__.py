"""What an auditor runs: formats, the log's arithmetic, `hitproof-verify` and its second opinion; nothing heavy."""
