"""Wrap data keys under a key-encryption key, bound to tenant, epoch and the key that wraps.

Wrapped data key, format `hitproof/wrapped-key/v1`, 89 bytes:

    offset  bytes
         0      1  version, 1
         1      8  identifier of the key-encryption key
         9     32  key commitment
        41     48  AES-256-SIV (RFC 5297): synthetic nonce and ciphertext

    SIV key ‖ commitment = HKDF-SHA256(key-encryption key, no salt, info)                              (96 bytes)
    info                 = fields("hitproof/wrapping-key/v1", tenant, epoch, identifier)
    identifier           = HMAC-SHA256(key-encryption key, fields("hitproof/kek-id/v1"))[:8]

SIV is made for wrapping keys and needs no randomness, so there is no nonce that could repeat. The identifier,
written `kek-` and 16 digits, comes from the key itself: the same key has the same name in a file, a variable or shares.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from crypto.canonical import encode_fields
from tenants.derivation import derive_bytes
from tenants.errors import KeyFormError, SealedError
from tenants.identifiers import TenantId

VERSION: Final = 1
KEK_BYTES: Final = 32
WRAPPED_BYTES: Final = 1 + 8 + 32 + 16 + 32

_SIV_KEY_BYTES: Final = 64
_COMMITMENT_START: Final = 9
_CIPHERTEXT_START: Final = 41


@dataclass(frozen=True, slots=True)
class KeyEncryptionKey:
    """32 secret bytes that open data keys, and nothing else."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEK_BYTES:
            raise KeyFormError(f"a key-encryption key has {KEK_BYTES} bytes, not {len(self.secret)}")
        if len(set(self.secret)) == 1:
            raise KeyFormError("a key-encryption key of one repeated byte protects nothing; make a random one")

    @property
    def key_id(self) -> str:
        """`kek-` and 16 hexadecimal digits, computed from the key."""
        return "kek-" + self._identifier().hex()

    def wrap(self, secret: bytes, *, tenant: TenantId, epoch: int) -> bytes:
        """Encrypt a data key for its *tenant* and *epoch*: `WRAPPED_BYTES`, the same each time."""
        if len(secret) != KEK_BYTES:
            raise KeyFormError(f"a data key has {KEK_BYTES} bytes, not {len(secret)}")
        siv_key, commitment = self._derive(tenant, epoch)
        return bytes((VERSION,)) + self._identifier() + commitment + AESSIV(siv_key).encrypt(secret, None)

    def unwrap(self, wrapped: bytes, *, tenant: TenantId, epoch: int) -> bytes:
        """Return the data key; raises `SealedError` that tells a wrong key from a changed or moved row."""
        if len(wrapped) != WRAPPED_BYTES or wrapped[0] != VERSION:
            raise SealedError("a wrapped data key is cut or of an unknown format; restore it from a backup")
        theirs = wrapped[1:_COMMITMENT_START]
        if not hmac.compare_digest(theirs, self._identifier()):
            raise SealedError(
                f"the data key was wrapped under kek-{theirs.hex()}, but the key-encryption key here is {self.key_id}; "
                "give the old key back, or name it as the previous key to finish a rotation"
            )
        siv_key, commitment = self._derive(tenant, epoch)
        if hmac.compare_digest(commitment, wrapped[_COMMITMENT_START:_CIPHERTEXT_START]):
            try:
                return AESSIV(siv_key).decrypt(wrapped[_CIPHERTEXT_START:], None)
            except InvalidTag:
                pass
        raise SealedError(
            "a wrapped data key was changed or moved to another tenant or epoch; restore it from a backup"
        )

    def _identifier(self) -> bytes:
        return hmac.digest(self.secret, encode_fields("hitproof/kek-id/v1"), "sha256")[:8]

    def _derive(self, tenant: TenantId, epoch: int) -> tuple[bytes, bytes]:
        # Eight signed bytes hold whatever a changed database row can say, so that it fails as a wrong epoch does.
        place = tenant.encode("utf-8"), epoch.to_bytes(8, "big", signed=True)
        info = encode_fields("hitproof/wrapping-key/v1", *place, self._identifier())
        derived = derive_bytes(self.secret, salt=b"", info=info, length=_SIV_KEY_BYTES + 32)
        return derived[:_SIV_KEY_BYTES], derived[_SIV_KEY_BYTES:]


def parse_kek_hex(text: str, *, where: str) -> KeyEncryptionKey:
    """Read 64 hexadecimal digits; raises `KeyFormError` that names *where* they stand and never shows them."""
    digits = text.strip()
    try:
        secret = bytes.fromhex(digits) if len(digits) == 2 * KEK_BYTES else b""
    except ValueError:
        secret = b""
    if len(secret) != KEK_BYTES:
        raise KeyFormError(f"{where} does not hold 64 hexadecimal digits; restore the key that was made for this store")
    return KeyEncryptionKey(secret)
