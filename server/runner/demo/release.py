"""Which files are the demo model: their names, and the digests that they must have."""

from __future__ import annotations

from typing import Final

WEIGHTS_FILE: Final = "weights.safetensors"
TOKENIZER_FILE: Final = "tokenizer.json"
