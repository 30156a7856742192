"""The small forms that every format is put together from; each reader raises NotInForm for anything else."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from .errors import NotInForm
from .json_text import INTEGER_MAX, Json

T = TypeVar("T")

TEXT_CHARACTERS_MAX = 1_024


def closed(value: Json, *names: str) -> dict[str, Json]:
    """An object with exactly these keys."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise NotInForm(f"not an object of exactly {', '.join(sorted(names))}")
    return value


def items(value: Json, count_max: int) -> list[Json]:
    """An array of at most so many items."""
    if not isinstance(value, list) or len(value) > count_max:
        raise NotInForm(f"not an array of at most {count_max} items")
    return value


def text(value: Json, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """A text of at most so many characters."""
    if not isinstance(value, str) or len(value) > characters_max:
        raise NotInForm("not a text, or too long a one")
    return value


def short(data: bytes, bytes_max: int) -> bytes:
    """Bytes that are no more than so many: reading JSON takes a hundred times its size."""
    if len(data) > bytes_max:
        raise NotInForm(f"more than {bytes_max} bytes")
    return data


def integer(value: Json, low: int = 0, high: int = INTEGER_MAX) -> int:
    """An integer of this range, both ends included."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise NotInForm(f"not an integer from {low} to {high}")
    return value


def one_of(value: Json, *words: str) -> str:
    """One of these words."""
    if not isinstance(value, str) or value not in words:
        raise NotInForm(f"not one of {', '.join(words)}")
    return value


def unhex(value: Json, length: int) -> bytes:
    """So many bytes in lower-case hexadecimal."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]*", value) or len(value) != 2 * length:
        raise NotInForm(f"not {length} bytes in hexadecimal")
    return bytes.fromhex(value)


def undigest(value: Json) -> bytes:
    """The 32 bytes of a digest."""
    if not isinstance(value, str) or not value.startswith("sha256:"):
        raise NotInForm("not a digest")
    return unhex(value[len("sha256:") :], 32)


def unbase64(value: Json) -> bytes:
    """The bytes of a base64 text that encodes to the same text again."""
    if not isinstance(value, str) or not value.isascii():
        raise NotInForm("not base64")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotInForm("not base64") from error
    if base64.b64encode(data).decode("ascii") != value:
        raise NotInForm("not canonical base64")
    return data


def matching(value: Json, pattern: str) -> str:
    """A text that this pattern matches as a whole."""
    if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
        raise NotInForm(f"not of the form {pattern}")
    return value


def optional(value: Json, reader: Callable[[Json], T]) -> T | None:
    """Null, or what *reader* makes of it."""
    return None if value is None else reader(value)


def check_ascending(keys: Sequence[object]) -> None:
    """Refuse keys that are not in order, or of which one stands twice."""
    for before, after in pairwise(keys):
        if not before < after:  # type: ignore[operator]
            raise NotInForm("not in order, or one stands twice")
