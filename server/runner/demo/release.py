"""Which files are the demo model: their names, and the digests that they must have."""

from __future__ import annotations

from typing import Final

WEIGHTS_FILE: Final = "weights.safetensors"
WEIGHTS_SHA256: Final = "51c82a65734e63f29623a46e702431500342f2119041d5d80986a6c7659dfe1f"
TOKENIZER_FILE: Final = "tokenizer.json"
TOKENIZER_SHA256: Final = "582754245a470fb2613d9ff777a083c8b311fd5f897bf0ac9887bc1826fa869a"
