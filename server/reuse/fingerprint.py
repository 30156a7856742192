"""The exact part of a request's identity, and the key of the exact tier.

    fingerprint = H("hitproof/fingerprint/v1", model version, embedder digest, earlier messages, parameters)
    exact key   = HMAC(tenant's lookup key, "hitproof/exact-key/v1", fingerprint, last message)

Every field is length-prefixed, so no two requests share an input by moving a boundary. The exact key is keyed per
tenant: two tenants who ask the same never share one, not even in the database. Layout: docs/formats.md, Keys.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from crypto.canonical import digest_fields, encode_fields
from crypto.errors import EncodingError
from server.reuse.query import canonical_query
from server.reuse.request import ChatRequest, text_of

FINGERPRINT_DOMAIN: Final = "hitproof/fingerprint/v1"
EXACT_KEY_DOMAIN: Final = "hitproof/exact-key/v1"
POOL_FINGERPRINT_DOMAIN: Final = "hitproof/pool-fingerprint/v1"

#: The two families of the pool's partitions: what was voted for, and what was labelled shareable.
PoolMode = Literal["pooled", "noised"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a request is compared by: *fingerprint* names the partition, *exact_key* the very request."""

    fingerprint: bytes
    exact_key: bytes


def identify(request: ChatRequest, *, model_version: str, embedder_digest: str, lookup_key: bytes) -> Identity:
    """Compute the identity of *request* for the tenant whose secret is *lookup_key* (32 bytes)."""
    fingerprint = digest_fields(
        FINGERPRINT_DOMAIN,
        model_version.encode(),
        embedder_digest.encode(),
        encode_value([_canonical_message(message) for message in request.context]),
        encode_value(request.material_parameters),
    )
    last = encode_value(_canonical_message(request.messages[-1]))
    exact = hmac.digest(lookup_key, encode_fields(EXACT_KEY_DOMAIN, fingerprint, last), hashlib.sha256)
    return Identity(fingerprint, exact)


def pool_fingerprint(mode: PoolMode, fingerprint: bytes) -> bytes:
    """Return the pool's partition for requests of this *fingerprint*, which no tenant's key enters; 32 bytes.

    So a reader's own fingerprint finds what the pool has for the same model version, embedder, profile and parameters.
    """
    return digest_fields(POOL_FINGERPRINT_DOMAIN, mode.encode(), fingerprint)


def is_of_conversation(
    request: ChatRequest, messages: Sequence[Mapping[str, object]], parameters: Mapping[str, object], *, whole: bool
) -> bool:
    """Tell whether a sealed entry's own words make it *request*'s: all of them, or all but the last message.

    The columns that led to the entry are not sealed, so whoever can write the database can point them anywhere.
    """
    mine, theirs = (request.messages, messages) if whole else (request.context, messages[:-1])
    if list(mine) == list(theirs) and request.material_parameters == parameters:
        return True
    return encode_value([_canonical_message(message) for message in mine]) == encode_value(
        [_canonical_message(message) for message in theirs]
    ) and encode_value(request.material_parameters) == encode_value(parameters)


def _canonical_message(message: Mapping[str, object]) -> dict[str, object]:
    """Drop absent fields and write plain text one way, so that ["text"] and "text" are the same message."""
    found = {name: value for name, value in message.items() if value is not None}
    text = text_of(message)
    if text is not None:
        found["content"] = canonical_query(text)
    return found


def encode_value(value: object) -> bytes:
    """Encode any JSON value injectively: a type letter, a length or count, then the content; keys sorted.

    1 and 1.0 are the same number; other fractions are written as the shortest decimal that reads back the same.
    """
    parts: list[bytes] = []
    _encode_into(parts, value)
    return b"".join(parts)


def _encode_into(parts: list[bytes], value: object) -> None:
    if value is None:
        parts.append(b"z")
    elif value is True:
        parts.append(b"t")
    elif value is False:
        parts.append(b"f")
    elif isinstance(value, str):
        _sized(parts, b"s", value.encode("utf-8"))
    elif isinstance(value, int):
        _sized(parts, b"i", str(value).encode())
    elif isinstance(value, float):
        _encode_float(parts, value)
    elif isinstance(value, Mapping):
        parts.append(b"o" + len(value).to_bytes(4, "big"))
        for key in sorted(value):
            _sized(parts, b"k", str(key).encode("utf-8"))
            _encode_into(parts, value[key])
    elif isinstance(value, Sequence):
        parts.append(b"l" + len(value).to_bytes(4, "big"))
        for item in value:
            _encode_into(parts, item)
    else:
        raise EncodingError(f"a {type(value).__name__} is no JSON value")


def _encode_float(parts: list[bytes], value: float) -> None:
    if value.is_integer():
        _sized(parts, b"i", str(int(value)).encode())
    else:
        _sized(parts, b"d", str(Decimal(repr(value)).normalize()).encode())


def _sized(parts: list[bytes], kind: bytes, content: bytes) -> None:
    parts += (kind, len(content).to_bytes(4, "big"), content)
