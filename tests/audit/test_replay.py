"""Bundles of answers that a real model gave, verified with the model's files at hand."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.bundle_lines import OpeningLine, PublisherLine
from crypto.commitment import (
    output_commitment,
    output_tokens_commitment,
    prompt_commitment,
    prompt_tokens_commitment,
)
from crypto.evidence import load_verifiers
from crypto.manifest import model_version
from crypto.report import Check
from crypto.statement import sign_receipt
from crypto.trust import Publisher
from crypto.verify import AuditOptions, ReplayRequest, Verification, verify_bundle
from tests.audit.bundles import POLICY, HonestBundle, Plan, World
from tests.replay_models import (
    Answered,
    answer,
    demo_engine,
    demo_folder,
    huggingface_engine,
    huggingface_folder,
)

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "model_signing"
SECONDS_MAX = 2.0


def world_of(answers: Sequence[Answered], **changes: Any) -> World:
    """A log with one receipt for each of *answers*, whose openings are the answer's, with any of them changed."""
    world = World(Plan())
    world.manifest = dict(answers[0].manifest)
    world.model = model_version(world.manifest)
    world.add_status()
    policy = world.add_policy(POLICY)
    for one in answers:
        opened = one.opened | changes
        values = {"output": opened["choices"], "prompt": opened["messages"]}
        values |= {name: opened[name] for name in ("output_tokens", "prompt_tokens")}
        salts = {kind: world.bytes_32() for kind in values}
        statement = world.make_statement(
            world.runners[0],
            policy,
            model_name=world.manifest["name"],
            openssf_digest=world.manifest["openssf_digest"],
            parameters=opened["parameters"],
            output_commitment=output_commitment(salts["output"], values["output"]),
            prompt_commitment=prompt_commitment(salts["prompt"], values["prompt"]),
            output_tokens_commitment=output_tokens_commitment(salts["output_tokens"], values["output_tokens"]),
            prompt_tokens_commitment=prompt_tokens_commitment(salts["prompt_tokens"], values["prompt_tokens"]),
        )
        made = world.add_receipt(sign_receipt(statement, world.runners[0]), statement)
        made.openings = [OpeningLine(made.digest, kind, salts[kind], values[kind]) for kind in sorted(salts)]
    world.add_status()
    return world


def audit(honest: HonestBundle, folder: Path | None) -> Verification:
    request = None if folder is None else ReplayRequest(folder, load_verifiers())
    return verify_bundle(honest.data, honest.trust_data, AuditOptions(now_ms=honest.now_ms, replay=request))


def check_of(found: Verification, name: str) -> Check:
    return next(check for check in found.report.checks if check.name == name)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_folder(tmp_path_factory.mktemp("models") / "demo")


@pytest.fixture(scope="module")
def answers(model: Path) -> list[Answered]:
    engine = demo_engine()
    ask = [{"role": "user", "content": "Which tools are in the library?"}]
    return [answer(engine, model), answer(engine, model, messages=ask, temperature="0.8", seed=3, tokens_max=40)]


def test_answers_of_the_demo_model_reach_the_grade_replayed(answers: list[Answered], model: Path) -> None:
    found = audit(world_of(answers).export(), model)
    assert (found.report.exit_code, found.report.grades["replayed"]) == (0, 2), found.report
    assert "exactly" in check_of(found, "replay").detail


def test_without_the_models_files_nothing_is_replayed_and_nothing_fails(answers: list[Answered]) -> None:
    found = audit(world_of(answers).export(), None)
    assert (found.report.exit_code, found.report.grades.get("replayed", 0)) == (0, 0)
    assert check_of(found, "replay").status == "not_covered"


def test_an_answer_that_the_model_did_not_give_fails_however_well_it_is_signed(
    answers: list[Answered], model: Path
) -> None:
    tokens = list(answers[0].generated.output_token_ids)
    forged = world_of(answers[:1], output_tokens=[*tokens[:4], tokens[4] % 300 + 1, *tokens[5:]])
    found = audit(forged.export(), model)
    assert found.report.exit_code == 1
    assert [failure.reason for failure in check_of(found, "replay").failures] == ["replay_failed"]
    assert audit(forged.export(), None).report.exit_code == 0


