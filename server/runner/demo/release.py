"""Which files are the demo model: their names, and the digests that they must have."""

from __future__ import annotations

from typing import Final

WEIGHTS_FILE: Final = "weights.safetensors"
WEIGHTS_SHA256: Final = "f5c74a67aa300b629c4fe6ca86a68db71981b23f5ee00468c16aa378671b3ba5"
TOKENIZER_FILE: Final = "tokenizer.json"
TOKENIZER_SHA256: Final = "a4790cc82aa94a76d447a58af55f1b9d9ad60b3765c6d050f0a8f003a9c97e50"
