"""The form of a ledger as the API answers with it."""

from __future__ import annotations

from typing import Any, Literal

from server.api.answer_schemas import Shape


class Amount(Shape):
    """Privacy in the numbers that decide: ε · 10^6, ρ · 10^9 of zCDP, δ · 10^18."""

    epsilon_micro: int
    rho_nano: int
    delta_atto: int


class Meaning(Shape):
    """The same as one (ε, δ); `gaussian_delta_atto` of δ turned ρ into ε."""

    epsilon_micro: int
    delta_atto: int
    gaussian_delta_atto: int


class LedgerSpending(Shape):
    """One spending as it stands in the log; `leaf_index` is null until it does."""

    number: int
    at_ms: int
    release: int
    release_state: Literal["spending", "released", "void"] | None
    unit: Literal["question", "organisation", "entry"]
    charges: list[dict[str, Any]]
    cost: Amount
    digest: str
    leaf_index: int | None


class LedgerPeriod(Shape):
    """One budget period; what is left counts, and says something, only while it runs."""

    period: int
    from_ms: int
    until_ms: int
    is_current: bool
    budget: Amount
    budget_means: Meaning
    spent: Amount
    spent_means: Meaning
    left: Amount
    releases_left: int | None
    is_exhausted: bool | None
    spendings: list[LedgerSpending]


class Ledger(Shape):
    """What one organisation spent, newest period first; `pseudonym` is its name in the log."""

    organisation: str
    name: str
    pseudonym: str | None
    spendings: int
    spent: Amount
    means: Meaning
    periods: list[LedgerPeriod]
