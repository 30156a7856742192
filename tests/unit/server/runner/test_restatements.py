"""What a runner says again for another tenant, and what it refuses to."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from crypto.commitment import output_commitment, output_tokens_commitment, prompt_commitment, prompt_tokens_commitment
from crypto.dsse import verify_envelope
from crypto.ed25519 import SigningKey
from crypto.statement import EvidenceReference, Parent, ReceiptStatement, parse_receipt, sign_receipt
from server.ports import JsonObject
from server.runner.app import create_runner_app
from tests.runner_fakes import TOKEN, EchoEngine, FakeClock, FakeRandom

KEY = SigningKey(hashlib.sha256(b"the runner of the tests").digest())
OTHER = SigningKey(hashlib.sha256(b"another runner").digest())
OF_TENANT, OF_POOL = "cd" * 16, "ef" * 16
POLICY, RELEASE = "sha256:" + "ab" * 32, "sha256:" + "12" * 32
MESSAGES = [{"role": "user", "content": "until when are you open?"}]
Post = Callable[[str, JsonObject], JsonObject]


def with_runner(work: Callable[[httpx2.AsyncClient], Any], *, signer: SigningKey | None = KEY) -> Any:
    app = create_runner_app(
        [EchoEngine()], token=TOKEN, clock=FakeClock(), random_source=FakeRandom(), signer=signer
    )  # fmt: skip

    async def run() -> Any:
        headers = {"authorization": f"Bearer {TOKEN}"}
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://runner.test", headers=headers) as client:
            return await work(client)

    return asyncio.run(run())


async def answered(client: httpx2.AsyncClient) -> JsonObject:
    """Ask the runner something and return the request that has it say its statement again."""
    asked = {"derivation": "none", "parents": [], "policy": None, "tenant": OF_TENANT}
    body = {"model": "echo", "messages": MESSAGES, "hitproof_statement": asked}
    answer = (await client.post("/v1/chat/completions", json=body)).json()
    said = answer["hitproof_runner"]
    return {
        "choices": answer["choices"],
        "envelope": said["statement"],
        "evidence": [{"type": "pool-release", "digest": RELEASE}],
        "messages": MESSAGES,
        "openings": said["openings"],
        "output_token_ids": said["output_token_ids"],
        "policy": POLICY,
        "prompt_token_ids": said["prompt_token_ids"],
        "tenant": OF_POOL,
    }


def restated(
    change: Callable[[JsonObject], JsonObject] = lambda body: body, **options: Any
) -> tuple[int, JsonObject, JsonObject]:
    """Return status, answer, and what was asked."""

    async def work(client: httpx2.AsyncClient) -> tuple[int, JsonObject, JsonObject]:
        asked = change(await answered(client))
        response = await client.post("/runner/v1/restatements", json=asked)
        return response.status_code, response.json(), asked

    found: tuple[int, JsonObject, JsonObject] = with_runner(work, **options)
    return found


def statement_of(envelope: Any, key: SigningKey = KEY) -> ReceiptStatement:
    found, statement = parse_receipt(envelope)
    verify_envelope(found, key.public_key)
    return statement


def test_a_statement_is_said_again_for_the_pool_with_its_release_and_opens_under_fresh_salts() -> None:
    status, answer, asked = restated()
    assert status == 200
    statement, salts = statement_of(answer["envelope"]), {k: bytes.fromhex(v) for k, v in answer["openings"].items()}
    assert (statement.grade, statement.tenant, statement.policy) == ("attested", OF_POOL, POLICY)
    assert statement.evidence == (EvidenceReference("pool-release", RELEASE),)
    assert statement.output_commitment == output_commitment(salts["output"], asked["choices"])
    assert statement.prompt_commitment == prompt_commitment(salts["prompt"], MESSAGES)
    assert statement.output_tokens_commitment == output_tokens_commitment(
        salts["output_tokens"], asked["output_token_ids"]
    )
    assert statement.prompt_tokens_commitment == prompt_tokens_commitment(
        salts["prompt_tokens"], asked["prompt_token_ids"]
    )


def test_what_is_said_again_shares_nothing_with_the_first_statement_but_model_and_parameters() -> None:
    _, answer, asked = restated()
    before, after = statement_of(asked["envelope"]), statement_of(answer["envelope"])
    assert (before.model_version, before.parameters, before.runtime) == (
        after.model_version,
        after.parameters,
        after.runtime,
    )
    for field in ("nonce", "tenant", "output_commitment", "prompt_commitment", "output_tokens_commitment"):
        assert getattr(before, field) != getattr(after, field), field
    assert not set(asked["openings"].values()) & set(answer["openings"].values())


@pytest.mark.parametrize("field", ["choices", "messages", "output_token_ids", "prompt_token_ids"])
def test_a_statement_about_something_else_is_not_said_again(field: str) -> None:
    other: dict[str, Any] = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "something else"}}],
        "messages": [{"role": "user", "content": "something else?"}],
        "output_token_ids": [1, 2, 3],
        "prompt_token_ids": [1, 2, 3],
    }
    status, answer, _ = restated(lambda body: body | {field: other[field]})
    assert status == 409, answer


def signed_anew(body: JsonObject, key: SigningKey, **changes: Any) -> JsonObject:
    from dataclasses import replace

    statement = replace(statement_of(body["envelope"]), signer=key.key_id, **changes)
    return body | {"envelope": sign_receipt(statement, key).to_json()}


def test_another_runners_statement_is_not_said_again() -> None:
    status, answer, _ = restated(lambda body: signed_anew(body, OTHER))
    assert status == 409 and "signed" in answer["error"]["message"]


def test_a_statement_with_parents_is_not_said_again() -> None:
    parents = (Parent("adapted-from", RELEASE),)
    status, _, _ = restated(lambda body: signed_anew(body, KEY, derivation="adapted", parents=parents))
    assert status == 409


def test_a_changed_signature_is_refused() -> None:
    def change(body: JsonObject) -> JsonObject:
        signature = body["envelope"]["signatures"][0]
        other = ("A" if signature["sig"][0] != "A" else "B") + signature["sig"][1:]
        return body | {"envelope": body["envelope"] | {"signatures": [signature | {"sig": other}]}}

    assert restated(change)[0] == 409


@pytest.mark.parametrize(
    "change",
    [
        lambda body: {name: value for name, value in body.items() if name != "tenant"},
        lambda body: body | {"more": 1},
        lambda body: body | {"tenant": "pool"},
        lambda body: body | {"openings": body["openings"] | {"output": "00"}},
        lambda body: body | {"openings": {"output": "00" * 32}},
        lambda body: body | {"output_token_ids": [-1]},
        lambda body: body | {"evidence": [{"type": "b", "digest": RELEASE}, {"type": "a", "digest": RELEASE}]},
        lambda body: body | {"choices": "text"},
    ],
)
def test_anything_malformed_is_a_bad_request(change: Callable[[JsonObject], JsonObject]) -> None:
    status, answer, _ = restated(change)
    assert status == 400, answer


def test_a_runner_without_a_key_says_nothing_again() -> None:
    async def work(client: httpx2.AsyncClient) -> int:
        return (await client.post("/runner/v1/restatements", json={})).status_code

    assert with_runner(work, signer=None) == 409


def test_nothing_is_said_again_without_the_token() -> None:
    async def work(client: httpx2.AsyncClient) -> int:
        return (await client.post("/runner/v1/restatements", json={}, headers={"authorization": ""})).status_code

    assert with_runner(work) == 401
