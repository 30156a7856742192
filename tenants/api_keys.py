"""API keys: `hp_{live|test}_{key id}_{secret}{checksum}`, made, read, compared and kept out of logs.

    key id     12 base62 characters; public, finds the row
    secret     32 base62 characters, 190 bits; shown once, stored only as an HMAC
    checksum    6 base62 characters: CRC-32 over everything before it, so that a mistyped key costs no lookup

The secret has full entropy, so a fast MAC is right and a password hash would only be a lever for denial of service.
"""

from __future__ import annotations

import hmac
import re
import zlib
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from crypto.canonical import encode_fields
from tenants.errors import AuthenticationError, KeyFormError, RandomnessError
from tenants.identifiers import KeyId
from tenants.randomness import RandomSource, draw

Environment: TypeAlias = Literal["live", "test"]

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_ID_LENGTH: Final = 12
SECRET_LENGTH: Final = 32
CHECKSUM_LENGTH: Final = 6
PEPPER_BYTES_MIN: Final = 16

#: What a secret scanner looks for (GitHub, gitleaks, trufflehog take it as it stands).
API_KEY_PATTERN: Final = re.compile(r"hp_(?:live|test)_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}")

_FORM: Final = re.compile(r"hp_(?:live|test)_([0-9A-Za-z]{12})_[0-9A-Za-z]{38}")
_TEXT_LENGTH: Final = len("hp_live_") + KEY_ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH
# Wider than the form on purpose: a key that was cut or mistyped still gives most of its secret away.
_REVEALING: Final = re.compile(r"(hp_(?:live|test)_[0-9A-Za-z]{12})_[0-9A-Za-z]+")
_MAC_DOMAIN: Final = "hitproof/api-key-mac/v1"
# The largest multiple of 62 in a byte: bytes from here on are dropped, or the first characters would be likelier.
_FAIR_BELOW: Final = 256 - 256 % len(ALPHABET)
_DRAWS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A new key; *text* is shown once and then exists only with its holder."""

    key_id: KeyId
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A well-formed key; that it is genuine is still to be shown by `is_api_key_mac`."""

    key_id: KeyId
    text: str = field(repr=False)


def mint_api_key(random: RandomSource, *, environment: Environment = "live") -> MintedKey:
    """Make a key with every base62 character equally likely; raises `RandomnessError` rather than a weak one."""
    key_id = _draw_base62(random, KEY_ID_LENGTH)
    body = f"hp_{environment}_{key_id}_{_draw_base62(random, SECRET_LENGTH)}"
    return MintedKey(KeyId(key_id), body + _checksum(body))


def parse_api_key(text: str) -> ParsedKey:
    """Read a key's form and checksum; raises `AuthenticationError` for either, before anything is looked up."""
    form = _FORM.fullmatch(text) if len(text) == _TEXT_LENGTH else None
    if form is None:
        raise AuthenticationError("the API key is malformed; it starts with hp_live_ or hp_test_ and is copied whole")
    if _checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        raise AuthenticationError("the API key was mistyped: its checksum does not fit; copy it again")
    return ParsedKey(KeyId(form[1]), text)


def mac_api_key(pepper: bytes, text: str) -> bytes:
    """Return what is stored in place of the key: HMAC-SHA-256 over the whole text under *pepper*, 32 bytes."""
    if len(pepper) < PEPPER_BYTES_MIN:
        raise KeyFormError(f"the pepper has {len(pepper)} bytes; give it at least {PEPPER_BYTES_MIN} random ones")
    return hmac.digest(pepper, encode_fields(_MAC_DOMAIN, text.encode("utf-8", "surrogatepass")), "sha256")


def is_api_key_mac(pepper: bytes, text: str, expected: bytes) -> bool:
    """Tell in constant time whether *expected* is the MAC of *text*."""
    return hmac.compare_digest(mac_api_key(pepper, text), expected)


def redact(text: str) -> str:
    """Replace the secret of every key in *text*, whole or cut; the public key id stays, for whoever must revoke it."""
    if "hp_" not in text:
        return text
    return _REVEALING.sub(r"\1_[redacted]", text)


def _draw_base62(random: RandomSource, length: int) -> str:
    characters: list[str] = []
    for _ in range(_DRAWS_MAX):
        characters += (ALPHABET[byte % 62] for byte in draw(random, 2 * length) if byte < _FAIR_BELOW)
        if len(characters) >= length:
            return "".join(characters[:length])
    raise RandomnessError("the source of randomness gives only bytes above 247; nothing was made, mend the source")


def _checksum(body: str) -> str:
    value = zlib.crc32(body.encode("ascii"))
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        value, digit = divmod(value, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
