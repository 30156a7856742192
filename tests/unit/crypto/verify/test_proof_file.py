"""Proof files of single receipts and hits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from crypto.checkpoint import Checkpoint, sign_checkpoint
from crypto.last_seen import LastSeen
from crypto.pseudonym import EPOCH_MS
from crypto.reference.proof_file import verify_proof_file as verify_second
from crypto.release import EVIDENCE_TYPE
from crypto.statement import EvidenceReference
from crypto.tlog_proof import ReceiptProofExtra, format_tlog_proof, parse_tlog_proof
from crypto.verify import is_proof_file
from tests.audit.bundles import ORIGIN, HonestBundle, Plan, World, make_bundle, make_world
from tests.audit.checking import check_of, reasons, verify_proof


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan(receipts=3, hits=3, tree_size=40, witnesses=1))


@pytest.fixture(scope="module")
def receipt_proof(honest: HonestBundle) -> str:
    return honest.world.receipt_proof(honest.world.receipts[0])


@pytest.fixture(scope="module")
def hit_proof(honest: HonestBundle) -> str:
    return hit_proof_with(honest)


def hit_proof_with(honest: HonestBundle, **changes: object) -> str:
    return honest.world.hit_proof(next(iter(honest.world.batches)), 1, **changes)


def test_a_receipts_proof_file_passes_and_says_what_only_a_bundle_shows(
    honest: HonestBundle, receipt_proof: str
) -> None:
    found = verify_proof(honest, receipt_proof)
    assert (found.report.exit_code, dict(found.report.grades)) == (0, {"attested": 1})
    assert found.statements == {honest.world.receipts[0].digest}
    for name in ("manifest", "status", "freshness", "model_status", "hits"):
        assert check_of(found, name).status == "not_covered"


def test_a_hits_proof_file_passes(honest: HonestBundle, hit_proof: str) -> None:
    found = verify_proof(honest, hit_proof)
    assert found.report.exit_code == 0
    assert found.hits == {honest.world.batches[next(iter(honest.world.batches))][1].hit}


def test_a_proof_file_is_known_by_its_first_line(honest: HonestBundle, receipt_proof: str) -> None:
    assert is_proof_file(receipt_proof.encode())
    assert not is_proof_file(honest.data)


def test_any_flipped_bit_is_refused(honest: HonestBundle, hit_proof: str) -> None:
    data = bytearray(hit_proof.encode())
    for place in range(0, len(data) * 8, 13):
        data[place // 8] ^= 1 << place % 8
        found = verify_proof(honest, data.decode("utf-8", "replace"))
        assert found.report.exit_code in (1, 2), place
        data[place // 8] ^= 1 << place % 8


def test_a_file_out_of_form_is_unreadable(honest: HonestBundle, receipt_proof: str) -> None:
    bare = format_tlog_proof(replace(parse_tlog_proof(receipt_proof), extra=None))
    other = format_tlog_proof(replace(parse_tlog_proof(receipt_proof), extra=b"{}"))
    for text in (receipt_proof.replace("@v1", "@v2"), bare, other, receipt_proof.replace("\n", "\r\n")):
        found = verify_proof(honest, text)
        assert (found.report.exit_code, reasons(found)) == (2, [("archive", "archive_unreadable")])


def test_a_path_that_does_not_lead_to_the_root_is_refused(honest: HonestBundle, receipt_proof: str) -> None:
    proof = parse_tlog_proof(receipt_proof)
    for broken in (
        replace(proof, index=proof.index + 1),
        replace(proof, hashes=proof.hashes[1:]),
        replace(proof, hashes=(bytes(32), *proof.hashes[1:])),
    ):
        assert reasons(verify_proof(honest, format_tlog_proof(broken))) == [("inclusion", "inclusion_invalid")]


def test_another_receipt_than_the_leafs_is_refused(honest: HonestBundle, receipt_proof: str) -> None:
    other = ReceiptProofExtra(honest.world.receipts[1].envelope.to_json()).to_payload()
    text = format_tlog_proof(replace(parse_tlog_proof(receipt_proof), extra=other))
    assert reasons(verify_proof(honest, text)) == [("inclusion", "inclusion_invalid")]


def test_a_checkpoint_that_the_log_did_not_sign_is_refused(honest: HonestBundle, receipt_proof: str) -> None:
    world = honest.world
    forged = sign_checkpoint(Checkpoint(ORIGIN, world.tree.size, world.tree.root()), world.gateway)
    text = format_tlog_proof(replace(parse_tlog_proof(receipt_proof), checkpoint=forged))
    assert reasons(verify_proof(honest, text)) == [("checkpoint", "checkpoint_signature")]


def test_a_witness_too_few_is_refused(honest: HonestBundle, receipt_proof: str) -> None:
    world = honest.world
    bare = sign_checkpoint(Checkpoint(ORIGIN, world.tree.size, world.tree.root()), world.log)
    text = format_tlog_proof(replace(parse_tlog_proof(receipt_proof), checkpoint=bare))
    assert reasons(verify_proof(honest, text)) == [("witnesses", "witness_quorum")]


def test_a_signer_that_does_not_count_is_refused() -> None:
    world = make_world(Plan())
    made = world.add_answer(world.new_key(), None)
    honest = world.export()
    assert reasons(verify_proof(honest, world.receipt_proof(made))) == [("receipts", "signer_unknown")]


def test_a_hit_at_another_place_of_its_batch_is_refused(honest: HonestBundle) -> None:
    for changes in ({"position": 0}, {"position": 99}, {"path": ()}):
        text = hit_proof_with(honest, **changes)
        assert reasons(verify_proof(honest, text)) == [("hits", "batch_invalid")]


def test_a_hit_of_another_receipt_is_refused(honest: HonestBundle) -> None:
    other = honest.world.receipts[2]
    right = honest.world.receipt_proof(other)
    text = hit_proof_with(
        honest,
        envelope=other.envelope.to_json(),
        receipt_index=other.index,
        receipt_path=parse_tlog_proof(right).hashes,
    )
    assert reasons(verify_proof(honest, text)) == [("hits", "hit_receipt")]


def test_a_hit_before_its_receipt_is_refused() -> None:
    world = make_world(Plan(hits=0))
    policy = next(iter(world.policies))
    made = world.add_answer(world.runners[0], policy)
    batch = world.add_batch([world.make_hit(made, policy)])
    again = world.add_receipt(made.envelope, made.statement)
    honest = world.export()
    path = parse_tlog_proof(world.receipt_proof(again)).hashes
    text = world.hit_proof(batch, 0, receipt_index=again.index, receipt_path=path)
    assert reasons(verify_proof(honest, text)) == [("hits", "hit_order")]


def test_an_older_proof_file_than_the_checkpoint_seen_last_is_no_rollback(receipt_proof: str) -> None:
    world = make_world(Plan(receipts=3, hits=3, tree_size=40, witnesses=1))
    honest = world.export()
    world.add_strangers(5)
    found = verify_proof(honest, receipt_proof, last_seen=LastSeen(world.sign_checkpoint(), 1))
    assert found.report.exit_code == 0
    assert found.last_seen is None


def test_another_tree_of_the_same_size_is_a_split_view(honest: HonestBundle, receipt_proof: str) -> None:
    other = sign_checkpoint(Checkpoint(ORIGIN, honest.world.tree.size, bytes(32)), honest.world.log)
    found = verify_proof(honest, receipt_proof, last_seen=LastSeen(other, 1))
    assert reasons(found) == [("rollback", "split_view")]


def test_a_pool_hits_proof_file_passes_and_names_the_release() -> None:
    bundle = make_bundle(Plan(receipts=1, hits=1, releases=1, pool_hits=2))
    batch = list(bundle.world.batches)[-1]
    found = verify_proof(bundle, bundle.world.hit_proof(batch, 1))
    assert (found.report.exit_code, found.hits) == (0, {bundle.world.batches[batch][1].hit})
    release = bundle.world.pool.releases[0].document.digest()
    assert f"a receipt of the pool for release {release}" in check_of(found, "receipts").detail


def refused_pool_hit(change: Callable[[World, str, str], None]) -> list[tuple[str, str]]:
    """Verify the proof file of the last batch's first hit in a world with a release, in which *change* happened."""
    world = make_world(Plan(receipts=1, hits=1))
    pool_policy = world.pool.add_policy()
    world.pool.add_release()
    change(world, next(iter(world.policies)), pool_policy)
    return reasons(verify_proof(world.export(), world.hit_proof(list(world.batches)[-1], 0)))


