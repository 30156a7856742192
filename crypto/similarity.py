"""The integer inequality that decides a hit, and that a zero-knowledge proof later shows: ⟨q, e⟩ ≥ τ.

q is the query's and e the entry's vector, both unit vectors scaled by `SCALE`, rounded and clipped to ±`COMPONENT_MAX`.
τ follows from the policy's cosine c, from |q|² and from the public bound U = `NORM_BOUND_SQUARED` on |e|²:

    τ = the smallest integer that is at least c · |q| · sqrt(U)

**Never looser than the cosine.** If |e|² ≤ U and ⟨q, e⟩ ≥ τ, then ⟨q, e⟩ / (|q||e|) ≥ c · sqrt(U) / |e| ≥ c. Because
a unit vector has |e| ≈ 508 and sqrt(U) = 510, the effective bound is about c · 510/508, a hair stricter than c; and a
c above 508/510 ≈ .996 is met by nothing, not even by the same text (which the exact tier answers).

**What U costs.** A unit vector of d dimensions has |e|² = 508² + d/12 ± about 293 (one standard deviation of the
rounding's cross term), so for d ≤ 4096 the bound lies more than five deviations away. An entry beyond it is not
matched by meaning: `is_matchable` says so, and nothing else needs to.

**Exact in float32 too.** By Cauchy-Schwarz every partial sum of ⟨q, e⟩, over any subset of the components and hence
in any order of summation, is at most |q||e| ≤ U = 260,100 < 2^24 in absolute value, as is every single product. All
integers up to 2^24 are exact in float32, so an index that multiplies the integer-valued vectors in float32 returns
the same integer as this module, fused multiply-adds or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt
from typing import Final

from .errors import EncodingError

SCALE: Final = 508
COMPONENT_MAX: Final = 127
NORM_BOUND_SQUARED: Final = 260_100  # 510²
DIMENSION_MAX: Final = 4096
COSINE_ONE: Final = 10_000


def quantise_reference(vector: Sequence[float]) -> tuple[int, ...]:
    """Return each component times `SCALE`, rounded half to even and clipped to ±`COMPONENT_MAX`.

    Exact: a float is a fraction, and so is its product. Raises `EncodingError` for components that are not finite.
    """
    try:
        return tuple(max(-COMPONENT_MAX, min(COMPONENT_MAX, round(Fraction(part) * SCALE))) for part in vector)
    except (OverflowError, ValueError):
        raise EncodingError("a vector holds a component that is not a finite number") from None


def inner_product(left: Sequence[int], right: Sequence[int]) -> int:
    """Return ⟨left, right⟩. Raises `EncodingError` when the two differ in length."""
    if len(left) != len(right):
        raise EncodingError(f"vectors of {len(left)} and {len(right)} components have no inner product")
    return sum(a * b for a, b in zip(left, right, strict=True))


def is_matchable(norm_squared: int) -> bool:
    """Say whether a vector of this squared norm may be matched by meaning: not zero, and within the bound."""
    return 0 < norm_squared <= NORM_BOUND_SQUARED


def threshold_integer(cosine_ten_thousandths: int, query_norm_squared: int) -> int:
    """Return τ, the smallest integer t ≥ c · |q| · sqrt(U), for c in ten-thousandths between 0 and 10,000.

    Raises `EncodingError` for a cosine outside that range and for a query that is zero or beyond the norm bound.
    """
    if not 0 <= cosine_ten_thousandths <= COSINE_ONE:
        raise EncodingError(f"a cosine threshold of {cosine_ten_thousandths} ten-thousandths is not within 0 to 10000")
    if not is_matchable(query_norm_squared):
        raise EncodingError(f"a query of squared norm {query_norm_squared} is not within 1 to {NORM_BOUND_SQUARED}")
    # t ≥ sqrt(X) / 10,000 with X = c²·|q|²·U  ⟺  t² ≥ X / 10^8  ⟺  t² ≥ ceil(X / 10^8), all in integers.
    square = -(-(cosine_ten_thousandths**2 * query_norm_squared * NORM_BOUND_SQUARED) // COSINE_ONE**2)
    return isqrt(square - 1) + 1 if square else 0


def satisfies(query: Sequence[int], entry: Sequence[int], tau: int) -> bool:
    """Say whether ⟨query, entry⟩ ≥ *tau* and both are within the component and norm bounds that the proof shows."""
    for vector in (query, entry):
        if any(abs(part) > COMPONENT_MAX for part in vector) or not is_matchable(inner_product(vector, vector)):
            return False
    return inner_product(query, entry) >= tau


def cosine_estimate(product: int, left_norm_squared: int, right_norm_squared: int) -> int:
    """Return the cosine in ten-thousandths, rounded towards zero: for people and curves, never for the decision."""
    if left_norm_squared <= 0 or right_norm_squared <= 0:
        return 0
    size = isqrt(product * product * COSINE_ONE**2 // (left_norm_squared * right_norm_squared))
    return size if product >= 0 else -size
