"""The terms of a pool: what is promised for which unit, and the noise and threshold that keep it.

    unit `question`      ε and δ hold for one question of one organisation. A question votes once in a period, so they
                         hold for the whole period. The organisation's total is larger, and always shown beside it.
    unit `organisation`  ε and δ hold for everything an organisation asked in a period: all its releases together.

A vector source `dp_mean` has an ε and δ of its own, on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from crypto.charges import (
    EPSILON_MICRO_MAX,
    KEYS_MAX,
    Charge,
    Cost,
    GaussianSelection,
    GaussianSum,
    LaplaceSelection,
    total_cost,
)
from crypto.privacy_arithmetic import DELTA_ATTO, epsilon_micro_of_rho, laplace_tail_atto, zcdp_rho_nano

from .calibration import gaussian_threshold, laplace_threshold, multiplier_squared_micro_for
from .errors import TermsError

Unit: TypeAlias = Literal["question", "organisation"]
VectorSource: TypeAlias = Literal["released_text", "dp_mean"]

#: Whatever ε allows: a key that fewer than so many noisy voters share is not released.
THRESHOLD_FLOOR: Final = 5
#: A noised mean is made only where the noisy count, never the true one, reaches this.
MEAN_COUNT_MIN: Final = 20
PERIOD_EPOCHS_MAX: Final = 400
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class UnitDefaults:
    """What holds for a unit where nothing else was set."""

    epsilon_micro: int
    delta_atto: int
    keys_max: int
    epoch_s: int
    period_epochs: int
    vector_epsilon_micro: int
    vector_delta_atto: int


DEFAULTS: Final[dict[Unit, UnitDefaults]] = {
    "question": UnitDefaults(2_000_000, 10**10, 100, 30 * _DAY_S, 3, 2_000_000, 10**10),
    "organisation": UnitDefaults(8_000_000, 10**12, 5, 90 * _DAY_S, 4, 4_000_000, 10**12),
}


@dataclass(frozen=True, slots=True)
class Guarantee:
    """(ε, δ)-differential privacy, as ε · 10^6 and δ · 10^18."""

    epsilon_micro: int
    delta_atto: int


@dataclass(frozen=True, slots=True)
class PoolTerms:
    """What one release does: made by `pool_terms`, which sees to it that the noise keeps the promise.

    *epsilon_micro* and *delta_atto* are the selection's promise to the unit for a period, the *vector_* ones that of the
    noised means (0 where there are none). Multipliers squared are in 10^-6; a selection by Laplace noise has none.
    """

    unit: Unit
    vector_source: VectorSource
    epsilon_micro: int
    delta_atto: int
    keys_max: int
    threshold: int
    selection_multiplier_squared_micro: int | None
    vector_multiplier_squared_micro: int | None
    organisations_min: int
    period_epochs: int
    vector_epsilon_micro: int = 0
    vector_delta_atto: int = 0

    def selection_charge(self) -> LaplaceSelection | GaussianSelection:
        """Return the charge of choosing keys."""
        multiplier = self.selection_multiplier_squared_micro
        if multiplier is None:
            return LaplaceSelection(self.epsilon_micro, self.keys_max, self.threshold)
        return GaussianSelection(self.keys_max, multiplier, self.threshold)

    def charges(self) -> tuple[Charge, ...]:
        """Return what one organisation is charged for one release, whether it uses its places or not."""
        if self.vector_multiplier_squared_micro is None:
            return (self.selection_charge(),)
        return (self.selection_charge(), GaussianSum(self.keys_max, self.vector_multiplier_squared_micro))

    def period_cost(self) -> Cost:
        """Return what all releases of a period cost an organisation: the smallest budget that never runs out."""
        cost = total_cost(self.charges())
        epochs = self.period_epochs
        return Cost(cost.epsilon_micro * epochs, cost.rho_nano * epochs, cost.delta_atto * epochs)

    def unit_guarantee(self) -> Guarantee:
        """Return what holds for the unit in a period, everything together, by the charges' own arithmetic."""
        if self.unit == "organisation":
            return total_of(self.period_cost(), self.delta_atto // 2 + self.vector_delta_atto)
        rho_nano = 0
        if self.vector_multiplier_squared_micro is not None:
            rho_nano = zcdp_rho_nano(self.vector_multiplier_squared_micro)
        tail = laplace_tail_atto(self.epsilon_micro, self.threshold)
        return total_of(Cost(self.epsilon_micro, rho_nano, tail), self.vector_delta_atto)


def total_of(cost: Cost, gaussian_delta_atto: int) -> Guarantee:
    """Return the (ε, δ) that *cost* or a budget amounts to, with *gaussian_delta_atto* for turning its ρ into ε.

    ε + ε(ρ, δ_g) and δ + δ_g: basic composition of the pure, the Gaussian and the threshold parts.
    """
    if cost.rho_nano == 0:
        return Guarantee(cost.epsilon_micro, cost.delta_atto)
    epsilon_micro = cost.epsilon_micro + epsilon_micro_of_rho(cost.rho_nano, gaussian_delta_atto)
    return Guarantee(epsilon_micro, cost.delta_atto + gaussian_delta_atto)


def pool_terms(
    *,
    unit: str,
    vector_source: str = "released_text",
    epsilon_micro: int = 0,
    delta_atto: int = 0,
    keys_max: int = 0,
    period_epochs: int = 0,
    organisations_min: int = 50,
    vector_epsilon_micro: int = 0,
    vector_delta_atto: int = 0,
) -> PoolTerms:
    """Return terms whose noise and threshold keep what is promised; 0 means the unit's default.

    Of the unit `organisation`'s δ one half goes to the Gaussian noise and one half to the thresholds of all releases of a
    period. Raises `TermsError` for an unknown unit or source and where no noise within the limits keeps the promise.
    """
    if unit not in DEFAULTS or vector_source not in ("released_text", "dp_mean"):
        raise TermsError(f"no such unit or vector source: {unit}, {vector_source}")
    default = DEFAULTS[unit]
    epochs = period_epochs or default.period_epochs
    epsilon_micro, delta_atto = epsilon_micro or default.epsilon_micro, delta_atto or default.delta_atto
    keys_max = keys_max or default.keys_max
    if not 1 <= epochs <= PERIOD_EPOCHS_MAX or not 1 <= keys_max <= KEYS_MAX or organisations_min < 1:
        raise TermsError(f"a period has 1 to {PERIOD_EPOCHS_MAX} epochs, and an epoch 1 to {KEYS_MAX} places")
    for epsilon, delta in ((epsilon_micro, delta_atto), (vector_epsilon_micro, vector_delta_atto)):
        if not 0 <= epsilon <= EPSILON_MICRO_MAX or not 0 <= delta < DELTA_ATTO:
            raise TermsError(f"ε is at most {EPSILON_MICRO_MAX}e-6 and δ less than 1, and neither is negative")
    multiplier = None
    if unit == "question":
        threshold = laplace_threshold(epsilon_micro, delta_atto)
    else:
        multiplier = multiplier_squared_micro_for(epsilon_micro, delta_atto // 2, epochs)
        threshold = gaussian_threshold(keys_max, multiplier, delta_atto // 2 // epochs)
    vector_multiplier = None
    if vector_source == "dp_mean":
        vector_epsilon_micro = vector_epsilon_micro or default.vector_epsilon_micro
        vector_delta_atto = vector_delta_atto or default.vector_delta_atto
        steps = 1 if unit == "question" else keys_max * epochs
        vector_multiplier = multiplier_squared_micro_for(vector_epsilon_micro, vector_delta_atto, steps)
    else:
        vector_epsilon_micro = vector_delta_atto = 0
    return PoolTerms(
        unit=unit,
        vector_source=cast(VectorSource, vector_source),
        epsilon_micro=epsilon_micro,
        delta_atto=delta_atto,
        keys_max=keys_max,
        threshold=max(THRESHOLD_FLOOR, threshold),
        selection_multiplier_squared_micro=multiplier,
        vector_multiplier_squared_micro=vector_multiplier,
        organisations_min=organisations_min,
        period_epochs=epochs,
        vector_epsilon_micro=vector_epsilon_micro,
        vector_delta_atto=vector_delta_atto,
    )
