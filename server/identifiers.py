"""Identifiers that leave the house: what they look like outside, and how they are made.

An entry's id is 63 bits: 42 of time (milliseconds since 2020) and 21 of chance, so that rows of one moment lie together
and nobody can count another tenant's. A lookup's id carries 128 bits of chance. See docs/formats.md, Identifiers.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Final

from server.ports import RandomSource
from tenants.identifiers import EntryId, LookupId

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_DIGITS: Final = 13
_EPOCH_MS: Final = 1_577_836_800_000
_TIME_MASK: Final = (1 << 42) - 1

ENTRY_PREFIX: Final = "ent_"
HIT_PREFIX: Final = "hit_"
LOOKUP_PREFIX: Final = "lk_"


def new_entry_id(now_ms: int, random: RandomSource) -> EntryId:
    """Make an id for an entry that is stored at *now_ms*."""
    chance = int.from_bytes(random.token_bytes(3), "big") >> 3
    return EntryId(((now_ms - _EPOCH_MS) & _TIME_MASK) << 21 | chance)


@lru_cache(maxsize=4096)
def format_entry_id(entry: EntryId) -> str:
    """Write an entry's id as clients see it: `ent_` and 13 digits of base 32."""
    value, digits = int(entry), []
    for _ in range(_DIGITS):
        digits.append(_ALPHABET[value & 31])
        value >>= 5
    return ENTRY_PREFIX + "".join(reversed(digits))


def parse_entry_id(text: str) -> EntryId | None:
    """Read an entry's id; None for anything that `format_entry_id` does not write."""
    digits = text.removeprefix(ENTRY_PREFIX)
    if len(text) != len(ENTRY_PREFIX) + _DIGITS or len(digits) != _DIGITS:
        return None
    value = 0
    for character in digits:
        if character not in _VALUES:
            return None
        value = value << 5 | _VALUES[character]
    return EntryId(value) if value < 1 << 63 else None


def new_lookup_id(random: RandomSource, *, hit: bool) -> LookupId:
    """Make an id for a lookup; a hit's says so."""
    return LookupId((HIT_PREFIX if hit else LOOKUP_PREFIX) + random.token_bytes(16).hex())


def new_name(prefix: str, random: RandomSource) -> str:
    """Make an opaque identifier such as a tenant's: *prefix* and 80 bits of chance."""
    return prefix + base64.b32encode(random.token_bytes(10)).decode().lower()
