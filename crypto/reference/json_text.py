"""Reads and writes canonical JSON, by a reader of its own that knows no other form."""

from __future__ import annotations

import re
import unicodedata
from typing import TypeAlias

from .errors import NotInForm

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

INTEGER_MAX = 2**53 - 1
LEVELS_MAX = 32
VALUES_MAX = 10_000
#: A line of a bundle may hold an opened prompt of very many tokens.
LINE_VALUES_MAX = 2**20
LINE_BYTES_MAX = 2**22
LINES_MAX = 2**20

#: Possessive: nothing is tried twice, and a long string takes no memory for each of its characters.
_STRING = re.compile(r'"((?:[^"\\\x00-\x1f]++|\\["\\bfnrt]|\\u00[01][0-9a-f])*+)"')
_ESCAPE = re.compile(r'\\(u00[01][0-9a-f]|["\\bfnrt])')
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_WORDS: tuple[tuple[str, Json], ...] = (("null", None), ("true", True), ("false", False))
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_ESCAPED = {character: "\\" + letter for letter, character in _LETTERS.items()}


def read(data: bytes, values_max: int = VALUES_MAX) -> Json:
    """The value of a canonical JSON text of at most so many values; raises NotInForm for any other bytes."""
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise NotInForm("not UTF-8") from error
    reader = _Reader(text, values_max)
    value = reader.value(level=0)
    if reader.at != len(text):
        raise NotInForm("something stands behind the value")
    if write(value) != data:
        raise NotInForm("not as the canonical writer writes it")
    return value


def read_lines(data: bytes) -> list[Json]:
    """The values of a JSON Lines member: each text is ended by one LF, no bytes are no lines."""
    if not data:
        return []
    if not data.endswith(b"\n"):
        raise NotInForm("the last line has no end")
    lines = data[:-1].split(b"\n")
    if len(lines) > LINES_MAX or max(map(len, lines)) > LINE_BYTES_MAX:
        raise NotInForm("too many lines, or too long a one")
    return [read(line, LINE_VALUES_MAX) for line in lines]


def write(value: Json) -> bytes:
    """Canonical JSON; raises NotInForm for what has none."""
    return _write(value).encode("utf-8", "strict")


def check_normal(value: Json) -> None:
    """Refuse a string or key, at any depth, that is not in Unicode NFC."""
    if isinstance(value, str) and unicodedata.normalize("NFC", value) != value:
        raise NotInForm("a text is not in NFC")
    if isinstance(value, list):
        for item in value:
            check_normal(item)
    if isinstance(value, dict):
        for name, item in value.items():
            check_normal(name)
            check_normal(item)


class _Reader:
    def __init__(self, text: str, values_max: int) -> None:
        self.text = text
        self.values_max = values_max
        self.at = 0
        self.values = 0

    def value(self, level: int) -> Json:
        self.values += 1
        if self.values > self.values_max:
            raise NotInForm("too many values")
        first = self.text[self.at : self.at + 1]
        if first == "{":
            return self.object(level + 1)
        if first == "[":
            return self.array(level + 1)
        if first == '"':
            return self.string()
        for word, meant in _WORDS:
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return meant
        return self.integer()

    def object(self, level: int) -> dict[str, Json]:
        self.enter(level)
        found: dict[str, Json] = {}
        last: bytes | None = None
        while not self.takes("}"):
            if found:
                self.expect(",")
            name = self.string()
            place = name.encode("utf-16-be")
            if last is not None and place <= last:
                raise NotInForm("keys are not in order, or one stands twice")
            last = place
            self.expect(":")
            found[name] = self.value(level)
        return found

    def array(self, level: int) -> list[Json]:
        self.enter(level)
        found: list[Json] = []
        while not self.takes("]"):
            if found:
                self.expect(",")
            found.append(self.value(level))
        return found

    def string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if match is None:
            raise NotInForm("no string where one must stand")
        self.at = match.end()
        return _ESCAPE.sub(lambda escape: _unescape(escape.group(1)), match.group(1))

    def integer(self) -> int:
        match = _INTEGER.match(self.text, self.at)
        if match is None or len(match.group()) > 17:
            raise NotInForm("no value where one must stand")
        self.at = match.end()
        number = int(match.group())
        if abs(number) > INTEGER_MAX or match.group() == "-0":
            raise NotInForm("an integer that two readers could read differently")
        return number

    def enter(self, level: int) -> None:
        if level > LEVELS_MAX:
            raise NotInForm("too deep")
        self.at += 1

    def takes(self, character: str) -> bool:
        found = self.text.startswith(character, self.at)
        self.at += found
        return found

    def expect(self, character: str) -> None:
        if not self.takes(character):
            raise NotInForm(f"{character!r} is missing")


def _unescape(escape: str) -> str:
    return chr(int(escape[1:], 16)) if escape.startswith("u") else _LETTERS[escape]


def _write(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise NotInForm("an integer without a canonical form")
        return str(value)
    if isinstance(value, str):
        return _write_string(value)
    if isinstance(value, list):
        return "[" + ",".join(_write(item) for item in value) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(_write_string(name) + ":" + _write(value[name]) for name in names) + "}"


def _write_string(text: str) -> str:
    return '"' + "".join(_ESCAPED.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'
