"""Opened commitments: does the vector, under its seed, give C? All of a file at once, and the bad ones named.

Format: docs/formats.md, "Algebraic commitments". C is linear in vector and blinders, so openings are added, each times
128 bits of a hash of them all, before the one expensive sum over the ceremony's powers. Where the soundness of that
rests: what an opening lacks is a point that was fixed before its weight was drawn, and so were all others; they cancel
once in 2^128 tries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..canonical import digest_fields, encode_fields
from ..errors import EncodingError, VerificationError
from ..similarity import COMPONENT_MAX
from .arkworks import Arkworks
from .bisection import find_false
from .blinding import commitment_blinding
from .curve import Curve, Point
from .setup import Setup, load_setup
from .suites import ORDER, Suite, suite_for

OPENING_MISMATCH: Final = "opening_mismatch"
_BATCH: Final = "hitproof/opening-batch/v1"
_WEIGHT: Final = "hitproof/opening-weight/v1"
_WEIGHT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class CommitmentOpening:
    """A commitment of 48 bytes, and the vector and seed that are said to open it."""

    suite: Suite
    commitment: bytes
    vector: tuple[int, ...]
    seed: bytes

    def check(self) -> None:
        """Raise `EncodingError` for a vector of another suite, a component beyond ±127 and a seed of another length."""
        if suite_for(len(self.vector)) != self.suite:
            raise EncodingError(f"a vector of {len(self.vector)} components has another suite than {self.suite.name}")
        if any(abs(component) > COMPONENT_MAX for component in self.vector):
            raise EncodingError(f"a component of the vector lies beyond {COMPONENT_MAX}")
        commitment_blinding(self.suite, self.seed)


@dataclass(frozen=True, slots=True)
class OpeningClaim:
    """An opening in form whose commitment is a point: all that is left is whether the one gives the other."""

    opening: CommitmentOpening
    point: Point


class OpeningVerifier:
    """Checks openings against the ceremony's points; deterministic."""

    def __init__(self, curve: Curve, setup: Setup) -> None:
        """Take points of *setup*, of which powers are decompressed as far as they are needed."""
        self._curve = curve
        self._setup = setup
        self._g2 = curve.read_g2(setup.g2)
        self._powers: list[Point] = []

    def verify(self, opening: CommitmentOpening) -> None:
        """Raise `VerificationError` (`opening_mismatch`) unless vector and seed of *opening* give its commitment."""
        if self.find_invalid([self.claim(opening)]):
            message = "vector and seed do not give the algebraic commitment that was signed"
            raise VerificationError(message, reason=OPENING_MISMATCH, expected=opening.commitment.hex())

    def claim(self, opening: CommitmentOpening) -> OpeningClaim:
        """Return what *opening* claims; raises `VerificationError` for what needs no sum to be refused."""
        try:
            opening.check()
            return OpeningClaim(opening, self._curve.read_g1(opening.commitment))
        except EncodingError as error:
            raise VerificationError(f"the opening is refused: {error}", reason=OPENING_MISMATCH) from error

    def find_invalid(self, claims: Sequence[OpeningClaim]) -> frozenset[int]:
        """Return the positions of the claims that do not hold, with one sum if all do (`find_false`)."""
        return find_false(len(claims), lambda place: self._do_all_hold(claims[place.start : place.stop]))

    def _do_all_hold(self, claims: Sequence[OpeningClaim]) -> bool:
        weights = _weights([claim.opening for claim in claims])
        coefficients = _weighted_sum([claim.opening for claim in claims], weights)
        points = [*self._first_powers(len(coefficients)), *(claim.point for claim in claims)]
        total = self._curve.combine(points, [*coefficients, *(-weight % ORDER for weight in weights)])
        # A point pairs to one exactly if it is the identity.
        return self._curve.is_product_one([(total, self._g2)])

    def _first_powers(self, count: int) -> list[Point]:
        known = len(self._powers)
        self._powers += [self._curve.read_g1(power) for power in self._setup.powers[known:count]]
        return self._powers[:count]


def load_opening_verifier(srs: Path | None = None) -> OpeningVerifier:
    """Return a verifier on arkworks, with the ceremony's file from *srs* or this package; raises `SetupError`."""
    return OpeningVerifier(Arkworks(), load_setup(srs))


def _weights(openings: Sequence[CommitmentOpening]) -> list[int]:
    stated: list[bytes] = []
    for one in openings:
        vector = bytes(component & 255 for component in one.vector)
        stated += [one.suite.name.encode("ascii"), one.commitment, one.seed, vector]
    seed = digest_fields(_BATCH, *stated)
    drawn = (
        hashlib.sha256(encode_fields(_WEIGHT, seed, number.to_bytes(8, "big"))).digest()
        for number in range(len(openings))
    )
    return [int.from_bytes(digest[:_WEIGHT_BYTES], "big") for digest in drawn]


def _weighted_sum(openings: Sequence[CommitmentOpening], weights: Sequence[int]) -> list[int]:
    """Return the coefficients of Σ weight · e(X), lowest first; one transform for all openings of a suite."""
    values: dict[Suite, list[int]] = {}
    blinders: dict[Suite, tuple[int, int]] = {}
    for one, weight in zip(openings, weights, strict=True):
        row = values.setdefault(one.suite, [0] * one.suite.size)
        for place, component in enumerate(one.vector):
            row[place] += weight * component
        first, second = commitment_blinding(one.suite, one.seed)
        before = blinders.get(one.suite, (0, 0))
        blinders[one.suite] = (before[0] + weight * first, before[1] + weight * second)
    total = [0] * (2 + max(suite.size for suite in values))
    for suite, row in values.items():
        for place, coefficient in enumerate(_coefficients(suite, row)):
            total[place] += coefficient
        # Z(X)·(ρ₀ + ρ₁X) with Z(X) = X^N − 1.
        for place, blinder in enumerate(blinders[suite]):
            total[suite.size + place] += blinder
            total[place] -= blinder
    return [coefficient % ORDER for coefficient in total]


def _coefficients(suite: Suite, values: Sequence[int]) -> list[int]:
    """Return the coefficients of the interpolation of *values* over the whole domain: the inverse transform."""
    scale = pow(suite.size, -1, ORDER)
    return [value * scale % ORDER for value in _transform(values, pow(suite.generator, -1, ORDER))]


def _transform(values: Sequence[int], root: int) -> list[int]:
    """Return Σ values[i] · root^(i·j) for every j; *root* is a primitive root of unity of their number, a power of 2."""
    half = len(values) // 2
    if not half:
        return list(values)
    square = root * root % ORDER
    low, high, turned = _transform(values[::2], square), [], 1
    for value in _transform(values[1::2], square):
        high.append(value * turned % ORDER)
        turned = turned * root % ORDER
    return [
        *((left + right) % ORDER for left, right in zip(low, high, strict=True)),
        *((left - right) % ORDER for left, right in zip(low, high, strict=True)),
    ]
