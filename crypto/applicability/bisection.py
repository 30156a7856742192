"""Which of many claims are false, where one check says whether some are: the rarer they are, the fewer checks.

A bound stands on what is looked for: telling a hundred thousand false claims apart would take hours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: So many false claims of a file are told from the true ones.
FOUND_MAX: Final = 64


def find_false(count: int, do_hold: Callable[[range], bool]) -> frozenset[int]:
    """Return which of *count* claims are false, where *do_hold* says whether all of some do: one check if all do.

    Otherwise halves are checked, first ones first, until each false claim is found: about 2·log₂ n checks for one among
    n. Claims behind the `FOUND_MAX`-th false one are not looked at; they count as false too.
    """
    found: list[int] = []
    # What is left to look at, first ones last, and whether some of it is known to be false.
    left_over = [(range(count), False)] if count else []
    while left_over:
        positions, is_false = left_over.pop()
        if not is_false and do_hold(positions):
            continue
        if len(positions) == 1:
            found += positions
            if len(found) == FOUND_MAX:
                return frozenset((*found, *range(positions.stop, count)))
            continue
        first, second = positions[: len(positions) // 2], positions[len(positions) // 2 :]
        if do_hold(first):
            left_over.append((second, True))
        else:
            left_over += [(second, False), (first, True)]
    return frozenset(found)
