"""What a runner may say about its answers, and what is not believed."""

from __future__ import annotations

import asyncio
import copy
import json
from contextlib import aclosing
from typing import Any

import httpx2
import pytest

from crypto.manifest import model_version
from server.ports import Chunk, Completion, Provenance
from server.upstream.errors import UpstreamMalformed
from server.upstream.runner import RunnerUpstream
from tests.runner_fakes import MANIFEST, TOKEN, FakeClock, FakeRandom

VERSION = model_version(MANIFEST)
REQUEST = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
SAID: dict[str, Any] = {
    "protocol": "hitproof/runner/v1",
    "model_version": VERSION,
    "prompt_token_ids": [1, 2],
    "output_token_ids": [3],
    "parameters": {"temperature": "0"},
}
LISTED: dict[str, Any] = {"name": "echo", "model_version": VERSION, "manifest": MANIFEST}


def upstream_answering(body: bytes, kind: str = "application/json") -> RunnerUpstream:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=body, headers={"content-type": kind}))
    return RunnerUpstream(
        "runner", "https://runner.test", TOKEN, clock=FakeClock(), random_source=FakeRandom(), transport=transport
    )


def list_models(listing: Any) -> Any:
    return asyncio.run(upstream_answering(json.dumps(listing).encode()).list_models())


def complete(said: Any) -> Completion:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "echo", "choices": [choice]}
    if said is not None:
        body["hitproof_runner"] = said
    upstream = upstream_answering(json.dumps(body).encode())
    return asyncio.run(upstream.complete(REQUEST, tenant_salt=""))


def stream(*saids: Any) -> list[Any]:
    """One chunk per item of *saids*, each carrying it where it is not None."""
    chunks = []
    for place, said in enumerate(saids):
        delta = {"content": "x"} if place == 0 else {}
        finish = "stop" if place == len(saids) - 1 else None
        chunk: dict[str, Any] = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        chunks.append(chunk if said is None else chunk | {"hitproof_runner": said})
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"

    async def run() -> list[Any]:
        upstream = upstream_answering(body, "text/event-stream")
        async with aclosing(upstream.stream(REQUEST, tenant_salt="")) as items:
            return [item async for item in items]

    return asyncio.run(run())


PROVENANCE = Provenance(VERSION, (1, 2), (3,), {"temperature": "0"})


def test_the_provenance_leaves_the_answer_and_stands_beside_it() -> None:
    completion = complete(SAID)
    assert completion.provenance == PROVENANCE
    assert "hitproof_runner" not in completion.response


def test_token_ids_may_be_unknown() -> None:
    provenance = complete(SAID | {"prompt_token_ids": None, "output_token_ids": None}).provenance
    assert provenance == Provenance(VERSION, None, None, {"temperature": "0"})


def test_fields_appended_later_are_ignored() -> None:
    assert complete(SAID | {"proof": "later"}).provenance == PROVENANCE


STATEMENT: dict[str, Any] = {"payload": "e30=", "payloadType": "x", "signatures": [{"keyid": "k", "sig": "s"}]}
OPENINGS: dict[str, Any] = {"output": "ab" * 32, "prompt": "cd" * 32, "output_tokens": None, "prompt_tokens": "ef" * 32}
SIGNED: dict[str, Any] = SAID | {"statement": STATEMENT, "openings": OPENINGS}


def test_a_statement_and_its_openings_stand_in_the_provenance_as_they_came() -> None:
    expected = Provenance(VERSION, (1, 2), (3,), {"temperature": "0"}, STATEMENT, OPENINGS)
    assert complete(SIGNED).provenance == expected
    assert stream(None, SIGNED)[-1].provenance == expected


def test_the_last_chunk_of_a_stream_brings_the_provenance() -> None:
    *chunks, last = stream(None, SAID)
    assert all(isinstance(chunk, Chunk) and "hitproof_runner" not in chunk.event for chunk in chunks)
    assert isinstance(last, Completion)
    assert last.provenance == PROVENANCE


@pytest.mark.parametrize("saids", [(None, None), (SAID, None), (SAID, SAID)], ids=["none", "early", "twice"])
def test_a_stream_whose_provenance_is_not_in_its_last_chunk_is_malformed(saids: tuple[Any, ...]) -> None:
    with pytest.raises(UpstreamMalformed):
        stream(*saids)


UNTRUE: dict[str, Any] = {
    "missing": None,
    "a list": [],
    "other protocol": SAID | {"protocol": "hitproof/runner/v2"},
    "no version": SAID | {"model_version": None},
    "version in upper case": SAID | {"model_version": VERSION.upper()},
    "parameters as list": SAID | {"parameters": []},
    "token ids as text": SAID | {"prompt_token_ids": "12"},
    "token id as text": SAID | {"output_token_ids": ["1"]},
    "token id as bool": SAID | {"output_token_ids": [True]},
    "token id as float": SAID | {"output_token_ids": [1.0]},
    "negative token id": SAID | {"output_token_ids": [-1]},
    "huge token id": SAID | {"output_token_ids": [2**31]},
    "statement without openings": SIGNED | {"openings": None},
    "openings without statement": SIGNED | {"statement": None},
    "statement as text": SIGNED | {"statement": "e30="},
    "statement of another form": SIGNED | {"statement": STATEMENT | {"extra": 1}},
    "signatures as object": SIGNED | {"statement": STATEMENT | {"signatures": {}}},
    "a statement above 512 KiB": SIGNED | {"statement": STATEMENT | {"payload": "A" * 2**19}},
    "openings as list": SIGNED | {"openings": []},
    "no opening of the prompt": SIGNED | {"openings": {"output": "ab" * 32}},
    "an unknown opening": SIGNED | {"openings": OPENINGS | {"vector": "ab" * 32}},
    "a short salt": SIGNED | {"openings": OPENINGS | {"output": "ab" * 31}},
    "a salt in upper case": SIGNED | {"openings": OPENINGS | {"prompt_tokens": "EF" * 32}},
}


