"""`hitproof share` as an operator types it, beside a gateway."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import server.serving
import server.telemetry
from crypto.errors import Error
from server.cli import app
from server.cli.share import ShareCommandError
from server.errors import RequestError
from server.identifiers import format_entry_id
from server.outside import Outside
from server.pool.errors import PoolError
from server.settings import FOLDER_FILE
from server.store.errors import Conflict, NotFound
from tests.fakes import GATEWAY_KEY, PEPPER
from tests.noised_houses import ALIAS, QUARANTINE_S, NoisedHouse, run
from tests.pool_houses import EPOCH_S


def hitproof(folder: Path, *words: str) -> Any:
    """Run a command on *folder* and return what it printed; its error is raised."""
    line = [*words, "--data", str(folder), "--json"]
    # On a thread of its own: a command begins a loop, and the gateway's is running here.
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(CliRunner().invoke, app, line).result()
    if isinstance(done.exception, Error):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


def own(house: NoisedHouse) -> str:
    return house.gateway.tenants[0].id


def test_an_entry_is_labelled_listed_and_taken_back_beside_a_running_gateway(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = format_entry_id((await house.label_many(1))[0])
        await house.publish_and_store()
        plain = (await house.gateway.ask("Which unlabelled pear stands on the piano?"))["hitproof"]["entry"]
        made = hitproof(tmp_path, "share", "add", own(house), plain, "--alias", ALIAS, "--epsilon", "2.5")
        assert (made["entry"], made["state"], made["epsilon"], made["obfuscation"]) == (plain, "labelled", "2.5", False)
        assert [row["entry"] for row in hitproof(tmp_path, "share", "list", own(house))] == [plain, entry]
        listed = hitproof(tmp_path, "share", "list", own(house), "--state", "published")
        assert [row["entry"] for row in listed] == [entry]
        assert await house.is_in_pool()
        assert hitproof(tmp_path, "share", "remove", own(house), entry)["revoked"] == 1
        assert not await house.is_in_pool()
        with pytest.raises(Conflict):
            hitproof(tmp_path, "share", "add", own(house), entry)

    run(tmp_path, scenario)


def test_everything_is_taken_back_at_once(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label_many(2)
        await house.publish_and_store()
        await house.label()
        assert hitproof(tmp_path, "share", "remove", own(house), "--all") == {"tenant": own(house), "revoked": 3}
        assert not await house.is_in_pool()
        assert hitproof(tmp_path, "share", "remove", own(house), "--all")["revoked"] == 0

    run(tmp_path, scenario)


def test_above_eight_the_command_line_says_obfuscation(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        (row,) = hitproof(tmp_path, "share", "list", own(house))
        assert (row["epsilon"], row["obfuscation"]) == ("12", True)

    run(tmp_path, scenario, policy={"noised_epsilon_milli": 12_000, "noised_allow_weak": True})


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        for words in (("remove", own(house)), ("remove", own(house), "ent_0000000000000", "--all"),
                      ("add", own(house), "no entry")):  # fmt: skip
            with pytest.raises(ShareCommandError):
                hitproof(tmp_path, "share", *words)
        with pytest.raises(NotFound):
            hitproof(tmp_path, "share", "remove", own(house), "ent_0000000000000")
        house.gateway.set_policy(sharing="off")
        with pytest.raises(RequestError) as refused:
            hitproof(tmp_path, "share", "add", own(house), "ent_0000000000000")
        assert refused.value.code == "sharing_is_off"

    run(tmp_path, scenario)


def test_a_pool_that_is_off_publishes_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(house: NoisedHouse) -> None:
        stand_in(house, monkeypatch)

    run(tmp_path, scenario)
    with pytest.raises(PoolError, match="off"):
        hitproof(tmp_path, "share", "publish")


def test_the_command_line_publishes_what_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        house.gateway.clock.advance(QUARANTINE_S)
        stand_in(house, monkeypatch)

    run(tmp_path, scenario)
    (tmp_path / FOLDER_FILE).write_text(
        f'pool_models = ["fake-model"]\npool_epoch_s = {EPOCH_S}\npool_quarantine_s = {QUARANTINE_S}\n'
    )
    assert hitproof(tmp_path, "share", "publish") == {"withdrawn": 0, "published": 1, "stored": 1}
    assert hitproof(tmp_path, "share", "publish") == {"withdrawn": 0, "published": 0, "stored": 0}


def stand_in(house: NoisedHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands reach the fake runner and embedder of *house* in the place of real ones."""
    state = house.gateway.gateway.state
    outside = Outside(
        key_provider=state.key_provider, pepper=PEPPER, embedder=house.gateway.embedder,
        build_upstream=lambda _record, _key: house.runner, signer=GATEWAY_KEY, clock=house.gateway.clock,
        random=state.random, noise=house.noise,
    )  # fmt: skip
    monkeypatch.setattr(server.telemetry, "configure_logging", lambda _format: None)
    monkeypatch.setattr(server.serving, "load_configured_embedder", lambda _settings: house.gateway.embedder)
    monkeypatch.setattr(server.serving, "build_outside", lambda *_arguments: outside)