@pytest.mark.parametrize("tier", ["exact", "pool"])
def test_a_hits_tier_in_a_proof_file_is_pool_exactly_where_its_receipt_is_the_pools(tier: str) -> None:
    def change(world: World, policy: str, pool_policy: str) -> None:
        of_pool = tier == "exact"
        receipt = world.receipts[0]
        if of_pool:
            receipt = world.pool.add_answer(world.pool.releases[0].document, pool_policy)
        nothing = {"query_vector": None, "tau": None} if of_pool else {}
        world.add_batch([world.pool.make_hit(receipt, policy, tier=tier, **nothing)])

    assert refused_pool_hit(change) == [("hits", "hit_tier")]


def test_a_receipt_of_the_own_pseudonym_is_not_the_pools_whatever_it_names() -> None:
    def change(world: World, policy: str, pool_policy: str) -> None:
        own = world.pseudonym_at(world.now_ms + 1_000)
        receipt = world.pool.add_answer(world.pool.releases[0].document, policy, tenant=own)
        world.add_batch([world.pool.make_hit(receipt, policy)])

    assert refused_pool_hit(change) == [("hits", "hit_tier")]


def test_another_tenants_receipt_answers_no_hit_outside_the_pool() -> None:
    def change(world: World, policy: str, pool_policy: str) -> None:
        other = world.pseudonym_at(world.now_ms + 1_000, "ten_zzzzzzzzzzzzzzzz")
        receipt = world.add_answer(world.runners[0], policy, tenant=other)
        world.add_batch([world.pool.make_hit(receipt, policy, tier="exact", query_vector=None, tau=None)])

    assert refused_pool_hit(change) == [("hits", "tenant_mismatch")]


