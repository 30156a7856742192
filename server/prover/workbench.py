"""What the proofs of one suite share: domain, cosets, basis and the polynomials that everybody knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from py_arkworks_bls12381 import Scalar

from crypto.applicability.blinding import commitment_blinding
from crypto.applicability.suites import SLACK_BITS, TABLE_SPAN, Suite
from server.prover.basis import Powers
from server.prover.commitment import Committer
from server.prover.field import Coset, Domain, to_scalar

#: Values of the quotient on two cosets make up for its degree below 2N; an applicability proof needs the first alone.
_COSETS: Final = 2


def slack_bits(slack: int, size: int) -> list[int]:
    """Return the bits of *slack*, lowest first, and zeros up to *size*."""
    return [slack >> place & 1 for place in range(SLACK_BITS)] + [0] * (size - SLACK_BITS)


def table_value(place: int) -> int:
    """Return what a component may be, at one place of the table: −127 … 127, over and over."""
    return place % TABLE_SPAN - TABLE_SPAN // 2


@dataclass(frozen=True, slots=True)
class Known:
    """A polynomial that everybody knows: coefficients, and values on both cosets."""

    coefficients: list[Scalar]
    values: tuple[list[Scalar], ...]


class Workbench:
    """Made once per suite; everything in it is public."""

    def __init__(self, powers: Powers, suite: Suite) -> None:
        size = suite.size
        self.suite: Final = suite
        self.size: Final = size
        self.domain: Final = Domain(suite)
        self.cosets: Final = tuple(Coset(self.domain, doublings) for doublings in range(1, _COSETS + 1))
        self.committer: Final = Committer(powers, self.domain)
        self.weights: Final = self._known([1 << place if place < SLACK_BITS else 0 for place in range(size)])
        self.table: Final = self._known([table_value(place) for place in range(size)])
        self.first: Final = self._known([1] + [0] * (size - 1))  # L₀

    def coefficients(self, values: Sequence[int]) -> list[Scalar]:
        """Return the coefficients of the interpolation of integers on H."""
        return self.domain.to_coefficients([to_scalar(value) for value in values])

    def commitment_blinders(self, seed: bytes) -> list[Scalar]:
        """Return ρ₀ and ρ₁ of the commitment that *seed* opens; raises `EncodingError` for a seed of another length."""
        return [to_scalar(part) for part in commitment_blinding(self.suite, seed)]

    def commit(self, vector: Sequence[int], seed: bytes) -> bytes:
        """Commit to N components: the bytes that `commitment.commit` returns, in a tenth of the time."""
        return self.committer.commit_integers(vector, self.commitment_blinders(seed)).to_compressed_bytes()

    def vanishing(self, point: Scalar) -> Scalar:
        """Return Z(*point*)."""
        return point.pow(Scalar(self.size)) - Scalar(1)

    def _known(self, values: Sequence[int]) -> Known:
        coefficients = self.coefficients(values)
        return Known(coefficients, tuple(coset.to_values(coefficients) for coset in self.cosets))
