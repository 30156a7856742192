"""Ed25519 (RFC 8032) signatures, checked more strictly than the library does by itself.

Libraries differ about signatures that no honest signer makes, and what one verifier takes and another refuses is a way
to tell two auditors two things. So these are refused before the library is asked: S ≥ L; a public key or R whose y is
not below p; a public key or R of small order, under which one signature fits many messages. The library then computes
S·B − k·A and compares its encoding with R, without multiplying by the cofactor, which settles the rest: an R that is no
point, or that differs from the right one by a point of small order, is never equal to it.
"""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .errors import EncodingError, VerificationError

PUBLIC_KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

#: The field's prime, the order of the base point, and d of −x² + y² = 1 + d·x²·y² (RFC 8032 §5.1).
_P: Final = 2**255 - 19
_L: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = 37095705934669439343138083508754565189542113879843219016388785533085940283555
_Y_BITS: Final = 2**255 - 1
#: y of a point of order 8; the other one is its negative. `tests/unit/crypto/test_ed25519.py` computes it anew.
_Y_OF_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
#: y of all eight points whose order divides 8: orders 1, 2, 4 and 8. The sign of x is left out, so this also covers the
#: two encodings of x = 0 with the sign set, which RFC 8032 §5.1.3 does not decode.
_SMALL_ORDER_YS: Final = frozenset({1, _P - 1, 0, _Y_OF_ORDER_8, _P - _Y_OF_ORDER_8})


class Signer(Protocol):
    """Whoever can sign with one Ed25519 key, without necessarily holding it."""

    @property
    def public_key(self) -> bytes:
        """The 32 bytes under which the signatures verify."""
        ...

    @property
    def key_id(self) -> str:
        """`key_id` of the public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature over *message*."""
        ...


class SigningKey:
    """An Ed25519 key pair made from its 32 secret bytes."""

    __slots__ = ("_key", "_public_key")

    def __init__(self, seed: bytes) -> None:
        """Derive the pair from *seed*; raises `EncodingError` for another length."""
        if len(seed) != SEED_BYTES:
            raise EncodingError(f"a signing key has {SEED_BYTES} secret bytes, not {len(seed)}")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public_key = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"SigningKey(key_id={self.key_id!r})"

    @property
    def public_key(self) -> bytes:
        """The 32 bytes under which the signatures verify."""
        return self._public_key

    @property
    def key_id(self) -> str:
        """`key_id` of the public key."""
        return key_id(self._public_key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature over *message*, the same each time."""
        return self._key.sign(message)


def key_id(public_key: bytes) -> str:
    """Return the one name of *public_key*: its SHA-256 in hexadecimal. Raises `EncodingError` unless it has 32 bytes."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise EncodingError(f"an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, not {len(public_key)}")
    return hashlib.sha256(public_key).hexdigest()


def is_valid_public_key(public_key: bytes) -> bool:
    """Say whether *public_key* is the canonical encoding of a point of the curve that is not of small order."""
    return len(public_key) == PUBLIC_KEY_BYTES and _has_usable_y(public_key) and _is_on_curve(public_key)


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check *signature* over *message*; raises `VerificationError`, reason `signature_invalid`."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise _invalid("the public key or the signature has a wrong length")
    if int.from_bytes(signature[32:], "little") >= _L:
        raise _invalid("S of the signature is not below the group's order")
    if not _has_usable_y(public_key):
        raise _invalid("the public key is not canonical, or of small order")
    if not _has_usable_y(signature[:32]):
        raise _invalid("R of the signature is not canonical, or of small order")
    try:
        # A key that is no point of the curve fails here, as a signature that does not fit does.
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise _invalid("the signature does not fit the message and the public key") from None


def _has_usable_y(encoding: bytes) -> bool:
    y = int.from_bytes(encoding, "little") & _Y_BITS
    return y < _P and y not in _SMALL_ORDER_YS


def _is_on_curve(encoding: bytes) -> bool:
    """Say whether x² = (y² − 1) / (d·y² + 1) has a root, by Euler's criterion; the denominator is never 0."""
    squared = pow(int.from_bytes(encoding, "little") & _Y_BITS, 2, _P)
    # A quotient is a square exactly if the product is.
    return pow((squared - 1) * (_D * squared + 1), (_P - 1) // 2, _P) == 1


def _invalid(message: str) -> VerificationError:
    return VerificationError(message, reason="signature_invalid")
