"""How much noise a promise needs: the smallest whole-number multiplier and threshold whose stated cost keeps it.

Everything is decided by `crypto.charges`, the arithmetic that an auditor re-adds: nothing here is rounded in another way
than there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from crypto.charges import MULTIPLIER_SQUARED_MICRO_MAX, GaussianSelection, LaplaceSelection
from crypto.privacy_arithmetic import EPSILON_MICRO, RHO_NANO, THRESHOLD_MAX, epsilon_micro_of_rho

from .errors import TermsError

#: ρ is below ε always, and ε is limited to a thousand.
_RHO_NANO_MAX = 1_000 * RHO_NANO


def multiplier_squared_micro_for(epsilon_micro: int, delta_atto: int, count: int = 1) -> int:
    """Return the smallest m (in 10^-6) at which *count* Gaussian steps of σ² = m·sensitivity² cost at most ε at δ.

    *count* is how often the one who is protected may be touched: keys times releases. Raises `TermsError` where no m
    within the limits of a charge does it.
    """
    affordable = rho_nano_for(epsilon_micro, delta_atto) // count
    if affordable < 1:
        raise TermsError(f"{count} steps within ε = {epsilon_micro}e-6 leave nothing for each; allow fewer, or more ε")
    # ceil(10^15 / (2m)) ≤ ρ  ⟺  m ≥ 10^15 / (2ρ), as ρ is whole.
    multiplier = max(1, -(-RHO_NANO * EPSILON_MICRO // (2 * affordable)))
    if multiplier > MULTIPLIER_SQUARED_MICRO_MAX:
        raise TermsError(f"ε = {epsilon_micro}e-6 at δ = {delta_atto}e-18 needs more noise than a charge can state")
    return multiplier


@functools.lru_cache(maxsize=256)
def rho_nano_for(epsilon_micro: int, delta_atto: int) -> int:
    """Return the largest ρ (in 10^-9) that is at most ε at δ; 0 where none is."""
    return _last(lambda rho_nano: epsilon_micro_of_rho(rho_nano, delta_atto) <= epsilon_micro, _RHO_NANO_MAX)


def laplace_threshold(epsilon_micro: int, delta_atto: int) -> int:
    """Return the smallest T at which a key with one contributor comes out with a chance of at most δ.

    The chance is the exact tail of the discrete Laplace noise, as the charge states it. Raises `TermsError` where no T
    within the limits of a charge does it.
    """
    return _threshold(
        lambda threshold: LaplaceSelection(epsilon_micro, 1, threshold).compute_cost().delta_atto, delta_atto
    )


def gaussian_threshold(keys_max: int, multiplier_squared_micro: int, delta_atto: int) -> int:
    """Return the smallest T at which any of *keys_max* keys with one contributor comes out with a chance of at most δ.

    The chance is the exact discrete tail, as the charge states it. Raises `TermsError` where no T does it.
    """

    def stated(threshold: int) -> int:
        return GaussianSelection(keys_max, multiplier_squared_micro, threshold).compute_cost().delta_atto

    return _threshold(stated, delta_atto)


def _threshold(stated: Callable[[int], int], delta_atto: int) -> int:
    last_refused = _last(lambda threshold: threshold < 2 or stated(threshold) > delta_atto, THRESHOLD_MAX)
    if last_refused == THRESHOLD_MAX:
        raise TermsError(f"no threshold up to {THRESHOLD_MAX} keeps δ = {delta_atto}e-18; allow a larger δ or ε")
    return last_refused + 1


def _last(holds: Callable[[int], bool], most: int) -> int:
    """Return the largest number up to *most* for which *holds*, which holds for 0 and up to somewhere."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
