"""What the store promises, held by SQLite and PostgreSQL alike: the same tests, once on each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from server.store.data_keys import list_wrapping_keys, rewrap_data_keys
from server.store.database import Database
from server.store.entries import EntryRepository, Selection
from server.store.errors import Conflict, NotFound, StoreBusy, StoreUnavailable, Unstorable
from server.store.idempotency import KEPT_MS, Answered, Claimed, IdempotencyRepository, InFlight, OtherRequest
from server.store.lookups import LookupRepository
from server.store.maintenance import (
    AuditEvent,
    add_notice,
    append_audit,
    get_feed_head,
    list_audit,
    load_feed,
    sweep_expired,
    trim_feed,
    verify_audit_chain,
)
from server.store.platform import PlatformRepository
from server.store.records import ModelRecord, ModelVersionRecord, OrganisationRecord, TenantRecord, UpstreamRecord
from server.store.scoped import TenantRepository
from server.store.tenancy import DataKeyRepository, KeyRepository, PolicyRepository
from tenants.data_keys import WrappedDataKey
from tenants.identifiers import EntryId, KeyId, LookupId, OrganisationId, TenantId
from tests.contract.stores import (
    FINGERPRINT,
    NOW_MS,
    A,
    B,
    Store,
    exact_key,
    new_entry,
    new_key,
    new_lookup,
    new_usage,
    open_store,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as found:
        yield found


def add_entries(store: Store, *numbers: int, tenant: TenantId = A, **changes: Any) -> None:
    def work(repository: EntryRepository) -> None:
        for number in numbers:
            repository.add(new_entry(number, **changes))

    store.entries(work, tenant=tenant)


def feed_of(store: Store, *, after: int = 0) -> list[tuple[str, int | None]]:
    return [(row.operation, row.entry_id) for row in store.database.read_now(lambda c: load_feed(c, after=after))]


class Gate:
    """Holds the writer until told, so that writes pile up behind it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._open = threading.Event()

    def wait(self, _connection: Connection) -> None:
        self.entered.set()
        assert self._open.wait(30)

    def open(self) -> None:
        self._open.set()


# The group commit.


def test_one_failing_write_of_a_batch_does_not_fail_the_others(store: Store) -> None:
    async def work() -> list[Any]:
        gate = Gate()
        first = asyncio.ensure_future(store.database.write(gate.wait))
        await asyncio.to_thread(gate.entered.wait)

        def add(number: int) -> Callable[[Connection], None]:
            return lambda connection: EntryRepository(connection, A).add(new_entry(number))

        def half_done(connection: Connection) -> None:
            EntryRepository(connection, A).add(new_entry(7))
            raise ValueError("changed my mind")

        def twice(connection: Connection) -> None:
            KeyRepository(connection, A).add(new_key("same"))
            KeyRepository(connection, A).add(new_key("same"))

        batch = [asyncio.ensure_future(store.database.write(run)) for run in (add(1), half_done, twice, add(2))]
        await asyncio.sleep(0)
        gate.open()
        await first
        return await asyncio.gather(*batch, return_exceptions=True)

    results = asyncio.run(work())
    assert [type(result) for result in results] == [type(None), ValueError, Conflict, type(None)]
    assert store.entries(lambda entries: entries.totals())[0] == 2
    assert store.run(lambda c: KeyRepository(c, A).list_all()) == []
    assert feed_of(store) == [("add", 1), ("add", 2)]


def test_a_failing_write_that_is_alone_leaves_nothing(store: Store) -> None:
    def half_done(connection: Connection) -> None:
        EntryRepository(connection, A).add(new_entry(7))
        raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed my mind"):
        asyncio.run(store.database.write(half_done))
    assert feed_of(store) == []
    asyncio.run(store.database.write(lambda c: EntryRepository(c, A).add(new_entry(8))))
    assert feed_of(store) == [("add", 8)]


def test_a_result_comes_only_once_another_process_can_see_it(store: Store) -> None:
    other = store.open()

    async def work() -> list[bool]:
        seen = []
        for number in range(1, 20):
            await store.database.write(lambda c, number=number: EntryRepository(c, A).add(new_entry(number)))
            found = await other.read(lambda c, number=number: EntryRepository(c, A).get_live(exact_key(number)))
            seen.append(found is not None)
        return seen

    assert all(asyncio.run(work()))


def test_a_write_reads_what_it_wrote_and_a_reader_does_not_yet(store: Store) -> None:
    def work(connection: Connection) -> tuple[bool, bool]:
        EntryRepository(connection, A).add(new_entry(1))
        mine = EntryRepository(connection, A).get_live(exact_key(1))
        theirs = store.database.read_now(lambda c: EntryRepository(c, A).get_live(exact_key(1)))
        return mine is not None, theirs is not None

    assert store.run(work) == (True, False)


