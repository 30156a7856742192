"""The whole run: what passes, what stops it, and what is said of what was not reached."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from crypto.bundle_lines import PublisherLine
from crypto.errors import VerificationError
from crypto.last_seen import LastSeen
from crypto.reference.verify import verify as ask_again
from crypto.report import CHECKS, COUNTS
from crypto.trust import Publisher
from crypto.verify import AuditOptions, SampleRequest, verify_bundle
from tests.audit.bundles import HonestBundle, Plan, make_bundle
from tests.audit.checking import check_of, reasons, verify
from tests.unit.crypto.verify.test_publishers import PEM


@dataclass(frozen=True)
class FakeVerdict:
    """What a second implementation might say."""

    exit_code: int
    grades: dict[str, int]
    statements: frozenset[str]
    hits: frozenset[str]
    applicable: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan(receipts=4, hits=5, declared=1, witnesses=2))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        Plan(receipts=1, hits=1, embeddings=0, earlier_checkpoints=0),
        Plan(receipts=0, hits=0),
        Plan(hits=0),
        Plan(openings=False),
        Plan(tree_size=300),
        Plan(witnesses=3, witness_threshold=1),
        Plan(runners=2, retired_runner=True),
        Plan(root_keys=3, root_threshold=2),
        Plan(model_status="superseded"),
        Plan(declared=3),
    ],
)
def test_an_honest_bundle_passes_with_all_its_receipts_and_hits(plan: Plan) -> None:
    honest = make_bundle(plan)
    found = verify(honest)
    assert (found.report.exit_code, reasons(found)) == (0, [])
    assert (found.statements, found.hits) == (honest.statements, honest.hits)
    attested = plan.receipts - plan.declared
    assert dict(found.report.grades) == {
        name: count for name, count in (("declared", plan.declared), ("attested", attested)) if count
    }


def test_a_bundle_of_a_revoked_model_is_authentic_and_ends_with_three() -> None:
    found = verify(make_bundle(Plan(model_status="revoked")))
    assert found.report.exit_code == 3
    assert {reason for _, reason in reasons(found)} == {"model_revoked"}
    assert found.last_seen is not None


def test_the_report_names_log_time_and_counts(honest: HonestBundle) -> None:
    report = verify(honest).report
    assert report.log is not None
    assert (report.log.size, report.log.witnesses) == (
        honest.world.tree.size,
        tuple(key.name for key in honest.trust.witnesses),
    )
    assert report.as_of_ms == honest.parts.status.at_ms
    stated = honest.parts.counts.to_json()
    assert dict(report.counts) == {name: stated[name] for name in COUNTS}


def test_every_check_stands_in_the_report_in_order(honest: HonestBundle) -> None:
    assert [check.name for check in verify(honest).report.checks] == [*CHECKS[:-1]]
    assert [check.name for check in verify(honest, data=b"").report.checks] == [*CHECKS[:-1]]


def test_what_rests_on_a_failed_check_is_not_covered_and_says_why(honest: HonestBundle) -> None:
    found = verify(honest, data=b"")
    assert reasons(found) == [("archive", "archive_unreadable")]
    behind = [check for check in found.report.checks if check.name != "archive"]
    assert {check.status for check in behind} == {"not_covered"}
    assert all("archive" in check.detail for check in behind)


def test_the_check_that_ended_the_run_is_named_and_not_one_that_failed_before_it(honest: HonestBundle) -> None:
    lines = honest.parts.checkpoint.splitlines(keepends=True)
    found = verify(honest, replace(honest.parts, checkpoint="".join(lines[:-1]), multiproof=(bytes(32),)))
    assert reasons(found) == [("witnesses", "witness_quorum"), ("inclusion", "inclusion_invalid")]
    assert "“inclusion”" in check_of(found, "receipts").detail


def test_one_failed_receipt_does_not_hide_a_failed_hit(honest: HonestBundle) -> None:
    parts = replace(honest.parts, models=(), policies=())
    assert {check for check, _ in reasons(verify(honest, parts))} == {"receipts", "hits"}


def test_what_failed_is_not_remembered_and_what_passed_is(honest: HonestBundle) -> None:
    assert verify(honest).last_seen == LastSeen(honest.parts.checkpoint, 1)
    assert verify(honest, replace(honest.parts, policies=())).last_seen is None
    assert verify(honest, data=b"").last_seen is None


def test_a_file_that_is_nothing_has_an_end_like_any_other(honest: HonestBundle) -> None:
    for data in (b"", b"PK", b"\0" * 1_000, honest.trust_data):
        assert verify(honest, data=data).report.exit_code == 2
    found = verify_bundle(honest.data, b"", AuditOptions(now_ms=honest.now_ms))
    assert (found.report.exit_code, reasons(found)) == (2, [("trust", "trust_malformed")])


# Samples


def test_a_sample_covers_as_many_receipts_as_were_asked_for(honest: HonestBundle) -> None:
    found = verify(honest, sample=SampleRequest(2, lambda: bytes(32)))
    assert found.report.exit_code == 0
    assert len(found.statements) == 2
    assert sum(found.report.grades.values()) == 2
    assert found.report.sample is not None
    assert (found.report.sample.checked, found.report.sample.of) == (2, 4)


def test_a_sample_larger_than_the_bundle_covers_all(honest: HonestBundle) -> None:
    found = verify(honest, sample=SampleRequest(9, lambda: bytes(32)))
    assert found.statements == honest.statements


def test_a_nonce_of_another_length_is_refused(honest: HonestBundle) -> None:
    with pytest.raises(VerificationError):
        verify(honest, sample=SampleRequest(1, lambda: b"short"))


def test_the_nonce_is_drawn_after_the_root_was_found_right(honest: HonestBundle) -> None:
    def draw() -> bytes:
        raise AssertionError("drawn too early")

    parts = replace(honest.parts, multiproof=(bytes(32),))
    found = verify(honest, parts, sample=SampleRequest(1, draw))
    assert reasons(found) == [("inclusion", "inclusion_invalid")]


# The second implementation


def second(honest: HonestBundle, **changes: object) -> FakeVerdict:
    verdict = FakeVerdict(0, {"attested": 3, "declared": 1}, honest.statements, honest.hits)
    return replace(verdict, **changes)  # type: ignore[arg-type]


def test_two_implementations_that_agree_pass(honest: HonestBundle) -> None:
    found = verify(honest, second_opinion=lambda *_, **__: second(honest))
    assert found.report.exit_code == 0
    assert found.report.cross_check is not None
    assert found.report.cross_check.agrees
    assert check_of(found, "cross_check").status == "passed"


@pytest.mark.parametrize(
    "changes",
    [
        {"exit_code": 1},
        {"grades": {"attested": 4}},
        {"statements": frozenset()},
        {"hits": frozenset({"hit_x"})},
    ],
)
def test_two_implementations_that_differ_fail(honest: HonestBundle, changes: dict[str, object]) -> None:
    found = verify(honest, second_opinion=lambda *_, **__: second(honest, **changes))
    assert found.report.exit_code == 1
    assert check_of(found, "cross_check").status == "failed"
    assert found.report.cross_check is not None
    assert found.report.cross_check.differences
    assert found.last_seen is None


def test_the_second_implementation_is_given_the_same_bytes(honest: HonestBundle) -> None:
    asked: list[object] = []

    def ask(data: bytes, trust: bytes, *, now_ms: int, max_age_ms: int | None, last_seen: bytes | None) -> FakeVerdict:
        asked.extend([data, trust, now_ms, max_age_ms, last_seen])
        return second(honest)

    seen = LastSeen(honest.parts.checkpoint, 1)
    verify(honest, second_opinion=ask, max_age_ms=10**9, last_seen=seen)
    assert asked == [honest.data, honest.trust_data, honest.now_ms, 10**9, seen.to_payload()]


def test_a_refusal_by_both_is_agreement(honest: HonestBundle) -> None:
    found = verify(honest, data=b"", second_opinion=lambda *_, **__: FakeVerdict(2, {}, frozenset(), frozenset()))
    assert found.report.exit_code == 2
    assert check_of(found, "cross_check").status == "passed"


def test_what_the_second_implementation_leaves_out_is_no_difference(honest: HonestBundle) -> None:
    line = PublisherLine(honest.world.model, b"no signature")
    trust = replace(honest.trust, publishers=(Publisher((honest.world.model,), "maker", PEM),))
    found = verify(honest, replace(honest.parts, publishers=(line,)), trust=trust, second_opinion=ask_again)
    assert reasons(found) == [("publisher", "publisher_invalid")]
    assert check_of(found, "cross_check").status == "passed"
