"""Write releases down: paid for first, in one transaction; then, in another, what came out, or that nothing ever will.

    begin     number, every organisation's spending with its leaf               state `spending`
              … noise is drawn, once, in memory …
    persist   items, document, leaf                                             state `released`
    void      document and leaf that say so                                     state `void`

Both modes of the pool release through this. Whoever finds a release in state `spending` that its holder does not finish
declares it void: what was drawn for it, if anything was, is nowhere, and is never drawn again on the same spending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from crypto.bodies import PoolRelease, PrivacySpending
from crypto.merkle import MemoryTree
from crypto.pseudonym import organisation_pseudonym
from crypto.release import Release, Tree, VectorSource, heads_root, items_root
from crypto.release import State as DocumentState
from crypto.spending import Budget, Charge, Unit
from server.log.bodies import append_body
from server.pool.calendar import Calendar
from server.pool.errors import ReleaseRunning
from server.pool.items import Released, seal_items
from server.pool.principal import organisation_key
from server.ports import Clock, RandomSource
from server.reuse.fingerprint import PoolMode
from server.reuse.tenant_directory import TenantContext
from server.store.errors import BudgetExhausted
from server.store.ledger import LedgerRepository, NewSpending
from server.store.pool import PoolRepository
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import FinishedRelease, NewRelease, StoredRelease
from tenants.identifiers import OrganisationId

NONCE_BYTES: Final = 32
#: How long a release may stand paid for and not out before another process takes its holder for dead.
HOLDER_LASTS_MS: Final = 15 * 60_000
ABANDONED: Final = "its process ended before it was out"


@dataclass(frozen=True, slots=True)
class Payer:
    """An organisation and what it is charged for one release."""

    organisation: OrganisationId
    charges: tuple[Charge, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """A release about to be paid for: what it protects, and what its vectors are."""

    mode: PoolMode
    epoch: int
    unit: Unit
    vector_source: VectorSource


@dataclass(frozen=True, slots=True)
class Begun:
    """A release that is paid for, and by whom; *exhausted* are those whose budget did not hold it."""

    release: StoredRelease
    payers: tuple[OrganisationId, ...]
    exhausted: tuple[OrganisationId, ...]


class ReleaseWriter:
    """Writes the releases of one releaser, whose name is *holder*; every method runs in the caller's transaction.

    A releaser makes one release after another: what it finds paid for under its own name, it has left. So each has a
    writer, and a name, of its own.
    """

    def __init__(self, calendar: Calendar, budget: Budget, clock: Clock, random: RandomSource, *, holder: str) -> None:
        self._calendar = calendar
        self._budget = budget
        self._clock = clock
        self._random = random
        self._holder = holder

    def begin(self, connection: Connection, pool: TenantContext, order: Order, payers: Sequence[Payer]) -> Begun:
        """Begin the next release and charge every one of *payers* whose budget holds it.

        Raises `ReleaseRunning` while another process is at one; ends what a dead one left. The caller decides whether
        those who paid are enough, and rolls back by raising where they are not.
        """
        self.end_abandoned(connection, pool)
        now_ms = self._clock.now_ms()
        release = PoolRepository(connection).begin(
            NewRelease(order.mode, order.epoch, order.unit, order.vector_source, self._holder, now_ms)
        )
        ledger, key = LedgerRepository(connection), organisation_key(pool)
        period = self._calendar.period_of(order.epoch)
        paid, exhausted = [], []
        for payer in sorted(payers, key=lambda payer: payer.organisation):
            spending = NewSpending(
                organisation=payer.organisation,
                pseudonym=organisation_pseudonym(key, payer.organisation),
                release=release.number,
                unit=order.unit,
                period=period,
                charges=payer.charges,
                default_budget=self._budget,
                at_ms=now_ms,
                nonce=self._random.token_bytes(NONCE_BYTES),
            )
            try:
                ledger.spend(spending, partial(_append, connection))
            except BudgetExhausted:
                exhausted.append(payer.organisation)
            else:
                paid.append(payer.organisation)
        return Begun(release, tuple(paid), tuple(exhausted))

    def may_spend(
        self, connection: Connection, organisation: OrganisationId, epoch: int, charges: tuple[Charge, ...]
    ) -> bool:
        """Say whether the budget of the period of *epoch* would hold *charges*; only `begin` decides."""
        period = self._calendar.period_number(epoch)
        return LedgerRepository(connection).may_spend(organisation, period, charges, self._budget)

    def persist(
        self, connection: Connection, pool: TenantContext, release: StoredRelease, released: Sequence[Released]
    ) -> FinishedRelease:
        """Write down what came out of *release*; raises `LeaseLost` where it was declared void meanwhile."""
        tree = items_root(one.item for one in released)
        finished = self._finish(connection, release, "released", tree)
        PoolRepository(connection).persist(finished, holder=self._holder)
        PoolItemRepository(connection).add_many(
            seal_items(
                pool, released, release=release.number, mode=release.mode, at_ms=finished.at_ms, random=self._random
            )
        )
        return finished

    def void(self, connection: Connection, release: StoredRelease, *, reason: str) -> FinishedRelease:
        """Write down that nothing will ever come out of *release*; raises `LeaseLost` where it is out, or void already."""
        finished = self._finish(connection, release, "void", Tree(0, MemoryTree(()).root()))
        PoolRepository(connection).void(finished, reason=reason[:200])
        return finished

    def end_abandoned(self, connection: Connection, pool: TenantContext) -> StoredRelease | None:
        """Declare void what was paid for and left by a process that died, or by this one; return what that was.

        Raises `ReleaseRunning` where another process may still be at it.
        """
        running = PoolRepository(connection).find_spending()
        if running is None:
            return None
        waits_ms = running.created_at_ms + HOLDER_LASTS_MS - self._clock.now_ms()
        if running.holder != self._holder and waits_ms > 0:
            raise ReleaseRunning(
                f"release {running.number} is being drawn by another process; if that has died, it is declared void "
                f"in {-(-waits_ms // 1000)} seconds"
            )
        self.void(connection, running, reason=ABANDONED)
        return running

    def _finish(
        self, connection: Connection, release: StoredRelease, state: DocumentState, items: Tree
    ) -> FinishedRelease:
        pool, ledger, now_ms = PoolRepository(connection), LedgerRepository(connection), self._clock.now_ms()
        organisations = ledger.count_of_release(release.number)
        document = Release(
            at_ms=now_ms,
            epoch=release.epoch,
            items=items,
            ledger=heads_root(ledger.heads()),
            mode=release.mode,
            number=release.number,
            organisations=organisations,
            previous=pool.get_previous_digest(release.number),
            state=state,
            unit=release.unit,  # type: ignore[arg-type]  # what `begin` stored
            vector_source=release.vector_source,  # type: ignore[arg-type]
        )
        digest = document.digest()
        body = PoolRelease(
            at_ms=now_ms,
            epoch=release.epoch,
            nonce=self._random.token_bytes(NONCE_BYTES),
            number=release.number,
            release=digest,
        )
        seq = append_body(connection, body, tenant=None)
        return FinishedRelease(release.number, document.to_payload().decode(), digest, seq, organisations, now_ms)


def _append(connection: Connection, body: PrivacySpending) -> int:
    return append_body(connection, body, tenant=None)
