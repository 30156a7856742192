"""What every adapter of the port `Upstream` promises, each against a real runner on loopback.

The runner speaks OpenAI's API, so it serves both adapters; beside mode is a runner before another runner.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing
from typing import Any, TypeVar

import pytest
from openai import AsyncOpenAI

from crypto.commitment import output_commitment, prompt_commitment
from crypto.dsse import verify_envelope
from crypto.ed25519 import SigningKey
from crypto.embedding_statement import parse_embedding
from crypto.manifest import declared_model_version, is_model_version, model_version
from crypto.similarity import quantise_reference
from crypto.statement import parse_receipt
from server.ports import Chunk, Completion, JsonObject, Upstream
from server.runner.app import create_app, create_runner_app
from server.runner.beside import BesideAnswerer
from server.runner.engine import Generated, GenerationRequest, Piece
from server.runner.limits import RunnerLimits
from server.runner.statements import StatementMaker
from server.upstream.errors import UpstreamError, UpstreamRejected, UpstreamUnavailable
from server.upstream.openai import OpenAIUpstream
from server.upstream.runner import RunnerUpstream
from tests.runner_fakes import MANIFEST, TOKEN, EchoEngine, FakeClock, FakeRandom, HashEmbedder, served

Result = TypeVar("Result")
REQUEST: JsonObject = {"model": "echo", "messages": [{"role": "user", "content": "one two three"}], "temperature": 0.5}
ASKED: JsonObject = {"derivation": "none", "parents": [], "policy": None, "tenant": "cd" * 16}
KEY = SigningKey(hashlib.sha256(b"the runner of the tests").digest())
PORTS: dict[str, Any] = {"clock": FakeClock(), "random_source": FakeRandom(), "allow_private": True}


class Dying(EchoEngine):
    def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
        yield Piece(0, "half an answer")
        raise ValueError("died")


def openai_upstream(url: str) -> OpenAIUpstream:
    return OpenAIUpstream("behind", url + "/v1", TOKEN, **PORTS)


def runner_upstream(url: str) -> RunnerUpstream:
    return RunnerUpstream("runner", url, TOKEN, **PORTS)


@pytest.fixture(scope="module")
def runner_url() -> Iterator[str]:
    engines = [EchoEngine(), Dying("dying")]
    app = create_runner_app(
        engines, token=TOKEN, clock=FakeClock(), random_source=FakeRandom(), signer=KEY, embedder_loaders=[HashEmbedder]
    )
    with served(app) as url:
        yield url


@pytest.fixture(scope="module")
def beside_url(runner_url: str) -> Iterator[str]:
    statements = StatementMaker(KEY, clock=FakeClock(), random_source=FakeRandom())
    answerer = BesideAnswerer(openai_upstream(runner_url), statements=statements)
    app = create_app(answerer, token=TOKEN, limits=RunnerLimits())
    with served(app) as url:
        yield url


Open = Callable[[], Upstream]


@pytest.fixture(params=["openai", "runner", "runner-beside"])
def opened(request: pytest.FixtureRequest, runner_url: str, beside_url: str) -> Open:
    kinds: dict[str, Open] = {
        "openai": lambda: openai_upstream(runner_url),
        "runner": lambda: runner_upstream(runner_url),
        "runner-beside": lambda: runner_upstream(beside_url),
    }
    return kinds[request.param]


def using(opened: Open, use: Callable[[Upstream], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        upstream = opened()
        try:
            return await use(upstream)
        finally:
            await upstream.close()

    return asyncio.run(run())


async def streamed(upstream: Upstream, request: JsonObject) -> list[Chunk | Completion]:
    async with aclosing(upstream.stream(request, tenant_salt="salt")) as items:  # type: ignore[type-var]
        return [item async for item in items]


def stable(response: JsonObject) -> JsonObject:
    return {key: value for key, value in response.items() if key not in ("id", "created")}


def test_models_are_listed_with_a_version_each(opened: Open) -> None:
    models = using(opened, lambda upstream: upstream.list_models())
    assert [model.name for model in models] == ["echo", "dying"]
    assert all(is_model_version(model.model_version) for model in models)


def test_a_whole_answer_comes_back(opened: Open) -> None:
    completion = using(opened, lambda upstream: upstream.complete(REQUEST, tenant_salt="salt"))
    assert completion.response["choices"][0]["message"]["content"] == "one two three"
    assert completion.response["usage"]["total_tokens"] == 5


def test_a_stream_ends_with_one_completion_and_only_one(opened: Open) -> None:
    items = using(opened, lambda upstream: streamed(upstream, REQUEST))
    kinds = [type(item) for item in items]
    assert kinds == [Chunk] * (len(items) - 1) + [Completion]
    assert len(items) > 3


def test_a_streamed_answer_equals_the_same_answer_unstreamed(opened: Open) -> None:
    async def both(upstream: Upstream) -> tuple[Completion, Any]:
        return await upstream.complete(REQUEST, tenant_salt="s"), (await streamed(upstream, REQUEST))[-1]

    whole, assembled = using(opened, both)
    drop = "hitproof_runner"
    left, right = stable(whole.response), stable(assembled.response)
    assert {key: value for key, value in left.items() if key != drop} == {
        key: value for key, value in right.items() if key != drop
    }
    assert whole.provenance == assembled.provenance


def test_a_refusal_comes_back_with_status_and_error_object(opened: Open) -> None:
    bad = REQUEST | {"model": "none"}
    for ask in (lambda upstream: upstream.complete(bad, tenant_salt=""), lambda upstream: streamed(upstream, bad)):
        with pytest.raises(UpstreamRejected) as caught:
            using(opened, ask)
        assert caught.value.status == 404
        assert "no model 'none'" in caught.value.error["message"]


def test_a_stream_that_dies_raises_and_gives_no_completion(opened: Open) -> None:
    seen: list[Chunk | Completion] = []

    async def collect(upstream: Upstream) -> None:
        async with aclosing(upstream.stream(REQUEST | {"model": "dying"}, tenant_salt="")) as items:  # type: ignore[type-var]
            async for item in items:
                seen.append(item)  # noqa: PERF401  # what came before the error is what matters

    with pytest.raises(UpstreamUnavailable):
        using(opened, collect)
    assert seen
    assert not any(isinstance(item, Completion) for item in seen)


def test_an_answer_that_dies_raises(opened: Open) -> None:
    with pytest.raises(UpstreamError):
        using(opened, lambda upstream: upstream.complete(REQUEST | {"model": "dying"}, tenant_salt=""))


def test_a_request_is_not_changed_by_sending_it(opened: Open) -> None:
    request = REQUEST | {"hitproof": {"tags": ["a"]}, "cache_salt": "x"}
    before = dict(request)
    using(opened, lambda upstream: upstream.complete(request, tenant_salt="s"))
    assert request == before


def test_many_at_once_get_each_their_own_answer(opened: Open) -> None:
    async def ask(upstream: Upstream, place: int) -> str:
        request = REQUEST | {"messages": [{"role": "user", "content": f"canary {place}"}]}
        completion = await upstream.complete(request, tenant_salt="")
        text: str = completion.response["choices"][0]["message"]["content"]
        return text

    async def all_at_once(upstream: Upstream) -> list[str]:
        return await asyncio.gather(*(ask(upstream, place) for place in range(30)))

    assert using(opened, all_at_once) == [f"canary {place}" for place in range(30)]


def test_a_server_that_is_gone_is_unavailable() -> None:
    with ExitStack() as stack:
        url = stack.enter_context(
            served(create_runner_app([EchoEngine()], token=TOKEN, clock=FakeClock(), random_source=FakeRandom()))
        )
    for opened in (lambda: openai_upstream(url), lambda: runner_upstream(url)):
        with pytest.raises(UpstreamUnavailable):
            using(opened, lambda upstream: upstream.complete(REQUEST, tenant_salt=""))


def test_a_wrong_token_is_the_operators_trouble_and_says_so(runner_url: str) -> None:
    wrong = RunnerUpstream("runner", runner_url, "x" * 40, **PORTS)
    with pytest.raises(UpstreamUnavailable, match="api_key"):
        using(lambda: wrong, lambda upstream: upstream.complete(REQUEST, tenant_salt=""))


def test_a_runner_attests_where_it_loaded_the_model_and_declares_where_it_did_not(
    runner_url: str, beside_url: str
) -> None:
    loaded = using(lambda: runner_upstream(runner_url), lambda upstream: upstream.complete(REQUEST, tenant_salt=""))
    assert loaded.provenance is not None
    assert loaded.provenance.model_version == model_version(MANIFEST)
    assert loaded.provenance.output_token_ids == (0, 1, 2)
    beside = using(lambda: runner_upstream(beside_url), lambda upstream: upstream.complete(REQUEST, tenant_salt=""))
    assert beside.provenance is not None
    assert beside.provenance.model_version == declared_model_version("behind", runner_url + "/v1", "echo")
    assert beside.provenance.output_token_ids is None
    assert beside.provenance.parameters == {"temperature": "0.5"}


@pytest.mark.parametrize(("place", "grade"), [("runner", "attested"), ("beside", "declared")])
def test_a_signed_answer_opens_with_what_the_gateway_keeps_of_it(
    runner_url: str, beside_url: str, place: str, grade: str
) -> None:
    url = runner_url if place == "runner" else beside_url
    asking = REQUEST | {"hitproof_statement": ASKED}

    async def both(upstream: Upstream) -> tuple[Completion, Any]:
        return await upstream.complete(asking, tenant_salt="s"), (await streamed(upstream, asking))[-1]

    whole, assembled = using(lambda: runner_upstream(url), both)
    for answer, other in ((whole, assembled), (assembled, whole)):
        provenance = answer.provenance
        envelope, statement = parse_receipt(provenance.statement)
        verify_envelope(envelope, KEY.public_key)
        salts = {kind: bytes.fromhex(salt) for kind, salt in provenance.openings.items() if salt is not None}
        assert (statement.grade, statement.model_version) == (grade, provenance.model_version)
        assert statement.prompt_commitment == prompt_commitment(salts["prompt"], REQUEST["messages"])
        for response in (answer.response, other.response):
            assert statement.output_commitment == output_commitment(salts["output"], response["choices"])


def test_what_is_to_be_signed_never_travels_to_anybody_but_a_runner(runner_url: str) -> None:
    asking = REQUEST | {"hitproof_statement": ASKED}
    # The same process answers both, so what it did not sign it was not asked to sign.
    asked = using(lambda: runner_upstream(runner_url), lambda upstream: upstream.complete(asking, tenant_salt=""))
    assert asked.provenance is not None
    assert asked.provenance.statement is not None
    vendor = using(lambda: openai_upstream(runner_url), lambda upstream: upstream.complete(asking, tenant_salt=""))
    assert vendor.response["hitproof_runner"]["statement"] is None


def test_every_model_of_a_runner_carries_its_signing_key(runner_url: str, beside_url: str) -> None:
    for url in (runner_url, beside_url):
        models = using(lambda url=url: runner_upstream(url), lambda upstream: upstream.list_models())  # type: ignore[misc]
        assert {model.signing_key for model in models} == {KEY.public_key.hex()}
    assert {model.signing_key for model in using(lambda: openai_upstream(runner_url), lambda up: up.list_models())} == {
        None
    }


def test_a_runner_signs_the_vector_it_recomputes_and_refuses_another(runner_url: str) -> None:
    embedder = HashEmbedder()
    vector = list(quantise_reference(embedder.embed(["hi"])[0].tolist()))

    async def ask(vector: list[int]) -> JsonObject:
        upstream = runner_upstream(runner_url)
        try:
            found = await upstream.embedding_statement(
                embedder=embedder.digest, statement="sha256:" + "ab" * 32, tenant="cd" * 16, text="hi", vector=vector
            )
            return found.envelope
        finally:
            await upstream.close()

    envelope, statement = parse_embedding(asyncio.run(ask(vector)))
    verify_envelope(envelope, KEY.public_key)
    assert statement.embedder == embedder.digest
    with pytest.raises(UpstreamRejected) as caught:
        asyncio.run(ask([(part + 40) % 100 for part in vector]))
    assert caught.value.status == 409


def test_a_vendor_attests_nothing(runner_url: str) -> None:
    completion = using(lambda: openai_upstream(runner_url), lambda upstream: upstream.complete(REQUEST, tenant_salt=""))
    assert completion.provenance is None


def test_the_official_client_works_unchanged_against_a_runner(runner_url: str) -> None:
    async def run() -> tuple[Any, str, list[str]]:
        async with AsyncOpenAI(base_url=runner_url + "/v1", api_key=TOKEN) as client:
            messages: Any = [{"role": "user", "content": "one two"}]
            whole = await client.chat.completions.create(model="echo", messages=messages)
            stream = await client.chat.completions.create(model="echo", messages=messages, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return whole.choices[0].message.content, text, [model.id async for model in client.models.list()]

    assert asyncio.run(run()) == ("one two", "one two", ["echo", "dying"])
