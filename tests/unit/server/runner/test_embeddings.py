"""What a runner signs about vectors, and what it refuses to."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from crypto.applicability import setup
from crypto.applicability.setup import SetupError, load_setup
from crypto.applicability.suites import SUITES, Suite
from crypto.commitment import text_commitment, vector_commitment
from crypto.dsse import verify_envelope
from crypto.ed25519 import SigningKey
from crypto.embedding_statement import EmbeddingStatement, parse_embedding
from crypto.similarity import quantise_reference
from server.embedding.errors import ModelFilesError, TextError
from server.ports import Embedder, Float32Matrix, JsonObject
from server.prover.commitment import commit
from server.runner.app import create_runner_app
from server.runner.commitments import CeremonyCommitter, Commits
from server.runner.embeddings import EmbedderLoader
from server.runner.limits import RunnerLimits
from tests.runner_fakes import TOKEN, EchoEngine, FakeClock, FakeRandom, HashEmbedder

KEY = SigningKey(hashlib.sha256(b"the runner of the tests").digest())
TEXT = "how tall is the e\u0301tower"
STATEMENT = "sha256:" + "ab" * 32


def vector_of(embedder: Embedder, text: str = TEXT) -> list[int]:
    return list(quantise_reference(embedder.embed([text])[0].tolist()))


def body_of(embedder: Embedder, **fields: Any) -> JsonObject:
    asked = {"embedder": embedder.digest, "statement": STATEMENT, "tenant": "cd" * 16, "text": TEXT}
    return asked | {"vector": vector_of(embedder)} | fields


def ask(
    *bodies: JsonObject,
    loaders: Sequence[EmbedderLoader] = (HashEmbedder,),
    signer: SigningKey | None = KEY,
    limits: RunnerLimits | None = None,
    commit: Commits | None = None,
    seen: Callable[[httpx2.Response], None] = lambda _response: None,
) -> list[httpx2.Response]:
    """Post all *bodies* at once; *seen* is told of each answer as it comes."""
    app = create_runner_app(
        [EchoEngine()], token=TOKEN, clock=FakeClock(), random_source=FakeRandom(), limits=limits, signer=signer,
        embedder_loaders=loaders, commit=commit,
    )  # fmt: skip

    async def run() -> list[httpx2.Response]:
        headers = {"authorization": f"Bearer {TOKEN}"}
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://runner.test", headers=headers) as client:

            async def one(body: JsonObject) -> httpx2.Response:
                response = await client.post("/runner/v1/embedding-statements", json=body)
                seen(response)
                return response

            return await asyncio.gather(*(one(body) for body in bodies))

    return asyncio.run(run())


def verified(answer: JsonObject) -> EmbeddingStatement:
    envelope, statement = parse_embedding(answer["envelope"])
    verify_envelope(envelope, KEY.public_key)
    return statement


def signed_bytes(vector: Sequence[int]) -> bytes:
    return b"".join(part.to_bytes(1, "big", signed=True) for part in vector)


def test_a_vector_that_was_recomputed_is_signed_and_opens() -> None:
    body = body_of(HashEmbedder())
    (response,) = ask(body)
    answer = response.json()
    assert (response.status_code, answer["protocol"]) == (200, "hitproof/runner/v1")
    statement = verified(answer)
    salts = {name: bytes.fromhex(salt) for name, salt in answer["salts"].items()}
    assert statement.vector_commitment == vector_commitment(salts["vector"], signed_bytes(body["vector"]))
    assert statement.text_commitment == text_commitment(salts["text"], TEXT)
    assert (statement.embedder, statement.statement) == (body["embedder"], STATEMENT)
    assert (statement.dimension, statement.tenant) == (384, "cd" * 16)
    assert statement.suite == "hitproof/kzg-bls12381-512/v1"
    assert statement.commitment == commit(load_setup(), SUITES[1], body["vector"], salts["commitment"]).hex()
    assert (statement.issued_at_ms, statement.signer) == (1_000_000, KEY.key_id)


def test_every_commitment_has_a_seed_of_its_own() -> None:
    body = body_of(HashEmbedder())
    answers = [response.json() for response in ask(body, body)]
    assert len({answer["salts"]["commitment"] for answer in answers}) == 2
    assert len({verified(answer).commitment for answer in answers}) == 2


class Wide(HashEmbedder):
    """Vectors of more components than any suite takes."""

    dimension = 2049


def test_a_vector_that_no_suite_takes_is_signed_without_a_commitment() -> None:
    (response,) = ask(body_of(Wide()), loaders=[Wide])
    statement = verified(response.json())
    assert (statement.commitment, statement.suite, statement.dimension) == (None, None, 2049)
    assert response.json()["salts"]["commitment"] is None


def test_a_vector_that_is_refused_is_not_committed_to() -> None:
    def commit_never(_suite: Suite, _vector: Sequence[int], _seed: bytes) -> bytes:
        raise AssertionError("committed to what is not signed")

    (response,) = ask(body_of(HashEmbedder(), text="how old is the tower"), commit=commit_never)
    assert response.status_code == 409


def test_without_the_ceremonys_file_nothing_is_signed(tmp_path: Path) -> None:
    other = tmp_path / "trusted_setup.txt"
    other.write_text("4096\n65\n")
    with pytest.raises(SetupError):
        CeremonyCommitter(other)(SUITES[1], [1] * 384, bytes(32))
    (response,) = ask(body_of(HashEmbedder()), commit=CeremonyCommitter(other))
    assert response.status_code == 500
    assert "envelope" not in response.json()


def test_another_copy_of_the_ceremonys_file_commits_alike(tmp_path: Path) -> None:
    source = Path(setup.__file__).with_name("trusted_setup.txt")
    copy = tmp_path / "copy.txt"
    copy.write_bytes(source.read_bytes())
    vector, seed = [1, -2, 3], bytes(range(32))
    assert CeremonyCommitter(copy)(SUITES[0], vector, seed) == commit(load_setup(), SUITES[0], vector, seed)


def moved(vector: list[int], by: int) -> list[int]:
    """Move every component *by*, towards zero where it would leave a byte."""
    return [part + by if abs(part + by) <= 127 else part - by for part in vector]


@pytest.mark.parametrize("by", [1, -1])
def test_a_component_may_be_rounded_otherwise_and_what_is_stored_is_what_is_signed(by: int) -> None:
    vector = moved(vector_of(HashEmbedder()), by)
    (response,) = ask(body_of(HashEmbedder(), vector=vector))
    salt = bytes.fromhex(response.json()["salts"]["vector"])
    assert verified(response.json()).vector_commitment == vector_commitment(salt, signed_bytes(vector))


@pytest.mark.parametrize("place", [0, 200, 383])
@pytest.mark.parametrize("by", [2, -2])
def test_a_component_that_differs_by_two_is_refused(place: int, by: int) -> None:
    vector = vector_of(HashEmbedder())
    vector[place] = moved(vector, by)[place]
    (response,) = ask(body_of(HashEmbedder(), vector=vector))
    assert response.status_code == 409
    assert "differs by 2" in response.json()["error"]["message"]


def test_the_vector_of_another_text_is_refused() -> None:
    (response,) = ask(body_of(HashEmbedder(), text="how old is the tower"))
    assert response.status_code == 409


@pytest.mark.parametrize("length", [383, 385])
def test_a_vector_of_another_length_is_refused(length: int) -> None:
    vector = [*vector_of(HashEmbedder()), 0][:length]
    (response,) = ask(body_of(HashEmbedder(), vector=vector))
    assert response.status_code == 409


def test_the_vector_of_another_embedder_is_refused() -> None:
    (response,) = ask(body_of(HashEmbedder(name="another")))
    assert response.status_code == 409
    assert "another embedder" in response.json()["error"]["message"]


def test_the_embedder_that_is_asked_for_is_found_among_several() -> None:
    loaded: list[str] = []

    def loader(name: str) -> EmbedderLoader:
        def load() -> Embedder:
            loaded.append(name)
            return HashEmbedder(name=name)

        return load

    body = body_of(HashEmbedder(name="b"))
    responses = ask(body, body, loaders=[loader("a"), loader("b"), loader("c")])
    assert [response.status_code for response in responses] == [200, 200]
    assert loaded == ["a", "b"]


def test_no_embedder_is_loaded_before_one_is_asked_for() -> None:
    def load() -> Embedder:
        raise AssertionError("loaded too early")

    (response,) = ask({}, loaders=[load])
    assert response.status_code == 400


@pytest.mark.parametrize("options", [{"signer": None}, {"loaders": ()}], ids=["no key", "no embedder"])
def test_a_runner_that_cannot_sign_vectors_says_so(options: Any) -> None:
    (response,) = ask(body_of(HashEmbedder()), **options)
    assert response.status_code == 409
    assert "--signing-key" in response.json()["error"]["message"]


@pytest.mark.parametrize(("error", "status"), [(TextError("unreadable"), 400), (ModelFilesError("gone"), 500)])
def test_an_embedder_that_fails_signs_nothing(error: Exception, status: int) -> None:
    embedder = HashEmbedder()
    body = body_of(embedder)
    embedder.fault = error
    (response,) = ask(body, loaders=[lambda: embedder])
    assert response.status_code == status
    assert "envelope" not in response.json()


def test_an_embedder_that_could_not_be_loaded_is_tried_again() -> None:
    tries: list[int] = []

    def load() -> Embedder:
        tries.append(1)
        if len(tries) == 1:
            raise ModelFilesError("not there yet")
        return HashEmbedder()

    body = body_of(HashEmbedder())
    statuses = [response.status_code for response in ask(body, body, loaders=[load])]
    assert sorted(statuses) == [200, 500]


class Waiting(HashEmbedder):
    """Holds its first run until all that may come have come."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.gate = threading.Event(), threading.Event()

    def embed(self, texts: Sequence[str]) -> Float32Matrix:
        self.begun.set()
        self.gate.wait(60)
        return super().embed(texts)


