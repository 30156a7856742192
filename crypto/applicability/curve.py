"""What the verifier asks of a library for BLS12-381, and of nobody else: four functions, all of which fail closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

#: What the library calls a point of G1 or G2; nothing here looks into one.
Point: TypeAlias = Any
Point2: TypeAlias = Any


class Curve(Protocol):
    """The groups of BLS12-381. Points come from `read_g1` and `read_g2` alone, so each lies in the right subgroup."""

    def read_g1(self, data: bytes) -> Point:
        """Decompress a point of G1; raises `EncodingError` for all but the one encoding of a point, and for the identity."""
        ...

    def read_g2(self, data: bytes) -> Point2:
        """Decompress a point of G2; raises `EncodingError` for all but the one encoding of a point, and for the identity."""
        ...

    def combine(self, points: Sequence[Point], scalars: Sequence[int]) -> Point:
        """Return the sum of the points of G1, each times its scalar in 0 … r − 1; raises `EncodingError` for anything else.

        It may be the identity, also of nothing.
        """
        ...

    def is_product_one(self, pairs: Sequence[tuple[Point, Point2]]) -> bool:
        """Say whether the product of the pairings of all *pairs* is one."""
        ...
