"""Split a key-encryption key into n shares of which any k make it again and k - 1 say nothing (Shamir 1979).

Share, format `hitproof/key-share/v1`, one line of text, written so that people can tell shares apart:

    hps1_{k}of{n}_{number}_{key id: 16 hex}_{set: 16 hex}_{share: 64 hex}_{checksum: 8 hex}

The key is split as two halves of 16 bytes over GF(2^128), which is pycryptodome's field. *set* differs each time that a
key is split, so shares of two splits cannot be mixed by mistake; *key id* is checked against the key that comes out, so
a forged share cannot put a wrong key in place. The checksum is the start of a SHA-256 and finds typing errors only.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from Crypto.Protocol.SecretSharing import Shamir

from crypto.canonical import digest_fields, encode_fields
from tenants.errors import KeyFormError, RandomnessError
from tenants.key_wrapping import KeyEncryptionKey

SHARES_MAX: Final = 32
THRESHOLD_MIN: Final = 2
HALF_BYTES: Final = 16

_FORM: Final = re.compile(
    r"(hps1_([1-9][0-9]?)of([1-9][0-9]?)_([1-9][0-9]?)_([0-9a-f]{16})_([0-9a-f]{16})_([0-9a-f]{64}))_([0-9a-f]{8})"
)
_TEXT_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Share:
    """One share as it was read: share *number* of *count*, of which *threshold* are needed."""

    threshold: int
    count: int
    number: int
    key_id: str
    set_id: str
    secret: bytes = field(repr=False)

    @property
    def set_mark(self) -> tuple[str, str, int, int]:
        """What all shares of one split have in common."""
        return self.key_id, self.set_id, self.threshold, self.count


def split_key(secret: bytes, threshold: int, count: int) -> tuple[str, ...]:
    """Split a 32-byte key into *count* shares of which *threshold* are needed; raises `KeyFormError`.

    The polynomials' coefficients come from pycryptodome's own source, which is the operating system's.
    """
    key = KeyEncryptionKey(secret)
    if not THRESHOLD_MIN <= threshold <= count <= SHARES_MAX:
        raise KeyFormError(
            f"{threshold} of {count} cannot be: at least {THRESHOLD_MIN} shares are needed, "
            f"no more than are made, and at most {SHARES_MAX} are made"
        )
    try:
        halves = [Shamir.split(threshold, count, half) for half in (secret[:HALF_BYTES], secret[HALF_BYTES:])]
    except OSError as error:
        raise RandomnessError(f"the operating system gives no randomness ({type(error).__name__}); try again") from None
    shares = [(number, first + second) for (number, first), (_, second) in zip(*halves, strict=True)]
    marks = encode_fields("hitproof/share-set/v1", bytes((threshold, count)), *(share for _, share in shares))
    set_id = hmac.digest(secret, marks, "sha256")[:8].hex()
    texts = []
    for number, share in shares:
        body = f"hps1_{threshold}of{count}_{number}_{key.key_id.removeprefix('kek-')}_{set_id}_{share.hex()}"
        texts.append(f"{body}_{_checksum(body)}")
    return tuple(texts)


def parse_share(text: str) -> Share:
    """Read one share; raises `KeyFormError` for its form or checksum, without showing it."""
    text = text.strip()
    form = _FORM.fullmatch(text) if len(text) <= _TEXT_LENGTH_MAX else None
    if form is None:
        raise KeyFormError("this is not an unseal share; one is a single line that starts with hps1_, copied whole")
    body, threshold, count, number, key_id, set_id, share, checksum = form.groups()
    if _checksum(body) != checksum:
        raise KeyFormError("this share was mistyped: its checksum does not fit; copy it again")
    parsed = Share(int(threshold), int(count), int(number), f"kek-{key_id}", set_id, bytes.fromhex(share))
    if not THRESHOLD_MIN <= parsed.threshold <= parsed.count <= SHARES_MAX or parsed.number > parsed.count:
        raise KeyFormError(f"this share says number {number} of {count}, {threshold} needed, which no split makes")
    return parsed


def combine_shares(shares: Sequence[Share]) -> KeyEncryptionKey:
    """Put the key together from exactly as many shares of one set as are needed; raises `KeyFormError`."""
    marks = {share.set_mark for share in shares}
    numbers = {share.number for share in shares}
    if len(marks) != 1 or len(numbers) != len(shares) or len(shares) != shares[0].threshold:
        raise KeyFormError("a key is made from different shares of one set, exactly as many as the set needs")
    first, second = (
        bytes(Shamir.combine([(share.number, share.secret[half]) for share in shares]))
        for half in (slice(0, HALF_BYTES), slice(HALF_BYTES, None))
    )
    key = KeyEncryptionKey(first + second)
    if key.key_id != shares[0].key_id:
        raise KeyFormError(
            f"these shares do not make {shares[0].key_id}: at least one of them is forged; bring all of them again"
        )
    return key


def _checksum(body: str) -> str:
    return digest_fields("hitproof/share-checksum/v1", body.encode("ascii"))[:4].hex()
