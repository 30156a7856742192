"""Points of the ceremony, and sums of multiples of them."""

from __future__ import annotations

from collections.abc import Sequence

from py_arkworks_bls12381 import G1Point, Scalar

from crypto.applicability.setup import Setup


class Powers:
    """[1], [x], [x²] … of G1, decompressed as they are first asked for.

    Their curve and subgroup are not checked again: the file they come from has the one hash that is accepted.
    """

    def __init__(self, setup: Setup) -> None:
        self._compressed = setup.powers
        self._points: list[G1Point] = []

    def first(self, count: int) -> list[G1Point]:
        """Return [1] … [x^(count − 1)]; raises `IndexError` beyond what the ceremony made."""
        if count > len(self._compressed):
            raise IndexError(f"the ceremony made {len(self._compressed)} powers, not {count}")
        points = self._points
        if count > len(points):
            fresh = self._compressed[len(points) : count]
            points = [*points, *map(G1Point.from_compressed_bytes_unchecked, fresh)]
            # A new list each time: another thread may be reading, or making, the last one.
            self._points = points
        return points[:count]


def combine(points: Sequence[G1Point], scalars: Sequence[Scalar]) -> G1Point:
    """Return the sum of the points times their scalars; raises `ValueError` unless there are as many of both."""
    # arkworks would cut the longer list without a word.
    if len(points) != len(scalars):
        raise ValueError(f"{len(points)} points and {len(scalars)} scalars")
    return G1Point.multiexp_unchecked(list(points), list(scalars))


def blinding_points(powers: Powers, size: int, count: int) -> list[G1Point]:
    """Return [Z(x)·x^j] for j below *count*, Z being X^*size* − 1."""
    points = powers.first(size + count)
    return [points[size + place] - points[place] for place in range(count)]
