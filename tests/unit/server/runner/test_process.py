from __future__ import annotations

import socket
from pathlib import Path

import httpx2
import pytest

from server.runner.app import create_runner_app
from server.runner.errors import RunnerConfigurationError
from server.runner.process import create_token_file, read_token_file, run_runner
from tests.runner_fakes import TOKEN, EchoEngine, FakeClock, FakeRandom, served


def test_a_new_token_is_read_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = create_token_file(path, FakeRandom())
    assert read_token_file(path) == token
    assert len(token) == 64
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = create_token_file(path, FakeRandom())
    with pytest.raises(RunnerConfigurationError, match="cannot be made"):
        create_token_file(path, FakeRandom())
    assert read_token_file(path) == token


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    create_token_file(path, FakeRandom())
    path.chmod(mode)
    with pytest.raises(RunnerConfigurationError, match="chmod 600"):
        read_token_file(path)


@pytest.mark.parametrize("text", ["", "short", "ä" * 40, "x" * 5_000, "x" * 20 + "\0" + "x" * 20])
def test_a_token_file_without_a_proper_token_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(RunnerConfigurationError, match="does not hold a token"):
        read_token_file(path)


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunnerConfigurationError, match="cannot be read"):
        read_token_file(tmp_path / "none")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        app = create_runner_app([EchoEngine()], token=TOKEN, clock=FakeClock(), random_source=FakeRandom())
        with pytest.raises(RunnerConfigurationError, match=f"port {port}"):
            run_runner(app, host="127.0.0.1", port=port)


def test_a_host_that_is_none_is_named() -> None:
    app = create_runner_app([EchoEngine()], token=TOKEN, clock=FakeClock(), random_source=FakeRandom())
    with pytest.raises(RunnerConfigurationError, match="not one to listen on"):
        run_runner(app, host="no such host", port=0)


def test_a_runner_takes_requests_once_it_says_it_is_ready() -> None:
    app = create_runner_app([EchoEngine()], token=TOKEN, clock=FakeClock(), random_source=FakeRandom())
    with served(app) as url:
        assert httpx2.get(url + "/healthz", trust_env=False).json() == {"status": "ok"}
