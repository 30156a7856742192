"""Reading closed objects: every key stated, nothing beside them, every value in its only form.

What the proof formats of docs/formats.md have in common. A reader takes a value and the words that name it in a
message, and returns the value in Python's terms; each raises `EncodingError`, which `refused_as` turns into the
`VerificationError` of the format at hand. Writers run through the same readers, so nothing is signed that no reader
would accept.
"""

from __future__ import annotations

import base64
import binascii
import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar, cast

from .canonical import DEPTH_MAX, INTEGER_MAX, CanonicalValue, JsonValue, canonical_json, parse_canonical_json
from .errors import EncodingError, VerificationError

TEXT_LENGTH_MAX: Final = 1_024

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Choice = TypeVar("Choice", bound=str)
#: Takes a value and what to call it in a message.
Reader: TypeAlias = Callable[[JsonValue, str], Any]

_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def refused_as(reason: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Return a decorator under which an `EncodingError` becomes a `VerificationError` with *reason*."""

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @functools.wraps(function)
        def refusing(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            try:
                return function(*args, **kwargs)
            except EncodingError as error:
                raise VerificationError(str(error), reason=reason) from None

        return refusing

    return decorate


def parse_closed(value: JsonValue | bytes, bytes_max: int, where: str) -> JsonValue:
    """Return *value*, read as canonical JSON where it is bytes; raises `EncodingError` above *bytes_max*."""
    if not isinstance(value, bytes):
        return value
    if len(value) > bytes_max:
        raise EncodingError(f"{where} is longer than {bytes_max} bytes")
    return parse_canonical_json(value)


def encode_closed(value: JsonValue) -> bytes:
    """Return the canonical JSON of *value*; raises `EncodingError` where there is none."""
    return canonical_json(cast(CanonicalValue, value))


def read_object(value: JsonValue, where: str, keys: frozenset[str]) -> dict[str, JsonValue]:
    """Return *value*, an object with exactly *keys*."""
    if not isinstance(value, dict):
        raise EncodingError(f"{where} is not an object")
    if value.keys() == keys:
        return value
    if missing := sorted(keys - value.keys()):
        raise EncodingError(f"{where} lacks {', '.join(missing)}")
    unknown = sorted(key[:64] for key in value.keys() - keys)
    raise EncodingError(f"{where} has unknown keys: {', '.join(unknown[:8])}")


def read_list(value: JsonValue, where: str, length_max: int) -> list[JsonValue]:
    """Return *value*, a list of at most *length_max* items."""
    if not isinstance(value, list):
        raise EncodingError(f"{where} is not a list")
    if len(value) > length_max:
        raise EncodingError(f"{where} holds more than {length_max} items")
    return value


def read_text(value: JsonValue, where: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Return *value*, a text in Unicode NFC of at most *length_max* characters."""
    if not isinstance(value, str):
        raise EncodingError(f"{where} is not a text")
    if len(value) > length_max:
        raise EncodingError(f"{where} is longer than {length_max} characters")
    if not value.isascii() and not unicodedata.is_normalized("NFC", value):
        raise EncodingError(f"{where} is not in Unicode NFC")
    return value


def read_integer(value: JsonValue, where: str, least: int = 0, most: int = INTEGER_MAX) -> int:
    """Return *value*, an integer from *least* to *most*; true and false are none."""
    if type(value) is not int or not least <= value <= most:
        raise EncodingError(f"{where} is not an integer from {least} to {most}")
    return value


def read_choice(value: JsonValue, where: str, choices: Sequence[Choice]) -> Choice:
    """Return the one of *choices* that *value* is."""
    for choice in choices:
        if value == choice:
            return choice
    raise EncodingError(f"{where} is none of {', '.join(choices)}")


def read_hex(value: JsonValue, where: str, size_bytes: int) -> bytes:
    """Return the *size_bytes* bytes that *value* states in lower-case hexadecimal digits."""
    if not isinstance(value, str) or len(value) != 2 * size_bytes or _HEX.fullmatch(value) is None:
        raise EncodingError(f"{where} is not {2 * size_bytes} lower-case hexadecimal digits")
    return bytes.fromhex(value)


def read_base64(value: JsonValue, where: str, length_max: int) -> bytes:
    """Return the bytes that *value* states in canonical base64 (RFC 4648 §4): what they encode to again.

    At most *length_max* characters are looked at.
    """
    if not isinstance(value, str) or len(value) > length_max:
        raise EncodingError(f"{where} is not a base64 text of at most {length_max} characters")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise EncodingError(f"{where} is not base64") from None
    if base64.b64encode(data).decode("ascii") != value:
        raise EncodingError(f"{where} is not canonical base64, which has no stray bits behind its last byte")
    return data


def read_hex_32(value: JsonValue, where: str) -> bytes:
    """Return 32 bytes stated as 64 hexadecimal digits."""
    return read_hex(value, where, 32)


def read_hex_text(value: JsonValue, where: str, digits: int) -> str:
    """Return *value*, *digits* lower-case hexadecimal digits, as the text it is."""
    read_hex(value, where, digits // 2)
    return cast(str, value)


def read_key_id(value: JsonValue, where: str) -> str:
    """Return *value*, the id of an Ed25519 key: 64 hexadecimal digits."""
    return read_hex_text(value, where, 64)


def read_pseudonym(value: JsonValue, where: str) -> str:
    """Return *value*, a tenant's pseudonym: 32 hexadecimal digits."""
    return read_hex_text(value, where, 32)


def read_digest(value: JsonValue, where: str) -> str:
    """Return *value*, a digest: `sha256:` and 64 hexadecimal digits."""
    if not isinstance(value, str) or _DIGEST.fullmatch(value) is None:
        raise EncodingError(f"{where} is not sha256: and 64 lower-case hexadecimal digits")
    return value


def or_null(reader: Reader) -> Reader:
    """Return a reader that takes null as well."""

    def read(value: JsonValue, where: str) -> Any:
        return None if value is None else reader(value, where)

    return read


def one_of(*choices: str) -> Reader:
    """Return a reader of one of *choices*."""

    def read(value: JsonValue, where: str) -> Any:
        return read_choice(value, where, choices)

    return read


def read_free(value: JsonValue, where: str) -> None:
    """Check that all of *value*, whatever its shape, is free of floats and made of short texts in NFC."""
    _read_free(value, where, 0)


def _read_free(value: object, where: str, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise EncodingError(f"{where} nests deeper than {DEPTH_MAX} levels")
    if isinstance(value, str):
        read_text(value, where)
    elif isinstance(value, float):
        raise EncodingError(f"{where} holds a float; write it as a decimal string")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            read_text(key, where)
            _read_free(item, where, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _read_free(item, where, depth + 1)


def refuse_unsorted(keys: Sequence[Any], where: str) -> None:
    """Check that *keys* ascend and none stands twice."""
    for before, after in itertools.pairwise(keys):
        if not before < after:
            raise EncodingError(f"{where} are not sorted, or one stands twice")


def read_record(value: JsonValue, where: str, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Return what each of *readers* makes of the field of its name in the closed object *value*."""
    found = read_object(value, where, frozenset(readers))
    return {name: reader(found[name], f"the {name} of {where}") for name, reader in readers.items()}


def write_record(record: Any) -> dict[str, JsonValue]:
    """Return the fields of the dataclass *record* by name: bytes as hexadecimal, tuples as lists, records inside alike."""
    return {field.name: _written(getattr(record, field.name)) for field in fields(record)}


def _written(value: Any) -> JsonValue:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return write_record(value)
    return cast(JsonValue, value)
