"""Numbers, units and clock times of a text in one spelling each: 1,000 is 1k is 1e3 is a thousand, 5pm is 17:00."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from .lexicon import BITS, ROMAN, Word, lexicon
from .tokens import Tokens, is_number

NUMERIC: Final = re.compile(r"(-?\d+(?:[.,:]\d+)*)(e[+-]?\d{1,2}(?!\w))?(.*)", re.DOTALL)
OPERATORS: Final = frozenset("+*/^=<>÷≤≥≠±√")
BETWEEN_NUMBERS: Final = frozenset("-/:x")
CURRENCIES: Final = frozenset("$€£₹¥")
#: "a second": a unit behind these, the ordinal elsewhere.
BEFORE_A_SECOND: Final = frozenset(("per", "a", "each", "every", "split"))
MULTIPLES: Final = {"half": "0.5", "double": "x2", "twice": "x2", "triple": "x3", "thrice": "x3", "dozen": "12"}
#: Words that may stand for a number; they match that number and do not demand it.
PERHAPS: Final = {"one": "1", "single": "1", "once": "1", "first": "1", "couple": "2", "pair": "2", "both": "2"}
#: Nobody writes longer numbers to be scaled; longer ones are kept as they are.
SCALED_DIGITS_MAX: Final = 30


@dataclass(slots=True)
class Quantities:
    """*numbers* must be met by the other text, *perhaps* may meet them; *pairs* are numbers in an order (2:1, 5-10)."""

    numbers: set[str] = field(default_factory=set)
    perhaps: set[str] = field(default_factory=set)
    units: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str, str]] = field(default_factory=set)


def read_quantities(tokens: Tokens) -> Quantities:
    """Read every number and unit of *tokens*, in one pass."""
    found = Quantities()
    low, marks = tokens.low, tokens.marks
    position, count = 0, len(low)
    while position < count:
        token, mark = low[position], marks[position]
        if is_number(token):
            position = _read_digits(tokens, position, found)
            continue
        if mark.number is not None or mark.ordinal is not None or mark.magnitude is not None:
            position = _read_spelled(tokens, position, found)
            continue
        if mark.unit is not None:
            # "this year" and "every week" are dates.
            if mark.period is None or not position or marks[position - 1].which_period is None:
                found.units.add(mark.unit)
        elif token in OPERATORS:
            if (position and is_number(low[position - 1])) or (position + 1 < count and is_number(low[position + 1])):
                found.numbers.add("op" + token)
        elif token in MULTIPLES:
            found.numbers.add(MULTIPLES[token])
        elif token in PERHAPS:
            found.perhaps.add(PERHAPS[token])
        elif tokens.raw[position] in ROMAN:
            found.numbers.add(ROMAN[tokens.raw[position]])
        position += 1
    return found


def canonical_number(text: str) -> tuple[str, ...]:
    """Return the number or numbers that digits with points and commas stand for: "1,000" is one, "1,5" is two."""
    if "," in text:
        groups = text.split(",")
        whole = [group.split(".")[0] for group in groups]
        if len(whole[-1]) != 3 or any(len(group) not in (2, 3) for group in whole[1:]) or len(whole[0]) > 4:
            return tuple(part for group in groups for part in canonical_number(group))
        text = "".join(groups)
    if text.count(".") == 1:
        head, tail = text.split(".")
        return (text if tail.strip("0") else head,)
    # A leading zero is a matter of spelling in "05" and part of the name in "007".
    return (text[1:] if len(text) == 2 and text[0] == "0" else text,)


def scaled(number: str, power: int) -> str:
    """Return *number* times ten to the *power*, written out."""
    if len(number) > SCALED_DIGITS_MAX or number.count(".") > 1:
        return f"{number}e{power}"
    value = Decimal(number).scaleb(power)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _read_digits(tokens: Tokens, position: int, found: Quantities) -> int:
    """Read the number at *position* with its suffix, its unit and the words that scale it; return the next position."""
    low = tokens.low
    match = NUMERIC.match(low[position].replace("'", ""))
    assert match is not None
    digits, exponent, suffix = match.groups()
    suffix = BITS.get(tokens.raw[position][-2:], suffix) if suffix else suffix
    following = position + 1
    if ":" in digits or suffix in ("am", "pm") or _half_of_day(low, following):
        return _read_time(low, position, digits, suffix, found)
    if _is_date(low, position):
        return _read_date(low, position, found)
    numbers = canonical_number(digits)
    if exponent:
        numbers = (*numbers[:-1], scaled(numbers[-1], int(exponent[1:])))
    if suffix:
        numbers = _read_suffix(numbers, suffix, position > 0 and low[position - 1] in CURRENCIES, found)
    elif following < len(low):
        mark = tokens.marks[following]
        if mark.magnitude is not None:
            numbers = (*numbers[:-1], scaled(numbers[-1], mark.magnitude))
            following += 1
        elif mark.unit_behind_number is not None and low[following] != "in":
            found.units.add(mark.unit_behind_number)
            following += 1
    found.numbers.update(numbers)
    if following + 1 < len(low) and low[following] in BETWEEN_NUMBERS and is_number(low[following + 1]):
        found.pairs.add(("numbers", numbers[-1], canonical_number(low[following + 1])[0]))
        if low[following] == "/":
            found.numbers.add("op/")
        following += 1
    return following


def _read_suffix(numbers: tuple[str, ...], suffix: str, is_money: bool, found: Quantities) -> tuple[str, ...]:
    mark: Word | None = lexicon().get(suffix)
    if suffix in ("st", "nd", "rd", "th"):
        return numbers
    if suffix == "k" or (is_money and suffix in ("m", "b")):
        return (*numbers[:-1], scaled(numbers[-1], {"k": 3, "m": 6, "b": 9}[suffix]))
    if suffix == "x":
        return (*numbers[:-1], f"x{numbers[-1]}")
    if suffix == "s" and len(numbers[-1]) in (2, 4):
        return (*numbers[:-1], f"{numbers[-1]}s")
    if mark is not None and mark.magnitude is not None:
        return (*numbers[:-1], scaled(numbers[-1], mark.magnitude))
    if mark is not None and (mark.unit or mark.unit_behind_number):
        found.units.add(mark.unit or mark.unit_behind_number or "")
        return numbers
    return (*numbers[:-1], numbers[-1] + suffix)


def _half_of_day(low: list[str], position: int) -> str | None:
    """Return am or pm when the tokens at *position* say so, in one of its spellings."""
    token = low[position] if position < len(low) else ""
    if token in ("am", "pm"):
        return token
    if token in ("a", "p") and low[position + 1 : position + 3] == [".", "m"]:
        return token + "m"
    return None


def _read_time(low: list[str], position: int, digits: str, suffix: str, found: Quantities) -> int:
    half = suffix if suffix in ("am", "pm") else _half_of_day(low, position + 1)
    parts = digits.split(":")
    following = position + 1 if suffix or half is None else position + (2 if low[position + 1] == half else 4)
    hour, minute = parts[0].lstrip("0") or "0", parts[1] if len(parts) > 1 else "00"
    if not (hour.isdecimal() and len(hour) <= 2 and len(minute) == 2 and minute.isdecimal()):
        found.numbers.update(number for part in parts for number in canonical_number(part))
        if len(parts) == 2:
            found.pairs.add(("numbers", canonical_number(parts[0])[0], canonical_number(parts[1])[0]))
        return following
    hours = int(hour) % 12 + (12 if half == "pm" else 0) if half else int(hour)
    found.dates.add(":".join((str(hours), minute, *parts[2:])))
    return following


def _is_date(low: list[str], position: int) -> bool:
    """Say whether three numbers joined by - or / begin at *position*, or one token like 12.05.2024 stands there."""
    if low[position].count(".") == 2:
        return True
    part = low[position : position + 5]
    return len(part) == 5 and part[1] == part[3] and part[1] in "-/" and part[2].isdecimal() and part[4].isdecimal()


def _read_date(low: list[str], position: int, found: Quantities) -> int:
    """Keep a date whose order is known as year, month and day, and any other as it is written, order included."""
    if low[position].count(".") == 2:
        found.dates.add(low[position])
        return position + 1
    parts = [canonical_number(low[place])[0] for place in (position, position + 2, position + 4)]
    if len(parts[0]) == 4 and parts[1].isdecimal() and 1 <= int(parts[1][:3]) <= 12:
        found.numbers.update((parts[0], parts[2]))
        found.dates.add(f"month {parts[1]}")
    else:
        found.dates.add("/".join(parts))
    return position + 5


def _read_spelled(tokens: Tokens, position: int, found: Quantities) -> int:
    """Read a run of number words ("two hundred and five", "twenty-first"); return the position behind it."""
    low, marks = tokens.low, tokens.marks
    if low[position] == "second" and (
        position and (low[position - 1] in BEFORE_A_SECOND or _counts(tokens, position - 1))
    ):
        found.units.add("second")
        return position + 1
    start, total, current, ended = position, 0, 0, False
    while position < len(low) and not ended:
        mark = marks[position]
        value = mark.number if mark.number is not None else mark.ordinal
        if mark.magnitude is not None:
            total, current = _magnified(total, current, mark.magnitude)
        elif value is not None and (current % 100 == 0 or (current % 10 == 0 and current % 100 >= 20 and value < 10)):
            current, ended = current + value, mark.ordinal is not None
        elif not (position > start and low[position] in ("and", "-") and _joins(tokens, position)):
            break
        position += 1
    if position == start + 1 and low[start] in PERHAPS:
        found.perhaps.add(PERHAPS[low[start]])
    elif position > start:
        found.numbers.add(str(total + current))
    return max(position, start + 1)


def _magnified(total: int, current: int, power: int) -> tuple[int, int]:
    if power == 2:
        return total, max(current, 1) * 100
    return total + max(current, 1) * 10**power, 0


def _counts(tokens: Tokens, position: int) -> bool:
    return is_number(tokens.low[position]) or tokens.marks[position].number is not None


def _joins(tokens: Tokens, position: int) -> bool:
    """Say whether the "and" or "-" at *position* joins two parts of one spelled number."""
    if position + 1 >= len(tokens.low):
        return False
    before, behind = tokens.marks[position - 1], tokens.marks[position + 1]
    value = behind.number if behind.number is not None else behind.ordinal
    if value is None:
        return False
    if tokens.low[position] == "and":
        return before.magnitude is not None
    return before.number is not None and before.number >= 20 and value < 10