@pytest.mark.parametrize("said", UNTRUE.values(), ids=UNTRUE.keys())
def test_an_answer_without_proper_provenance_is_malformed(said: Any) -> None:
    with pytest.raises(UpstreamMalformed):
        complete(said)


def listing(*models: Any, **fields: Any) -> dict[str, Any]:
    return {"protocol": "hitproof/runner/v1", "models": list(models)} | fields


def changed_manifest() -> dict[str, Any]:
    manifest = copy.deepcopy(MANIFEST)
    manifest["resources"][0]["sha256"] = "cd" * 32
    return manifest


def test_models_are_listed_with_their_manifests() -> None:
    (model,) = list_models(listing(LISTED))
    assert (model.name, model.model_version, model.manifest) == ("echo", VERSION, MANIFEST)


@pytest.mark.parametrize("key", [None, "ab" * 32])
def test_models_carry_the_key_that_their_runner_announces(key: str | None) -> None:
    assert [model.signing_key for model in list_models(listing(LISTED, signing_key=key))] == [key]


def test_a_runner_that_announces_no_key_signs_nothing() -> None:
    (model,) = list_models(listing(LISTED))
    assert model.signing_key is None


def test_a_model_without_a_manifest_keeps_its_declared_version() -> None:
    (model,) = list_models(listing(LISTED | {"manifest": None}))
    assert (model.model_version, model.manifest) == (VERSION, None)


UNTRUE_LISTINGS: dict[str, Any] = {
    "other protocol": listing(LISTED, protocol="x"),
    "models as object": listing() | {"models": {}},
    "model as text": listing("echo"),
    "no name": listing(LISTED | {"name": ""}),
    "no version": listing(LISTED | {"model_version": None}),
    "another manifest": listing(LISTED | {"manifest": changed_manifest()}),
    "another version": listing(LISTED | {"model_version": "sha256:" + "0" * 64}),
    "manifest with a float": listing(LISTED | {"manifest": MANIFEST | {"config": {"a": 0.5}}}),
    "manifest as list": listing(LISTED | {"manifest": [1]}),
    "too many": listing(*[LISTED] * 2_001),
    "a key as number": listing(LISTED, signing_key=7),
    "a short key": listing(LISTED, signing_key="ab" * 31),
    "a key in upper case": listing(LISTED, signing_key="AB" * 32),
}


@pytest.mark.parametrize("value", UNTRUE_LISTINGS.values(), ids=UNTRUE_LISTINGS.keys())
def test_a_listing_that_does_not_hold_is_malformed(value: Any) -> None:
    with pytest.raises(UpstreamMalformed):
        list_models(value)


EMBEDDING: dict[str, Any] = {
    "protocol": "hitproof/runner/v1",
    "envelope": STATEMENT,
    "salts": {"text": "ab" * 32, "vector": "cd" * 32},
}
ASKED: dict[str, Any] = {
    "embedder": "sha256:" + "11" * 32,
    "statement": "sha256:" + "22" * 32,
    "tenant": "33" * 16,
    "text": "hi",
    "vector": [1, -2],
}


def test_an_embedding_statement_comes_back_with_its_salts() -> None:
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200, json=EMBEDDING)

    upstream = RunnerUpstream(
        "runner", "https://runner.test", TOKEN, clock=FakeClock(), random_source=FakeRandom(),
        transport=httpx2.MockTransport(answer),
    )  # fmt: skip
    found = asyncio.run(upstream.embedding_statement(**ASKED))
    assert (found.envelope, found.text_salt, found.vector_salt) == (STATEMENT, b"\xab" * 32, b"\xcd" * 32)
    assert sent[0].url.path == "/runner/v1/embedding-statements"
    assert json.loads(sent[0].content) == ASKED
    assert found.commitment_seed is None, "a runner of an older release commits to nothing"


@pytest.mark.parametrize(("seed", "read"), [("ef" * 32, b"\xef" * 32), (None, None)], ids=["a seed", "null"])
def test_the_seed_of_a_commitment_comes_with_the_salts(seed: str | None, read: bytes | None) -> None:
    answer = EMBEDDING | {"salts": EMBEDDING["salts"] | {"commitment": seed}}
    found = asyncio.run(upstream_answering(json.dumps(answer).encode()).embedding_statement(**ASKED))
    assert found.commitment_seed == read


UNTRUE_EMBEDDINGS: dict[str, Any] = {
    "empty": {},
    "other protocol": EMBEDDING | {"protocol": "hitproof/runner/v2"},
    "no envelope": EMBEDDING | {"envelope": None},
    "no salts": EMBEDDING | {"salts": None},
    "one salt": EMBEDDING | {"salts": {"text": "ab" * 32}},
    "a short salt": EMBEDDING | {"salts": {"text": "ab" * 32, "vector": "cd" * 31}},
    "a short seed": EMBEDDING | {"salts": EMBEDDING["salts"] | {"commitment": "ef" * 31}},
    "a seed that is no text": EMBEDDING | {"salts": EMBEDDING["salts"] | {"commitment": 1}},
}


@pytest.mark.parametrize("value", UNTRUE_EMBEDDINGS.values(), ids=UNTRUE_EMBEDDINGS.keys())
def test_an_embedding_statement_in_another_form_is_malformed(value: Any) -> None:
    with pytest.raises(UpstreamMalformed):
        asyncio.run(upstream_answering(json.dumps(value).encode()).embedding_statement(**ASKED))
