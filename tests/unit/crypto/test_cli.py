"""The command `hitproof-verify`: options, exit codes, and that no file makes it stumble."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crypto import cli
from crypto.applicability import setup
from crypto.checkpoint import Checkpoint, sign_checkpoint
from crypto.cli import main, parse_age
from crypto.last_seen import read_last_seen
from tests.audit.bundles import DAY_MS, ORIGIN, HonestBundle, Plan, make_bundle, make_world
from tests.audit.proofs import EMBEDDER

Run = Callable[..., int]


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan(receipts=4, hits=3, witnesses=1))


@pytest.fixture
def run(honest: HonestBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command on a file with these bytes, at the time when the bundle was made."""
    monkeypatch.setattr(time, "time_ns", lambda: honest.now_ms * 1_000_000)
    (tmp_path / "trust.json").write_bytes(honest.trust_data)

    def run_on(*options: object, data: bytes | None = None, trust: bytes | None = None) -> int:
        (tmp_path / "file").write_bytes(honest.data if data is None else data)
        if trust is not None:
            (tmp_path / "trust.json").write_bytes(trust)
        return main([str(tmp_path / "file"), "--trust", str(tmp_path / "trust.json"), *map(str, options)])

    return run_on


def test_an_honest_bundle_ends_with_zero(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert "PASSED" in capsys.readouterr().out


def test_a_failed_check_ends_with_one(run: Run, honest: HonestBundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data=honest.world.seal(replace(honest.parts, policies=()))) == 1
    assert "policy_unknown" in capsys.readouterr().out


def test_an_unreadable_file_ends_with_two(run: Run) -> None:
    for data in (b"", b"nothing", b"PK\3\4"):
        assert run(data=data) == 2
    assert run(trust=b"{}") == 2


def test_a_revoked_model_ends_with_three(run: Run) -> None:
    revoked = make_bundle(Plan(model_status="revoked"))
    assert run(data=revoked.data, trust=revoked.trust_data) == 3


def test_a_proof_file_is_recognised(run: Run, honest: HonestBundle) -> None:
    text = honest.world.receipt_proof(honest.world.receipts[0])
    assert run(data=text.encode()) == 0


def test_the_json_form_is_the_report(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["verdict"], found["exit_code"]) == ("hitproof/report/v1", "passed", 0)


def test_the_json_form_of_a_failure_has_its_exit_code(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", data=b"") == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


def test_the_second_implementation_is_asked_where_it_is_wanted(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--cross-check", "--json") == 0
    assert json.loads(capsys.readouterr().out)["cross_check"] == {"agrees": True, "differences": []}


# Wrong usage


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["file"],
        ["file", "--trust"],
        ["file", "--trust", "t", "--max-age", "1w"],
        ["file", "--trust", "t", "--sample", "0"],
        ["file", "--trust", "t", "--nonce", "00"],
        ["file", "--trust", "t", "--unknown"],
        ["file", "--trust", "t", "--js"],
    ],
)
def test_wrong_usage_ends_with_two(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--nonce", "0" * 64], ["--sample", "1", "--cross-check"], ["--model-dir", "nowhere"], ["--compare", "nowhere"]],
)
def test_options_that_do_not_go_together_end_with_two_and_one_line(
    run: Run, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.count("\n") == 1


@pytest.mark.parametrize("options", [["--max-age", "1d"], ["--sample", "1"], ["--model-dir", "."]])
def test_what_only_a_bundle_can_show_is_not_asked_of_a_proof_file(
    run: Run, honest: HonestBundle, options: list[str]
) -> None:
    text = honest.world.receipt_proof(honest.world.receipts[0])
    assert run(*options, data=text.encode()) == 2


def test_a_file_that_is_not_there_ends_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing"), "--trust", str(tmp_path / "nothing")]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_a_folder_in_the_place_of_a_file_ends_with_two(tmp_path: Path) -> None:
    assert main([str(tmp_path), "--trust", str(tmp_path)]) == 2


def test_a_file_that_is_too_large_is_not_read(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "ARCHIVE_BYTES_MAX", 100)
    assert run() == 2
    assert "larger than" in capsys.readouterr().err


def test_a_file_that_never_ends_is_read_only_to_the_limit(
    honest: HonestBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "TRUST_BYTES_MAX", 1_000)
    (tmp_path / "file").write_bytes(honest.data)
    assert main([str(tmp_path / "file"), "--trust", "/dev/zero"]) == 2


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), MemoryError(), OSError("disk"), ValueError("v\nw")])
def test_whatever_goes_wrong_is_one_line_and_never_a_verdict(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def stumble(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "verify_bundle", stumble)
    assert run() == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("hitproof-verify: ")
    assert found.err.count("\n") == 1


# Ages


@pytest.mark.parametrize(
    ("text", "age_ms"), [("30s", 30_000), ("15m", 900_000), ("12h", 43_200_000), ("7d", 7 * DAY_MS)]
)
def test_an_age_is_read_in_its_unit(text: str, age_ms: int) -> None:
    assert parse_age(text) == age_ms


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "0d", "1.5h", "1 d", "7D", "٣d", "1d\n", "1000000000d"])
def test_anything_else_is_no_age(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_age(text)


def test_a_status_list_older_than_asked_fails(run: Run, honest: HonestBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: (honest.now_ms + 60_000) * 1_000_000)
    assert run("--max-age", "2m") == 0
    assert run("--max-age", "30s") == 1


# What is kept


def test_the_first_audit_makes_the_file_and_the_next_one_reads_it(
    run: Run, honest: HonestBundle, tmp_path: Path
) -> None:
    path = tmp_path / "seen.json"
    assert run("--last-seen", path) == 0
    seen = read_last_seen(path)
    assert seen is not None
    assert (seen.checkpoint, seen.trust_version) == (honest.parts.checkpoint, 1)
    assert run("--last-seen", path) == 0


def test_a_newer_bundle_moves_the_file_on_and_an_older_one_is_refused(run: Run, tmp_path: Path) -> None:
    world = make_world(Plan(receipts=4, hits=3, witnesses=1))
    older = world.export()
    world.keep_checkpoint()
    world.add_status()
    newer = world.export()
    path = tmp_path / "seen.json"
    assert run("--last-seen", path, data=older.data, trust=older.trust_data) == 0
    assert run("--last-seen", path, data=newer.data) == 0
    kept = read_last_seen(path)
    assert kept is not None
    assert kept.checkpoint == newer.parts.checkpoint
    assert run("--last-seen", path, data=older.data) == 1
    assert read_last_seen(path) == kept


def test_a_failed_audit_keeps_nothing(run: Run, honest: HonestBundle, tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    assert run("--last-seen", path, data=honest.world.seal(replace(honest.parts, policies=()))) == 1
    assert not path.exists()


def test_a_revoked_model_does_not_keep_the_checkpoint_from_being_remembered(run: Run, tmp_path: Path) -> None:
    revoked = make_bundle(Plan(model_status="revoked"))
    path = tmp_path / "seen.json"
    assert run("--last-seen", path, data=revoked.data, trust=revoked.trust_data) == 3
    assert path.exists()


def test_a_last_seen_file_out_of_form_ends_with_two(run: Run, tmp_path: Path) -> None:
    (tmp_path / "seen.json").write_bytes(b"{}")
    assert run("--last-seen", tmp_path / "seen.json") == 2


def test_a_split_view_prints_both_checkpoints(
    run: Run, honest: HonestBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = sign_checkpoint(Checkpoint(ORIGIN, honest.world.tree.size, bytes(32)), honest.world.log)
    (tmp_path / "other").write_text(other)
    assert run("--compare", tmp_path / "other") == 1
    text = capsys.readouterr().out
    for note in (other, honest.parts.checkpoint):
        assert all(line.split()[-1] in text for line in note.splitlines() if line)


def test_a_checkpoint_from_elsewhere_that_is_the_same_passes(run: Run, honest: HonestBundle, tmp_path: Path) -> None:
    (tmp_path / "other").write_text(honest.parts.checkpoint)
    assert run("--compare", tmp_path / "other") == 0
    (tmp_path / "other").write_bytes(b"\xff")
    assert run("--compare", tmp_path / "other") == 2


# Samples


def test_a_samples_nonce_is_drawn_unless_it_is_given(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "urandom", lambda count: bytes([9]) * count)
    for options, nonce in ((["--nonce", "ab" * 32], "ab" * 32), ([], "09" * 32)):
        assert run("--sample", 2, "--json", *options) == 0
        sample = json.loads(capsys.readouterr().out)["sample"]
        assert sample == {"checked": 2, "of": 4, "nonce": nonce, "detects_one_percent": "0.0199"}


# Closeness


@dataclass(frozen=True)
class FakeLoader:
    """Makes one unit vector of every text; loader and embedder in one."""

    vector: Sequence[float]
    name: str = "fake"
    digests: Sequence[str] = (EMBEDDER,)

    def load(self, folder: Path) -> FakeLoader:
        return self

    def embed(self, text: str) -> Sequence[float]:
        return self.vector


@pytest.fixture(scope="module")
def proved() -> HonestBundle:
    return make_bundle(Plan(receipts=2, hits=0, embeddings=0, proved=1))


@pytest.fixture
def query(proved: HonestBundle, tmp_path: Path) -> Callable[..., Path]:
    """Write the query of the proved hit into a file, changed by so much in each component."""

    def write(by: int = 0, **fields: object) -> Path:
        (vector,) = proved.world.closeness.queries.values()
        path = tmp_path / "query.json"
        path.write_text(json.dumps({"vector": [part - by if part > 0 else part + by for part in vector], **fields}))
        return path

    return write


def run_proved(run: Run, proved: HonestBundle, *options: object, proof: bool = False) -> int:
    text = proved.world.hit_proof(list(proved.world.batches)[-1], 0, shows=True).encode()
    return run(*options, data=text if proof else proved.data, trust=proved.trust_data)


@pytest.mark.parametrize("proof", [False, True])
def test_a_query_that_is_given_is_compared(
    run: Run, proved: HonestBundle, query: Callable[..., Path], proof: bool
) -> None:
    assert run_proved(run, proved, "--query", query(1), proof=proof) == 0
    assert run_proved(run, proved, "--query", query(2), proof=proof) == 1
    assert run_proved(run, proved, "--query", query(embedder="sha256:" + "7" * 64), proof=proof) == 1


@pytest.mark.parametrize("proof", [False, True])
def test_the_second_implementation_is_not_blamed_for_a_query_that_is_given(
    run: Run, proved: HonestBundle, query: Callable[..., Path], proof: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_proved(run, proved, "--cross-check", "--query", query(2), "--json", proof=proof) == 1
    assert json.loads(capsys.readouterr().out)["cross_check"] == {"agrees": True, "differences": []}


def test_a_text_takes_the_embedders_files(
    run: Run, proved: HonestBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.json").write_text('{"text": "How high is it?"}')
    assert run_proved(run, proved, "--query", tmp_path / "text.json") == 2
    assert "--embedder-dir" in capsys.readouterr().err
    assert run_proved(run, proved, "--embedder-dir", tmp_path) == 2
    assert run_proved(run, proved, "--query", tmp_path / "text.json", "--embedder-dir", tmp_path) == 2


def test_a_text_is_embedded_by_what_is_installed(
    run: Run, proved: HonestBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stored,) = proved.world.closeness.queries.values()
    monkeypatch.setattr(cli, "load_embedders", lambda: {"fake": FakeLoader([part / 508 for part in stored])})
    (tmp_path / "text.json").write_text('{"text": "How high is it?"}')
    options = ("--query", tmp_path / "text.json", "--embedder-dir", tmp_path)
    assert run_proved(run, proved, *options) == 0
    monkeypatch.setattr(cli, "load_embedders", lambda: {"fake": FakeLoader([0.01] * len(stored))})
    assert run_proved(run, proved, *options) == 1


def test_a_file_that_is_no_query_ends_with_two(run: Run, proved: HonestBundle, tmp_path: Path) -> None:
    for content in ("", "[]", '{"vector": [128]}'):
        (tmp_path / "query.json").write_text(content)
        assert run_proved(run, proved, "--query", tmp_path / "query.json") == 2


def test_another_copy_of_the_ceremonys_file_is_read(run: Run, proved: HonestBundle, tmp_path: Path) -> None:
    (tmp_path / "copy.txt").write_bytes(Path(setup.__file__).with_name("trusted_setup.txt").read_bytes())
    assert run_proved(run, proved, "--srs", tmp_path / "copy.txt") == 0


def test_58_a_ceremonys_file_with_another_hash_ends_with_two_whatever_is_verified(
    run: Run, proved: HonestBundle, honest: HonestBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(setup.__file__).with_name("trusted_setup.txt").read_bytes()
    for content in (data[:-1], data.replace(b"a", b"b", 1), b""):
        (tmp_path / "other.txt").write_bytes(content)
        assert run_proved(run, proved, "--srs", tmp_path / "other.txt") == 2
        assert run("--srs", tmp_path / "other.txt", data=honest.data, trust=honest.trust_data) == 2
    assert "is not the ceremony's file" in capsys.readouterr().err
    assert run_proved(run, proved, "--srs", tmp_path / "missing.txt") == 2


def test_a_proof_file_is_cross_checked_too(
    run: Run, proved: HonestBundle, honest: HonestBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_proved(run, proved, "--cross-check", "--json", proof=True) == 0
    assert json.loads(capsys.readouterr().out)["cross_check"] == {"agrees": True, "differences": []}
    text = honest.world.receipt_proof(honest.world.receipts[0]).encode()
    assert run("--cross-check", data=text, trust=honest.trust_data) == 0