def test_a_full_queue_refuses_at_once(store: Store) -> None:
    database = store.open(write_queue_max=2)

    async def work() -> None:
        gate = Gate()
        first = asyncio.ensure_future(database.write(gate.wait))
        await asyncio.to_thread(gate.entered.wait)
        waiting = [asyncio.ensure_future(database.write(lambda _c: None)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(StoreBusy):
            await database.write(lambda _c: None)
        gate.open()
        await asyncio.gather(first, *waiting)

    asyncio.run(work())


def test_a_closed_database_refuses(store: Store) -> None:
    database = store.open()
    database.close()
    database.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        asyncio.run(database.write(lambda _c: None))
    with pytest.raises(StoreUnavailable, match="closed"):
        asyncio.run(database.read(lambda _c: None))
    with pytest.raises(StoreUnavailable, match="closed"):
        asyncio.run(database.read_by_key(lambda _c: None))


def test_closing_finishes_what_was_queued(store: Store) -> None:
    database = store.open()

    async def work() -> None:
        gate = Gate()
        waiting = [asyncio.ensure_future(database.write(gate.wait))]
        await asyncio.to_thread(gate.entered.wait)
        for number in range(1, 6):
            run = lambda c, number=number: EntryRepository(c, A).add(new_entry(number))  # noqa: E731
            waiting.append(asyncio.ensure_future(database.write(run)))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(asyncio.to_thread(database.close))
        gate.open()
        await asyncio.gather(closing, *waiting)

    asyncio.run(work())
    assert len(feed_of(store)) == 5


def test_the_write_of_a_caller_who_left_still_goes_through(store: Store) -> None:
    async def work() -> None:
        gate = Gate()
        first = asyncio.ensure_future(store.database.write(gate.wait))
        await asyncio.to_thread(gate.entered.wait)
        leaving = asyncio.ensure_future(store.database.write(lambda c: EntryRepository(c, A).add(new_entry(1))))
        await asyncio.sleep(0)
        leaving.cancel()
        gate.open()
        await first
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await store.database.write(lambda _c: None)

    asyncio.run(work())
    assert feed_of(store) == [("add", 1)]


def test_a_caller_whose_loop_is_gone_does_not_stop_the_writer(store: Store) -> None:
    gate = Gate()

    async def leave() -> None:
        asyncio.ensure_future(store.database.write(gate.wait))  # noqa: RUF006  # left on purpose
        await asyncio.to_thread(gate.entered.wait)

    asyncio.run(leave())
    gate.open()
    asyncio.run(store.database.write(lambda c: EntryRepository(c, A).add(new_entry(1))))
    assert feed_of(store) == [("add", 1)]


def test_connections_that_were_cut_are_made_anew_without_anybody_noticing(store: Store) -> None:
    async def work() -> int:
        await store.database.write(lambda c: EntryRepository(c, A).add(new_entry(1)))
        look_up: Callable[[Connection], Any] = lambda c: EntryRepository(c, A).get_live(exact_key(1))  # noqa: E731
        await asyncio.gather(*(store.database.read(look_up) for _ in range(8)))
        store.cut()
        found = await asyncio.gather(*(store.database.read(look_up) for _ in range(8)))
        assert None not in found
        store.cut()
        await store.database.write(lambda c: EntryRepository(c, A).add(new_entry(2)))
        return len(await store.database.read(lambda c: load_feed(c, after=0)))

    assert asyncio.run(work()) == 2


def test_a_value_that_cannot_be_stored_fails_its_own_write_alone(store: Store) -> None:
    if store.kind == "sqlite":
        bad = 2**63

        def refused(connection: Connection) -> None:
            connection.execute(text("INSERT INTO meta (name, value) VALUES ('x', :value)"), {"value": bad})

        expected: type[Exception] = OverflowError
    else:

        def refused(connection: Connection) -> None:
            PlatformRepository(connection).set_meta("x", "a\x00b")

        expected = Unstorable

    async def work() -> list[Any]:
        writes = (refused, lambda c: PlatformRepository(c).set_meta("y", "1"))
        return await asyncio.gather(*(store.database.write(run) for run in writes), return_exceptions=True)

    results = asyncio.run(work())
    assert isinstance(results[0], expected)
    assert results[1] is None
    assert store.run(lambda c: PlatformRepository(c).get_meta("y")) == "1"


# The feed.


def test_the_feed_has_every_change_once_and_in_commit_order_with_many_writers(store: Store) -> None:
    others = [store.open() for _ in range(3)]
    each = 25

    async def write(database: Database, first: int) -> None:
        for number in range(first, first + each):
            await database.write(lambda c, number=number: EntryRepository(c, A).add(new_entry(number)))

    async def follow(seen: list[int], total: int) -> None:
        after = 0
        while len(seen) < total:
            rows = await store.database.read(lambda c, after=after: load_feed(c, after=after))
            for row in rows:
                assert row.seq > after
                after = row.seq
                assert row.entry_id is not None
                seen.append(row.entry_id)
            await asyncio.sleep(0.001)

    async def work() -> list[int]:
        seen: list[int] = []
        following = asyncio.ensure_future(follow(seen, each * len(others)))
        await asyncio.gather(*(write(database, 1000 * (at + 1)) for at, database in enumerate(others)))
        await asyncio.wait_for(following, 30)
        return seen

    seen = asyncio.run(work())
    assert len(seen) == len(set(seen)) == each * len(others)
    for first in (1000, 2000, 3000):
        assert [number for number in seen if first <= number < first + 1000] == list(range(first, first + each))


def test_a_write_that_failed_leaves_no_row_in_the_feed_and_hides_none_behind_it(store: Store) -> None:
    add_entries(store, 1)

    def fails(connection: Connection) -> None:
        EntryRepository(connection, A).add(new_entry(2))
        raise ValueError

    with pytest.raises(ValueError):
        asyncio.run(store.database.write(fails))
    add_entries(store, 3)
    assert feed_of(store) == [("add", 1), ("add", 3)]


def test_two_processes_see_each_others_changes(store: Store) -> None:
    other = store.open()

    async def work() -> tuple[list[int | None], list[int | None]]:
        await store.database.write(lambda c: EntryRepository(c, A).add(new_entry(1)))
        theirs = await other.read(lambda c: load_feed(c, after=0))
        await other.write(lambda c: EntryRepository(c, A).add(new_entry(2)))
        mine = await store.database.read(lambda c: load_feed(c, after=theirs[-1].seq))
        return [row.entry_id for row in theirs], [row.entry_id for row in mine]

    assert asyncio.run(work()) == ([1], [2])


def test_notices_and_the_head_of_the_feed(store: Store) -> None:
    assert store.database.read_now(get_feed_head) == 0
    store.run(lambda c: add_notice(c, B, "drop", at_ms=NOW_MS))
    rows = store.database.read_now(lambda c: load_feed(c, after=0))
    assert [(row.tenant_id, row.operation, row.fingerprint, row.entry_id) for row in rows] == [(B, "drop", None, None)]
    assert store.database.read_now(get_feed_head) == rows[0].seq


def test_trimming_leaves_the_head_so_that_numbers_go_on(store: Store) -> None:
    add_entries(store, 1, 2, 3)
    head = store.database.read_now(get_feed_head)
    assert store.run(lambda c: trim_feed(c, before_ms=NOW_MS + 10_000)) == 2
    add_entries(store, 4)
    assert store.database.read_now(get_feed_head) > head
    assert feed_of(store, after=head) == [("add", 4)]


# Entries.


def test_an_entry_comes_back_as_it_was_stored(store: Store) -> None:
    add_entries(store, 5)
    found = store.entries(lambda entries: entries.get_live(exact_key(5)))
    assert found is not None
    stored = new_entry(5)
    for name in type(found).__dataclass_fields__.keys() & type(stored).__dataclass_fields__.keys():
        assert getattr(found, name) == getattr(stored, name), name
    assert (found.tenant_id, found.state, found.model_status) == (A, "live", None)
    assert store.entries(lambda entries: entries.get(EntryId(5))) == found
    assert store.entries(lambda entries: entries.get(EntryId(6))) is None


def test_an_entry_tells_the_state_of_its_model(store: Store) -> None:
    add_model(store)
    version = ModelVersionRecord("sha256:version", "reported", "active", None, NOW_MS)
    store.run(lambda c: PlatformRepository(c).activate_version("model", version))
    add_entries(store, 5)
    found = store.entries(lambda entries: entries.get_live(exact_key(5)))
    assert found is not None
    assert (found.model_status, found.active_version, found.active_reported) == ("active", "sha256:version", "reported")


def test_another_tenants_entry_is_not_there_whatever_is_asked(store: Store) -> None:
    add_entries(store, 5, tags=("tag",))

    def look(entries: EntryRepository) -> list[Any]:
        return [
            entries.get_live(exact_key(5)),
            entries.get(EntryId(5)),
            entries.load_vectors(FINGERPRINT, "sha256:embedder", now_ms=NOW_MS),
            entries.load_vectors_of([EntryId(5)], "sha256:embedder"),
            entries.quarantine(EntryId(5), reason="x", at_ms=NOW_MS),
            entries.count(Selection(everything=True)),
            entries.count(Selection(tag="tag")),
            entries.delete(Selection(everything=True), at_ms=NOW_MS),
            entries.list_page(after=None, limit=10, tag=None, model=None),
            entries.get_summary(EntryId(5)),
            entries.totals(),
            entries.load_eviction_candidates(10),
        ]

    found = store.entries(look, tenant=B)
    assert found == [None, None, [], [], False, 0, 0, 0, [], None, (0, 0), []]
    store.entries(lambda entries: entries.touch([(EntryId(5), 9, NOW_MS + 99)]), tenant=B)
    summary = store.entries(lambda entries: entries.get_summary(EntryId(5)))
    assert summary is not None
    assert summary.hit_count == 0


def test_two_tenants_hold_the_same_exact_key_apart(store: Store) -> None:
    add_entries(store, 1, exact_key=exact_key(9))
    add_entries(store, 2, tenant=B, exact_key=exact_key(9))
    for tenant, entry in ((A, 1), (B, 2)):
        found = store.entries(lambda entries: entries.get_live(exact_key(9)), tenant=tenant)
        assert found is not None
        assert (found.id, found.tenant_id) == (entry, tenant)


def test_a_second_live_entry_under_one_exact_key_is_refused_by_the_database_itself(store: Store) -> None:
    add_entries(store, 1)
    column = "SELECT count(*) FROM entries WHERE state = 'live'"
    copy = text(
        "INSERT INTO entries SELECT 2 AS id, tenant_id, fingerprint, exact_key, kind, source, derivation, parents, model,"
        " model_version, reported, embedder, state, state_reason, created_at_ms, expires_at_ms, last_hit_at_ms, hit_count,"
        " prompt_tokens, output_tokens, cost_micro, size_bytes, payload, vector, receipt_id, embedding_statement"
        " FROM entries WHERE id = 1"
    )
    with pytest.raises(Conflict):
        store.run(lambda c: c.execute(copy))
    assert store.run(lambda c: c.execute(text(column)).scalar_one()) == 1


def test_an_entry_takes_the_place_of_the_live_one_under_its_key(store: Store) -> None:
    add_entries(store, 1, tags=("old",))
    add_entries(store, 2, exact_key=exact_key(1), tags=("new",))
    found = store.entries(lambda entries: entries.get_live(exact_key(1)))
    assert found is not None
    assert found.id == 2
    assert store.entries(lambda entries: entries.totals()) == (1, 1002)
    assert store.entries(lambda entries: entries.count(Selection(tag="old"))) == 0
    assert feed_of(store) == [("add", 1), ("remove", 1), ("add", 2)]


def test_writers_racing_for_one_exact_key_leave_one_live_entry(store: Store) -> None:
    other = store.open()

    async def work() -> None:
        writes = [
            database.write(
                lambda c, number=number: EntryRepository(c, A).add(new_entry(number, exact_key=exact_key(0)))
            )
            for number, database in enumerate([store.database, other] * 10, start=1)
        ]
        await asyncio.gather(*writes)

    asyncio.run(work())
    assert store.entries(lambda entries: entries.totals())[0] == 1
    operations = [operation for operation, _ in feed_of(store)]
    assert (operations.count("add"), operations.count("remove")) == (20, 19)


def test_a_quarantined_entry_is_kept_and_not_served(store: Store) -> None:
    add_entries(store, 1)
    assert store.entries(lambda entries: entries.quarantine(EntryId(1), reason="r" * 300, at_ms=NOW_MS)) is True
    assert store.entries(lambda entries: entries.quarantine(EntryId(1), reason="again", at_ms=NOW_MS)) is False
    assert store.entries(lambda entries: entries.get_live(exact_key(1))) is None
    assert store.entries(lambda entries: entries.load_vectors(FINGERPRINT, "sha256:embedder", now_ms=NOW_MS)) == []
    assert store.entries(lambda entries: entries.load_vectors_of([EntryId(1)], "sha256:embedder")) == []
    kept = store.entries(lambda entries: entries.get_summary(EntryId(1)))
    assert kept is not None
    assert (kept.state, kept.state_reason) == ("quarantined", "r" * 200)
    assert feed_of(store) == [("add", 1), ("remove", 1)]


def test_a_quarantined_entry_makes_room_for_a_fresh_one_under_its_key(store: Store) -> None:
    add_entries(store, 1)
    store.entries(lambda entries: entries.quarantine(EntryId(1), reason="bad", at_ms=NOW_MS))
    add_entries(store, 2, exact_key=exact_key(1))
    found = store.entries(lambda entries: entries.get_live(exact_key(1)))
    assert found is not None
    assert found.id == 2
    assert store.entries(lambda entries: entries.totals())[0] == 2


def test_vectors_are_loaded_by_partition_embedder_and_age(store: Store) -> None:
    add_entries(store, 3, 1)
    add_entries(store, 4, fingerprint=b"\1" * 32)
    add_entries(store, 5, embedder="sha256:other")
    add_entries(store, 6, vector=None, embedder=None)
    add_entries(store, 7, expires_at_ms=NOW_MS)
    loaded = store.entries(lambda entries: entries.load_vectors(FINGERPRINT, "sha256:embedder", now_ms=NOW_MS))
    assert loaded == [(1, b"vector 1"), (3, b"vector 3")]
    first = store.entries(lambda entries: entries.load_vectors(FINGERPRINT, "sha256:embedder", now_ms=NOW_MS, limit=1))
    rest = store.entries(lambda entries: entries.load_vectors(FINGERPRINT, "sha256:embedder", now_ms=NOW_MS, after=1))
    assert [*first, *rest] == loaded
    wanted = [EntryId(number) for number in (1, 5, 6, 99)]
    assert store.entries(lambda entries: entries.load_vectors_of(wanted, "sha256:embedder")) == [(1, b"vector 1")]


SELECTIONS = {
    "entry": (Selection(entry=EntryId(2)), {2}),
    "tag": (Selection(tag="red"), {1, 2}),
    "model version": (Selection(model_version="sha256:other"), {3}),
    "age": (Selection(created_before_ms=NOW_MS + 3), {1, 2}),
    "two at once": (Selection(tag="red", created_before_ms=NOW_MS + 2), {1}),
    "all": (Selection(everything=True), {1, 2, 3, 4}),
    "all of a tag": (Selection(everything=True, tag="red"), {1, 2}),
    "nothing": (Selection(tag="no such tag"), set()),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_selection_counts_and_deletes_exactly_what_it_means(store: Store, name: str) -> None:
    selection, expected = SELECTIONS[name]
    add_entries(store, 1, 2, tags=("red", "blue", "red"))
    add_entries(store, 3, model_version="sha256:other")
    add_entries(store, 4)
    add_entries(store, 5, tenant=B, tags=("red",))
    assert store.entries(lambda entries: entries.count(selection)) == len(expected)
    head = store.database.read_now(get_feed_head)
    assert store.entries(lambda entries: entries.delete(selection, at_ms=NOW_MS)) == len(expected)
    kept = store.entries(lambda entries: [number for number in range(1, 6) if entries.get(EntryId(number))])
    assert set(kept) == {1, 2, 3, 4} - expected
    assert set(feed_of(store, after=head)) == {("remove", number) for number in expected}
    assert store.entries(lambda entries: entries.totals(), tenant=B)[0] == 1


def test_a_selection_without_a_condition_means_nothing_and_is_refused(store: Store) -> None:
    add_entries(store, 1)
    for work in (
        lambda entries: entries.count(Selection()),
        lambda entries: entries.delete(Selection(), at_ms=NOW_MS),
    ):
        with pytest.raises(ValueError, match="ask for everything by name"):
            store.entries(work)
    assert store.entries(lambda entries: entries.totals())[0] == 1


def test_deleting_one_entry_that_is_not_there_says_so(store: Store) -> None:
    with pytest.raises(NotFound):
        store.entries(lambda entries: entries.delete_one(EntryId(1), at_ms=NOW_MS))


def test_pages_go_from_the_newest_on_and_filter(store: Store) -> None:
    add_entries(store, 1, 2, tags=("red", "blue"))
    add_entries(store, 3, model="other", vector=None, embedder=None)

    def page(**options: Any) -> list[int]:
        given = {"after": None, "limit": 10, "tag": None, "model": None, **options}
        return [row.id for row in store.entries(lambda entries: entries.list_page(**given))]

    assert page() == [3, 2, 1]
    assert page(limit=2) == [3, 2]
    assert page(after=EntryId(2)) == [1]
    assert page(tag="red") == [2, 1]
    assert page(model="other") == [3]
    second = store.entries(lambda entries: entries.get_summary(EntryId(2)))
    third = store.entries(lambda entries: entries.get_summary(EntryId(3)))
    assert second is not None
    assert third is not None
    assert (second.tags, second.matched_by_meaning) == (("blue", "red"), True)
    assert (third.tags, third.matched_by_meaning) == ((), False)


def test_hits_add_up_and_eviction_sees_the_least_recently_hit_first(store: Store) -> None:
    add_entries(store, 1, 2, 3)
    store.entries(lambda entries: entries.touch([(EntryId(1), 2, NOW_MS + 500), (EntryId(2), 1, NOW_MS + 400)]))
    store.entries(lambda entries: entries.touch([(EntryId(1), 3, NOW_MS + 600)]))
    store.entries(lambda entries: entries.touch([]))
    rows = store.entries(lambda entries: entries.load_eviction_candidates(10))
    assert [(row[0], row[1], row[2]) for row in rows] == [
        (3, NOW_MS + 3, 0),
        (2, NOW_MS + 400, 1),
        (1, NOW_MS + 600, 5),
    ]
    assert rows[0] == (3, NOW_MS + 3, 0, NOW_MS + 3, 33, 1003)
    assert len(store.entries(lambda entries: entries.load_eviction_candidates(2))) == 2
    assert store.entries(lambda entries: entries.totals()) == (3, 3006)


def test_sweeping_deletes_what_expired_of_all_tenants_a_batch_at_a_time(store: Store) -> None:
    add_entries(store, 1, 2, expires_at_ms=NOW_MS, tags=("red",))
    add_entries(store, 3, tenant=B, expires_at_ms=NOW_MS - 1)
    add_entries(store, 4)
    old = [new_lookup("old 1", expires_at_ms=NOW_MS), new_lookup("old 2", expires_at_ms=NOW_MS), new_lookup("new")]
    store.run(lambda c: LookupRepository(c, A).add_many(old))
    head = store.database.read_now(get_feed_head)
    assert store.run(lambda c: sweep_expired(c, now_ms=NOW_MS, limit=2)) == (2, 2)
    assert store.run(lambda c: sweep_expired(c, now_ms=NOW_MS, limit=2)) == (1, 0)
    assert store.run(lambda c: sweep_expired(c, now_ms=NOW_MS, limit=2)) == (0, 0)
    assert store.entries(lambda entries: entries.totals())[0] == 1
    assert {entry for _, entry in feed_of(store, after=head)} == {1, 2, 3}
    assert [row.id for row in store.run(lambda c: LookupRepository(c, A).list_since(0))] == ["new"]


# Lookups, labels and usage.


def test_a_lookup_comes_back_as_it_was_recorded_and_only_to_its_tenant(store: Store) -> None:
    made = new_lookup("one", outcome="hit", tier="private", entry_id=EntryId(2**62), detail=None)
    store.run(lambda c: LookupRepository(c, A).add_many([made, new_lookup("two", at_ms=NOW_MS + 1)]))
    assert store.run(lambda c: LookupRepository(c, A).get(LookupId("one"))) == made
    assert store.run(lambda c: LookupRepository(c, B).get(LookupId("one"))) is None
    assert [row.id for row in store.run(lambda c: LookupRepository(c, A).list_since(NOW_MS + 1))] == ["two"]
    assert [row.id for row in store.run(lambda c: LookupRepository(c, A).list_since(0, limit=1))] == ["one"]


def test_a_persons_word_is_never_overwritten_by_a_free_label(store: Store) -> None:
    def label(value: str, kind: str, *, tenant: TenantId = A) -> bool:
        return store.run(
            lambda c: LookupRepository(c, tenant).set_label(LookupId("one"), label=value, kind=kind, at_ms=NOW_MS)
        )

    store.run(lambda c: LookupRepository(c, A).add_many([new_lookup("one")]))
    assert label("wrong", "feedback", tenant=B) is False
    assert label("right", "equal") is True
    assert label("wrong", "embedding") is True
    assert label("right", "feedback") is True
    assert label("wrong", "equal") is False
    assert store.run(lambda c: LookupRepository(c, A).count_labels()) == {("right", "feedback"): 1}
    assert label("wrong", "feedback") is True
    assert store.run(lambda c: LookupRepository(c, A).count_labels()) == {("wrong", "feedback"): 1}


def test_usage_adds_up_per_day_key_model_outcome_and_tier(store: Store) -> None:
    later = new_usage(day="2026-09-22")
    store.run(lambda c: LookupRepository(c, A).add_usage([new_usage(), later]))
    store.run(lambda c: LookupRepository(c, A).add_usage([new_usage(requests=4), new_usage(outcome="miss", tier="")]))
    store.run(lambda c: LookupRepository(c, B).add_usage([new_usage(requests=100)]))
    rows = store.run(lambda c: LookupRepository(c, A).sum_usage(since_day="2026-09-21"))
    assert sorted(rows, key=lambda row: (row.day, row.outcome)) == [
        new_usage(requests=5, saved_prompt_tokens=20, saved_output_tokens=40, saved_micro=60, latency_us=800),
        new_usage(outcome="miss", tier=""),
        later,
    ]
    assert store.run(lambda c: LookupRepository(c, A).sum_usage(since_day="2026-09-22")) == [later]


def test_deleting_a_tenants_records_leaves_the_others(store: Store) -> None:
    for tenant in (A, B):
        store.run(lambda c, tenant=tenant: LookupRepository(c, tenant).add_many([new_lookup(f"of {tenant}")]))
        store.run(lambda c, tenant=tenant: LookupRepository(c, tenant).add_usage([new_usage()]))
    store.run(lambda c: LookupRepository(c, A).delete_all())
    assert [len(store.run(lambda c, t=t: LookupRepository(c, t).list_since(0))) for t in (A, B)] == [0, 1]
    assert [len(store.run(lambda c, t=t: LookupRepository(c, t).sum_usage(since_day=""))) for t in (A, B)] == [0, 1]


# Policies, keys, data keys.


def test_policies_are_only_added_and_the_newest_is_active(store: Store) -> None:
    assert store.run(lambda c: PolicyRepository(c, A).get_active()) is None
    for number in (1, 2):
        made = store.run(lambda c, n=number: PolicyRepository(c, A).add(f"{n}", "d", at_ms=NOW_MS, created_by="me"))
        assert made.version == number
    assert store.run(lambda c: PolicyRepository(c, B).get_active()) is None
    active = store.run(lambda c: PolicyRepository(c, A).get_active())
    assert active is not None
    assert active.document == "2"
    assert [row.version for row in store.run(lambda c: PolicyRepository(c, A).list_versions())] == [2, 1]


def test_a_policy_changed_in_the_meantime_is_a_conflict(store: Store) -> None:
    def add(expected: int) -> int:
        return store.run(
            lambda c: PolicyRepository(c, A).add("{}", "d", at_ms=NOW_MS, created_by="me", expected_version=expected)
        ).version

    assert add(0) == 1
    with pytest.raises(Conflict, match="at version 1, not 0"):
        add(0)
    assert add(1) == 2


def test_a_key_is_found_with_its_tenants_organisation_and_status(store: Store) -> None:
    made = new_key("one", expires_at_ms=NOW_MS + 5)
    store.run(lambda c: KeyRepository(c, A).add(made))
    assert store.run(lambda c: PlatformRepository(c).find_key(KeyId("one"))) == (made, "org_1", "active")
    assert store.run(lambda c: PlatformRepository(c).find_key(KeyId("none"))) is None
    store.run(lambda c: PlatformRepository(c).set_tenant_status(A, "suspended"))
    found = store.run(lambda c: PlatformRepository(c).find_key(KeyId("one")))
    assert found is not None
    assert found[2] == "suspended"


def test_a_key_is_revoked_once_and_by_its_own_tenant(store: Store) -> None:
    store.run(lambda c: KeyRepository(c, A).add(new_key("one")))
    with pytest.raises(NotFound):
        store.run(lambda c: KeyRepository(c, B).revoke(KeyId("one"), at_ms=NOW_MS))
    store.run(lambda c: KeyRepository(c, A).revoke(KeyId("one"), at_ms=NOW_MS))
    store.run(lambda c: KeyRepository(c, A).revoke(KeyId("one"), at_ms=NOW_MS + 9))
    assert store.run(lambda c: KeyRepository(c, A).get(KeyId("one"))).revoked_at_ms == NOW_MS


def test_a_key_that_ends_sooner_is_not_made_to_last_longer(store: Store) -> None:
    store.run(lambda c: KeyRepository(c, A).add(new_key("soon", expires_at_ms=NOW_MS + 5)))
    store.run(lambda c: KeyRepository(c, A).add(new_key("never")))
    for key in ("soon", "never"):
        store.run(lambda c, key=key: KeyRepository(c, A).expire(KeyId(key), at_ms=NOW_MS + 100))
    ends = {row.key_id: row.expires_at_ms for row in store.run(lambda c: KeyRepository(c, A).list_all())}
    assert ends == {"soon": NOW_MS + 5, "never": NOW_MS + 100}


def test_a_key_for_another_tenant_cannot_be_stored(store: Store) -> None:
    with pytest.raises(ValueError, match="another tenant"):
        store.run(lambda c: KeyRepository(c, A).add(new_key("one", B)))
    with pytest.raises(ValueError, match="no tenant"):
        store.run(lambda c: PlatformRepository(c).add_platform_key(new_key("one", A)))


def test_platform_keys_stand_apart(store: Store) -> None:
    made = new_key("root", None)
    store.run(lambda c: PlatformRepository(c).add_platform_key(made))
    assert store.run(lambda c: PlatformRepository(c).list_platform_keys()) == [made]
    assert store.run(lambda c: PlatformRepository(c).find_key(KeyId("root"))) == (made, None, None)
    assert store.run(lambda c: KeyRepository(c, A).list_all()) == []


def test_data_keys_are_kept_per_epoch_replaced_and_destroyed(store: Store) -> None:
    def run(work: Callable[[DataKeyRepository], Any], tenant: TenantId = A) -> Any:
        return store.run(lambda c: work(DataKeyRepository(c, tenant)))

    assert run(lambda keys: keys.newest_created_at_ms()) is None
    for epoch in (1, 2):
        for tenant in (A, B):
            key = WrappedDataKey(tenant, epoch, b"wrapped %d" % epoch, "kek-1")
            run(lambda keys, key=key, epoch=epoch: keys.add(key, at_ms=NOW_MS + epoch), tenant)
    with pytest.raises(Conflict):
        run(lambda keys: keys.add(WrappedDataKey(A, 2, b"again", "kek-1"), at_ms=NOW_MS))
    run(lambda keys: keys.replace(WrappedDataKey(A, 1, b"anew", "kek-2")))
    assert [(key.epoch, key.wrapped, key.kek_id) for key in run(lambda keys: keys.list_all())] == [
        (1, b"anew", "kek-2"),
        (2, b"wrapped 2", "kek-1"),
    ]
    assert run(lambda keys: keys.newest_created_at_ms()) == NOW_MS + 2
    assert run(lambda keys: keys.has(2)) is True
    assert run(lambda keys: keys.destroy_all()) == 2
    assert run(lambda keys: keys.has(2)) is False
    assert len(run(lambda keys: keys.list_all(), B)) == 2


@pytest.mark.parametrize("repository", [EntryRepository, LookupRepository, PolicyRepository, KeyRepository])
def test_a_repository_of_a_tenants_rows_cannot_be_made_without_a_tenant(
    store: Store, repository: type[TenantRepository]
) -> None:
    def make(connection: Connection) -> None:
        with pytest.raises(TypeError):
            repository(connection)  # type: ignore[call-arg]
        for nobody in ("", None):
            with pytest.raises(ValueError, match="tenant"):
                repository(connection, nobody)  # type: ignore[arg-type]

    store.database.read_now(make)


# The platform.


def add_model(store: Store, alias: str = "model") -> None:
    upstream = UpstreamRecord("upstream", "openai", "https://upstream.example", None, False, NOW_MS)
    store.run(lambda c: PlatformRepository(c).put_upstream(upstream))
    store.run(lambda c: PlatformRepository(c).put_model(ModelRecord(alias, "upstream", "m", None, None, 1, 2, NOW_MS)))


def test_names_are_unique_where_they_must_be(store: Store) -> None:
    with pytest.raises(Conflict):
        store.run(
            lambda c: PlatformRepository(c).add_organisation(
                OrganisationRecord(OrganisationId("org_2"), "first", NOW_MS)
            )
        )
    with pytest.raises(Conflict):
        store.run(
            lambda c: PlatformRepository(c).add_tenant(
                TenantRecord(TenantId("ten_c"), OrganisationId("org_1"), A, "active", "{}", NOW_MS)
            )
        )


def test_organisations_and_tenants_are_found(store: Store) -> None:
    platform: Callable[[Callable[[PlatformRepository], Any]], Any] = lambda work: store.run(  # noqa: E731
        lambda c: work(PlatformRepository(c))
    )
    assert platform(lambda p: p.find_organisation("first")).id == "org_1"
    assert platform(lambda p: p.find_organisation("second")) is None
    assert [row.id for row in platform(lambda p: p.list_tenants())] == [A, B]
    platform(lambda p: p.set_tenant_quota(A, '{"a":1}'))
    assert platform(lambda p: p.get_tenant(A)).quota == '{"a":1}'
    for missing in (
        lambda p: p.get_organisation(OrganisationId("no")),
        lambda p: p.get_tenant(TenantId("no")),
        lambda p: p.set_tenant_status(TenantId("no"), "active"),
        lambda p: p.delete_model("no"),
    ):
        with pytest.raises(NotFound):
            platform(missing)


def test_upstreams_models_and_meta_take_the_place_of_their_namesakes(store: Store) -> None:
    add_model(store)
    add_model(store)
    store.run(lambda c: PlatformRepository(c).set_meta("name", "1"))
    store.run(lambda c: PlatformRepository(c).set_meta("name", "2"))
    assert store.run(lambda c: PlatformRepository(c).get_meta("name")) == "2"
    assert [row.alias for row in store.run(lambda c: PlatformRepository(c).list_models())] == ["model"]
    assert [row.allow_private for row in store.run(lambda c: PlatformRepository(c).list_upstreams())] == [False]
    store.run(lambda c: PlatformRepository(c).delete_model("model"))
    assert store.run(lambda c: PlatformRepository(c).list_models()) == []


def activate(store: Store, version: str, *, alias: str = "model", reported: str = "r", at_ms: int = NOW_MS) -> Any:
    record = ModelVersionRecord(version, reported, "active", None, at_ms)
    return store.run(lambda c: PlatformRepository(c).activate_version(alias, record))


def statuses(store: Store) -> dict[tuple[str, str], str]:
    rows = store.run(lambda c: PlatformRepository(c).list_model_versions())
    return {(row.model_version, row.reported): row.status for row in rows}


def test_a_new_model_version_supersedes_the_one_before(store: Store) -> None:
    add_model(store)
    assert activate(store, "v1") is None
    assert activate(store, "v1") is None
    assert activate(store, "v2") == "v1"
    assert statuses(store) == {("v1", "r"): "superseded", ("v2", "r"): "active"}
    assert activate(store, "v1") == "v2"
    assert statuses(store) == {("v1", "r"): "active", ("v2", "r"): "superseded"}
    with pytest.raises(NotFound):
        activate(store, "v1", alias="no such model")


def test_a_new_name_reported_under_one_version_supersedes_too(store: Store) -> None:
    add_model(store)
    activate(store, "v1", reported="march")
    assert activate(store, "v1", reported="april") == "v1"
    assert statuses(store) == {("v1", "march"): "superseded", ("v1", "april"): "active"}


def test_a_version_that_another_alias_still_uses_is_not_superseded(store: Store) -> None:
    add_model(store)
    add_model(store, "second")
    activate(store, "v1")
    activate(store, "v1", alias="second")
    activate(store, "v2")
    assert statuses(store) == {("v1", "r"): "active", ("v2", "r"): "active"}


def test_a_revoked_version_stays_revoked(store: Store) -> None:
    add_model(store)
    activate(store, "v1")
    assert store.run(lambda c: PlatformRepository(c).set_version_status("v1", "revoked")) == 1
    activate(store, "v1")
    assert statuses(store) == {("v1", "r"): "revoked"}
    activate(store, "v2")
    activate(store, "v1")
    assert statuses(store)["v1", "r"] == "revoked"


# Repeatable requests.


def claim(store: Store, *, key: str = "key", digest: int = 1, at_ms: int = NOW_MS) -> Any:
    return store.run(lambda c: IdempotencyRepository(c, KeyId(key)).claim("name", bytes([digest]) * 32, now_ms=at_ms))


def test_a_repeated_request_is_told_from_a_new_one(store: Store) -> None:
    assert claim(store) == Claimed()
    assert claim(store) == InFlight()
    assert claim(store, digest=2) == OtherRequest()
    assert claim(store, key="another") == Claimed()
    store.run(lambda c: IdempotencyRepository(c, KeyId("key")).finish("name", status=201, response=b"\0answer"))
    assert claim(store) == Answered(201, b"\0answer")
    assert claim(store, key="another") == InFlight()


def test_a_request_that_did_nothing_or_is_a_day_old_may_be_sent_anew(store: Store) -> None:
    claim(store)
    store.run(lambda c: IdempotencyRepository(c, KeyId("key")).release("name"))
    assert claim(store, digest=2) == Claimed()
    assert claim(store, digest=3, at_ms=NOW_MS + KEPT_MS) == Claimed()


def test_of_two_processes_that_claim_one_name_one_gets_it(store: Store) -> None:
    other = store.open()

    async def work() -> list[Any]:
        run = lambda c: IdempotencyRepository(c, KeyId("key")).claim("name", bytes(32), now_ms=NOW_MS)  # noqa: E731
        return await asyncio.gather(*(database.write(run) for database in [store.database, other] * 5))

    found = asyncio.run(work())
    assert found.count(Claimed()) == 1
    assert found.count(InFlight()) == 9


# The platform's keys and every tenant's data keys.


def test_a_new_key_encryption_key_reaches_every_tenants_data_keys_or_none(store: Store) -> None:
    def add(connection: Connection) -> None:
        for tenant, epoch, kek in ((A, 1, "kek-old"), (A, 2, "kek-new"), (B, 1, "kek-old")):
            DataKeyRepository(connection, tenant).add(WrappedDataKey(tenant, epoch, b"old", kek), at_ms=NOW_MS)

    assert store.database.read_now(list_wrapping_keys) == frozenset()
    store.run(add)
    assert store.database.read_now(list_wrapping_keys) == {"kek-old", "kek-new"}

    def fails_on_the_second(record: WrappedDataKey) -> WrappedDataKey:
        if record.tenant == B:
            raise ValueError
        return replace(record, wrapped=b"new", kek_id="kek-new")

    with pytest.raises(ValueError):
        store.run(lambda c: rewrap_data_keys(c, fails_on_the_second, key_id="kek-new"))
    assert store.database.read_now(list_wrapping_keys) == {"kek-old", "kek-new"}
    rewrap = lambda record: replace(record, wrapped=b"new", kek_id="kek-new")  # noqa: E731
    assert store.run(lambda c: rewrap_data_keys(c, rewrap, key_id="kek-new")) == 2
    assert store.database.read_now(list_wrapping_keys) == {"kek-new"}
    found = store.run(lambda c: DataKeyRepository(c, A).list_all())
    assert [(key.epoch, key.wrapped) for key in found] == [(1, b"new"), (2, b"old")]


# The audit log.


def add_audit(store: Store, count: int = 3) -> None:
    for number in range(count):
        event = AuditEvent("actor", A if number % 2 else None, "action", f"target {number}", {"number": number})
        store.run(lambda c, e=event, n=number: append_audit(c, e, at_ms=NOW_MS + n))


def test_the_audit_log_is_a_chain_that_fits(store: Store) -> None:
    assert store.database.read_now(verify_audit_chain) is None
    add_audit(store)
    assert store.database.read_now(verify_audit_chain) is None
    rows = store.database.read_now(lambda c: list_audit(c, tenant=None, after=0, limit=10))
    assert [row.target for row in rows] == ["target 0", "target 1", "target 2"]
    own = store.database.read_now(lambda c: list_audit(c, tenant=A, after=0, limit=10))
    assert [row.target for row in own] == ["target 1"]


TAMPERED = {
    "seq": "99",
    "at_ms": "-1",
    "actor": "'somebody else'",
    "tenant_id": "'ten_b'",
    "action": "'another'",
    "target": "'another'",
    "detail": "'{}'",
}


@pytest.mark.parametrize("column", [*TAMPERED, "previous_hash", "hash"])
def test_any_changed_column_of_the_audit_log_is_found(store: Store, column: str) -> None:
    add_audit(store)
    value = TAMPERED.get(column, "(SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1)")
    middle = store.database.read_now(lambda c: list_audit(c, tenant=None, after=0, limit=10))[1].seq
    store.run(lambda c: c.execute(text(f"UPDATE audit_log SET {column} = {value} WHERE seq = {middle}")))
    assert store.database.read_now(verify_audit_chain) is not None


def test_rows_renumbered_in_their_order_are_found(store: Store) -> None:
    add_audit(store)
    store.run(lambda c: c.execute(text("UPDATE audit_log SET seq = 99 WHERE seq = 3")))
    assert store.database.read_now(verify_audit_chain) == 99


def test_an_event_moved_from_one_tenant_to_the_platform_is_found(store: Store) -> None:
    add_audit(store, 2)
    store.run(lambda c: c.execute(text("UPDATE audit_log SET tenant_id = NULL WHERE tenant_id IS NOT NULL")))
    assert store.database.read_now(verify_audit_chain) is not None


def test_a_removed_row_of_the_audit_log_is_found(store: Store) -> None:
    add_audit(store)
    rows = store.database.read_now(lambda c: list_audit(c, tenant=None, after=0, limit=10))
    store.run(lambda c: c.execute(text(f"DELETE FROM audit_log WHERE seq = {rows[1].seq}")))
    assert store.database.read_now(verify_audit_chain) == rows[2].seq


def test_a_change_that_fails_leaves_no_audit_row(store: Store) -> None:
    def fails(connection: Connection) -> None:
        append_audit(connection, AuditEvent("actor", None, "action", "target", {}), at_ms=NOW_MS)
        raise ValueError

    with pytest.raises(ValueError):
        store.run(fails)
    assert store.database.read_now(lambda c: list_audit(c, tenant=None, after=0, limit=10)) == []
