"""A ledger to test on: organisations, a calendar, charges that cost round numbers, and releases to pay for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from crypto.bodies import PoolRelease, PrivacySpending, parse_body
from crypto.leaf import LeafKind
from crypto.release import PoolItem, Release, head_path, heads_root, items_root, parse_release
from crypto.spending import Budget, GaussianSum, LaplaceSelection, Period, parse_spending
from server.log.bodies import append_body
from server.log.keys import ensure_log_key
from server.store.database import Database
from server.store.ledger import LedgerRepository, NewSpending
from server.store.log import LogRepository
from server.store.platform import PlatformRepository
from server.store.pool import PoolRepository
from server.store.pool_records import FinishedRelease, NewRelease, StoredRelease, StoredSpending
from server.store.records import OrganisationRecord
from tenants.identifiers import OrganisationId
from tests.fakes import SeededRandom

Result = TypeVar("Result")
START_MS: Final = 1_790_000_000_000
PERIOD_MS: Final = 1_000_000
#: ε = 0.5 over 4 keys: a release costs 2 of the period's ε.
CHARGE: Final = LaplaceSelection(epsilon_micro=500_000, keys_max=4, threshold=40)
SUM: Final = GaussianSum(keys_max=4, multiplier_squared_micro=9_000_000)
COST: Final = CHARGE.cost()
#: Three releases of `CHARGE`, and not a millionth more.
BUDGET: Final = Budget(3 * COST.epsilon_micro, 0, 3 * COST.delta_atto)


def organisation(number: int) -> OrganisationId:
    """Return the id of an organisation of the test."""
    return OrganisationId(f"org_voter_{number}")


def pseudonym(number: int) -> str:
    """Return what the log calls it."""
    return f"{number + 1:032x}"


def period(number: int) -> Period:
    """Return a budget period of the test's calendar."""
    return Period(number, START_MS + number * PERIOD_MS, START_MS + (number + 1) * PERIOD_MS)


@dataclass(slots=True)
class LedgerWorld:
    """A migrated database with *organisations* voters and a log key; `run` is one transaction."""

    database: Database
    key_file: Path
    organisations: int = 2

    def prepare(self) -> LedgerWorld:
        """Make the organisations and the log's key."""

        def work(connection: Connection) -> None:
            ensure_log_key(connection, self.key_file, SeededRandom(), origin="log.example/test")
            for number in range(self.organisations):
                row = OrganisationRecord(organisation(number), f"voter {number}", START_MS)
                PlatformRepository(connection).add_organisation(row)

        self.run(work)
        return self

    def run(self, work: Callable[[Connection], Result]) -> Result:
        return self.database.write_now(work)

    def begin(self, *, epoch: int = 1, holder: str = "one", **changes: Any) -> StoredRelease:
        """Begin a pooled release in a transaction of its own."""
        return self.run(lambda c: begin(c, epoch=epoch, holder=holder, **changes))

    def spend(self, number: int = 0, *, release: int, in_period: int = 0, **changes: Any) -> StoredSpending:
        """Let one organisation pay for a release."""
        return self.run(lambda c: spend(c, number, release=release, in_period=in_period, **changes))

    def finish(self, release: StoredRelease, *, items: Sequence[PoolItem] = (), holder: str = "one") -> Release:
        """Write a release down as out, with its leaf."""
        return self.run(lambda c: finish(c, release, items=items, holder=holder))


def begin(connection: Connection, *, epoch: int = 1, holder: str = "one", **changes: Any) -> StoredRelease:
    """Begin a pooled release."""
    fields = {"mode": "pooled", "unit": "question", "vector_source": "released_text", "at_ms": START_MS, **changes}
    return PoolRepository(connection).begin(NewRelease(epoch=epoch, holder=holder, **fields))


