"""Commitments: what a receipt says of an answer, a prompt or a vector without showing it.

Each hides its value behind a salt of its own and binds it: whoever holds salt and value can show that nothing else was
meant. Salts have exactly 32 bytes, since HMAC pads shorter keys with zeros and hashes longer ones, and two salts would
then open one commitment.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from .canonical import DEPTH_MAX, CanonicalValue, JsonValue, canonical_json, encode_fields
from .errors import EncodingError

SALT_BYTES: Final = 32
TOKEN_ID_MAX: Final = 2**31 - 1

SaltKind: TypeAlias = Literal["query", "query_vector"]

_OUTPUT: Final = "hitproof/output/v1"
_PROMPT: Final = "hitproof/prompt/v1"
_PROMPT_TOKENS: Final = "hitproof/prompt-tokens/v1"
_OUTPUT_TOKENS: Final = "hitproof/output-tokens/v1"
_QUERY: Final = "hitproof/query/v1"
_QUERY_VECTOR: Final = "hitproof/query-vector/v1"
_VECTOR: Final = "hitproof/vector/v1"
_TEXT: Final = "hitproof/embedded-text/v1"
_HIT_SALT: Final = "hitproof/hit-salt/v1"


def stated_json(value: JsonValue) -> bytes:
    """Return *value* stated: canonical JSON without the object fields that are null, floats as decimal strings.

    Raises `EncodingError` for NaN, infinities and whatever else has no canonical form.
    """
    return canonical_json(_stated(value, 0))


def output_commitment(salt: bytes, choices: JsonValue) -> bytes:
    """Commit to a response's `choices`: 32 bytes."""
    return _hash(_OUTPUT, salt, stated_json(choices))


def prompt_commitment(salt: bytes, messages: JsonValue) -> bytes:
    """Commit to the `messages` that were sent to the model: 32 bytes."""
    return _mac(_PROMPT, salt, stated_json(messages))


def prompt_tokens_commitment(salt: bytes, ids: Sequence[int]) -> bytes:
    """Commit to the token ids that the model read: 32 bytes."""
    return _mac(_PROMPT_TOKENS, salt, _token_bytes(ids))


def output_tokens_commitment(salt: bytes, ids: Sequence[int]) -> bytes:
    """Commit to the token ids that the model wrote: 32 bytes."""
    return _mac(_OUTPUT_TOKENS, salt, _token_bytes(ids))


def query_commitment(salt: bytes, messages: JsonValue) -> bytes:
    """Commit to the `messages` of a request that was a hit: 32 bytes."""
    return _mac(_QUERY, salt, stated_json(messages))


def query_vector_commitment(salt: bytes, vector: bytes) -> bytes:
    """Commit to the quantised vector of such a request, one signed byte per component: 32 bytes."""
    return _mac(_QUERY_VECTOR, salt, vector)


def vector_commitment(salt: bytes, vector: bytes) -> bytes:
    """Commit to an entry's quantised vector, one signed byte per component: 32 bytes."""
    return _hash(_VECTOR, salt, vector)


def text_commitment(salt: bytes, text: str) -> bytes:
    """Commit to the text that a vector was made from: 32 bytes."""
    return _mac(_TEXT, salt, _utf8(text))


def hit_salt(key: bytes, hit: str, kind: SaltKind) -> bytes:
    """Return the salt of one of a hit's two commitments, from the tenant key whose purpose is `hit-salt`."""
    if kind not in ("query", "query_vector"):
        raise EncodingError("a hit commits to its query and its query_vector, and to nothing else")
    return hmac.digest(key, encode_fields(_HIT_SALT, _utf8(hit), kind.encode("ascii")), "sha256")


def _hash(domain: str, salt: bytes, value: bytes) -> bytes:
    return hashlib.sha256(encode_fields(domain, _checked(salt), value)).digest()


def _mac(domain: str, salt: bytes, value: bytes) -> bytes:
    return hmac.digest(_checked(salt), encode_fields(domain, value), "sha256")


def _checked(salt: bytes) -> bytes:
    if len(salt) != SALT_BYTES:
        raise EncodingError(f"the salt has {len(salt)} bytes; a commitment's salt has {SALT_BYTES}")
    return salt


def _token_bytes(ids: Sequence[int]) -> bytes:
    if not all(type(number) is int and 0 <= number <= TOKEN_ID_MAX for number in ids):
        raise EncodingError(f"a token id is not an integer from 0 to {TOKEN_ID_MAX}")
    return struct.pack(f">{len(ids)}I", *ids)


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise EncodingError("text holds a lone surrogate, which has no UTF-8 form") from None


def _stated(value: JsonValue, depth: int) -> CanonicalValue:
    if isinstance(value, float):
        return _decimal(value)
    if depth > DEPTH_MAX:
        raise EncodingError(f"the value nests deeper than {DEPTH_MAX} levels")
    if isinstance(value, Mapping):
        return {key: _stated(item, depth + 1) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_stated(item, depth + 1) for item in value]
    return value


def _decimal(value: float) -> str:
    """Return the shortest decimal that reads back as *value*, without exponent and with a point."""
    if not math.isfinite(value):
        raise EncodingError("NaN and infinities cannot be stated")
    text = repr(value)
    if "e" not in text:
        return text
    plain = format(Decimal(text), "f")
    return plain if "." in plain else plain + ".0"
