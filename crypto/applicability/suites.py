"""Suites: the sizes of the evaluation domain that vectors are committed in, and the numbers all of them share.

Format: docs/formats.md, "Algebraic commitments". Evolution: another curve, setup, domain, bound or table is another suite.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from ..errors import EncodingError

#: The order of the groups of BLS12-381.
ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
#: Generates the multiplicative group modulo `ORDER`.
PRIMITIVE_ROOT: Final = 7
#: U = 260,100 lies below 2^18, so no honest slack is larger.
SLACK_BITS: Final = 18
#: How many integers a component may be: −127 … 127.
TABLE_SPAN: Final = 255


class UnsupportedDimension(EncodingError):
    """No suite is large enough for vectors of this dimension."""


@dataclass(frozen=True, slots=True)
class Suite:
    """One size of the domain H: the powers of `generator`, of which there are *size*."""

    name: str
    size: int

    @property
    def generator(self) -> int:
        """The root of unity w of order *size*."""
        return _root_of_unity(self.size)


@cache
def _root_of_unity(size: int) -> int:
    return pow(PRIMITIVE_ROOT, (ORDER - 1) // size, ORDER)


SUITES: Final = tuple(Suite(f"hitproof/kzg-bls12381-{size}/v1", size) for size in (256, 512, 1024, 2048))


def suite_for(dimension: int) -> Suite:
    """Return the smallest suite whose domain has room for *dimension* components; raises `UnsupportedDimension`."""
    for suite in SUITES:
        if 1 <= dimension <= suite.size:
            return suite
    raise UnsupportedDimension(f"no suite takes vectors of {dimension} components; the largest takes {SUITES[-1].size}")


def find_suite(name: str) -> Suite | None:
    """Return the suite called *name*, or None for one that is not known here."""
    return next((suite for suite in SUITES if suite.name == name), None)
