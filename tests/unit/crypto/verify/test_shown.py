"""Proof files that show that a hit was close: both implementations accept and refuse the same ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from crypto.applicability_extra import Shown
from crypto.hit import HitRecord
from crypto.reference.proof_file import verify_proof_file as verify_again
from crypto.verify import Verification
from tests.audit.applicability_tampering import IDENTITY, off_curve, outside_subgroup, put_bytes
from tests.audit.bundles import HonestBundle, Plan, World, make_world
from tests.audit.checking import check_of, reasons, verify_proof
from tests.audit.tampering import flip

PLAN = Plan(receipts=3, hits=2, embeddings=0, declared=1, proved=3, releases=3, matched=2, seed=41)
OTHER = "sha256:" + "7" * 64
#: Batches of a world in order: what `hits` made, what was proved, what was matched.
EXACT, PROVED, MATCHED = range(3)
#: In the batch of proved hits: on a receipt that is declared, and on two that are attested.
DECLARED, ATTESTED, ANOTHER = range(3)


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_world(PLAN).export()


def file_of(
    bundle: HonestBundle, batch: int, place: int, change: Callable[[Shown], Shown] | None = None, **changes: Any
) -> str:
    """Return the proof file of a hit, with what it shows changed."""
    world = bundle.world
    index = list(world.batches)[batch]
    if change is not None:
        changes["applicability"] = change(world.closeness.show(world.batches[index][place]))
    return world.hit_proof(index, place, shows=batch != EXACT, **changes)


def both(bundle: HonestBundle, text: str) -> Verification:
    """Return the verdict of the first implementation, having compared it with the second's."""
    found = verify_proof(bundle, text, second_opinion=ask_again)
    assert found.report.cross_check is not None
    assert found.report.cross_check.agrees, found.report.cross_check.differences
    return found


def ask_again(data: bytes, trust: bytes, *, now_ms: int, **_: Any) -> Any:
    return verify_again(data, trust, now_ms=now_ms)


def changed(bundle: HonestBundle, batch: int, place: int, **fields: Any) -> list[tuple[str, str]]:
    """Return the reasons why a file is refused in which what is shown has other *fields*, called where they can be."""

    def change(shown: Shown) -> Shown:
        made = {key: to(getattr(shown, key)) if callable(to) else to for key, to in fields.items()}
        return replace(shown, **made)

    return reasons(both(bundle, file_of(bundle, batch, place, change)))


def record_of(bundle: HonestBundle, batch: int, place: int) -> HitRecord:
    return bundle.world.batches[list(bundle.world.batches)[batch]][place]


@pytest.mark.parametrize(("batch", "place"), [(PROVED, DECLARED), (PROVED, ATTESTED), (MATCHED, 0), (MATCHED, 1)])
def test_a_hit_is_shown_to_be_close(honest: HonestBundle, batch: int, place: int) -> None:
    found = both(honest, file_of(honest, batch, place))
    assert reasons(found) == []
    assert found.applicable == found.hits == {record_of(honest, batch, place).hit}
    assert check_of(found, "applicability").status == "passed"


@pytest.mark.parametrize("batch", [PROVED, MATCHED])
def test_a_closed_query_is_not_covered(honest: HonestBundle, batch: int) -> None:
    found = both(honest, file_of(honest, batch, 1, lambda shown: replace(shown, query=None)))
    assert (reasons(found), found.applicable) == ([], frozenset())
    assert check_of(found, "applicability").status == "not_covered"


def test_whose_word_the_vector_is_stands_in_the_report(honest: HonestBundle) -> None:
    word = {
        place: check_of(both(honest, file_of(honest, PROVED, place)), "evidence").detail
        for place in (DECLARED, ATTESTED)
    }
    assert "the operator's own word" in word[DECLARED]
    assert "a runner's word" in word[ATTESTED]


def test_a_hits_proof_file_without_it_shows_nothing(honest: HonestBundle) -> None:
    found = both(honest, honest.world.hit_proof(list(honest.world.batches)[PROVED], 0))
    assert (reasons(found), found.applicable) == ([], frozenset())
    assert check_of(found, "applicability").status == "not_covered"


def test_a_flipped_bit_of_any_part_of_a_proof_is_refused(honest: HonestBundle) -> None:
    for at in range(17, 416, 80):
        found = changed(honest, PROVED, ATTESTED, proof=lambda proof, at=at: flip(proof, at))
        assert found == [("applicability", "applicability_invalid")]


def test_a_flipped_bit_of_well_formedness_is_refused(honest: HonestBundle) -> None:
    for at in (40, 300, 575):
        found = changed(honest, PROVED, ATTESTED, well_formedness=lambda proof, at=at: flip(proof, at))
        assert found[0] == ("applicability", "well_formedness_invalid")


@pytest.mark.parametrize("point", [IDENTITY, off_curve(), outside_subgroup(), b"\xff" * 48])
def test_what_is_no_point_of_the_group_is_refused(honest: HonestBundle, point: bytes) -> None:
    found = changed(honest, PROVED, ATTESTED, proof=lambda proof: put_bytes(proof, 96, point))
    assert found == [("applicability", "applicability_invalid")]


