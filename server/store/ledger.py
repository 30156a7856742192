"""The ledger: what every organisation spent, in numbers without gaps, checked and committed before any noise is drawn.

    spent = LedgerRepository(connection).spend(new, lambda body: append_body(connection, body, tenant=None))

Check and commit are one transaction, and writes are one at a time on either database; the organisation's own row is held
besides, so that the check would stand even where writers were not. A budget is three caps (`crypto.charges.Budget`), and
each is a filter that holds however later spendings are chosen in the light of earlier ones: pure ε by basic composition,
ρ by a Rényi filter at every order (Feldman and Zrnic 2021), δ by a union bound. All three must hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, func, insert, select, update

from crypto.bodies import PrivacySpending
from crypto.charges import read_cost
from crypto.release import LedgerHead
from crypto.spending import Budget, Charge, Cost, Period, Spending, Unit, parse_spending, sorted_charges, total_cost
from server.store.errors import BudgetExhausted, Conflict, NotFound, StoreError
from server.store.pool_records import LoggedSpending, StoredSpending
from server.store.tables import (
    log_leaves,
    organisations,
    pool_releases,
    privacy_budgets,
    privacy_spendings,
)
from tenants.identifiers import OrganisationId

PAGE_MAX: Final = 10_000
#: Organisations whose heads one release binds.
HEADS_MAX: Final = 1_000_000

#: Puts the body of a spending's leaf into the outbox and returns its number (`server.log.bodies.append_body`).
AppendBody: TypeAlias = Callable[[PrivacySpending], int]

_SPENDING: Final = tuple(privacy_spendings.c[name] for name in StoredSpending.__dataclass_fields__)
_SUMS: Final = tuple(
    func.coalesce(func.sum(privacy_spendings.c[name]), 0) for name in ("epsilon_micro", "rho_nano", "delta_atto")
)
_CAPS: Final = (privacy_budgets.c.epsilon_micro, privacy_budgets.c.rho_nano, privacy_budgets.c.delta_atto)
_LOGGED: Final = select(
    privacy_spendings.c.number,
    privacy_spendings.c.release,
    privacy_spendings.c.document,
    privacy_spendings.c.digest,
    privacy_spendings.c.seq,
    log_leaves.c.leaf,
    log_leaves.c.body,
    log_leaves.c.leaf_index,
).join_from(privacy_spendings, log_leaves, log_leaves.c.seq == privacy_spendings.c.seq)


@dataclass(frozen=True, slots=True)
class NewSpending:
    """What *organisation*, in the log *pseudonym*, is to pay for *release*; *default_budget* counts where none was set.

    *charges* are the whole contribution bound whether it was used or not, so the ledger says nothing of the content.
    """

    organisation: OrganisationId
    pseudonym: str
    release: int
    unit: Unit
    period: Period
    charges: tuple[Charge, ...]
    default_budget: Budget
    at_ms: int
    nonce: bytes


class LedgerRepository:
    """The spendings and budgets of all organisations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def spend(self, new: NewSpending, append: AppendBody) -> StoredSpending:
        """Check *new* against the period's budget and commit it with its leaf; the caller's transaction makes it durable.

        Raises `BudgetExhausted`, and then nothing was written; `Conflict` where the release is not being paid for, or was
        paid by this organisation already; `NotFound` for an unknown organisation; `StoreError` for another calendar.
        """
        self._hold(new.organisation)
        self._require_release(new)
        newest = self._newest(new.organisation)
        self._require_calendar(newest, new.period)
        budget = self.get_budget(new.organisation, new.period.number, new.default_budget)
        spent, cost = self.sums(new.organisation, new.period.number), total_cost(new.charges)
        if not (spent + cost).is_within(budget):
            raise BudgetExhausted(
                f"the budget of period {new.period.number} does not hold release {new.release} as well"
            )
        spending = Spending(
            at_ms=new.at_ms,
            budget=budget,
            charges=sorted_charges(new.charges),
            number=1 if newest is None else newest.number + 1,
            organisation=new.pseudonym,
            period=new.period,
            previous=None if newest is None else newest.digest,
            release=new.release,
            unit=new.unit,
        )
        return self._commit(new.organisation, spending, cost, new.nonce, append)

    def may_spend(
        self, organisation: OrganisationId, period: int, charges: tuple[Charge, ...], default_budget: Budget
    ) -> bool:
        """Say whether *charges* would still be within the period's budget; only `spend` decides."""
        budget = self.get_budget(organisation, period, default_budget)
        return (self.sums(organisation, period) + total_cost(charges)).is_within(budget)

    def sums(self, organisation: OrganisationId, period: int) -> Cost:
        """Return what *organisation* spent in that period."""
        statement = select(*_SUMS).where(
            privacy_spendings.c.organisation_id == organisation, privacy_spendings.c.period == period
        )
        return Cost(*(int(value) for value in self._connection.execute(statement).one()))

    def get_budget(self, organisation: OrganisationId, period: int, default: Budget) -> Budget:
        """Return the period's budget: what its spendings state, else what was set for it, else *default*.

        So a setting that changes in the middle of a period counts from the next one on.
        """
        stated = self._newest(organisation, period)
        if stated is not None:
            return parse_spending(stated.document.encode()).budget
        statement = (
            select(*_CAPS)
            .where(privacy_budgets.c.organisation_id == organisation, privacy_budgets.c.from_period <= period)
            .order_by(privacy_budgets.c.from_period.desc())
            .limit(1)
        )
        row = self._connection.execute(statement).first()
        return default if row is None else Budget(*row)

    def set_budget(self, organisation: OrganisationId, from_period: int, budget: Budget) -> None:
        """Give *organisation* another budget from a period on; raises `Conflict` where that has begun to be spent.

        Raises `EncodingError` for numbers that no spending could state.
        """
        read_cost(asdict(budget), "the budget")
        self._hold(organisation)
        begun = select(privacy_spendings.c.number).where(
            privacy_spendings.c.organisation_id == organisation, privacy_spendings.c.period >= from_period
        )
        if self._connection.execute(begun.limit(1)).first() is not None:
            raise Conflict(f"period {from_period} has begun to be spent and keeps its budget; name a later one")
        own = (privacy_budgets.c.organisation_id == organisation, privacy_budgets.c.from_period == from_period)
        caps = asdict(budget)
        if self._connection.execute(update(privacy_budgets).where(*own).values(**caps)).rowcount == 0:
            values = {"organisation_id": organisation, "from_period": from_period, **caps}
            self._connection.execute(insert(privacy_budgets), values)

    def list_spendings(
        self, organisation: OrganisationId, *, after_number: int = 0, limit: int = PAGE_MAX
    ) -> list[StoredSpending]:
        """Return the spendings of *organisation* behind *after_number*, in order."""
        statement = (
            select(*_SPENDING)
            .where(privacy_spendings.c.organisation_id == organisation, privacy_spendings.c.number > after_number)
            .order_by(privacy_spendings.c.number)
            .limit(min(limit, PAGE_MAX))
        )
        return [StoredSpending(*row) for row in self._connection.execute(statement)]

    def load_logged(
        self, organisation: OrganisationId, *, after_number: int = 0, limit: int = PAGE_MAX
    ) -> list[LoggedSpending]:
        """Return the same with their leaves."""
        statement = _LOGGED.where(
            privacy_spendings.c.organisation_id == organisation, privacy_spendings.c.number > after_number
        )
        rows = self._connection.execute(statement.order_by(privacy_spendings.c.number).limit(min(limit, PAGE_MAX)))
        return [_logged(row) for row in rows]

    def count_of_release(self, release: int) -> int:
        """Return how many organisations paid for *release*: its `organisations`."""
        statement = select(func.count()).select_from(privacy_spendings).where(privacy_spendings.c.release == release)
        return int(self._connection.execute(statement).scalar_one())

    def heads(self, *, before_seq: int | None = None) -> list[LedgerHead]:
        """Return the newest spending of every organisation that ever spent, by pseudonym.

        With *before_seq*, those among the leaves of the outbox before that number: what a release with that leaf bound.
        """
        newest = select(
            privacy_spendings.c.organisation_id, func.max(privacy_spendings.c.number).label("newest")
        ).group_by(privacy_spendings.c.organisation_id)
        if before_seq is not None:
            newest = newest.where(privacy_spendings.c.seq < before_seq)
        of_newest = newest.subquery("of_newest")
        statement = (
            select(privacy_spendings.c.number, privacy_spendings.c.pseudonym, privacy_spendings.c.digest)
            .join_from(
                privacy_spendings,
                of_newest,
                (of_newest.c.organisation_id == privacy_spendings.c.organisation_id)
                & (of_newest.c.newest == privacy_spendings.c.number),
            )
            .order_by(privacy_spendings.c.pseudonym)
            .limit(HEADS_MAX)
        )
        return [LedgerHead(*row) for row in self._connection.execute(statement)]

    def _hold(self, organisation: OrganisationId) -> None:
        """Keep every other transaction from this organisation's ledger until this one ends (SQLite does so by itself)."""
        own = select(organisations.c.id).where(organisations.c.id == organisation).with_for_update()
        if self._connection.execute(own).first() is None:
            raise NotFound("there is no such organisation")

    def _require_release(self, new: NewSpending) -> None:
        found = self._connection.execute(
            select(pool_releases.c.state, pool_releases.c.unit).where(pool_releases.c.number == new.release)
        ).first()
        if found is None or tuple(found) != ("spending", new.unit):
            raise Conflict(f"release {new.release} is not being paid for, or protects another unit")
        paid = select(privacy_spendings.c.number).where(
            privacy_spendings.c.release == new.release, privacy_spendings.c.organisation_id == new.organisation
        )
        if self._connection.execute(paid).first() is not None:
            raise Conflict(f"this organisation has paid for release {new.release} already")

    def _require_calendar(self, newest: StoredSpending | None, period: Period) -> None:
        if newest is None:
            return
        before = parse_spending(newest.document.encode()).period
        is_same = before == period
        is_apart = before.number != period.number and (
            before.until_ms <= period.from_ms or period.until_ms <= before.from_ms
        )
        if not (is_same or is_apart):
            raise StoreError(
                f"period {period.number} overlaps period {before.number}, which was spent in: the calendar changed"
            )

    def _newest(self, organisation: OrganisationId, period: int | None = None) -> StoredSpending | None:
        statement = select(*_SPENDING).where(privacy_spendings.c.organisation_id == organisation)
        if period is not None:
            statement = statement.where(privacy_spendings.c.period == period)
        row = self._connection.execute(statement.order_by(privacy_spendings.c.number.desc()).limit(1)).first()
        return None if row is None else StoredSpending(*row)

    def _commit(
        self, organisation: OrganisationId, spending: Spending, cost: Cost, nonce: bytes, append: AppendBody
    ) -> StoredSpending:
        digest = spending.digest()
        body = PrivacySpending(
            at_ms=spending.at_ms,
            nonce=nonce,
            number=spending.number,
            organisation=spending.organisation,
            spending=digest,
        )
        made = StoredSpending(
            organisation_id=organisation,
            number=spending.number,
            pseudonym=spending.organisation,
            period=spending.period.number,
            release=spending.release,
            epsilon_micro=cost.epsilon_micro,
            rho_nano=cost.rho_nano,
            delta_atto=cost.delta_atto,
            document=spending.to_payload().decode(),
            digest=digest,
            seq=append(body),
        )
        self._connection.execute(insert(privacy_spendings), asdict(made))
        return made


def _logged(row: Any) -> LoggedSpending:
    body = None if row[6] is None else bytes(row[6])
    return LoggedSpending(row[0], row[1], row[2], row[3], row[4], bytes(row[5]), body, row[7])
