"""The field, the domains and the public polynomials of the applicability proofs, evaluated as a textbook does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import NotInForm

#: The order of BLS12-381's groups, which is the modulus of the scalars.
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
#: An element that generates all others; N divides ORDER − 1 for every size below.
GENERATOR = 7
SUITES = {f"hitproof/kzg-bls12381-{size}/v1": size for size in (256, 512, 1024, 2048)}
SLACK_BITS = 18


@dataclass(frozen=True, slots=True)
class Domain:
    """The N powers of a root of unity, over which values are interpolated."""

    size: int

    @property
    def root(self) -> int:
        """w, whose N-th power is the first that is 1."""
        return pow(GENERATOR, (ORDER - 1) // self.size, ORDER)

    def vanishing(self, at: int) -> int:
        """ζ^N − 1; raises NotInForm where it is zero, so at every place of the domain."""
        value = (pow(at, self.size, ORDER) - 1) % ORDER
        if value == 0:
            raise NotInForm("a challenge that lies in the domain")
        return value

    def value(self, values: Sequence[int], at: int) -> int:
        """What the interpolation of these values, and of zeros behind them, is at a place.

        Raises NotInForm for a place of the domain.
        The interpolation is Σ values[i] · L_i(X), and L_i(X) = w^i · (X^N − 1) / (N · (X − w^i)).
        """
        if len(values) > self.size:
            raise NotInForm("more values than the domain has places")
        vanishing = self.vanishing(at)
        # The sum is kept as one fraction: a division for every value would take most of the time of a proof.
        above, below, place, root = 0, 1, 1, self.root
        for value in values:
            if value:
                gap = at - place
                above = (above * gap + value * place * below) % ORDER
                below = below * gap % ORDER
            place = place * root % ORDER
        return above * vanishing * pow(below * self.size, -1, ORDER) % ORDER

    def weights(self) -> list[int]:
        """2^i at the first places: what turns bits into the slack."""
        return [2**place for place in range(SLACK_BITS)]

    def table(self) -> list[int]:
        """Every value that a component may have, again and again."""
        return [place % 255 - 127 for place in range(self.size)]

    def first(self) -> list[int]:
        """1 at the first place alone, which makes L₀."""
        return [1]


def suite_for(dimension: int) -> str | None:
    """The suite of vectors of this dimension, or None where there is none."""
    return next((name for name, size in SUITES.items() if dimension <= size), None)
