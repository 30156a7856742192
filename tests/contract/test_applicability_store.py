"""What the store promises of applicability proofs and what they are made of, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, text

from server.store.applicability import ApplicabilityRepository
from server.store.embedding_queue import load_unstated
from server.store.entries import EntryRepository
from server.store.erasure import ProofErasure
from server.store.errors import Conflict, NotFound
from server.store.log import LogRepository
from server.store.log_records import NewApplicability, NewEvidence, NewHit, NewReceipt, NewWellFormedness
from server.store.platform import PlatformRepository
from server.store.pool_items import POOL_TENANT_META
from server.store.receipts import EvidenceRepository, HitRepository, ReceiptRepository
from server.store.retention import ProofRetention
from tenants.identifiers import EntryId, TenantId
from tests.contract.stores import NOW_MS, A, B, Store, new_entry, open_store

Result = TypeVar("Result")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as found:
        yield found


def append(connection: Connection, number: int, tenant: TenantId = A) -> int:
    leaf, body = number.to_bytes(74, "big"), b"body %d" % number
    return LogRepository(connection).append(leaf, kind=7, tenant=tenant, body=body, at_ms=NOW_MS)


def proofs(store: Store, work: Callable[[ApplicabilityRepository], Result], tenant: TenantId = A) -> Result:
    return store.run(lambda connection: work(ApplicabilityRepository(connection, tenant)))


def hit(name: str, **changes: Any) -> NewHit:
    made = NewHit(name, NOW_MS, "rcp_1", "private", b"record of " + name.encode(), b"sealed " + name.encode())
    return replace(made, **changes)


def add_hits(store: Store, *hits: NewHit, tenant: TenantId = A) -> None:
    store.run(lambda connection: HitRepository(connection, tenant).add_many(hits))


def prove(store: Store, name: str, number: int, *, evidence: str = "evd_1", at_ms: int = NOW_MS) -> int:
    """Store a proof of the hit *name* behind its leaf, whose number in the outbox is returned."""

    def work(connection: Connection) -> int:
        seq = append(connection, number)
        proof = NewApplicability(name, evidence, seq, b"proof of " + name.encode(), at_ms)
        ApplicabilityRepository(connection, A).add(proof)
        return seq

    return store.run(work)


def form(store: Store, evidence: str, number: int) -> int:
    """Store a well-formedness proof behind its leaf, whose number in the outbox is returned."""

    def work(connection: Connection) -> int:
        seq = append(connection, number)
        ApplicabilityRepository(connection, A).add_well_formedness(
            NewWellFormedness(evidence, seq, b"form of " + evidence.encode(), NOW_MS)
        )
        return seq

    return store.run(work)


def body_of(store: Store, seq: int) -> bytes | None:
    leaf = store.run(lambda connection: LogRepository(connection).get_leaf(seq))
    assert leaf is not None
    return leaf.body


# Proofs.


def test_a_proof_comes_back_with_its_leaf(store: Store) -> None:
    seq = prove(store, "hit_1", 5, at_ms=NOW_MS + 3)
    found = proofs(store, lambda repository: repository.get("hit_1"))
    assert found is not None
    assert (found.hit_id, found.evidence_id, found.seq, found.document) == ("hit_1", "evd_1", seq, b"proof of hit_1")
    assert (found.created_at_ms, found.leaf, found.body) == (NOW_MS + 3, (5).to_bytes(74, "big"), b"body 5")
    assert found.leaf_index is None
    assert proofs(store, lambda repository: repository.list_of_hits(["hit_1", "hit_2"])) == [found]


def test_a_well_formedness_proof_comes_back_with_its_leaf(store: Store) -> None:
    seq = form(store, "evd_1", 6)
    found = proofs(store, lambda repository: repository.get_well_formedness("evd_1"))
    assert found is not None
    assert (found.evidence_id, found.seq, found.document, found.created_at_ms) == (
        "evd_1", seq, b"form of evd_1", NOW_MS,
    )  # fmt: skip
    assert (found.leaf, found.body, found.leaf_index) == ((6).to_bytes(74, "big"), b"body 6", None)
    assert proofs(store, lambda repository: repository.list_well_formedness(["evd_0", "evd_1"])) == [found]


def test_a_commitment_is_never_shown_well_formed_a_second_time(store: Store) -> None:
    form(store, "evd_1", 1)
    with pytest.raises(Conflict):
        form(store, "evd_1", 2)
    assert store.run(lambda c: LogRepository(c).count_unsequenced())[0] == 1, "the second leaf went with its proof"


def test_a_hit_has_one_proof(store: Store) -> None:
    prove(store, "hit_1", 1)
    with pytest.raises(Conflict):
        prove(store, "hit_1", 2)


def test_no_tenant_reads_anothers_proofs(store: Store) -> None:
    add_hits(store, hit("hit_1"), hit("hit_2"))
    prove(store, "hit_1", 1)
    form(store, "evd_1", 2)
    reads: dict[str, Callable[[ApplicabilityRepository], Any]] = {
        "proof": lambda found: found.get("hit_1"),
        "proofs": lambda found: found.list_of_hits(["hit_1"]),
        "form": lambda found: found.get_well_formedness("evd_1"),
        "forms": lambda found: found.list_well_formedness(["evd_1"]),
        "count": lambda found: found.count_since("evd_1", 0),
        "unproved": lambda found: found.list_unproved(None, 10),
    }
    assert [name for name, read in reads.items() if proofs(store, read, B)] == []
    assert [name for name, read in reads.items() if not proofs(store, read)] == []


def test_proofs_of_one_entry_are_counted_from_a_moment_on(store: Store) -> None:
    for number, at_ms in enumerate((NOW_MS, NOW_MS + 10, NOW_MS + 20)):
        prove(store, f"hit_{number}", number, at_ms=at_ms)
    prove(store, "hit_other", 9, evidence="evd_2", at_ms=NOW_MS + 20)

    def count(since_ms: int) -> int:
        return proofs(store, lambda found: found.count_since("evd_1", since_ms))

    assert [count(since_ms) for since_ms in (0, NOW_MS + 10, NOW_MS + 11, NOW_MS + 21)] == [3, 2, 1, 0]


# What is still to be proved.


def test_hits_without_a_proof_are_listed_as_long_as_they_can_be_proved(store: Store) -> None:
    add_hits(
        store,
        hit("hit_b", at_ms=NOW_MS + 1),
        hit("hit_a", at_ms=NOW_MS + 1),
        hit("hit_first"),
        hit("hit_proved"),
        hit("hit_exact", tier="exact", query_vector=None),
        hit("hit_pool", tier="pool"),
        hit("hit_forgotten", query_vector=None),
    )
    add_hits(store, hit("hit_others"), tenant=B)
    prove(store, "hit_proved", 1)

    def names(after: tuple[int, str] | None, limit: int = 10) -> list[str]:
        return [one.id for one in proofs(store, lambda found: found.list_unproved(after, limit))]

    assert names(None) == ["hit_first", "hit_a", "hit_b"]
    assert names(None, 1) == ["hit_first"]
    assert names((NOW_MS, "hit_first")) == ["hit_a", "hit_b"]
    assert names((NOW_MS + 1, "hit_a")) == ["hit_b"]
    assert names((NOW_MS + 1, "hit_b")) == []


def test_a_hit_comes_back_with_its_sealed_query_vector(store: Store) -> None:
    add_hits(store, hit("hit_1"), hit("hit_2", query_vector=None))
    found = store.run(lambda c: [HitRepository(c, A).get(name) for name in ("hit_1", "hit_2")])
    assert [one is not None and one.query_vector for one in found] == [b"sealed hit_1", None]
    (listed,) = proofs(store, lambda repository: repository.list_unproved(None, 10))
    assert listed == found[0]


# What is forgotten.


def test_old_query_vectors_are_forgotten_a_bounded_number_at_a_time(store: Store) -> None:
    add_hits(store, *[hit(f"hit_{number}", at_ms=NOW_MS + number) for number in range(5)])
    add_hits(store, hit("hit_others"), tenant=B)

    def kept(work: Callable[[ProofRetention], Result]) -> Result:
        return store.run(lambda connection: work(ProofRetention(connection, A)))

    assert kept(lambda found: found.oldest_query_vector_ms()) == NOW_MS
    forgotten = [kept(lambda found: found.forget_query_vectors(before_ms=NOW_MS + 3, limit=2)) for _ in range(3)]
    assert forgotten == [2, 1, 0]
    assert kept(lambda found: found.oldest_query_vector_ms()) == NOW_MS + 3
    assert [one.id for one in proofs(store, lambda found: found.list_unproved(None, 10))] == ["hit_3", "hit_4"]
    assert [one.id for one in proofs(store, lambda found: found.list_unproved(None, 10), B)] == ["hit_others"]
    assert store.run(lambda c: HitRepository(c, A).count()) == 5, "hits stay"
    assert kept(lambda found: found.forget_query_vectors(before_ms=NOW_MS + 9, limit=9)) == 2
    assert kept(lambda found: found.oldest_query_vector_ms()) is None


def test_a_proof_is_forgotten_with_the_query_that_could_be_guessed_with_it(store: Store) -> None:
    add_hits(store, hit("hit_1"), hit("hit_2", at_ms=NOW_MS + 5))
    old, new = prove(store, "hit_1", 1), prove(store, "hit_2", 2)
    forget = store.run(lambda c: ProofRetention(c, B).forget_query_vectors(before_ms=NOW_MS + 1, limit=9))
    assert forget == 0
    assert store.run(lambda c: ProofRetention(c, A).forget_query_vectors(before_ms=NOW_MS + 1, limit=9)) == 1
    assert [one.hit_id for one in proofs(store, lambda found: found.list_of_hits(["hit_1", "hit_2"]))] == ["hit_2"]
    assert (body_of(store, old), body_of(store, new)) == (None, b"body 2")


def test_proofs_go_with_the_batch_of_their_hits(store: Store) -> None:
    add_hits(store, hit("hit_1"), hit("hit_2"))
    of_first, of_second = prove(store, "hit_1", 1), prove(store, "hit_2", 2)
    batch, other = store.run(lambda c: (append(c, 3), append(c, 4)))
    lease = store.run(lambda c: LogRepository(c).take_lease("one", now_ms=NOW_MS, lasts_ms=1000))
    assert lease is not None
    store.run(lambda c: LogRepository(c).put_into_batch(lease.token, A, batch, ["hit_1"]))
    store.run(lambda c: LogRepository(c).put_into_batch(lease.token, A, other, ["hit_2"]))
    assert store.run(lambda c: ProofRetention(c, B).delete_batch(batch)) == 0
    assert store.run(lambda c: ProofRetention(c, A).delete_batch(batch)) == 1
    assert [one.hit_id for one in proofs(store, lambda found: found.list_of_hits(["hit_1", "hit_2"]))] == ["hit_2"]
    assert [body_of(store, seq) is None for seq in (of_first, of_second, batch, other)] == [True, False, True, False]


def receipt(name: str, seq: int) -> NewReceipt:
    return NewReceipt(name, seq, name.encode().rjust(32), EntryId(7), "attested", "sha256:v", "k" * 64, NOW_MS)


def test_well_formedness_goes_with_its_receipt(store: Store) -> None:
    def fill(connection: Connection) -> None:
        for number in (1, 2):
            ReceiptRepository(connection, A).add(receipt(f"rcp_{number}", append(connection, number)))
            stated = NewEvidence(
                f"evd_{number}", append(connection, 10 + number), f"rcp_{number}", "embedding", b"s", 1
            )
            EvidenceRepository(connection, A).add(stated)

    store.run(fill)
    first, second = form(store, "evd_1", 21), form(store, "evd_2", 22)
    assert store.run(lambda c: ProofRetention(c, B).delete_receipts(["rcp_1"])) == 0
    assert store.run(lambda c: ProofRetention(c, A).delete_receipts(["rcp_1"])) == 1
    left = proofs(store, lambda found: found.list_well_formedness(["evd_1", "evd_2"]))
    assert [one.evidence_id for one in left] == ["evd_2"]
    assert [body_of(store, seq) is None for seq in (first, second)] == [True, False]


def test_of_an_erased_tenant_no_proof_is_left_and_no_query(store: Store) -> None:
    add_hits(store, hit("hit_1"), hit("hit_2"))
    add_hits(store, hit("hit_others"), tenant=B)
    seqs = prove(store, "hit_1", 1), form(store, "evd_1", 2)
    store.run(lambda c: ProofErasure(c, A).run())
    tables = ("applicability", "well_formedness", "hits")
    count = "SELECT COUNT(*) FROM "
    assert store.run(lambda c: [c.execute(text(count + table)).scalar_one() for table in tables]) == [0, 0, 1]
    assert [body_of(store, seq) for seq in seqs] == [None, None]


# Which vectors are to be stated.


def add_entry(store: Store, number: int, tenant: TenantId = A, **changes: Any) -> None:
    values = {"receipt_id": f"rcp_{number}", **changes}
    store.entries(lambda repository: repository.add(new_entry(number, **values)), tenant=tenant)


def unstated(store: Store, after: int = 0, limit: int = 10) -> list[int]:
    return [int(entry) for _, entry in store.run(lambda c: load_unstated(c, after=EntryId(after), limit=limit))]


def test_every_entry_with_a_receipt_and_a_vector_waits_to_be_stated(store: Store) -> None:
    for number, source in enumerate(("runner", "upstream", "client"), start=1):
        add_entry(store, number, source=source)
    add_entry(store, 4, receipt_id=None)
    add_entry(store, 5, vector=None)
    add_entry(store, 6)
    add_entry(store, 7, B)
    store.entries(lambda repository: repository.quarantine(EntryId(6), reason="test", at_ms=NOW_MS))
    assert unstated(store) == [1, 2, 3, 7]
    assert unstated(store, after=1, limit=2) == [2, 3]
    store.entries(lambda repository: repository.set_embedding_statement(EntryId(2), "evd_2"))
    assert unstated(store) == [1, 3, 7]


def test_the_pools_entries_are_not_stated(store: Store) -> None:
    add_entry(store, 1)
    add_entry(store, 2, B)
    store.run(lambda c: PlatformRepository(c).set_meta(POOL_TENANT_META, B))
    assert unstated(store) == [1]


def state(store: Store, evidence: str, *, instead_of: str | None = None) -> None:
    def work(connection: Connection) -> None:
        seq = append(connection, int(evidence.removeprefix("evd_")))
        EvidenceRepository(connection, A).add(NewEvidence(evidence, seq, "rcp_1", "embedding", b"salts", NOW_MS))
        EntryRepository(connection, A).set_embedding_statement(EntryId(1), evidence, instead_of=instead_of)

    store.run(work)


def test_a_statement_takes_the_place_of_exactly_the_one_it_is_instead_of(store: Store) -> None:
    add_entry(store, 1)
    state(store, "evd_1")
    for wrong in (None, "evd_9"):
        with pytest.raises(NotFound):
            state(store, "evd_2", instead_of=wrong)
    assert store.entries(lambda repository: repository.get_embedding_statement(EntryId(1))) == "evd_1"
    state(store, "evd_2", instead_of="evd_1")
    assert store.entries(lambda repository: repository.get_embedding_statement(EntryId(1))) == "evd_2"
    assert store.entries(lambda repository: repository.get_embedding_statement(EntryId(1)), tenant=B) is None


def test_what_opened_a_statement_is_forgotten_when_another_takes_its_place(store: Store) -> None:
    add_entry(store, 1)
    state(store, "evd_1")
    state(store, "evd_2", instead_of="evd_1")
    rows = store.run(lambda c: [EvidenceRepository(c, A).get(name) for name in ("evd_1", "evd_2")])
    assert [row is not None and row.opening for row in rows] == [None, b"salts"]
    store.entries(lambda repository: repository.delete_one(EntryId(1), at_ms=NOW_MS))
    rows = store.run(lambda c: [EvidenceRepository(c, A).get(name) for name in ("evd_1", "evd_2")])
    assert [row is not None and row.opening for row in rows] == [None, None]