def spend(
    connection: Connection, number: int = 0, *, release: int, in_period: int = 0, **changes: Any
) -> StoredSpending:
    """Let organisation *number* pay for *release*, with its leaf."""
    fields: dict[str, Any] = {
        "unit": "question",
        "charges": (CHARGE,),
        "default_budget": BUDGET,
        "at_ms": period(in_period).from_ms,
        "nonce": bytes(32),
        **changes,
    }
    new = NewSpending(
        organisation=organisation(number),
        pseudonym=pseudonym(number),
        release=release,
        period=fields.pop("period", period(in_period)),
        **fields,
    )
    return LedgerRepository(connection).spend(new, lambda body: append_body(connection, body, tenant=None))


def finish(
    connection: Connection,
    found: StoredRelease,
    *,
    items: Sequence[PoolItem] = (),
    holder: str = "one",
    void: bool = False,
) -> Release:
    """Say in the log that a release is out, or void, and write it down."""
    pool, ledger = PoolRepository(connection), LedgerRepository(connection)
    release = Release(
        at_ms=START_MS,
        epoch=found.epoch,
        items=items_root(items),
        ledger=heads_root(ledger.heads()),
        mode=found.mode,
        number=found.number,
        organisations=ledger.count_of_release(found.number),
        previous=pool.get_previous_digest(found.number),
        state="void" if void else "released",
        unit=found.unit,  # type: ignore[arg-type]
        vector_source=found.vector_source,  # type: ignore[arg-type]
    )
    body = PoolRelease(START_MS, release.epoch, bytes(32), release.number, release.digest())
    finished = FinishedRelease(
        number=release.number,
        document=release.to_payload().decode(),
        digest=release.digest(),
        seq=append_body(connection, body, tenant=None),
        organisations=release.organisations,
        at_ms=START_MS,
    )
    if void:
        pool.void(finished, reason="the process ended")
    else:
        pool.persist(finished, holder=holder)
    return release


def check_ledger(connection: Connection, numbers: range, *, budget: Budget = BUDGET) -> int:
    """Assert all that an auditor would of every organisation's spendings; return how many there are.

    Written out here once more, and not with the verifier's own rules: numbers from 1 without a gap, each naming the one
    before, never above the budget of its period, one leaf each that says the same, and no leaf besides.
    """
    rows = LogRepository(connection).load_unsequenced(100_000)
    said = {row.seq: parse_body(LeafKind(row.kind), row.body or b"") for row in rows}
    leaves = {seq: body for seq, body in said.items() if isinstance(body, PrivacySpending)}
    counted = 0
    for number in numbers:
        spent: dict[int, Any] = {}
        previous = None
        for place, row in enumerate(LedgerRepository(connection).list_spendings(organisation(number)), start=1):
            spending = parse_spending(row.document.encode())
            spending.verify_arithmetic()
            assert (row.number, spending.number, spending.previous) == (place, place, previous)
            assert (spending.digest(), spending.organisation) == (row.digest, pseudonym(number))
            body = leaves.pop(row.seq)
            assert (body.number, body.organisation, body.spending) == (place, pseudonym(number), row.digest)
            so_far = spent.get(row.period)
            spent[row.period] = spending.cost if so_far is None else so_far + spending.cost
            assert spent[row.period].is_within(budget)
            assert spending.budget == budget
            previous, counted = row.digest, counted + 1
    assert leaves == {}, "a leaf says of a spending that is not there"
    return counted


def check_releases(connection: Connection) -> int:
    """Assert that releases are numbered without gaps, each naming the one before, and bind every head that was there."""
    previous = None
    logged = PoolRepository(connection).load_logged(after_number=0, limit=1_000)
    for place, row in enumerate(logged, start=1):
        release = parse_release(row.document.encode())
        assert (release.number, release.previous, release.digest()) == (place, previous, row.digest)
        heads = LedgerRepository(connection).heads(before_seq=row.seq)
        assert release.ledger == heads_root(heads)
        for head in heads:
            assert head_path(heads, head.organisation)[0] < len(heads)
        previous = row.digest
    return len(logged)