def test_more_than_may_wait_are_turned_away_and_the_others_signed() -> None:
    embedder, body, refused = Waiting(), body_of(HashEmbedder()), 0

    def open_when_all_have_come(response: httpx2.Response) -> None:
        nonlocal refused
        refused += response.status_code == 503
        if refused == 6 or response.status_code != 503:
            embedder.gate.set()

    responses = ask(
        *[body] * 10,
        loaders=[lambda: embedder],
        limits=RunnerLimits(embeddings_max=4),
        seen=open_when_all_have_come,
    )
    statuses = [response.status_code for response in responses]
    assert (statuses.count(200), statuses.count(503)) == (4, 6)
    assert next(response for response in responses if response.status_code == 503).headers["retry-after"] == "1"
    assert len({verified(response.json()).nonce for response in responses if response.status_code == 200}) == 4


def test_vectors_are_signed_while_answers_are_given() -> None:
    embedder = Waiting()
    app = create_runner_app(
        [EchoEngine()], token=TOKEN, clock=FakeClock(), random_source=FakeRandom(), signer=KEY,
        embedder_loaders=[lambda: embedder],
    )  # fmt: skip

    async def run() -> tuple[int, int]:
        headers = {"authorization": f"Bearer {TOKEN}"}
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://runner.test", headers=headers) as client:
            signing = asyncio.create_task(client.post("/runner/v1/embedding-statements", json=body_of(HashEmbedder())))
            assert await asyncio.to_thread(embedder.begun.wait, 60)
            chat = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
            answered = await client.post("/v1/chat/completions", json=chat)
            embedder.gate.set()
            return answered.status_code, (await signing).status_code

    assert asyncio.run(run()) == (200, 200)
