"""Every numbered way to deceive an auditor is refused by both implementations, for the reason that is meant."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from crypto.errors import VerificationError
from crypto.report import Check
from crypto.toploc import PRIME, parse_proof
from crypto.verify import AuditOptions, verify_bundle
from tests.audit.bundles import World
from tests.audit.ledger_tampering import POOL_PLAN, spent_on
from tests.audit.pools import RELEASES_IN_PERIOD
from tests.audit.tampering import PLAN, Case, attempt, forged, honest
from tests.audit.tampering_cases import changed_policy, every
from tests.audit.verifiers import VERIFIERS

CASES = {case.name: case for case in every()}
#: Numbers of the list of attacks that a bundle can carry; 47 and 48 have tests of their own below, and 58 and 59, which
#: lie in what an auditor gives, have theirs in test_given_queries.py and test_cli.py.
NUMBERS = {*range(1, 47), *range(49, 58), *range(60, 68)}


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: str(case.name))
def test_a_deceit_is_refused_for_its_own_reason(case: Case, verifier: str) -> None:
    found = VERIFIERS[verifier](case.make())
    assert (found.exit_code, found.reason in case.reasons) == (case.exit_code, True), found.reason


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_the_bundle_that_is_broken_is_accepted_when_it_is_whole(verifier: str) -> None:
    found = VERIFIERS[verifier](attempt(honest()))
    assert (found.exit_code, found.reason) == (0, None)


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_the_bundle_with_a_pool_is_accepted_when_it_is_whole(verifier: str) -> None:
    bundle = honest(POOL_PLAN)
    found = VERIFIERS[verifier](attempt(bundle))
    assert (found.exit_code, found.reason, found.hits) == (0, None, bundle.hits)


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_budget_that_is_spent_to_its_end_is_accepted(verifier: str) -> None:
    found = VERIFIERS[verifier](spent_on(RELEASES_IN_PERIOD))
    assert (found.exit_code, found.reason) == (0, None)


def test_every_number_of_the_list_has_a_case() -> None:
    assert {int(name[:2]) for name in CASES} == NUMBERS


def test_no_name_stands_for_two_cases() -> None:
    names = [case.name for case in every()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"\d\d[a-z]?-[a-z0-9-]+", name) for name in names)


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_policy_that_was_replaced_a_moment_ago_still_counts(verifier: str) -> None:
    found = VERIFIERS[verifier](attempt(changed_policy(59_000)))
    assert (found.exit_code, found.reason) == (0, None)


def evidence_check(bundle_data: bytes, trust: bytes, now_ms: int) -> Check:
    report = verify_bundle(bundle_data, trust, AuditOptions(now_ms=now_ms)).report
    return next(check for check in report.checks if check.name == "evidence")


def test_47_evidence_of_an_unknown_kind_is_not_covered_whatever_it_claims() -> None:
    def add(world: World, policy: str) -> None:
        world.add_evidence(world.receipts[0], kind="proved-by-magic/v1")

    bundle = forged(add, replace(PLAN, embeddings=0))
    found = evidence_check(bundle.data, bundle.trust_data, bundle.now_ms)
    assert found.status == "not_covered"
    assert "proved-by-magic/v1" in found.detail


def test_47_evidence_of_an_unknown_kind_raises_no_grade() -> None:
    bundle = forged(lambda world, policy: world.add_evidence(world.receipts[1], kind="proved-by-magic/v1"))
    for ask in VERIFIERS.values():
        assert ask(attempt(bundle)).grades == (("attested", 2), ("declared", 1))


@pytest.mark.parametrize(
    "proof",
    [
        bytes(258),
        (PRIME + 1).to_bytes(2, "big") + bytes(256),
        b"\x00\x80" + b"\xff" * 256,
        bytes(257),
        bytes(259),
    ],
    ids=["modulus-zero", "modulus-above-the-prime", "coefficient-above-the-prime", "too-short", "too-long"],
)
def test_48_a_toploc_proof_out_of_form_is_refused(proof: bytes) -> None:
    with pytest.raises(VerificationError):
        parse_proof(proof)
