"""One canonical encoding for everything that is hashed, signed or compared.

Two forms, both described in docs/formats.md:

* `encode_fields`: a domain tag and length-prefixed byte fields, for what is hashed. ("ab", "c") and ("a", "bc") differ.
* `canonical_json`: RFC 8785 (JCS) restricted to strings, integers, booleans, null, lists and objects. Floats are refused
  because their text form is where canonical encodings go wrong; numbers that are not integers travel as strings.

Evolution rule: a domain tag ends in its version (`hitproof/name/v1`); a change of layout is a new tag, never a reuse.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NoReturn, TypeAlias

from .errors import EncodingError

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
#: What has a canonical form: `JsonValue` without floats, and any sequence or mapping for lists and objects.
CanonicalValue: TypeAlias = bool | int | str | Sequence["CanonicalValue"] | Mapping[str, "CanonicalValue"] | None

INTEGER_MAX: Final = 2**53 - 1
DEPTH_MAX: Final = 32
NODES_MAX: Final = 10_000
#: Possessive, so that no text makes them try twice: time grows with the body's length and nothing else.
_STRINGS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")


def encode_fields(domain: str, *fields: bytes) -> bytes:
    """Join *fields* under *domain*: tag, NUL, then each field behind its length as eight big-endian bytes."""
    parts = [domain.encode("ascii"), b"\0"]
    for field in fields:
        parts += (len(field).to_bytes(8, "big"), field)
    return b"".join(parts)


def digest_fields(domain: str, *fields: bytes) -> bytes:
    """Return SHA-256 of `encode_fields`: 32 bytes."""
    return hashlib.sha256(encode_fields(domain, *fields)).digest()


def canonical_json(value: CanonicalValue) -> bytes:
    """Encode *value* as RFC 8785 does: sorted keys (by UTF-16 code units), no spaces, shortest escapes, UTF-8.

    Raises `EncodingError` for floats, integers beyond ±(2^53 - 1), lone surrogates and keys that are not strings.
    """
    _refuse_uncanonical(value, 0)
    # The standard library escapes exactly what RFC 8785 asks for when ensure_ascii is off, save its lower-case \u00xx,
    # which is the RFC's form as well; only the key order differs (code points there, UTF-16 units here).
    try:
        return json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        raise EncodingError("text holds a lone surrogate, which has no UTF-8 form") from None


def parse_json(data: bytes, *, depth_max: int = DEPTH_MAX, nodes_max: int = NODES_MAX) -> JsonValue:
    """Read one JSON value and refuse whatever two parsers could read differently.

    Raises `EncodingError` for invalid UTF-8, a byte order mark, duplicate keys, NaN and infinities, integers beyond
    ±(2^53 - 1), lone surrogates, more than *depth_max* levels or *nodes_max* values, and anything behind the value.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EncodingError(f"the body is not UTF-8 (byte {error.start})") from None
    _refuse_deep(data, depth_max)
    try:
        value: JsonValue = _decoder().decode(text)
    except json.JSONDecodeError as error:
        raise EncodingError(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise EncodingError(f"the body nests deeper than {depth_max} levels") from None
    _refuse_too_many(value, nodes_max)
    if "\\u" in text or "\\U" in text:
        _refuse_surrogates(value)
    return value


def parse_canonical_json(data: bytes) -> JsonValue:
    """Read *data*, which must be exactly what `canonical_json` writes; raises `EncodingError` otherwise."""
    value = parse_json(data)
    if canonical_json(_no_floats(value)) != data:
        raise EncodingError("the JSON is well formed but not in canonical form (RFC 8785)")
    return value


@functools.cache
def _decoder() -> json.JSONDecoder:
    """Return the one decoder: making it costs more than a small body does."""
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_constant=_refuse_constant, parse_int=_integer, parse_float=_float
    )


def _no_floats(value: JsonValue) -> CanonicalValue:
    if isinstance(value, float):
        raise EncodingError("a float has no canonical form here; write it as a string")
    return value  # type: ignore[return-value]  # nested floats are refused by canonical_json itself


def _refuse_uncanonical(value: object, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise EncodingError(f"the value nests deeper than {DEPTH_MAX} levels")
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise EncodingError(f"the integer {value} is beyond ±(2^53 - 1); write it as a string")
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise EncodingError("an object key is not a string")
            _refuse_uncanonical(item, depth + 1)
        return
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for item in value:
            _refuse_uncanonical(item, depth + 1)
        return
    raise EncodingError(f"a {type(value).__name__} has no canonical form")


def _ordered(value: CanonicalValue) -> object:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {key: _ordered(value[key]) for key in _sorted_keys(value)}
    return [_ordered(item) for item in value]


def _sorted_keys(keys: Iterable[str]) -> list[str]:
    """Sort *keys* by UTF-16 code units; among ASCII alone that is the order of code points, which costs a third."""
    ordered = sorted(keys)
    return ordered if all(map(str.isascii, ordered)) else sorted(ordered, key=_utf16)


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise EncodingError(f"the key {_first_repeated(pairs)[:64]!r} stands twice in one object")
    return found


def _first_repeated(pairs: list[tuple[str, JsonValue]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    return ""


def _integer(text: str) -> int:
    if len(text) > 17 or abs(value := int(text)) > INTEGER_MAX:
        raise EncodingError("an integer is beyond ±(2^53 - 1)")
    if text == "-0":
        raise EncodingError("-0 is not an integer here")
    return value


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise EncodingError("a number is too large")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise EncodingError(f"{name} is not JSON")


def _refuse_deep(data: bytes, depth_max: int) -> None:
    """Count brackets outside strings before parsing; a string without an end is not JSON, so what it hides may count."""
    if data.count(b"[") + data.count(b"{") <= depth_max:
        return
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        if depth > depth_max:
            raise EncodingError(f"the body nests deeper than {depth_max} levels")


def _refuse_too_many(value: JsonValue, nodes_max: int) -> None:
    count, stack = 0, [value]
    while stack:
        item = stack.pop()
        count += 1
        if count > nodes_max:
            raise EncodingError(f"the body holds more than {nodes_max} values")
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _refuse_surrogates(value: JsonValue) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            _encodable(item)
        elif isinstance(item, dict):
            for key in item:
                _encodable(key)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _encodable(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise EncodingError("text holds a lone surrogate, which has no UTF-8 form") from None
