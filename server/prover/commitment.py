"""Commitments to vectors and to other values on H.

`commit` needs nothing but powers of the ceremony: right for whoever makes or checks a commitment now and then. A
`Committer` first spends about a millisecond per point of H on the Lagrange basis; sums of few or small multiples are
then cheap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from py_arkworks_bls12381 import G1Point, Scalar

from crypto.applicability.blinding import commitment_blinding
from crypto.applicability.setup import Setup
from crypto.applicability.suites import Suite, suite_for
from crypto.errors import EncodingError
from crypto.similarity import COMPONENT_MAX
from server.prover.basis import Powers, blinding_points, combine
from server.prover.field import Domain, to_scalar
from server.prover.polynomials import blinded

#: The most blinding coefficients of any committed polynomial.
BLINDERS_MAX: Final = 4


def padded(suite: Suite, vector: Sequence[int]) -> tuple[int, ...]:
    """Return the vector with zeros up to N components.

    Raises `EncodingError` for another suite than its dimension's, and for components beyond ±127.
    """
    # Whatever the components come as is made exact here: eight-bit ones would wrap around in the sums.
    components = [int(part) for part in vector]
    if suite_for(len(components)) != suite:
        raise EncodingError(f"a vector of {len(components)} components is not committed to in the suite {suite.name}")
    if any(abs(part) > COMPONENT_MAX for part in components):
        raise EncodingError(f"a component of the vector lies beyond {COMPONENT_MAX}")
    return (*components, *[0] * (suite.size - len(components)))


def commit(setup: Setup, suite: Suite, vector: Sequence[int], seed: bytes) -> bytes:
    """Commit to a quantised vector under *seed*, 32 random bytes used for nothing else: 48 bytes.

    Raises `EncodingError` for a vector or a seed that cannot be committed to.
    """
    values = [to_scalar(part) for part in padded(suite, vector)]
    blinders = [to_scalar(part) for part in commitment_blinding(suite, seed)]
    polynomial = blinded(_domain(suite).to_coefficients(values), blinders)
    return combine(_powers(setup).first(len(polynomial)), polynomial).to_compressed_bytes()


class Committer:
    """Commits to polynomials of one suite, by values on H or by coefficients."""

    def __init__(self, powers: Powers, domain: Domain) -> None:
        self._powers = powers
        self._lagrange = domain.to_coefficients(powers.first(domain.size))
        self._negated = [-point for point in self._lagrange]
        self._blinding = blinding_points(powers, domain.size, BLINDERS_MAX)

    def commit_integers(self, values: Sequence[int], blinders: Sequence[Scalar]) -> G1Point:
        """Commit to integers on H, blinded: the smaller they are, the less it costs."""
        places = [place for place, value in enumerate(values) if value]
        points = [(self._lagrange if values[place] > 0 else self._negated)[place] for place in places]
        scalars = [Scalar(abs(values[place])) for place in places]
        return combine([*points, *self._blinding[: len(blinders)]], [*scalars, *blinders])

    def commit_chosen(
        self, choices: Sequence[int], values: Mapping[int, Scalar], blinders: Sequence[Scalar]
    ) -> G1Point:
        """Commit to the value of each choice on H, blinded: the fewer choices differ, the less it costs."""
        points: defaultdict[int, G1Point] = defaultdict(G1Point.identity)
        for point, choice in zip(self._lagrange, choices, strict=True):
            points[choice] += point
        scalars = [values[choice] for choice in points]
        return combine([*points.values(), *self._blinding[: len(blinders)]], [*scalars, *blinders])

    def commit_coefficients(self, polynomial: Sequence[Scalar]) -> G1Point:
        """Commit to a polynomial by its coefficients, its blinding included."""
        return combine(self._powers.first(len(polynomial)), polynomial)


@lru_cache(maxsize=4)
def _domain(suite: Suite) -> Domain:
    return Domain(suite)


@lru_cache(maxsize=2)
def _powers(setup: Setup) -> Powers:
    return Powers(setup)
