"""Check 15 on bundles: what is shown, what is not covered, and which proof is the bad one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from crypto.applicability.bisection import FOUND_MAX
from crypto.applicability.claims import Claim
from crypto.applicability.documents import Applicability
from crypto.report_text import describe_report
from crypto.verify import SampleRequest
from crypto.verify.proofs import APPLICABILITY_INVALID, Tried, settle
from tests.audit.applicability_tampering import hit, one_bad
from tests.audit.bundles import HonestBundle, Plan, make_bundle, make_world
from tests.audit.checking import check_of, reasons, verify

PLAN = Plan(receipts=3, hits=0, declared=1, proved=3, releases=3, matched=1, seed=21)
UNKNOWN = "hitproof/another-curve/v1"


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(PLAN)


def test_every_hit_with_a_proof_or_a_match_is_shown(honest: HonestBundle) -> None:
    found = verify(honest)
    assert reasons(found) == []
    assert found.applicable == honest.hits
    assert len(found.applicable) == 4
    check = check_of(found, "applicability")
    assert check.status == "passed"
    assert check.detail.startswith("4 of 4 hits found by meaning are shown to be close")
    assert "for 1 of them the vector is the operator's own word" in check.detail


def test_nothing_is_covered_where_nothing_is_shown() -> None:
    check = check_of(verify(make_bundle(Plan())), "applicability")
    assert (check.status, check.detail) == ("not_covered", "no proof and no match is in the bundle")


def test_a_closed_query_is_not_covered(honest: HonestBundle) -> None:
    found = verify(honest, replace(honest.parts, queries=()))
    check = check_of(found, "applicability")
    assert (found.report.exit_code, found.applicable, check.status) == (0, frozenset(), "not_covered")
    assert "4 because the query is closed" in check.detail


def test_a_hit_without_a_proof_is_not_covered() -> None:
    world = make_world(PLAN)
    world.add_batch([world.closeness.make_hit(world.receipts[0], next(iter(world.policies)))])
    world.add_status()
    found = verify(world.export())
    assert (found.report.exit_code, len(found.applicable)) == (0, 4)
    assert "1 without a proof" in check_of(found, "applicability").detail


def test_a_suite_that_is_not_known_is_not_covered() -> None:
    world = make_world(Plan(hits=0))
    closeness, policy = world.closeness, next(iter(world.policies))
    made = closeness.add_vector(world.receipts[0], world.runners[0], suite=UNKNOWN)
    record = closeness.make_hit(world.receipts[0], policy)
    world.add_batch([record])
    closeness.log(closeness.well_formedness(made.receipt, suite=UNKNOWN), made.receipt)
    closeness.open_query(record)
    closeness.log(Applicability(made.embedding, record.hit, bytes(416), UNKNOWN), made.receipt)
    world.add_status()
    found = verify(world.export())
    check = check_of(found, "applicability")
    assert (reasons(found), found.applicable, check.status) == ([], frozenset(), "not_covered")
    assert "1 of a suite that this verifier does not know" in check.detail


def test_evidence_that_is_a_proof_is_not_called_unknown(honest: HonestBundle) -> None:
    detail = check_of(verify(honest), "evidence").detail
    assert "well-formedness" not in detail
    assert "3 embedding statements are a runner's word" in detail
    assert "1 the operator's own word" in detail


def test_a_document_without_its_body_is_refused(honest: HonestBundle) -> None:
    parts = honest.parts
    body = next(line for line in parts.bodies if line.index == parts.proofs[-1].index)
    found = verify(honest, replace(parts, bodies=tuple(line for line in parts.bodies if line is not body)))
    assert reasons(found) == [("inclusion", "leaf_unexplained")]


def test_of_64_proofs_exactly_the_bad_one_is_named() -> None:
    world = make_world(Plan(receipts=2, hits=0, embeddings=0))
    bad = one_bad(world.closeness, world, next(iter(world.policies)), 64)
    world.add_status()
    found = verify(world.export())
    failures = check_of(found, "applicability").failures
    assert [(failure.reason, bad.hit in failure.subject) for failure in failures] == [("applicability_invalid", True)]
    assert len(found.applicable) == 63
    assert bad.hit not in found.applicable


def test_a_commitment_that_is_not_well_formed_takes_its_hits_with_it() -> None:
    world = make_world(Plan(receipts=2, hits=0, embeddings=0))
    closeness, policy = world.closeness, next(iter(world.policies))
    record = hit(closeness, policy)
    closeness.add_proof(record)
    line = closeness.proofs[0]
    index = closeness.log(replace(line.document, proof=line.document.proof[::-1]), record.receipt)
    del world.leaves[line.index]
    world.bodies = [one for one in world.bodies if one.index != line.index]
    closeness.proofs = [one for one in closeness.proofs if one.index != line.index]
    closeness.proofs.sort(key=lambda one: one.index)
    world.add_status()
    found = verify(world.export())
    subjects = [(one.reason, one.subject) for one in check_of(found, "applicability").failures]
    assert subjects[0] == ("well_formedness_invalid", f"well-formedness proof, leaf {index}")
    assert subjects[1][0] == "well_formedness_missing"
    assert found.applicable == frozenset()


def test_a_sample_looks_at_the_hits_of_its_receipts_only(honest: HonestBundle) -> None:
    found = verify(honest, sample=SampleRequest(1, lambda: bytes(32)))
    check = check_of(found, "applicability")
    assert (found.report.exit_code, len(found.applicable)) == (0, 1)
    assert "3 outside the sample" in check.detail


def test_a_threshold_that_the_policy_does_not_state_is_the_default_one() -> None:
    def export(threshold: int | None) -> list[tuple[str, str]]:
        world = make_world(Plan(receipts=2, hits=0, embeddings=0))
        document = {"mode": "static"} if threshold is None else {"threshold_ten_thousandths": threshold}
        policy = world.add_policy(document, version=2)  # type: ignore[arg-type]
        world.closeness.add_proof(hit(world.closeness, policy))
        world.add_status()
        return reasons(verify(world.export()))

    assert export(None) == export(9_500) == []
    assert export(9_501) == [("applicability", "tau_below_policy")]


def test_the_report_says_in_words_what_is_shown(honest: HonestBundle) -> None:
    assert "answers found by meaning were close to what was asked" in describe_report(verify(honest).report)


def test_a_bundle_without_proofs_never_imports_the_curve() -> None:
    program = (
        "import sys; from tests.audit.checking import verify; from tests.audit.bundles import Plan, make_bundle;"
        "code = verify(make_bundle(Plan())).report.exit_code;"
        "import crypto.cli;"
        "assert code == 0 and 'crypto.applicability.arkworks' not in sys.modules, code"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_proofs_that_nobody_looked_at_are_refused_and_said_to_be() -> None:
    """What breaks too often is not gone through to its end, and a proof behind is never taken for a good one."""
    claims = [Claim((), (), 0, place) for place in range(FOUND_MAX + 3)]
    tried = [Tried(str(claim.mark), APPLICABILITY_INVALID, "sha256:", claim) for claim in claims]
    settled = settle(tried, lambda claims: frozenset(range(1, len(claims))))
    assert settled[0].error is None
    texts = [str(one.error) for one in settled[1:]]
    assert all("does not hold" in text for text in texts[:FOUND_MAX])
    assert all("not looked at" in text for text in texts[FOUND_MAX:])
    assert all(one.claim is None for one in settled[1:])
