"""Ed25519 by pycryptodome, made strict: canonical encodings, S below L, no point of small order, no cofactor."""

from __future__ import annotations

from Crypto.Hash import SHA512
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from .errors import NotInForm
from .hashing import sha256

#: RFC 8032, section 5.1.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
KEY_BYTES = 32
SIGNATURE_BYTES = 64


def key_id(public_key: bytes) -> str:
    """SHA-256 of the key, in hexadecimal."""
    return sha256(public_key).hex()


def check_public_key(public_key: bytes) -> None:
    """Raise NotInForm unless this is the canonical encoding of a point that is not of small order."""
    _point(public_key)


def is_valid(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is one by this key, by the strictest reading of RFC 8032.

    pycryptodome multiplies by the cofactor, which lets through signatures that other libraries refuse; so its answer
    and the equation without the cofactor must both hold.
    """
    if len(signature) != SIGNATURE_BYTES:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    if scalar >= L:
        return False
    try:
        key, commitment = _point(public_key), _point(signature[:32])
        eddsa.new(eddsa.import_public_key(public_key), "rfc8032").verify(message, signature)
    except (NotInForm, ValueError):
        return False
    challenge = int.from_bytes(SHA512.new(signature[:32] + public_key + message).digest(), "little") % L
    base = _point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    return bool(base * scalar == commitment + key * challenge)


def _point(encoded: bytes) -> ECC.EccPoint:
    """Decode as RFC 8032, section 5.1.3, and refuse whatever another encoding or a small order could hide."""
    if len(encoded) != KEY_BYTES:
        raise NotInForm("a point has 32 bytes")
    number = int.from_bytes(encoded, "little")
    y, sign = number % 2**255, number >> 255
    if y >= P:
        raise NotInForm("not the canonical encoding of a point")
    x = _root((y * y - 1) * pow(D * y * y + 1, P - 2, P) % P)
    if x is None or (x == 0 and sign):
        raise NotInForm("not the canonical encoding of a point")
    point = ECC.EccPoint(P - x if x % 2 != sign else x, y, curve="Ed25519")
    if (point * 8).is_point_at_infinity():
        raise NotInForm("a point of small order")
    return point


def _root(square: int) -> int | None:
    """A square root modulo P, or None where there is none."""
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * pow(2, (P - 1) // 4, P) % P
    return root if root * root % P == square else None