def test_the_proof_of_another_hit_is_refused(honest: HonestBundle) -> None:
    other = honest.world.closeness.show(record_of(honest, PROVED, ANOTHER))
    assert changed(honest, PROVED, ATTESTED, proof=getattr(other, "proof")) == [  # noqa: B009 - either of two classes
        ("applicability", "applicability_invalid")
    ]
    text = file_of(honest, PROVED, ATTESTED, lambda _: other)
    assert reasons(both(honest, text)) == [("evidence", "evidence_mismatch")]


def test_another_query_is_refused(honest: HonestBundle) -> None:
    for vector in ((1,) * 20, (300,) * 20, ()):
        for batch in (PROVED, MATCHED):
            found = changed(honest, batch, 1, query=lambda query, vector=vector: replace(query, vector=vector))
            assert found == [("applicability", "opening_mismatch")]


def test_a_leaf_that_is_elsewhere_is_refused(honest: HonestBundle) -> None:
    assert changed(honest, PROVED, 1, embedding_index=lambda index: index + 1) == [("evidence", "inclusion_invalid")]
    assert changed(honest, PROVED, 1, embedding_path=lambda path: path[:-1]) == [("evidence", "inclusion_invalid")]


def test_a_signature_that_is_not_the_signers_is_refused(honest: HonestBundle) -> None:
    world = honest.world
    index, envelope = world.statements[world.closeness.vectors[world.receipts[1].digest].embedding]
    assert index
    broken = envelope.to_json()
    assert changed(honest, PROVED, 1, embedding=broken | {"payload": "e30="}) == [("evidence", "statement_malformed")]


def test_what_is_shown_belongs_to_the_tier_of_the_hit(honest: HonestBundle) -> None:
    matched = honest.world.closeness.show(record_of(honest, MATCHED, 0))
    proved = honest.world.closeness.show(record_of(honest, PROVED, 1))
    text = file_of(honest, PROVED, 1, lambda _: matched)
    assert reasons(both(honest, text)) == [("applicability", "applicability_mismatch")]
    text = file_of(honest, MATCHED, 0, lambda _: proved)
    assert both(honest, text).report.exit_code == 1


def test_a_release_that_the_receipt_does_not_name_is_refused(honest: HonestBundle) -> None:
    first = honest.world.pool.releases[0].document.to_json()
    assert changed(honest, MATCHED, 0, release=first) == [("applicability", "match_invalid")]
    assert changed(honest, MATCHED, 0, release={}) == [("applicability", "malformed")]
    assert changed(honest, MATCHED, 0, match={}) == [("applicability", "match_invalid")]


Making = Callable[[World, str], HitRecord]


def refused(make: Making, plan: Plan = Plan(receipts=2, hits=0, embeddings=0)) -> list[tuple[str, str]]:
    """Return why the proof file of a hit is refused that a whole house made up."""
    world = make_world(plan)
    record = make(world, next(iter(world.policies)))
    batch = world.add_batch([record])
    bundle = world.export()
    return reasons(both(bundle, world.hit_proof(batch, 0, shows=True)))


def stated(**fields: Any) -> Making:
    """Make a hit on a receipt whose embedding statement has other *fields*, which may be made of the world."""

    def make(world: World, policy: str) -> HitRecord:
        receipt, made = world.receipts[1], {key: to(world) if callable(to) else to for key, to in fields.items()}
        world.closeness.add_vector(receipt, made.pop("by", world.runners[0]), **made)
        return world.closeness.make_hit(receipt, policy)

    return make


def test_a_vector_that_a_gateway_stated_about_an_attested_answer_is_refused() -> None:
    assert refused(stated(by=lambda world: world.gateway)) == [("evidence", "signer_role")]


def test_a_vector_of_a_stranger_is_refused() -> None:
    assert refused(stated(by=lambda world: world.new_key())) == [("evidence", "signer_unknown")]


def test_a_vector_of_another_tenant_is_refused() -> None:
    assert refused(stated(tenant="0" * 32)) == [("evidence", "tenant_mismatch")]


def test_a_vector_before_the_signers_time_is_refused() -> None:
    assert refused(stated(issued_at_ms=lambda world: world.plan.start_ms - 1)) == [("evidence", "signer_expired")]


def test_a_statement_without_a_commitment_proves_nothing() -> None:
    assert refused(stated(commitment=None, suite=None)) == [("applicability", "applicability_mismatch")]


def test_a_suite_that_is_not_known_is_not_covered() -> None:
    assert refused(stated(suite="hitproof/another-curve/v1")) == []


def test_a_vector_of_another_epoch_bears_another_pseudonym() -> None:
    def make(world: World, policy: str) -> HitRecord:
        world.tick(31 * 86_400_000)
        world.closeness.add_vector(world.receipts[1], world.runners[0])
        return world.closeness.make_hit(world.receipts[1], policy)

    assert refused(make) == []


def test_the_second_is_not_blamed_for_what_only_the_first_is_told(honest: HonestBundle) -> None:
    found = verify_proof(honest, file_of(honest, PROVED, 1), second_opinion=ask_again, compared=("nothing",))
    assert found.report.exit_code == 1
    assert found.report.cross_check is not None
    assert found.report.cross_check.agrees
