"""Seal what is stored for a tenant, so that it opens only for that tenant, row, field, schema version and key epoch.

Sealed value, format `hitproof/sealed/v1`:

    offset  bytes
         0      1  version, 1
         1      4  epoch of the data key, big-endian
         5     32  salt
        37     32  key commitment
        69    n+16  AES-256-GCM ciphertext and tag; the nonce is zero because the key is used once

    place            = fields("hitproof/entry-place/v1", tenant, entry, field, schema version)
    key ‖ commitment = HKDF-SHA256(data key, salt, place)                                      (RFC 5869, 64 bytes)
    associated data  = fields("hitproof/entry-aad/v1", place, epoch, commitment)
    salt             = HMAC-SHA256(data key, fields("hitproof/entry-salt/v1", 32 random bytes, place, plaintext))

`fields` is `crypto.canonical.encode_fields`: every part stands behind its length.

The commitment is there because GCM does not commit to its key: without it, one ciphertext can be made to open under two
tenants' keys. The salt is random and depends on the plaintext as well, so that even a source of randomness that repeats
itself (a cloned machine) never puts two plaintexts under one key and nonce. docs/explanation/sealing.md has the reasons
and the figures; `tenants.sealing_reference` is the same format written a second time on another library.

Evolution rule: a change of layout or derivation is a new version byte and new domain tags; version 1 stays readable.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.canonical import encode_fields
from crypto.errors import EncodingError
from tenants.derivation import derive_bytes
from tenants.errors import KeyFormError, UnsealError
from tenants.identifiers import TenantId
from tenants.randomness import RandomSource, draw

VERSION: Final = 1
KEY_BYTES: Final = 32
SALT_BYTES: Final = 32
COMMITMENT_BYTES: Final = 32
TAG_BYTES: Final = 16
HEADER_BYTES: Final = 1 + 4 + SALT_BYTES + COMMITMENT_BYTES
OVERHEAD_BYTES: Final = HEADER_BYTES + TAG_BYTES
PLAINTEXT_BYTES_MAX: Final = 1 << 28
EPOCH_MAX: Final = 2**32 - 1
ENTRY_MAX: Final = 2**63 - 1
SCHEMA_VERSION_MAX: Final = 2**32 - 1

_NONCE: Final = bytes(12)
_PREFIX: Final = bytes((VERSION,))
_SALT_START: Final = 5
_COMMITMENT_START: Final = _SALT_START + SALT_BYTES
#: One sentence for every reason: which one it was would only help whoever is trying.
_REFUSED: Final = "a sealed value does not open: it was changed or moved, or its key is another or destroyed"


@dataclass(frozen=True, slots=True)
class DataKey:
    """One epoch's data key of one tenant: 32 secret bytes and their number, from 1."""

    epoch: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise KeyFormError(f"a data key has {KEY_BYTES} bytes, not {len(self.secret)}")
        if not 1 <= self.epoch <= EPOCH_MAX:
            raise KeyFormError(f"a data key's epoch lies between 1 and 2^32 - 1, not at {self.epoch}")


@dataclass(frozen=True, slots=True)
class SealContext:
    """Where a sealed value belongs; it opens nowhere else."""

    tenant: TenantId
    entry: int
    field: str
    schema_version: int

    def __post_init__(self) -> None:
        if not 0 <= self.entry <= ENTRY_MAX:
            raise EncodingError(f"an entry's number lies between 0 and 2^63 - 1, not at {self.entry}")
        if not 0 <= self.schema_version <= SCHEMA_VERSION_MAX:
            raise EncodingError(f"a schema version lies between 0 and 2^32 - 1, not at {self.schema_version}")


def seal(key: DataKey, context: SealContext, plaintext: bytes, *, random: RandomSource) -> bytes:
    """Encrypt *plaintext* for *context*: `OVERHEAD_BYTES` longer than it, different every time.

    Raises `RandomnessError` when *random* fails and `EncodingError` beyond `PLAINTEXT_BYTES_MAX`.
    """
    if len(plaintext) > PLAINTEXT_BYTES_MAX:
        raise EncodingError(f"a sealed value has at most {PLAINTEXT_BYTES_MAX} bytes, not {len(plaintext)}; split it")
    place = _encode(context)
    drawn = draw(random, SALT_BYTES)
    salt = hmac.digest(key.secret, encode_fields("hitproof/entry-salt/v1", drawn, place, plaintext), "sha256")
    entry_key, commitment = _derive(key, salt, place)
    epoch = key.epoch.to_bytes(4, "big")
    associated = encode_fields("hitproof/entry-aad/v1", place, epoch, commitment)
    return b"".join((_PREFIX, epoch, salt, commitment, AESGCM(entry_key).encrypt(_NONCE, plaintext, associated)))


def unseal(key: DataKey, context: SealContext, sealed: bytes) -> bytes:
    """Return the plaintext that was sealed under *key* for *context*; raises `UnsealError` whatever is wrong."""
    if sealed_epoch(sealed) != key.epoch:
        raise UnsealError(_REFUSED)
    place = _encode(context)
    commitment = sealed[_COMMITMENT_START:HEADER_BYTES]
    entry_key, expected = _derive(key, sealed[_SALT_START:_COMMITMENT_START], place)
    if not hmac.compare_digest(commitment, expected):
        raise UnsealError(_REFUSED)
    associated = encode_fields("hitproof/entry-aad/v1", place, sealed[1:_SALT_START], commitment)
    try:
        return AESGCM(entry_key).decrypt(_NONCE, memoryview(sealed)[HEADER_BYTES:], associated)
    except InvalidTag:
        raise UnsealError(_REFUSED) from None


def sealed_epoch(sealed: bytes) -> int:
    """Return the epoch whose data key opens *sealed*, as it claims itself; raises `UnsealError` for another format."""
    if len(sealed) < OVERHEAD_BYTES or sealed[0] != VERSION:
        raise UnsealError(_REFUSED)
    return int.from_bytes(sealed[1:_SALT_START], "big")


def _derive(key: DataKey, salt: bytes, place: bytes) -> tuple[bytes, bytes]:
    derived = derive_bytes(key.secret, salt=salt, info=place, length=KEY_BYTES + COMMITMENT_BYTES)
    return derived[:KEY_BYTES], derived[KEY_BYTES:]


def _encode(context: SealContext) -> bytes:
    return encode_fields(
        "hitproof/entry-place/v1",
        context.tenant.encode("utf-8"),
        context.entry.to_bytes(8, "big"),
        context.field.encode("utf-8"),
        context.schema_version.to_bytes(4, "big"),
    )
