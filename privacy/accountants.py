"""What the Gaussian charges amount to by three accountants of the continuous Gaussian: reports, which decide nothing.

The ledger decides by zCDP, in whole numbers (`crypto.ledger`). These are tighter and in floats: `exact` is the closed
form (`privacy.bounds`), `rdp` and `prv` are those of opacus. They speak of the continuous Gaussian, whose discrete
sibling has the same zCDP (Canonne, Kamath, Steinke 2020, Theorem 4) and at our σ all but the same curve, but no theorem
here says so: hence *continuous reference*. opacus' `GaussianAccountant` is not asked: it under-reports under sampling,
refuses steps of several sizes and returns 61 where 11 is right.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from crypto.charges import Charge, GaussianEmbedding, GaussianSelection, GaussianSum, LaplaceSelection
from crypto.privacy_arithmetic import EPSILON_MICRO

from .bounds import gaussian_epsilon
from .errors import TermsError

LABEL: Final = "continuous reference"
#: PRV convolves grids as wide as ε; beyond these it would take minutes and gigabytes for a figure that says "too much".
PRV_EPSILON_MAX: Final = 150.0
PRV_SIZES_MAX: Final = 32
CHARGES_MAX: Final = 100_000


def report_epsilon(charges: Iterable[Charge], delta: float) -> dict[str, float | None]:
    """Return ε at *delta* of *charges* together as `rdp`, `prv` and `exact`, each with the pure ε of Laplace added.

    *delta* is for the Gaussian part alone; the thresholds' δ comes on top of it and is not in here. `prv` is None where
    it would take too long (ε above 150 or more than 32 sizes of noise). Takes seconds: opacus loads torch. Raises
    `TermsError` for δ not between 0 and 1 and for too many charges.
    """
    if not 0.0 < delta < 1.0:
        raise TermsError("δ lies between 0 and 1")
    steps: Counter[int] = Counter()
    pure_micro = 0
    for number, charge in enumerate(charges):
        if number >= CHARGES_MAX:
            raise TermsError(f"a report covers at most {CHARGES_MAX} charges")
        match charge:
            case LaplaceSelection():
                pure_micro += charge.keys_max * charge.epsilon_micro
            case GaussianSelection():
                # σ² = C·m for a sensitivity of √C: one step of the multiplier √m.
                steps[charge.multiplier_squared_micro] += 1
            case GaussianSum():
                steps[charge.multiplier_squared_micro] += charge.keys_max
            case GaussianEmbedding():
                steps[charge.multiplier_squared_micro] += charge.count
    pure = pure_micro / EPSILON_MICRO
    if not steps:
        return {"rdp": pure, "prv": pure, "exact": pure}
    history = [(math.sqrt(squared / EPSILON_MICRO), 1.0, count) for squared, count in sorted(steps.items())]
    exact = gaussian_epsilon(math.sqrt(sum(count / multiplier**2 for multiplier, _, count in history)), delta)
    rdp = _opacus("RDPAccountant", history, delta)
    may_prv = rdp <= PRV_EPSILON_MAX and len(history) <= PRV_SIZES_MAX
    prv = _opacus("PRVAccountant", history, delta) if may_prv else None
    return {"rdp": pure + rdp, "prv": None if prv is None else pure + prv, "exact": pure + exact}


def _opacus(name: str, history: list[tuple[float, float, int]], delta: float) -> float:
    with warnings.catch_warnings():
        # Its logarithms of 0 on the edge of a grid, and advice about orders, are no news to whoever reads the figure.
        warnings.simplefilter("ignore")
        from opacus import accountants

        accountant: Any = getattr(accountants, name)()
        accountant.history = list(history)
        return float(accountant.get_epsilon(delta=delta))
