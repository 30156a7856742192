"""The formats of `sealing` and `key_wrapping` a second time, from their description, on another library.

For tests and cross-checks only: pycryptodome instead of cryptography, its own length prefixes instead of
`crypto.canonical`, no care for speed or for which error comes first. It must open what the product seals, and the
reverse.
"""

from __future__ import annotations

import struct
from typing import Final

from Crypto.Cipher import AES
from Crypto.Hash import HMAC, SHA256
from Crypto.Protocol.KDF import HKDF

from tenants.errors import SealedError, UnsealError
from tenants.sealing import DataKey, SealContext

_HEADER: Final = struct.Struct(">BI32s32s")
_WRAPPED: Final = struct.Struct(">B8s32s16s32s")


def seal_reference(key: DataKey, context: SealContext, plaintext: bytes, *, drawn: bytes) -> bytes:
    """Seal as `sealing.seal` does when its source gives the 32 bytes *drawn*."""
    salt = _hmac(key.secret, _join("hitproof/entry-salt/v1", drawn, _place(context), plaintext))
    entry_key, commitment = HKDF(key.secret, 32, salt, SHA256, 2, _place(context))
    ciphertext, tag = _gcm(entry_key, context, key.epoch, commitment).encrypt_and_digest(plaintext)
    return _HEADER.pack(1, key.epoch, salt, commitment) + bytes(ciphertext) + bytes(tag)


def unseal_reference(key: DataKey, context: SealContext, sealed: bytes) -> bytes:
    """Open as `sealing.unseal` does; raises `UnsealError`."""
    if len(sealed) < _HEADER.size + 16:
        raise UnsealError("too short")
    version, epoch, salt, commitment = _HEADER.unpack_from(sealed)
    entry_key, expected = HKDF(key.secret, 32, salt, SHA256, 2, _place(context))
    if (version, epoch, commitment) != (1, key.epoch, expected):
        raise UnsealError("another version, epoch or key")
    cipher = _gcm(entry_key, context, epoch, commitment)
    try:
        return bytes(cipher.decrypt_and_verify(sealed[_HEADER.size : -16], sealed[-16:]))
    except ValueError:
        raise UnsealError("the tag does not fit") from None


def wrap_reference(kek: bytes, secret: bytes, *, tenant: str, epoch: int) -> bytes:
    """Wrap as `KeyEncryptionKey.wrap` does."""
    identifier, siv_key, commitment = _wrapping(kek, tenant, epoch)
    ciphertext, nonce = AES.new(siv_key, AES.MODE_SIV).encrypt_and_digest(secret)
    return _WRAPPED.pack(1, identifier, commitment, nonce, ciphertext)


def unwrap_reference(kek: bytes, wrapped: bytes, *, tenant: str, epoch: int) -> bytes:
    """Unwrap as `KeyEncryptionKey.unwrap` does; raises `SealedError`."""
    version, theirs, committed, nonce, ciphertext = _WRAPPED.unpack(wrapped)
    identifier, siv_key, commitment = _wrapping(kek, tenant, epoch)
    if (version, theirs, committed) != (1, identifier, commitment):
        raise SealedError("another version, key or place")
    try:
        return bytes(AES.new(siv_key, AES.MODE_SIV).decrypt_and_verify(ciphertext, nonce))
    except ValueError:
        raise SealedError("the tag does not fit") from None


def _wrapping(kek: bytes, tenant: str, epoch: int) -> tuple[bytes, bytes, bytes]:
    identifier = _hmac(kek, _join("hitproof/kek-id/v1"))[:8]
    info = _join("hitproof/wrapping-key/v1", tenant.encode(), struct.pack(">q", epoch), identifier)
    derived = HKDF(kek, 96, b"", SHA256, 1, info)
    return identifier, derived[:64], derived[64:]


def _gcm(entry_key: bytes, context: SealContext, epoch: int, commitment: bytes):  # type: ignore[no-untyped-def]
    cipher = AES.new(entry_key, AES.MODE_GCM, nonce=bytes(12), mac_len=16)
    cipher.update(_join("hitproof/entry-aad/v1", _place(context), struct.pack(">I", epoch), commitment))
    return cipher


def _place(context: SealContext) -> bytes:
    return _join(
        "hitproof/entry-place/v1",
        context.tenant.encode(),
        struct.pack(">Q", context.entry),
        context.field.encode(),
        struct.pack(">I", context.schema_version),
    )


def _join(domain: str, *fields: bytes) -> bytes:
    return domain.encode() + b"\0" + b"".join(struct.pack(">Q", len(field)) + field for field in fields)


def _hmac(key: bytes, message: bytes) -> bytes:
    return bytes(HMAC.new(key, message, SHA256).digest())