def test_a_receipt_that_names_a_release_otherwise_than_the_pool_does_is_refused() -> None:
    def change(world: World, policy: str, pool_policy: str) -> None:
        named = EvidenceReference(EVIDENCE_TYPE, world.pool.releases[0].document.digest())
        evidence = (EvidenceReference("example/v1", "sha256:" + "0" * 64), named)
        receipt = world.pool.add_answer("", pool_policy, evidence=evidence)
        world.add_batch([world.pool.make_hit(receipt, policy)])

    assert refused_pool_hit(change) == [("receipts", "release_unlogged")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tenant": "0" * 32}, [("hits", "tenant_mismatch")]),
        ({"tenant": "0" * 32, "at_ms": EPOCH_MS * 10_000}, []),
    ],
)
def test_a_batch_bears_the_hits_pseudonym_where_both_lie_in_one_epoch(
    changes: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    world = make_world(Plan(receipts=1, hits=0))
    policy = next(iter(world.policies))
    batch = world.add_batch([world.make_hit(world.receipts[0], policy)], **changes)
    honest = world.export()
    text = world.hit_proof(batch, 0)
    assert reasons(verify_proof(honest, text)) == expected
    second = verify_second(text.encode(), honest.trust_data, now_ms=honest.now_ms)
    assert second.reason == (expected[0][1] if expected else None)
