"""`hitproof key revoke|signers`, `hitproof model revoke|supersede` and `hitproof tenant erase` as an operator types them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crypto.errors import Error
from server.cli import app
from server.cli.naming import NameUnknown
from server.datafolder import DataFolder
from server.erasures import Erasures
from server.store.errors import Conflict, NotFound
from tests.fakes import FakeClock, FakeGateway, Options, fake_gateway
from tests.signing_runner import RUNNER_KEY, SigningRunner

QUESTION = "Which lantern hangs over the northern gate of the harbour?"


def hitproof(folder: Path, *words: str) -> Any:
    """Run a command on *folder* and return what it printed; its error is raised."""
    done = CliRunner().invoke(app, [*words, "--data", str(folder), "--json"])
    if isinstance(done.exception, Error):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def world(tmp_path: Path) -> Options:
    clock = FakeClock()
    return Options(clock=clock, upstream=SigningRunner(clock), upstream_kind="runner", tenants=1)


def with_gateway(folder: Path, options: Options, *steps: Any) -> None:
    """Ask the same question before, between and behind *steps*, each of which says what the next answer is."""

    async def play() -> None:
        async with fake_gateway(folder, options) as gateway:
            await gateway.ask(QUESTION)
            for step in steps:
                await step(gateway)

    asyncio.run(play())


async def outcome(gateway: FakeGateway) -> str:
    answer = await gateway.ask(QUESTION)
    return f"{answer['hitproof']['outcome']} {answer['hitproof']['reason'].partition(';')[0]}"


def test_a_signing_key_is_ended_beside_a_running_gateway(tmp_path: Path, world: Options) -> None:
    async def check(gateway: FakeGateway) -> None:
        (runner,) = [row for row in hitproof(tmp_path, "key", "signers") if row["role"] == "runner"]
        assert (runner["key_id"], runner["status"]) == (RUNNER_KEY.key_id, "active")
        assert await outcome(gateway) == "hit same_request"
        done = hitproof(tmp_path, "key", "revoke", RUNNER_KEY.key_id, "--since-index", "0")
        assert done == {"key_id": RUNNER_KEY.key_id, "role": "runner", "status": "compromised", "since_index": 0}
        assert await outcome(gateway) == "miss signer_revoked"

    with_gateway(tmp_path, world, check)


def test_a_signing_key_is_retired_where_no_leaf_is_named(tmp_path: Path, world: Options) -> None:
    async def check(gateway: FakeGateway) -> None:
        done = hitproof(tmp_path, "key", "revoke", RUNNER_KEY.key_id)
        assert done["status"] == "retired" and done["since_index"] > 0
        with pytest.raises(Conflict):
            hitproof(tmp_path, "key", "revoke", RUNNER_KEY.key_id)

    with_gateway(tmp_path, world, check)


@pytest.mark.parametrize("command", ["revoke", "supersede"])
def test_a_model_version_is_withdrawn_beside_a_running_gateway(tmp_path: Path, world: Options, command: str) -> None:
    async def check(gateway: FakeGateway) -> None:
        version = (await gateway.ask(QUESTION))["hitproof"]["model_version"]
        status = {"revoke": "revoked", "supersede": "superseded"}[command]
        assert hitproof(tmp_path, "model", command, version) == {"model_version": version, "status": status}
        assert (await outcome(gateway)).startswith("miss")
        with pytest.raises(NotFound):
            hitproof(tmp_path, "model", command, "sha256:" + "0" * 64)

    with_gateway(tmp_path, world, check)


def test_an_api_key_is_revoked_as_before(tmp_path: Path) -> None:
    hitproof(tmp_path, "org", "create", "org")
    hitproof(tmp_path, "tenant", "create", "org", "tenant")
    (key,) = hitproof(tmp_path, "key", "list", "org/tenant")
    done = hitproof(tmp_path, "key", "revoke", "org/tenant", key["key_id"])
    assert done == {"key_id": key["key_id"], "revoked": True}


@pytest.mark.parametrize("words", [("org/tenant",), ("org/tenant", "some-key", "--since-index", "1"), ("00" * 31,)])
def test_words_that_name_no_key_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(NameUnknown):
        hitproof(tmp_path, "key", "revoke", *words)


def test_erasing_a_tenant_leaves_a_tombstone(tmp_path: Path) -> None:
    hitproof(tmp_path, "org", "create", "org")
    made = hitproof(tmp_path, "tenant", "create", "org", "tenant")
    hitproof(tmp_path, "tenant", "erase", "org/tenant", "--confirm", "org/tenant")
    assert [found.tenant for found in Erasures(DataFolder(tmp_path).erasures_file).list_all()] == [made["id"]]


def test_the_platform_withdraws_versions_and_ends_keys_over_the_network(tmp_path: Path, world: Options) -> None:
    async def check(gateway: FakeGateway) -> None:
        version = (await gateway.ask(QUESTION))["hitproof"]["model_version"]
        path = f"/admin/v1/model-versions/{version}/supersede"
        assert (await gateway.call("POST", path, tenant=None, json={})).json()["status"] == "superseded"
        listed = (await gateway.call("GET", "/admin/v1/signing-keys", tenant=None)).json()["data"]
        (runner,) = [row for row in listed if row["role"] == "runner"]
        assert runner["models"] == [version] and runner["public_key"] == RUNNER_KEY.public_key.hex()
        path = f"/admin/v1/signing-keys/{runner['key_id']}/revoke"
        ended = await gateway.call("POST", path, tenant=None, json={"since_index": 0})
        assert (ended.json()["status"], ended.json()["since_index"]) == ("compromised", 0)
        audited = (await gateway.call("GET", "/admin/v1/audit-log?limit=500", tenant=None)).json()["data"]
        assert [row["action"] for row in audited[-2:]] == ["model.supersede", "signing-key.revoke"]

    with_gateway(tmp_path, world, check)
