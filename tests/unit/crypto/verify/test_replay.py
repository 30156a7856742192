"""When a model is run again, what is asked of whoever runs it, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from crypto.errors import ReplayUnavailable, VerificationError
from crypto.evidence import ReplayOutcome
from crypto.verify import ReplayRequest, SampleRequest
from tests.audit.bundles import HonestBundle, Plan, make_bundle
from tests.audit.checking import check_of, reasons, verify


@dataclass
class FakeVerifier:
    """Runs nothing; answers as it was told, and remembers what it was asked."""

    error: Exception | None = None
    supported: bool = True
    name: str = "fake"
    asked: list[dict[str, Any]] = field(default_factory=list)

    def supports(self, manifest: Mapping[str, Any]) -> bool:
        return self.supported

    def replay(self, manifest: Mapping[str, Any], folder: Path, **given: Any) -> ReplayOutcome:
        self.asked.append({"manifest": manifest, "folder": folder, **given})
        if self.error is not None:
            raise self.error
        tokens: Sequence[int] = given["output_tokens"]
        return ReplayOutcome(len(tokens), True, "")


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan(receipts=3, hits=0, declared=1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of the name and the size that the manifest states."""
    (tmp_path / "weights.bin").write_bytes(b"abc")
    return tmp_path


def test_without_a_folder_replay_is_not_covered(honest: HonestBundle) -> None:
    assert check_of(verify(honest), "replay").status == "not_covered"


def test_a_receipt_whose_tokens_come_out_again_is_replayed(honest: HonestBundle, folder: Path) -> None:
    verifier = FakeVerifier()
    found = verify(honest, replay=ReplayRequest(folder, {"fake": verifier}))
    assert dict(found.report.grades) == {"declared": 1, "replayed": 2}
    assert check_of(found, "replay").status == "passed"
    assert "not covered: 1 (the signer did not load the model)" in check_of(found, "replay").detail


def test_the_verifier_is_given_what_was_opened(honest: HonestBundle, folder: Path) -> None:
    verifier = FakeVerifier()
    verify(honest, replay=ReplayRequest(folder, {"fake": verifier}))
    receipt = honest.world.receipts[1]
    opened = {line.kind: line.value for line in receipt.openings}
    assert verifier.asked[0] == {
        "manifest": honest.world.manifest,
        "folder": folder,
        "prompt_tokens": opened["prompt_tokens"],
        "output_tokens": opened["output_tokens"],
        "parameters": receipt.statement.parameters,
        "messages": opened["prompt"],
        "choices": opened["output"],
    }


def test_tokens_that_do_not_come_out_again_fail(honest: HonestBundle, folder: Path) -> None:
    for error in (VerificationError("token 3", reason="replay_failed"), VerificationError("token 3")):
        found = verify(honest, replay=ReplayRequest(folder, {"fake": FakeVerifier(error)}))
        assert reasons(found) == [("replay", "replay_failed")] * 2
        assert found.report.exit_code == 1
        assert found.report.grades["attested"] == 2


def test_a_machine_that_cannot_tell_leaves_it_uncovered(honest: HonestBundle, folder: Path) -> None:
    found = verify(honest, replay=ReplayRequest(folder, {"fake": FakeVerifier(ReplayUnavailable("no such device"))}))
    check = check_of(found, "replay")
    assert (found.report.exit_code, check.status) == (0, "not_covered")
    assert "no such device" in check.detail


@pytest.mark.parametrize("verifiers", [{}, {"fake": FakeVerifier(supported=False)}])
def test_without_a_verifier_for_the_model_the_report_names_what_to_install(
    honest: HonestBundle, folder: Path, verifiers: dict[str, FakeVerifier]
) -> None:
    check = check_of(verify(honest, replay=ReplayRequest(folder, verifiers)), "replay")
    assert check.status == "not_covered"
    assert "pip install 'hitproof-verify[replay]'" in check.detail


def test_tokens_that_are_not_opened_are_not_covered(honest: HonestBundle, folder: Path) -> None:
    parts = replace(honest.parts, openings=())
    check = check_of(verify(honest, parts, replay=ReplayRequest(folder, {"fake": FakeVerifier()})), "replay")
    assert check.status == "not_covered"


def test_an_opening_that_does_not_fit_is_never_run(honest: HonestBundle, folder: Path) -> None:
    verifier = FakeVerifier()
    lines = tuple(replace(line, value=[9]) if line.kind == "output_tokens" else line for line in honest.parts.openings)
    found = verify(honest, replace(honest.parts, openings=lines), replay=ReplayRequest(folder, {"fake": verifier}))
    assert {reason for _, reason in reasons(found)} == {"opening_mismatch"}
    assert verifier.asked == []


def test_a_folder_of_another_model_fails_without_running_anything(honest: HonestBundle, tmp_path: Path) -> None:
    verifier = FakeVerifier()
    (tmp_path / "weights.bin").write_bytes(b"abcd")
    for place in (tmp_path, tmp_path / "nothing"):
        found = verify(honest, replay=ReplayRequest(place, {"fake": verifier}))
        assert reasons(found) == [("replay", "replay_failed")]
    assert verifier.asked == []


def test_only_the_sample_is_run(honest: HonestBundle, folder: Path) -> None:
    verifier = FakeVerifier()
    verify(
        honest,
        replay=ReplayRequest(folder, {"fake": verifier}),
        sample=SampleRequest(1, lambda: bytes(32)),
    )
    assert len(verifier.asked) <= 1
