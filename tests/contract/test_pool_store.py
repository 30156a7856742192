"""What the store promises of votes, releases, items and shares, held by SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from server.store.data_keys import list_wrapping_keys, rewrap_data_keys
from server.store.errors import Conflict, LeaseLost, NotFound, StoreError
from server.store.log_records import NewHit
from server.store.platform import PlatformRepository
from server.store.pool import PoolRepository
from server.store.pool_items import POOL_TENANT_META, PoolItemRepository
from server.store.pool_records import (
    EpochRecord,
    FinishedRelease,
    NewItem,
    PoolAnswer,
    ProfileRecord,
    Share,
    StoredVote,
)
from server.store.receipts import HitRepository
from server.store.retention import ProofRetention
from server.store.shares import ShareRepository, count_published, find_of_item, list_orphans, list_waiting
from server.store.suppressions import SuppressionRepository
from server.store.tenancy import DataKeyRepository
from server.store.vote_keys import VOTES, VoteKeyRepository
from server.store.votes import VoteRepository
from tenants.data_keys import WrappedDataKey
from tenants.identifiers import EntryId, TenantId
from tests.contract.stores import NOW_MS, A, B, Store, new_entry, open_store
from tests.ledger_worlds import LedgerWorld, begin, check_releases, finish

Result = TypeVar("Result")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as found:
        yield found


@pytest.fixture
def world(store: Store, tmp_path: Path) -> LedgerWorld:
    return LedgerWorld(store.database, tmp_path / "log-key").prepare()


def tag(number: int) -> bytes:
    return number.to_bytes(16, "big")


def vote(store: Store, voter: int, text: int, *, epoch: int = 1, period: int = 0, keys_max: int = 2) -> int | None:
    return store.run(
        lambda c: VoteRepository(c).take_place(
            epoch, period, voter=tag(voter), tag=tag(1000 * voter + text), sealed=b"vote %d" % text, keys_max=keys_max
        )
    )


def pool(store: Store, work: Callable[[PoolRepository], Result]) -> Result:
    return store.run(lambda connection: work(PoolRepository(connection)))


def items(store: Store, work: Callable[[PoolItemRepository], Result]) -> Result:
    return store.run(lambda connection: work(PoolItemRepository(connection)))


def shares(store: Store, work: Callable[[ShareRepository], Result], tenant: TenantId = A) -> Result:
    return store.run(lambda connection: work(ShareRepository(connection, tenant)))


def suppressions(store: Store, work: Callable[[SuppressionRepository], Result], tenant: TenantId = A) -> Result:
    return store.run(lambda connection: work(SuppressionRepository(connection, tenant)))


def new_item(number: int, release: int = 1, **changes: Any) -> NewItem:
    return replace(NewItem(number, release, "pooled", "plain", b"sealed %d" % number, NOW_MS), **changes)


def new_share(entry: int, **changes: Any) -> Share:
    return replace(Share(EntryId(entry), "labelled", None, 8_000, None, None, NOW_MS), **changes)


# Votes.


def test_a_vote_takes_the_next_place_until_none_is_left(store: Store) -> None:
    assert [vote(store, 1, text) for text in (1, 2, 3)] == [0, 1, None]
    assert vote(store, 2, 1) == 0
    assert store.run(lambda c: VoteRepository(c).count(1)) == 3
    assert store.run(lambda c: VoteRepository(c).count_voters(1)) == 2


def test_a_question_votes_once_per_period_whatever_the_epoch(store: Store) -> None:
    assert vote(store, 1, 1) == 0
    assert vote(store, 1, 1) is None
    assert vote(store, 1, 1, epoch=2) is None
    assert vote(store, 1, 1, epoch=3, period=1) == 0


def test_a_question_that_found_no_place_may_vote_in_a_later_epoch(store: Store) -> None:
    assert [vote(store, 1, text, keys_max=1) for text in (1, 2)] == [0, None]
    assert vote(store, 1, 2, epoch=2, keys_max=1) == 0


def test_votes_come_back_voter_by_voter_in_the_order_of_their_places(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.store.votes.PAGE", 2)
    for voter, text in ((2, 1), (1, 9), (1, 3), (2, 2), (3, 5)):
        vote(store, voter, text)
    vote(store, 4, 1, epoch=2)
    found = store.run(lambda c: list(VoteRepository(c).load(1)))
    expected = [(1, 0, 9), (1, 1, 3), (2, 0, 1), (2, 1, 2), (3, 0, 5)]
    assert found == [StoredVote(tag(voter), place, b"vote %d" % text) for voter, place, text in expected]
    assert store.run(lambda c: VoteRepository(c).list_epochs()) == [1, 2]


def test_an_epoch_that_was_paid_for_takes_no_votes_any_more(store: Store, world: LedgerWorld) -> None:
    assert vote(store, 1, 1) == 0
    world.begin(epoch=1)
    assert vote(store, 1, 2) is None
    assert vote(store, 1, 2, epoch=2) == 0


@pytest.mark.parametrize(("state", "place"), [("open", 0), ("empty", None), ("exhausted", None)])
def test_an_epoch_that_ended_without_a_release_takes_no_votes_any_more(
    store: Store, state: Any, place: int | None
) -> None:
    pool(store, lambda repository: repository.put_epoch(EpochRecord(1, "pooled", state, None, None, NOW_MS)))
    assert vote(store, 1, 1) == place


def test_votes_are_deleted_by_epoch_and_what_was_voted_for_by_period(store: Store) -> None:
    vote(store, 1, 1)
    vote(store, 1, 2, epoch=2)
    assert store.run(lambda c: VoteRepository(c).delete(1)) == 1
    assert store.run(lambda c: VoteRepository(c).list_epochs()) == [2]
    assert vote(store, 1, 1, epoch=2) is None
    assert store.run(lambda c: VoteRepository(c).forget_voted(before_period=1)) == 2
    assert vote(store, 1, 1, epoch=2) == 1


def test_deleted_votes_are_overwritten_where_the_database_can(store: Store, tmp_path: Path) -> None:
    if store.kind == "postgresql":
        assert store.run(lambda c: VoteRepository(c).delete(1)) == 0
        return
    from server.store.erasure import empty_journal

    secret = b"what nobody may read" * 3
    store.run(lambda c: VoteRepository(c).take_place(1, 0, voter=tag(1), tag=tag(2), sealed=secret, keys_max=2))
    store.database.read_now(empty_journal)
    assert secret in (tmp_path / "store.db").read_bytes()
    store.run(lambda c: VoteRepository(c).delete(1))
    store.database.read_now(empty_journal)
    assert secret not in (tmp_path / "store.db").read_bytes()


def test_tags_of_another_length_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        store.run(lambda c: VoteRepository(c).take_place(1, 0, voter=b"x", tag=tag(1), sealed=b"", keys_max=2))


# Vote keys.


def test_an_epoch_has_one_vote_key_until_it_is_destroyed(store: Store) -> None:
    key = WrappedDataKey(VOTES, 7, b"wrapped", "kek-1")
    store.run(lambda c: VoteKeyRepository(c).add(key, at_ms=NOW_MS))
    with pytest.raises(Conflict):
        store.run(lambda c: VoteKeyRepository(c).add(key, at_ms=NOW_MS))
    assert store.run(lambda c: VoteKeyRepository(c).get(7)) == key
    assert store.run(lambda c: VoteKeyRepository(c).destroy(7))
    assert not store.run(lambda c: VoteKeyRepository(c).destroy(7))
    assert store.run(lambda c: VoteKeyRepository(c).get(7)) is None


def test_a_tenants_data_key_is_no_vote_key(store: Store) -> None:
    with pytest.raises(ValueError, match="votes alone"):
        store.run(lambda c: VoteKeyRepository(c).add(WrappedDataKey(A, 7, b"wrapped", "kek-1"), at_ms=NOW_MS))


def test_vote_keys_follow_a_new_key_encryption_key(store: Store) -> None:
    store.run(lambda c: VoteKeyRepository(c).add(WrappedDataKey(VOTES, 7, b"old", "kek-1"), at_ms=NOW_MS))
    store.run(lambda c: DataKeyRepository(c, A).add(WrappedDataKey(A, 1, b"old", "kek-2"), at_ms=NOW_MS))
    assert store.run(list_wrapping_keys) == {"kek-1", "kek-2"}
    renewed = store.run(
        lambda c: rewrap_data_keys(c, lambda key: replace(key, wrapped=b"new", kek_id="kek-3"), key_id="kek-3")
    )
    assert renewed == 2
    assert store.run(lambda c: VoteKeyRepository(c).list_all()) == [WrappedDataKey(VOTES, 7, b"new", "kek-3")]
    assert store.run(list_wrapping_keys) == {"kek-3"}


# Profiles and epochs.


def test_a_profile_never_changes_its_meaning(store: Store) -> None:
    plain = ProfileRecord("plain", None, "{}", NOW_MS)
    pool(store, lambda repository: repository.add_profile(plain))
    with pytest.raises(Conflict):
        pool(store, lambda repository: repository.add_profile(replace(plain, system="other")))
    assert pool(store, lambda repository: repository.list_profiles()) == [plain]


def test_an_epoch_ends_once(store: Store) -> None:
    opened = EpochRecord(1, "pooled", "open", None, None, NOW_MS)
    ended = replace(opened, state="empty", reason="too few", at_ms=NOW_MS + 1)
    pool(store, lambda repository: repository.put_epoch(opened))
    pool(store, lambda repository: repository.put_epoch(ended))
    with pytest.raises(Conflict, match="ended already: empty"):
        pool(store, lambda repository: repository.put_epoch(opened))
    pool(store, lambda repository: repository.put_epoch(replace(opened, epoch=2)))
    assert [one.epoch for one in pool(store, lambda repository: repository.list_epochs("pooled"))] == [2, 1]
    assert pool(store, lambda repository: repository.find_epoch(1, "pooled")) == ended
    assert pool(store, lambda repository: repository.find_epoch(1, "noised")) is None


# Releases.


def test_releases_are_numbered_through_both_modes_and_one_is_paid_for_at_a_time(
    store: Store, world: LedgerWorld
) -> None:
    first = world.begin(epoch=1)
    assert (first.number, first.attempt, first.state) == (1, 1, "spending")
    with pytest.raises(Conflict, match="release 1 is paid for"):
        world.begin(epoch=2)
    world.finish(first)
    noised = world.begin(epoch=1, mode="noised", unit="entry", vector_source="noised")
    assert (noised.number, noised.attempt) == (2, 1)
    world.finish(noised)
    assert store.run(check_releases) == 2
    assert pool(store, lambda repository: repository.find_spending()) is None
    latest = pool(store, lambda repository: repository.latest("pooled"))
    assert latest is not None
    assert (latest.number, latest.state, latest.finished_at_ms) == (1, "released", NOW_MS)


def test_a_pooled_epoch_is_released_once_and_tried_again_only_after_a_void(store: Store, world: LedgerWorld) -> None:
    first = world.begin()
    store.run(lambda c: finish(c, first, void=True))
    second = world.begin()
    assert (second.number, second.attempt) == (2, 2)
    world.finish(second)
    with pytest.raises(Conflict, match="released already"):
        world.begin()
    states = [one.state for one in pool(store, lambda repository: repository.list_releases())]
    assert states == ["released", "void"]


def test_a_release_that_was_declared_void_never_comes_out(store: Store, world: LedgerWorld) -> None:
    release = world.begin()
    store.run(lambda c: finish(c, release, void=True))
    with pytest.raises(LeaseLost):
        world.finish(release)
    found = pool(store, lambda repository: repository.get(1))
    assert (found.state, found.reason) == ("void", "the process ended")


def test_only_the_process_that_paid_brings_a_release_out(store: Store, world: LedgerWorld) -> None:
    release = world.begin(holder="one")
    with pytest.raises(LeaseLost):
        world.finish(release, holder="two")
    assert pool(store, lambda repository: repository.find_spending()) == release


def test_a_release_that_is_not_there_cannot_end(store: Store) -> None:
    with pytest.raises(LeaseLost):
        pool(store, lambda repository: repository.void(FinishedRelease(1, "{}", "sha256:0", 1, 0, 0), reason="x"))
    with pytest.raises(NotFound):
        pool(store, lambda repository: repository.get(1))


def test_releases_are_found_by_digest_and_listed_newest_first(store: Store, world: LedgerWorld) -> None:
    made = [world.finish(world.begin(epoch=epoch)) for epoch in (1, 2, 3)]
    found = pool(store, lambda repository: repository.find_by_digest(made[1].digest()))
    assert found is not None
    assert found.number == 2
    assert pool(store, lambda repository: repository.find_by_digest("sha256:" + "0" * 64)) is None
    listed = pool(store, lambda repository: repository.list_releases(before_number=3, limit=1))
    assert [one.number for one in listed] == [2]
    logged = pool(store, lambda repository: repository.load_logged(after_number=1, limit=10))
    assert [(one.number, one.digest) for one in logged] == [(2, made[1].digest()), (3, made[2].digest())]


# Items and answers.


def test_items_and_answers_move_on(store: Store, world: LedgerWorld) -> None:
    release = world.begin()
    items(store, lambda repository: repository.add_many([new_item(11, release.number), new_item(12, release.number)]))
    items(store, lambda repository: repository.set_state(12, "refused", reason="url"))
    held = PoolAnswer(11, "demo", "held", b"sealed", None, None)
    items(store, lambda repository: repository.put_answer(held))
    assert items(store, lambda repository: repository.list_answers_in("held")) == [held]
    live = replace(held, state="live", held=None, entry_id=EntryId(77))
    items(store, lambda repository: repository.put_answer(live))
    items(store, lambda repository: repository.set_state(11, "live", at_ms=NOW_MS + 5))
    assert items(store, lambda repository: repository.list_answers(11)) == [live]
    assert items(store, lambda repository: repository.find_answer_of(EntryId(77))) == live
    found = items(store, lambda repository: repository.list_in("live", mode="pooled"))
    assert [(one.id, one.live_at_ms, one.sealed) for one in found] == [(11, NOW_MS + 5, b"sealed 11")]
    assert items(store, lambda repository: repository.count_by_state("pooled")) == {"live": 1, "refused": 1}
    assert [one.id for one in items(store, lambda repository: repository.list_of_release(1, after=11))] == [12]
    assert items(store, lambda repository: repository.list_in("live", mode="noised")) == []


def test_what_is_withdrawn_leaves_nothing_behind_and_does_not_come_back(store: Store, world: LedgerWorld) -> None:
    release = world.begin()
    store.run(lambda c: PlatformRepository(c).set_meta(POOL_TENANT_META, B))
    store.entries(lambda repository: repository.add(new_entry(5)), tenant=B)
    items(store, lambda repository: repository.add_many([new_item(11, release.number)]))
    items(store, lambda repository: repository.put_answer(PoolAnswer(11, "a", "live", None, EntryId(5), None)))
    items(store, lambda repository: repository.put_answer(PoolAnswer(11, "b", "live", None, EntryId(6), None)))
    items(store, lambda repository: repository.put_answer(PoolAnswer(11, "c", "held", b"sealed", None, None)))
    assert items(store, lambda repository: repository.withdraw([11], reason="revoked", at_ms=NOW_MS)) == 1
    assert store.entries(lambda repository: repository.get(EntryId(5)), tenant=B) is None
    found = items(store, lambda repository: repository.get(11))
    assert (found.state, found.sealed, found.reason) == ("withdrawn", None, "revoked")
    left = items(store, lambda repository: repository.list_answers(11))
    assert {(one.state, one.held, one.entry_id) for one in left} == {("withdrawn", None, None)}
    with pytest.raises(NotFound):
        items(store, lambda repository: repository.set_state(11, "live", at_ms=NOW_MS))


def test_entries_of_the_pool_without_a_pool_are_a_fault(store: Store, world: LedgerWorld) -> None:
    release = world.begin()
    items(store, lambda repository: repository.add_many([new_item(11, release.number)]))
    items(store, lambda repository: repository.put_answer(PoolAnswer(11, "a", "live", None, EntryId(5), None)))
    with pytest.raises(StoreError, match="there is no pool"):
        items(store, lambda repository: repository.withdraw([11], reason="revoked", at_ms=NOW_MS))


# Shares and suppressions.


def test_a_share_is_a_tenants_own(store: Store) -> None:
    shares(store, lambda repository: repository.put(new_share(1)))
    shares(store, lambda repository: repository.put(new_share(2, aliases=b"sealed")))
    assert shares(store, lambda repository: repository.find(EntryId(1)), B) is None
    with pytest.raises(NotFound):
        shares(store, lambda repository: repository.get(EntryId(1)), B)
    shares(store, lambda repository: repository.put(new_share(1, state="refused", reason="url")))
    assert shares(store, lambda repository: repository.get(EntryId(1))).reason == "url"
    listed = shares(store, lambda repository: repository.list_page(limit=10))
    assert listed == [new_share(2, aliases=b"sealed"), new_share(1, state="refused", reason="url")]
    assert shares(store, lambda repository: repository.list_page(limit=10, after=EntryId(2))) == [listed[1]]
    assert shares(store, lambda repository: repository.list_page(limit=10, state="labelled")) == [listed[0]]
    assert shares(store, lambda repository: repository.count_by_state()) == {"labelled": 1, "refused": 1}
    assert shares(store, lambda repository: repository.delete_all(), B) == 0
    assert shares(store, lambda repository: repository.delete_all()) == 2


def test_labelled_entries_wait_across_tenants_and_those_of_suspended_ones_do_not(
    store: Store, world: LedgerWorld
) -> None:
    release = world.begin()
    items(store, lambda repository: repository.add_many([new_item(11, release.number)]))
    shares(store, lambda repository: repository.put(new_share(2, at_ms=NOW_MS + 1)))
    shares(store, lambda repository: repository.put(new_share(1)))
    shares(store, lambda repository: repository.put(new_share(3, state="published", item_id=11)))
    shares(store, lambda repository: repository.put(new_share(4)), B)
    found = store.run(lambda c: list_waiting(c, due_ms=NOW_MS + 1, limit=10))
    assert [(one.tenant_id, one.share.entry_id) for one in found] == [(A, 1), (B, 4), (A, 2)]
    assert {one.organisation_id for one in found} == {"org_1"}
    store.run(lambda c: PlatformRepository(c).set_tenant_status(B, "suspended"))
    assert [one.share.entry_id for one in store.run(lambda c: list_waiting(c, due_ms=NOW_MS + 1, limit=10))] == [1, 2]
    assert [one.share.entry_id for one in store.run(lambda c: list_waiting(c, due_ms=NOW_MS, limit=10))] == [1]
    assert [one.share.entry_id for one in store.run(lambda c: list_waiting(c, due_ms=NOW_MS, limit=10))] == [1]
    assert shares(store, lambda repository: repository.list_items()) == [11]


def test_a_suppression_is_felt_by_one_tenant_and_ends_with_the_entry(store: Store) -> None:
    store.entries(lambda repository: repository.add(new_entry(5)), tenant=B)
    for _ in range(2):
        suppressions(store, lambda repository: repository.add(EntryId(5)))
    asked = [EntryId(5), EntryId(6)]
    assert suppressions(store, lambda repository: repository.find_among(asked)) == {5}
    assert suppressions(store, lambda repository: repository.find_among(asked), B) == frozenset()
    store.entries(lambda repository: repository.delete_one(EntryId(5), at_ms=NOW_MS), tenant=B)
    assert suppressions(store, lambda repository: repository.list_all()) == frozenset()
    with pytest.raises(Conflict):
        suppressions(store, lambda repository: repository.add(EntryId(5)))


def test_suppressions_are_taken_back_and_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.store.suppressions.SUPPRESSIONS_MAX", 2)
    for number in (1, 2, 3):
        store.entries(lambda repository, number=number: repository.add(new_entry(number)), tenant=B)
        suppressions(store, lambda repository, number=number: repository.add(EntryId(number)))
    assert suppressions(store, lambda repository: repository.list_all()) == {2, 3}
    assert suppressions(store, lambda repository: repository.remove(EntryId(2)))
    assert not suppressions(store, lambda repository: repository.remove(EntryId(2)))
    assert suppressions(store, lambda repository: repository.delete_all()) == 1


def test_two_releases_cannot_be_begun_at_once_even_past_the_check(store: Store, world: LedgerWorld) -> None:
    """The database itself holds that one is paid for at a time, whoever forgets to ask."""
    first = world.begin()

    def begin_blindly(connection: Any) -> None:
        repository = PoolRepository(connection)
        repository.find_spending = lambda: None  # type: ignore[method-assign]
        repository.begin(begin_of(first.epoch + 1))

    with pytest.raises(Conflict):
        store.run(begin_blindly)


def begin_of(epoch: int) -> Any:
    from server.store.pool_records import NewRelease

    return NewRelease("pooled", epoch, "question", "released_text", "two", NOW_MS)


def test_begin_in_a_transaction_that_fails_leaves_no_number_behind(store: Store, world: LedgerWorld) -> None:
    def fail(connection: Any) -> None:
        begin(connection)
        raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed"):
        store.run(fail)
    assert world.begin().number == 1


def test_a_receipt_of_the_pool_is_kept_as_long_as_anybodys_hit_on_it(store: Store) -> None:
    rows = [NewHit("hit_1", NOW_MS, "rcp_pool", "pool", b"1"), NewHit("hit_2", NOW_MS, "rcp_own", "exact", b"2")]
    store.run(lambda c: HitRepository(c, A).add_many(rows))
    asked = ["rcp_pool", "rcp_own", "rcp_none"]
    assert store.run(lambda c: ProofRetention(c, B).list_hit_on(asked)) == set()
    assert store.run(lambda c: ProofRetention(c, B).list_hit_on_by_anybody(asked)) == {"rcp_pool"}


def test_a_share_is_found_by_its_item_and_orphaned_with_its_entry(store: Store, world: LedgerWorld) -> None:
    release = world.begin()
    items(store, lambda repository: repository.add_many([new_item(11, release.number), new_item(12, release.number)]))
    store.entries(lambda repository: repository.add(new_entry(1)))
    shares(store, lambda repository: repository.put(new_share(1, state="published", item_id=11)))
    shares(store, lambda repository: repository.put(new_share(2, state="published", item_id=12)), B)
    found = store.run(lambda c: find_of_item(c, 11))
    assert found is not None
    assert (found.tenant_id, found.organisation_id, found.share.entry_id) == (A, "org_1", 1)
    assert store.run(lambda c: find_of_item(c, 13)) is None
    assert store.run(count_published) == {"org_1": 2}
    assert [one.share.entry_id for one in store.run(lambda c: list_orphans(c, limit=9))] == [2]
    store.entries(lambda repository: repository.delete_one(EntryId(1), at_ms=NOW_MS))
    assert {one.share.entry_id for one in store.run(lambda c: list_orphans(c, limit=9))} == {1, 2}
