"""What the store promises of the log, receipts and signers, held by SQLite and PostgreSQL alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from crypto.bodies import Erasure
from server.log.bodies import append_body
from server.log.fsck import check_log
from server.log.keys import ensure_log_key, load_signing_key
from server.log.sequencer import Sequencer, SequencerLimits
from server.log.storage import DirectoryStorage
from server.log.transactions import DirectTransactions
from server.log.witnesses import Witnesses
from server.store.audit_jobs import AuditJobRepository, forget_old_jobs, has_old_jobs, load_files
from server.store.errors import Conflict, LeaseLost, NotFound, StoreError
from server.store.log import LogRepository
from server.store.log_records import (
    AnnouncedPolicy,
    AuditJob,
    CheckpointRow,
    NewEvidence,
    NewHit,
    NewReceipt,
    StatusListRow,
)
from server.store.receipts import EvidenceRepository, HitRepository, ReceiptRepository, TenantLeafRepository
from server.store.retention import ProofRetention
from server.store.signers import SignerRepository
from server.store.status import AnnouncementRepository, StatusRepository
from tenants.identifiers import EntryId, TenantId
from tests.contract.stores import NOW_MS, A, B, Store, open_store
from tests.fakes import FakeClock, SeededRandom
from tests.log_worlds import hit_record, no_post
from tests.reference_tree import tree_hash

Result = TypeVar("Result")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as found:
        yield found


def leaf(number: int) -> bytes:
    return number.to_bytes(74, "big")


def log(store: Store, work: Callable[[LogRepository], Result]) -> Result:
    return store.run(lambda connection: work(LogRepository(connection)))


def append(store: Store, *numbers: int, tenant: TenantId | None = None, kind: int = 1) -> list[int]:
    def work(repository: LogRepository) -> list[int]:
        return [
            repository.append(leaf(one), kind=kind, tenant=tenant, body=b"body %d" % one, at_ms=NOW_MS + one)
            for one in numbers
        ]

    return log(store, work)


def lead(store: Store, holder: str = "one", now_ms: int = NOW_MS) -> int:
    lease = log(store, lambda repository: repository.take_lease(holder, now_ms=now_ms, lasts_ms=1000))
    assert lease is not None
    return lease.token


def checkpoint(size: int, through_seq: int, **changes: Any) -> CheckpointRow:
    return replace(CheckpointRow(size, through_seq, bytes([size]) * 32, f"note {size}", 0, NOW_MS), **changes)


# The outbox.


def test_leaves_get_their_indexes_in_the_order_of_the_outbox(store: Store) -> None:
    seqs = append(store, 1, 2, 3, 4, 5)
    token = lead(store)
    assert seqs == sorted(seqs)
    assert log(store, lambda repository: repository.assign(token, limit=3)) == 3
    assert log(store, lambda repository: repository.head()) == 3
    assert [row.leaf for row in log(store, lambda repository: repository.load_unsequenced(10))] == [leaf(4), leaf(5)]
    assert log(store, lambda repository: repository.count_unsequenced()) == (2, NOW_MS + 4)
    assert log(store, lambda repository: repository.assign(token, limit=3)) == 2
    assert log(store, lambda repository: repository.assign(token, limit=3)) == 0
    assert log(store, lambda repository: repository.load_leaves(0, 9)) == [leaf(one) for one in range(1, 6)]
    assert log(store, lambda repository: repository.load_leaves(1, 3)) == [leaf(2), leaf(3)]
    assert [log(store, lambda repository, n=n: repository.get_through_seq(n)) for n in (0, 1, 5)] == [
        0,
        seqs[0],
        seqs[4],
    ]
    with pytest.raises(NotFound):
        log(store, lambda repository: repository.get_through_seq(6))


def test_a_leaf_of_a_transaction_that_failed_is_not_there(store: Store) -> None:
    def fail(connection: Connection) -> None:
        LogRepository(connection).append(leaf(1), kind=1, tenant=A, body=None, at_ms=NOW_MS)
        raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed"):
        store.run(fail)
    assert log(store, lambda repository: repository.load_unsequenced(10)) == []


def test_writers_that_run_at_once_leave_no_hole_behind_which_a_leaf_comes_late(store: Store) -> None:
    """Numbers become visible in their order, so whoever reads to the end has missed nothing before it."""
    stop, seen = threading.Event(), list[int]()

    def watch() -> None:
        while not stop.is_set():
            now = [row.seq for row in store.database.read_now(lambda c: LogRepository(c).load_unsequenced(1000))]
            assert now[: len(seen)] == seen
            seen[:] = now

    def write(database: Any, first: int) -> None:
        async def work() -> None:
            for number in range(first, first + 20):
                await database.write(
                    lambda c, number=number: LogRepository(c).append(
                        leaf(number), kind=1, tenant=None, body=None, at_ms=NOW_MS
                    )
                )

        asyncio.run(work())

    watcher = threading.Thread(target=watch)
    watcher.start()
    writers = [threading.Thread(target=write, args=(store.open(), first)) for first in (0, 100, 200)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join(60)
    stop.set()
    watcher.join(60)
    assert len(log(store, lambda repository: repository.load_unsequenced(1000))) == 60


def test_a_leaf_is_found_by_its_number(store: Store) -> None:
    (seq,) = append(store, 7, tenant=A)
    row = log(store, lambda repository: repository.get_leaf(seq))
    assert row is not None
    assert (row.leaf, row.body, row.kind, row.tenant_id, row.leaf_index) == (leaf(7), b"body 7", 1, A, None)
    assert log(store, lambda repository: repository.get_leaf(seq + 1)) is None


def test_own_leaves_are_listed_by_kind(store: Store) -> None:
    append(store, 1, kind=3)
    append(store, 2, kind=4)
    append(store, 3, kind=3, tenant=A)
    append(store, 4, kind=3)
    token = lead(store)
    log(store, lambda repository: repository.assign(token, limit=10))
    append(store, 5, kind=3)
    found = log(store, lambda repository: repository.load_own([3], after_index=-1, limit=10))
    assert [row.leaf for row in found] == [leaf(1), leaf(4)]
    mine = store.run(lambda c: TenantLeafRepository(c, A).list_of_kinds([3], after_index=-1, limit=10))
    assert [row.leaf for row in mine] == [leaf(3)]


def test_erasing_forgets_whose_leaves_they_were_and_keeps_the_tree(store: Store) -> None:
    append(store, 1, 2, tenant=A)
    append(store, 3, tenant=B)
    token = lead(store)
    log(store, lambda repository: repository.assign(token, limit=10))
    assert store.run(lambda c: TenantLeafRepository(c, A).erase()) == 2
    rows = log(store, lambda repository: repository.load_sequenced(0, 10))
    assert [(row.leaf, row.body, row.tenant_id) for row in rows] == [
        (leaf(1), None, None),
        (leaf(2), None, None),
        (leaf(3), b"body 3", B),
    ]


# The lease.


def test_the_lease_is_held_by_one(store: Store) -> None:
    first = lead(store)
    take = log(store, lambda repository: repository.take_lease("two", now_ms=NOW_MS + 999, lasts_ms=1000))
    assert take is None
    second = lead(store, "two", NOW_MS + 1000)
    assert second > first
    with pytest.raises(LeaseLost):
        log(store, lambda repository: repository.require_lease(first))
    log(store, lambda repository: repository.require_lease(second))


def test_a_lease_can_be_renewed_and_given_back(store: Store) -> None:
    token = lead(store)
    log(store, lambda repository: repository.renew_lease(token, now_ms=NOW_MS + 900, lasts_ms=1000))
    assert log(store, lambda repository: repository.take_lease("two", now_ms=NOW_MS + 1500, lasts_ms=1000)) is None
    log(store, lambda repository: repository.release_lease(token))
    assert lead(store, "two", NOW_MS + 1500) == token + 1
    log(store, lambda repository: repository.release_lease(token))  # too late, and without effect
    log(store, lambda repository: repository.require_lease(token + 1))


def test_the_lease_is_taken_by_one_of_two_that_try_at_once(store: Store) -> None:
    start, found = threading.Barrier(2), list[object]()

    def take(name: str) -> None:
        database = store.open()
        start.wait(30)
        found.append(database.write_now(lambda c: LogRepository(c).take_lease(name, now_ms=NOW_MS, lasts_ms=1000)))

    threads = [threading.Thread(target=take, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 2
    assert sum(one is None for one in found) == 1


# Checkpoints.


def test_checkpoints_only_grow(store: Store) -> None:
    token = lead(store)
    log(store, lambda repository: repository.add_checkpoint(token, checkpoint(3, 30)))
    for row in (checkpoint(3, 30), checkpoint(2, 20), checkpoint(4, 40, signed_at_ms=NOW_MS - 1)):
        with pytest.raises(StoreError):
            log(store, lambda repository, row=row: repository.add_checkpoint(token, row))
    log(store, lambda repository: repository.add_checkpoint(token, checkpoint(5, 50)))
    assert log(store, lambda repository: repository.latest_checkpoint()) == checkpoint(5, 50)
    assert log(store, lambda repository: repository.checkpoint_at(3)) == checkpoint(3, 30)
    assert log(store, lambda repository: repository.checkpoint_at(4)) is None
    assert log(store, lambda repository: repository.checkpoint_up_to(4)) == checkpoint(3, 30)
    assert log(store, lambda repository: repository.list_checkpoints(after_size=3, limit=9)) == [checkpoint(5, 50)]


def test_the_newest_checkpoint_that_enough_witnesses_cosigned_is_found(store: Store) -> None:
    token = lead(store)
    for size, witnesses in ((1, 2), (2, 1), (3, 0)):
        log(store, lambda repository, size=size: repository.add_checkpoint(token, checkpoint(size, size)))
        log(
            store,
            lambda repository, size=size, count=witnesses: repository.set_cosigned(
                token, size, note=f"cosigned {size}", witnesses=count
            ),
        )
    sizes = [log(store, lambda repository, n=n: repository.latest_checkpoint(witnesses_min=n)) for n in (0, 1, 2, 3)]
    assert [None if row is None else (row.size, row.note) for row in sizes] == [
        (3, "cosigned 3"),
        (2, "cosigned 2"),
        (1, "cosigned 1"),
        None,
    ]
    with pytest.raises(NotFound):
        log(store, lambda repository: repository.set_cosigned(token, 9, note="", witnesses=1))


# Receipts, hits and evidence.


def receipt(name: str, seq: int, **changes: Any) -> NewReceipt:
    made = NewReceipt(name, seq, name.encode().rjust(32), EntryId(7), "attested", "sha256:v", "k" * 64, NOW_MS)
    return replace(made, **changes)


def hit(name: str, **changes: Any) -> NewHit:
    return replace(NewHit(name, NOW_MS, "rcp_1", "exact", b"record of " + name.encode()), **changes)


def test_a_receipt_comes_back_with_its_leaf(store: Store) -> None:
    (seq,) = append(store, 1, tenant=A)
    store.run(lambda c: ReceiptRepository(c, A).add(receipt("rcp_1", seq)))
    found = store.run(lambda c: ReceiptRepository(c, A).get("rcp_1"))
    assert found is not None
    assert (found.seq, found.leaf, found.body, found.leaf_index) == (seq, leaf(1), b"body 1", None)
    assert (found.statement_digest, found.grade, found.entry_id) == (b"rcp_1".rjust(32), "attested", 7)
    token = lead(store)
    log(store, lambda repository: repository.assign(token, limit=10))
    again = store.run(lambda c: ReceiptRepository(c, A).get("rcp_1"))
    assert again is not None
    assert again.leaf_index == 0
    assert log(store, lambda repository: repository.load_statement_digests([seq])) == {seq: b"rcp_1".rjust(32)}


def test_no_tenant_reads_anothers_receipts_hits_or_evidence(store: Store) -> None:
    (seq,) = append(store, 1, tenant=A)

    def fill(connection: Connection) -> None:
        ReceiptRepository(connection, A).add(receipt("rcp_1", seq))
        HitRepository(connection, A).add_many([hit("hit_1")])
        EvidenceRepository(connection, A).add(NewEvidence("evd_1", seq, "rcp_1", "embedding", b"sealed", NOW_MS))

    store.run(fill)
    anything = {"since_ms": None, "until_ms": None, "after": None, "limit": 10}
    reads: dict[str, Callable[[Connection, TenantId], Any]] = {
        "receipt": lambda c, t: ReceiptRepository(c, t).get("rcp_1"),
        "receipts": lambda c, t: ReceiptRepository(c, t).get_many(["rcp_1"]),
        "of entry": lambda c, t: ReceiptRepository(c, t).list_of_entry(EntryId(7)),
        "page": lambda c, t: ReceiptRepository(c, t).list_page(model_version=None, **anything),  # type: ignore[arg-type]
        "count": lambda c, t: ReceiptRepository(c, t).count(),
        "hit": lambda c, t: HitRepository(c, t).get("hit_1"),
        "hits": lambda c, t: HitRepository(c, t).list_page(**anything),  # type: ignore[arg-type]
        "hits counted": lambda c, t: HitRepository(c, t).count(),
        "evidence": lambda c, t: EvidenceRepository(c, t).get("evd_1"),
        "evidence of receipts": lambda c, t: EvidenceRepository(c, t).list_of_receipts(["rcp_1"]),
        "erased openings": lambda c, t: EvidenceRepository(c, t).erase_openings(),
        "erased leaves": lambda c, t: TenantLeafRepository(c, t).erase(),
    }
    assert [name for name, read in reads.items() if store.run(lambda c, read=read: read(c, B))] == []
    assert [name for name, read in reads.items() if not store.run(lambda c, read=read: read(c, A))] == []


def test_pages_go_by_time_and_id_and_miss_nothing(store: Store) -> None:
    seqs = append(store, *range(6), tenant=A)
    names = [f"rcp_{number}" for number in range(6)]

    def fill(connection: Connection) -> None:
        for number, (name, seq) in enumerate(zip(names, seqs, strict=True)):
            version = "sha256:v" if number < 4 else "sha256:w"
            row = receipt(name, seq, issued_at_ms=NOW_MS + number // 2, model_version=version)
            ReceiptRepository(connection, A).add(row)
            HitRepository(connection, A).add_many([hit(f"hit_{number}", at_ms=NOW_MS + number // 2)])

    store.run(fill)

    def pages(**scope: Any) -> list[str]:
        found, after = list[str](), None
        while True:
            options = {"since_ms": None, "until_ms": None, "model_version": None, **scope, "after": after, "limit": 2}
            page = store.run(lambda c, options=options: ReceiptRepository(c, A).list_page(**options))
            if not page:
                return found
            found += [row.id for row in page]
            after = (page[-1].issued_at_ms, page[-1].id)

    assert pages() == names
    assert pages(since_ms=NOW_MS + 1, until_ms=NOW_MS + 2) == names[2:4]
    assert pages(model_version="sha256:w") == names[4:]
    found = store.run(
        lambda c: HitRepository(c, A).list_page(since_ms=NOW_MS, until_ms=NOW_MS + 1, after=None, limit=9)
    )
    assert [row.id for row in found] == ["hit_0", "hit_1"]


def test_hits_wait_for_a_batch_and_then_have_their_places(store: Store) -> None:
    store.run(lambda c: HitRepository(c, B).add_many([hit("hit_z")]))
    store.run(lambda c: HitRepository(c, A).add_many([hit("hit_y"), hit("hit_x")]))
    waiting = log(store, lambda repository: repository.load_unbatched(10))
    assert [(row.tenant_id, row.id) for row in waiting] == [(A, "hit_x"), (A, "hit_y"), (B, "hit_z")]
    (seq,) = append(store, 1, tenant=A)
    token = lead(store)
    log(store, lambda repository: repository.put_into_batch(token, A, seq, ["hit_y", "hit_x"]))
    batch = store.run(lambda c: HitRepository(c, A).list_batch(seq))
    assert [(row.id, row.position) for row in batch] == [("hit_y", 0), ("hit_x", 1)]
    assert [row.id for row in log(store, lambda repository: repository.load_unbatched(10))] == ["hit_z"]


@pytest.mark.parametrize("hits", [["hit_x", "hit_x"], ["hit_x", "hit_gone"], ["hit_x", "hit_of_b"]])
def test_a_batch_of_hits_that_are_not_there_is_none(store: Store, hits: list[str]) -> None:
    store.run(lambda c: HitRepository(c, A).add_many([hit("hit_x")]))
    store.run(lambda c: HitRepository(c, B).add_many([hit("hit_of_b")]))
    (seq,) = append(store, 1, tenant=A)
    token = lead(store)
    with pytest.raises(StoreError):
        log(store, lambda repository: repository.put_into_batch(token, A, seq, hits))
    assert len(log(store, lambda repository: repository.load_unbatched(10))) == 2


def test_openings_of_evidence_can_be_erased(store: Store) -> None:
    (seq,) = append(store, 1, tenant=A)
    store.run(lambda c: EvidenceRepository(c, A).add(NewEvidence("evd_1", seq, "rcp_1", "embedding", b"s", NOW_MS)))
    assert store.run(lambda c: EvidenceRepository(c, A).erase_openings()) == 1
    (found,) = store.run(lambda c: EvidenceRepository(c, A).list_of_receipts(["rcp_1"]))
    assert (found.opening, found.body) == (None, b"body 1")


# Signers, status lists, announcements, exports.


def test_a_signer_is_noted_once_and_learns_versions(store: Store) -> None:
    key = bytes(range(32))
    note = store.run(lambda c: SignerRepository(c).note(key, "runner", "demo", ("sha256:b",), at_ms=NOW_MS))
    again = store.run(
        lambda c: SignerRepository(c).note(key, "runner", "other", ("sha256:a", "sha256:b"), at_ms=NOW_MS + 1)
    )
    assert (note.models, again.models) == (("sha256:b",), ("sha256:a", "sha256:b"))
    assert (again.name, again.first_seen_at_ms, again.status) == ("demo", NOW_MS, "active")
    assert store.run(lambda c: SignerRepository(c).list_all()) == [again]
    with pytest.raises(Conflict):
        store.run(lambda c: SignerRepository(c).note(key, "gateway", "demo", at_ms=NOW_MS))


def test_a_compromised_signer_stays_so_and_its_index_only_goes_down(store: Store) -> None:
    key = store.run(lambda c: SignerRepository(c).note(bytes(32), "runner", "demo", at_ms=NOW_MS)).key_id

    def set_status(status: Any, since: int | None) -> tuple[str, int | None]:
        row = store.run(lambda c: SignerRepository(c).set_status(key, status, since_index=since))
        return row.status, row.since_index

    assert set_status("retired", 9) == ("retired", 9)
    assert set_status("compromised", 4) == ("compromised", 4)
    assert set_status("compromised", 7) == ("compromised", 4)
    for status in ("active", "retired"):
        with pytest.raises(Conflict):
            set_status(status, None)
    with pytest.raises(NotFound):
        store.run(lambda c: SignerRepository(c).set_status("0" * 64, "retired", since_index=0))


def test_status_lists_are_found_by_digest_and_by_age(store: Store) -> None:
    first, second = append(store, 1, 2)
    rows = [StatusListRow("sha256:1", "{}", first, NOW_MS), StatusListRow("sha256:2", "{}", second, NOW_MS)]
    for row in (*rows, replace(rows[0], seq=second)):
        store.run(lambda c, row=row: StatusRepository(c).add(row))
    assert store.run(lambda c: StatusRepository(c).get("sha256:1")) == rows[0]
    assert store.run(lambda c: StatusRepository(c).get("sha256:3")) is None
    assert store.run(lambda c: StatusRepository(c).latest()) == rows[1]
    assert store.run(lambda c: StatusRepository(c).latest(through_seq=first)) == rows[0]


def test_a_policy_is_announced_once_per_epoch(store: Store) -> None:
    (seq,) = append(store, 1, tenant=A)
    policy = AnnouncedPolicy(epoch=600, version=1, digest="sha256:p", document="{}", seq=seq)
    store.run(lambda c: AnnouncementRepository(c, A).add(policy))
    with pytest.raises(Conflict):
        store.run(lambda c: AnnouncementRepository(c, A).add(policy))
    store.run(lambda c: AnnouncementRepository(c, A).add(replace(policy, epoch=601)))
    assert store.run(lambda c: AnnouncementRepository(c, A).find(epoch=600, version=1)) == policy
    assert store.run(lambda c: AnnouncementRepository(c, B).find(epoch=600, version=1)) is None
    assert len(store.run(lambda c: AnnouncementRepository(c, A).list_all())) == 2


def test_an_export_is_followed_and_forgotten(store: Store) -> None:
    job = AuditJob("job_1", "running", 0, 10, "{}", None, None, NOW_MS)
    store.run(lambda c: AuditJobRepository(c, A).add(job))
    store.run(lambda c: AuditJobRepository(c, A).update("job_1", state="done", done=10, total=10, file="bundle"))
    assert store.run(lambda c: AuditJobRepository(c, A).get("job_1")) == replace(
        job, state="done", done=10, file="bundle"
    )
    with pytest.raises(NotFound):
        store.run(lambda c: AuditJobRepository(c, B).get("job_1"))
    assert store.run(load_files) == {"bundle"}
    assert not store.run(lambda c: has_old_jobs(c, before_ms=NOW_MS))
    assert store.run(lambda c: has_old_jobs(c, before_ms=NOW_MS + 1))
    assert store.run(lambda c: forget_old_jobs(c, before_ms=NOW_MS)) == 0
    assert store.run(lambda c: forget_old_jobs(c, before_ms=NOW_MS + 1)) == 1
    assert store.run(lambda c: AuditJobRepository(c, A).list_all()) == []


# What was kept long enough.


def test_old_hits_go_batch_by_batch_and_receipts_once_nothing_refers_to_them(store: Store) -> None:
    first, second, batch, other = append(store, 1, 2, 3, 4, tenant=A)
    store.run(lambda c: [ReceiptRepository(c, A).add(receipt(*one)) for one in (("rcp_1", first), ("rcp_2", second))])
    store.run(lambda c: HitRepository(c, A).add_many([hit("hit_a"), hit("hit_b", at_ms=NOW_MS + 5), hit("hit_c")]))
    token = lead(store)
    log(store, lambda repository: repository.put_into_batch(token, A, batch, ["hit_a", "hit_b"]))
    log(store, lambda repository: repository.put_into_batch(token, A, other, ["hit_c"]))

    def kept(work: Callable[[ProofRetention], Result], tenant: TenantId = A) -> Result:
        return store.run(lambda c: work(ProofRetention(c, tenant)))

    assert kept(lambda found: found.list_old_batches(before_ms=NOW_MS + 1)) == [other]
    assert kept(lambda found: found.list_old_batches(before_ms=NOW_MS + 9), B) == []
    assert kept(lambda found: found.delete_batch(other), B) == 0
    assert kept(lambda found: found.delete_batch(other)) == 1
    old = kept(lambda found: found.list_old_receipts(before_ms=NOW_MS + 1, after=(-1, ""), limit=9))
    assert [name for _, name in old] == ["rcp_1", "rcp_2"]
    assert kept(lambda found: found.list_old_receipts(before_ms=NOW_MS + 1, after=old[0], limit=9)) == old[1:]
    assert kept(lambda found: found.list_hit_on(["rcp_1", "rcp_2"])) == {"rcp_1"}
    assert kept(lambda found: found.delete_receipts(["rcp_2"]), B) == 0
    assert kept(lambda found: found.delete_receipts(["rcp_2"])) == 1
    leaves = [log(store, lambda found, seq=seq: found.get_leaf(seq)) for seq in (first, second, batch, other)]
    assert [one is not None and one.body is not None for one in leaves] == [True, False, True, False]


# The whole way.


def test_a_sequencer_writes_its_log_on_either_database(store: Store, tmp_path: Path) -> None:
    clock, random, folder = FakeClock(NOW_MS), SeededRandom(), tmp_path / "log"
    folder.mkdir()
    log_key = store.run(lambda c: ensure_log_key(c, tmp_path / "key", random, origin="log.example/test"))
    transactions = DirectTransactions(store.database)

    def make(holder: str) -> Sequencer:
        return Sequencer(
            transactions,
            DirectoryStorage(folder),
            signer=load_signing_key(tmp_path / "key", random),
            log_key=log_key,
            witnesses=Witnesses((), no_post, clock),
            clock=clock,
            random=random,
            holder=holder,
            limits=SequencerLimits(batch_max=100),
        )

    records = [hit_record(f"hit {number}", at_ms=NOW_MS) for number in range(30)]
    rows = [NewHit(one.hit, one.at_ms, "rcp_1", one.tier, one.to_payload()) for one in records]
    store.run(lambda c: HitRepository(c, A).add_many(rows))
    body = Erasure(at_ms=NOW_MS, nonce=bytes(32), tenant="0" * 32)
    for sequencer in (make("one"), make("two")):
        store.run(lambda c: [append_body(c, body, tenant=None) for _ in range(250)])
        while sequencer.step().has_more:
            clock.advance(1)
        sequencer.release()
    # The batch of hits, the status list, and 250 leaves twice.
    newest = log(store, lambda repository: repository.latest_checkpoint())
    assert newest is not None
    assert newest.size == 502
    assert newest.root == tree_hash(log(store, lambda repository: repository.load_leaves(0, 1000)))
    assert check_log(transactions, DirectoryStorage(folder), log_key).problems == []