def test_another_text_beside_true_tokens_fails(answers: list[Answered], model: Path) -> None:
    choice = answers[0].opened["choices"][0]
    other = [choice | {"message": {"role": "assistant", "content": "The opposite."}}]
    assert audit(world_of(answers[:1], choices=other).export(), model).report.exit_code == 1


def test_a_folder_of_another_models_files_fails(answers: list[Answered], tmp_path: Path) -> None:
    assert audit(world_of(answers).export(), huggingface_folder(tmp_path / "tiny")).report.exit_code == 1


def test_answers_of_a_hugging_face_model_reach_the_grade_replayed(tmp_path: Path) -> None:
    folder = huggingface_folder(tmp_path / "tiny")
    engine = huggingface_engine(folder)
    given = [
        answer(engine, folder, tokens_max=30),
        answer(engine, folder, tokens_max=30, temperature="0.9", seed=4),
    ]
    found = audit(world_of(given).export(), folder)
    assert (found.report.exit_code, found.report.grades["replayed"]) == (0, 2), found.report


@pytest.mark.alone
def test_an_answer_of_the_demo_model_is_replayed_within_two_seconds(answers: list[Answered], model: Path) -> None:
    honest = world_of(answers[:1]).export()
    begun = time.process_time()
    assert audit(honest, model).report.grades["replayed"] == 1
    assert time.process_time() - begun <= SECONDS_MAX


def signed_world(answers: list[Answered]) -> World:
    world = world_of(answers[:1])
    world.publishers = [PublisherLine(world.model, (FIXTURES / "demo_model.json").read_bytes())]
    return world


def trusting(world: World) -> HonestBundle:
    """The world's bundle, and a trust file that names the publisher of the fixture for its model."""
    honest = world.export()
    publisher = Publisher((world.model,), "demo publisher", (FIXTURES / "publisher.pem").read_text())
    return replace(honest, trust_data=world.sign_trust(world.make_trust(publishers=(publisher,))))


def test_a_publishers_signature_over_the_models_files_is_accepted(answers: list[Answered]) -> None:
    found = audit(trusting(signed_world(answers)), None)
    assert found.report.exit_code == 0, found.report
    assert check_of(found, "publisher").status == "passed"


def test_a_publisher_whom_the_trust_file_does_not_name_counts_for_nothing(answers: list[Answered]) -> None:
    found = audit(signed_world(answers).export(), None)
    assert check_of(found, "publisher").status == "not_covered"


def test_a_publishers_signature_over_renamed_files_is_refused(answers: list[Answered]) -> None:
    manifest = json.loads(json.dumps(answers[0].manifest))
    manifest["resources"][1]["name"] = "weights2.safetensors"
    found = audit(trusting(signed_world([replace(answers[0], manifest=manifest)])), None)
    assert [failure.reason for failure in check_of(found, "publisher").failures] == ["publisher_invalid"]


def test_an_auditor_with_the_verifier_and_numpy_alone_replays_the_demo_model(
    answers: list[Answered], model: Path, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", str(ROOT / "crypto"), "numpy"]
    subprocess.run(install, check=True, cwd=tmp_path)
    honest = world_of(answers).export()
    (tmp_path / "bundle.zip").write_bytes(honest.data)
    (tmp_path / "trust.json").write_bytes(honest.trust_data)
    program = (
        "import json, pathlib\n"
        "from hitproof_verify.evidence import load_verifiers\n"
        "from hitproof_verify.verify import AuditOptions, ReplayRequest, verify_bundle\n"
        f"options = AuditOptions({honest.now_ms}, replay=ReplayRequest(pathlib.Path({str(model)!r}), load_verifiers()))\n"
        "data, trust = (pathlib.Path(name).read_bytes() for name in ('bundle.zip', 'trust.json'))\n"
        "report = verify_bundle(data, trust, options).report\n"
        "print(json.dumps([report.exit_code, report.grades['replayed']]))"
    )
    done = subprocess.run([str(python), "-I", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "[0, 2]", done.stdout + done.stderr
