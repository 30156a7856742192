"""`hitproof log …`: what it prints and how it exits; the witness as a process that is met over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crypto.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint, verify_cosignatures
from crypto.ed25519 import SigningKey
from crypto.merkle import MemoryTree, consistency_proof, leaf_hash
from crypto.note import LOG_ALGORITHM, make_vkey, parse_vkey
from server.cli import app
from server.clock import SystemClock
from server.log.build import build_sequencer
from server.log.keys import get_log_key
from server.log.storage import DirectoryStorage
from server.log.transactions import DirectTransactions
from server.log.witnesses import WitnessAddress, Witnesses, encode_request, http_post
from server.settings import Settings, load_settings
from server.store.database import Database
from tests.fakes import FakeClock, SeededRandom

ORIGIN = "log.example/test"
LOG = SigningKey(bytes(range(32)))
TREE = MemoryTree(leaf_hash(b"%d" % number) for number in range(20))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data folder as the first command on it leaves it, and one checkpoint."""
    found = load_settings(environ={}, overrides={"data": tmp_path / "data"})
    run("tenant", "list", "--data", str(found.data))
    database = Database(found.database)
    sequencer = build_sequencer(
        found,
        DirectTransactions(database),
        DirectoryStorage(found.data / "log"),
        log_key=database.read_now(get_log_key),
        clock=FakeClock(),
        random=SeededRandom(),
    )
    assert sequencer is not None
    assert sequencer.step().size > 0  # the status list is said once at the start
    sequencer.release()
    database.close()
    return found


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done.stdout


def test_the_checkpoint_is_printed_as_it_was_signed(settings: Settings) -> None:
    text = run("log", "checkpoint", "--data", str(settings.data))
    described = json.loads(run("log", "checkpoint", "--data", str(settings.data), "--json"))
    signed = verify_checkpoint(text, parse_vkey(described["vkey"]))
    assert described["note"] == text
    assert (described["origin"], described["size"]) == (signed.checkpoint.origin, signed.checkpoint.size)


def test_there_is_no_checkpoint_of_an_empty_log(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["log", "checkpoint", "--data", str(tmp_path / "empty")])
    assert done.exit_code == 1
    assert "nothing is in the log yet" in str(done.exception)


def test_fsck_of_a_log_in_order_exits_with_0(settings: Settings) -> None:
    found = json.loads(run("log", "fsck", "--data", str(settings.data), "--json"))
    assert found["ok"] is True
    assert found["leaves"] == found["tiles"] - 1 == 1
    assert found["problems"] == []


def test_fsck_exits_with_1_and_says_what_is_wrong(settings: Settings) -> None:
    (settings.data / "log" / "tile" / "0" / "000.p" / "1").write_bytes(bytes(32))
    found = json.loads(run("log", "fsck", "--data", str(settings.data), "--json", code=1))
    assert found["ok"] is False
    assert found["problems"] == ["tile/0/000.p/1 is not what the database's leaves make"]


@contextlib.contextmanager
def witness_process(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    vkey = make_vkey(ORIGIN, LOG_ALGORITHM, LOG.public_key)
    command = [sys.executable, "-m", "server.cli", "log", "witness", "--key-file", str(folder / "key"), "--json"]
    command += ["--state", str(folder / "state"), "--log", vkey, "--port", "0", "--name", "alice", *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            if process.poll() is None:
                process.kill()


def request(old: int, size: int) -> bytes:
    note = sign_checkpoint(Checkpoint(ORIGIN, size, TREE.root(size)), LOG)
    return encode_request(old, consistency_proof(old, size, TREE.node) if old else [], parse_checkpoint(note))


def test_a_witness_process_cosigns_remembers_through_kill_9_and_refuses_a_rollback(tmp_path: Path) -> None:
    post = http_post(10.0, SystemClock())
    with witness_process(tmp_path) as (process, ready):
        key = parse_vkey(ready["vkey"])
        client = Witnesses([WitnessAddress(ready["url"], key)], post, SystemClock())
        note = sign_checkpoint(Checkpoint(ORIGIN, 17, TREE.root(17)), LOG)
        (line,) = client.cosign(note, TREE.node)
        now_ms = SystemClock().now_ms()
        assert [one.name for one in verify_cosignatures(parse_checkpoint(note + line), [key], now_ms)] == ["alice"]
        os.kill(process.pid, signal.SIGKILL)
    with witness_process(tmp_path) as (process, ready):
        assert parse_vkey(ready["vkey"]) == key
        answer = post(f"{ready['url']}/add-checkpoint", request(0, 5))
        assert (answer.status, answer.content_type, answer.body) == (409, "text/x.tlog.size", b"17\n")
        assert post(f"{ready['url']}/add-checkpoint", request(17, 20)).status == 200
        assert post(f"{ready['url']}/add-checkpoint", b"x" * 100_000).status == 400
        assert post(f"{ready['url']}/elsewhere", b"").status == 404
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_log_key_that_is_none_is_said_so(tmp_path: Path) -> None:
    arguments = ["log", "witness", "--key-file", str(tmp_path / "key"), "--state", str(tmp_path), "--log", "nonsense"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "--log" in str(done.exception)
