"""`hitproof runner` as a process: its signing key, what it signs with it, and what its log says."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest

from crypto.commitment import output_commitment, output_tokens_commitment
from crypto.dsse import verify_envelope
from crypto.embedding_statement import parse_embedding
from crypto.similarity import quantise_reference
from crypto.statement import parse_receipt
from server.cli.runner import RunnerUsageError, runner
from server.embedding.select import EmbedderChoice, load_embedder

TOKEN = "token-of-the-tests-0123456789abcdef"
ASKED = {"derivation": "none", "parents": [], "policy": None, "tenant": "cd" * 16}
REQUEST = {
    "model": "hitproof-demo",
    "messages": [{"role": "user", "content": "What does a torque wrench do?"}],
    "max_tokens": 4,
    "temperature": 0.5,
    "hitproof_statement": ASKED,
}


@contextlib.contextmanager
def running(folder: Path, log: IO[str], *flags: str) -> Iterator[httpx2.Client]:
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    command = [sys.executable, "-m", "server.cli", "runner", "--demo", "--token-file", str(token), "--port", "0"]
    command += ["--json", "--exit-with-parent", *flags]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=Path(__file__).parents[4]
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["port"]
        headers = {"authorization": f"Bearer {TOKEN}"}
        url = f"http://127.0.0.1:{port}"
        with httpx2.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
            yield client
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runner")


@pytest.fixture(scope="module")
def signing(folder: Path) -> Iterator[httpx2.Client]:
    with (folder / "log").open("w") as log, running(folder, log, "--signing-key", str(folder / "key")) as client:
        yield client


def post(client: httpx2.Client, path: str, body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def announced(client: httpx2.Client) -> bytes:
    return bytes.fromhex(client.get("/runner/v1/manifests").json()["signing_key"])


def test_the_demo_model_is_attested_under_the_key_that_the_runner_made(signing: httpx2.Client, folder: Path) -> None:
    answer = post(signing, "/v1/chat/completions", REQUEST)
    said = answer["hitproof_runner"]
    envelope, statement = parse_receipt(said["statement"])
    verify_envelope(envelope, announced(signing))
    salts = {kind: bytes.fromhex(salt) for kind, salt in said["openings"].items()}
    assert statement.grade == "attested"
    assert statement.output_commitment == output_commitment(salts["output"], answer["choices"])
    tokens = output_tokens_commitment(salts["output_tokens"], said["output_token_ids"])
    assert statement.output_tokens_commitment == tokens
    assert dict(statement.parameters) == said["parameters"]
    assert statement.openssf_digest is not None
    assert (folder / "key").stat().st_mode & 0o777 == 0o400
    assert hashlib.sha256(announced(signing)).hexdigest() in (folder / "log").read_text()


def test_the_default_embedder_is_the_gateways(signing: httpx2.Client) -> None:
    embedder = load_embedder(EmbedderChoice(device="cpu"))
    text = "How much does a torque wrench cost?"
    vector = list(quantise_reference(embedder.embed([text])[0].tolist()))
    body = {"embedder": embedder.digest, "statement": "sha256:" + "ab" * 32, "tenant": "cd" * 16, "text": text}
    answer = post(signing, "/runner/v1/embedding-statements", body | {"vector": vector})
    envelope, _ = parse_embedding(answer["envelope"])
    verify_envelope(envelope, announced(signing))


def test_without_a_key_nothing_is_signed_and_the_log_says_so(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log, running(tmp_path, log) as client:
        said = post(client, "/v1/chat/completions", REQUEST)["hitproof_runner"]
        listed = client.get("/runner/v1/manifests").json()
    assert (said["statement"], said["openings"], listed["signing_key"]) == (None, None, None)
    assert "nothing_is_signed" in (tmp_path / "log").read_text()


def test_an_embedder_that_is_no_folder_is_named(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with pytest.raises(RunnerUsageError, match="no folder"):
        runner(demo=True, token_file=token, embedder=str(tmp_path / "none"))


def test_a_ceremonys_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with pytest.raises(RunnerUsageError, match="--srs"):
        runner(demo=True, token_file=token, srs=tmp_path / "none")


@pytest.mark.parametrize("flags", [{}, {"demo": True, "beside": "http://127.0.0.1:1/v1"}])
def test_exactly_one_kind_of_model_is_asked_for(tmp_path: Path, flags: Any) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with pytest.raises(RunnerUsageError, match="exactly one"):
        runner(token_file=token, **flags)
