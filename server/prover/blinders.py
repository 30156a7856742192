"""Where the scalars come from that blind what a proof shows.

Zero-knowledge is by counting: every committed polynomial has one more free coefficient than values of it are shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from py_arkworks_bls12381 import Scalar

from crypto.applicability.suites import Suite
from crypto.canonical import encode_fields
from server.prover.field import to_scalar

if TYPE_CHECKING:
    from server.ports import RandomSource

_DOMAIN: Final = "hitproof/well-formedness-blinding/v1"
#: Reduced modulo r, 512 bits are biased by less than 2^-256.
_DRAWN_BYTES: Final = 64


class ScalarSource(Protocol):
    """Scalars that nobody who sees the proof can guess."""

    def take(self, count: int) -> list[Scalar]:
        """Return the next *count* of them."""
        ...


class FreshScalars:
    """New ones every time, for proofs of which one commitment may have many."""

    def __init__(self, random: RandomSource) -> None:
        self._random = random

    def take(self, count: int) -> list[Scalar]:
        """Return the next *count* of them."""
        return [to_scalar(int.from_bytes(self._random.token_bytes(_DRAWN_BYTES), "big")) for _ in range(count)]


class SeededScalars:
    """The same ones every time for a suite, a vector and the commitment's seed.

    A second well-formedness proof would show a second value of the committed polynomial; made of these it is the first
    proof again. The vector goes in so that no two statements ever share a scalar.
    """

    def __init__(self, suite: Suite, vector: Sequence[int], seed: bytes) -> None:
        self._fields = (seed, suite.name.encode("ascii"), bytes(part & 0xFF for part in vector))
        self._taken = 0

    def take(self, count: int) -> list[Scalar]:
        """Return the next *count* of them; raises `OverflowError` after 256."""
        numbers = range(self._taken, self._taken + count)
        self._taken += count
        return [self._draw(number.to_bytes(1, "big")) for number in numbers]

    def _draw(self, number: bytes) -> Scalar:
        drawn = hashlib.sha512(encode_fields(_DOMAIN, *self._fields, number)).digest()
        return to_scalar(int.from_bytes(drawn, "big"))
