"""HKDF-SHA256 (RFC 5869): many independent keys from one secret."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LENGTH_MAX: Final = 255 * 32

_SHA256: Final = SHA256()


def derive_bytes(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """Return *length* bytes from *secret*, bound to *salt* and *info*; between 1 and `LENGTH_MAX`."""
    if not 0 < length <= LENGTH_MAX:
        raise ValueError(f"HKDF-SHA256 gives 1 to {LENGTH_MAX} bytes, not {length}")
    return HKDF(_SHA256, length, salt, info).derive(secret)
