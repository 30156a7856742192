"""What the settings make of the pool: its terms, its calendar and what an organisation may spend in a period."""

from __future__ import annotations

from dataclasses import dataclass

from crypto.spending import Budget
from privacy.terms import DEFAULTS, PoolTerms, pool_terms
from server.pool.calendar import Calendar
from server.settings import Settings


@dataclass(frozen=True, slots=True)
class PoolRules:
    """The rules of one pool; *models* are the aliases whose answers are pooled."""

    models: tuple[str, ...]
    terms: PoolTerms
    calendar: Calendar
    budget: Budget
    noised_delta_atto: int


def rules_of(settings: Settings) -> PoolRules:
    """Return the rules that *settings* mean; raises `privacy.errors.TermsError` where no noise keeps them."""
    terms = pool_terms(
        unit=settings.pool_unit,
        vector_source=settings.pool_vector_source,
        epsilon_micro=settings.pool_epsilon_micro,
        delta_atto=settings.pool_delta_atto,
        keys_max=settings.pool_keys_max,
        period_epochs=settings.pool_period_epochs,
        organisations_min=settings.pool_organisations_min,
    )
    calendar = Calendar(settings.pool_epoch_s or DEFAULTS[terms.unit].epoch_s, terms.period_epochs)
    return PoolRules(settings.pool_models, terms, calendar, _budget(settings, terms), settings.pool_noised_delta_atto)


def _budget(settings: Settings, terms: PoolTerms) -> Budget:
    """Return what a period's releases take, with the allowance for noised entries, where nothing else is set."""
    cost = terms.period_cost()
    return Budget(
        epsilon_micro=settings.pool_budget_epsilon_micro or cost.epsilon_micro,
        rho_nano=settings.pool_budget_rho_nano or cost.rho_nano + settings.pool_noised_budget_rho_nano,
        delta_atto=settings.pool_budget_delta_atto or cost.delta_atto,
    )
