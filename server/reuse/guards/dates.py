"""Months, weekdays, times of the day and periods of a text, each in one spelling ("annually" is "every year")."""

from __future__ import annotations

from typing import Final

from .characters import words
from .tokens import Tokens, is_number

#: Beside these a word like "may" or "sat" is a date.
BEFORE_DATES: Final = frozenset(
    words("in of by since until till on last next this every early late mid from to between before after")
)


def read_dates(tokens: Tokens) -> set[str]:
    """Return the dates of *tokens*; clock times and written-out dates are read with the numbers."""
    found: set[str] = set()
    marks = tokens.marks
    for position, mark in enumerate(marks):
        if mark.moment is not None:
            found.add(mark.moment)
        elif mark.month is not None or mark.weekday is not None:
            if not mark.is_doubtful_date or _is_a_date(tokens, position):
                found.add(f"month {mark.month}" if mark.month is not None else f"weekday {mark.weekday}")
        elif mark.which_period is not None and position + 1 < len(marks):
            period = marks[position + 1].period
            if period is not None:
                found.add(f"{mark.which_period} {period}")
    return found


def _is_a_date(tokens: Tokens, position: int) -> bool:
    low = tokens.low
    behind = low[position + 1] if position + 1 < len(low) else "."
    if not position or low[position - 1] in ".?!":
        # "May 2 people …" asks for permission; "May 2024", "May 2nd" and "May 2, …" are dates.
        return is_number(behind) and (
            not behind.isdecimal() or len(behind) == 4 or low[position + 2 : position + 3] == [","]
        )
    before = low[position - 1]
    return before in BEFORE_DATES or is_number(behind) or is_number(before) or tokens.raw[position][0].isupper()
