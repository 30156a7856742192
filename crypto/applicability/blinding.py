"""What hides a committed vector: two scalars made of the 32-byte seed that opens the commitment.

Format: docs/formats.md, "Algebraic commitments".
"""

from __future__ import annotations

import hashlib
from typing import Final

from ..canonical import encode_fields
from ..errors import EncodingError
from .suites import ORDER, Suite

SEED_BYTES: Final = 32
_DOMAIN: Final = "hitproof/commitment-blinding/v1"


def commitment_blinding(suite: Suite, seed: bytes) -> tuple[int, int]:
    """Return ρ₀ and ρ₁ of the commitment that *seed* opens; raises `EncodingError` for a seed of another length."""
    if len(seed) != SEED_BYTES:
        raise EncodingError(f"the seed has {len(seed)} bytes; a commitment's seed has {SEED_BYTES}")
    return _scalar(suite, seed, 0), _scalar(suite, seed, 1)


def _scalar(suite: Suite, seed: bytes, number: int) -> int:
    drawn = hashlib.sha512(encode_fields(_DOMAIN, seed, suite.name.encode("ascii"), bytes([number]))).digest()
    return int.from_bytes(drawn, "big") % ORDER
