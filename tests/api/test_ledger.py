"""The ledger over HTTP and from the command line: an organisation's own, whole, and nobody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.api.ledger_schemas import Ledger
from server.cli import app
from server.store.errors import Conflict
from tests.pool_houses import QUESTION, PoolHouse, pool_house

ALL = range(12)


def run(folder: Path, scenario: Callable[[PoolHouse], Awaitable[None]], **options: Any) -> None:
    async def work() -> None:
        async with pool_house(folder, **options) as house:
            await scenario(house)

    asyncio.run(work())


async def ledger(house: PoolHouse, tenant: int | None = None, **query: str) -> Any:
    key = house.gateway.platform_key if tenant is None else house.gateway.tenants[tenant].key
    headers = {"authorization": f"Bearer {key}"}
    return await house.gateway.client.get("/admin/v1/ledger", headers=headers, params=query)


def organisation_of(house: PoolHouse, tenant: int) -> str:
    from server.store.platform import PlatformRepository

    identifier = house.gateway.tenants[tenant].id
    return house.database.read_now(lambda c: PlatformRepository(c).get_tenant(identifier).organisation_id)


def hitproof(folder: Path, *words: str) -> Any:
    """Run a command on *folder* and return what it printed; its error is raised."""
    done = CliRunner().invoke(app, ["privacy", *words, "--data", str(folder), "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_budget_runs_out_and_publishing_stops_while_reading_goes_on(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        cost = house.parts.rules.terms.charges()[0].cost()
        assert (await ledger(house, 0)).json()["periods"][0]["releases_left"] == 2
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        await house.until_live()
        await house.ask("What is the best time to plant an apple tree?", ALL)
        assert (await house.release_last()).state == "released"
        found = (await ledger(house, 0)).json()
        current = found["periods"][0]
        assert (current["releases_left"], current["is_exhausted"]) == (0, True)
        assert current["spent"]["epsilon_micro"] == 2 * cost.epsilon_micro
        await house.ask("Which boots are good for walking in deep snow?", ALL)
        assert (await house.release_last()).state == "exhausted"
        assert (await ledger(house, 0)).json()["spendings"] == found["spendings"] == 2
        assert (await house.gateway.ask(QUESTION, tenant=11))["hitproof"]["tier"] == "pool"

    run(tmp_path, scenario, pool_keys_max=20, pool_period_epochs=30, pool_budget_epsilon_micro=2 * 20 * 2_000_000)


def test_an_admin_sees_its_own_organisation_and_the_platform_names_one(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL)
        await house.release_last()
        mine, other = organisation_of(house, 0), organisation_of(house, 1)
        own = (await ledger(house, 0)).json()
        Ledger.model_validate(own)
        assert (own["organisation"], own["spendings"]) == (mine, 1)
        assert (await ledger(house, 0, organisation=mine)).json() == own
        assert (await ledger(house, None, organisation=mine)).json() == own
        theirs = (await ledger(house, None, organisation=other)).json()
        assert theirs["pseudonym"] != own["pseudonym"]
        assert (await ledger(house, 0, organisation=other)).status_code == 404
        assert (await ledger(house, None, organisation="org_nobody")).status_code == 404
        assert (await ledger(house, None)).status_code == 400

    run(tmp_path, scenario)


def test_the_command_line_tells_the_same(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL)
        await house.release_last()
        own = (await ledger(house, 0)).json()
        found = hitproof(tmp_path, "ledger", "--organisation", own["name"])
        (report,) = found["organisations"]
        assert {name: report[name] for name in ("organisation", "pseudonym", "spendings", "spent", "means")} == {
            name: own[name] for name in ("organisation", "pseudonym", "spendings", "spent", "means")
        }
        everybody = hitproof(tmp_path, "ledger")["organisations"]
        assert len(everybody) == 12
        assert all(one["spendings"] == 1 for one in everybody)

    run(tmp_path, scenario)


def test_accountants_report_from_the_command_line_and_say_what_they_are(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL)
        await house.release_last()
        found = hitproof(tmp_path, "ledger", "--accountants")
        assert found["accountants"] == "continuous reference"
        (reported,) = [period["accountants"] for period in found["organisations"][0]["periods"] if period["spendings"]]
        # 20 places at ε = 2: Laplace noise alone, so all three say the sum.
        assert (reported["rdp"], reported["prv"], reported["exact"]) == (40.0, 40.0, 40.0)

    run(tmp_path, scenario, pool_keys_max=20)


def test_a_budget_of_its_own_counts_from_a_later_period_and_is_in_the_audit_log(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL)
        await house.release_last()
        name = (await ledger(house, 0)).json()["name"]
        periods = (await ledger(house, 0)).json()["periods"]
        spent_in = next(period["period"] for period in periods if period["spendings"])
        caps = ["--epsilon-micro", "0", "--rho-nano", "0", "--delta-atto", "0"]
        with pytest.raises(Conflict, match="has begun to be spent"):
            hitproof(tmp_path, "budget", name, "--from-period", str(spent_in), *caps)
        hitproof(tmp_path, "budget", name, "--from-period", str(spent_in + 1), *caps)
        await house.next_epoch()
        await house.ask("What is the best time to plant an apple tree?", ALL)
        await house.release_last()
        own, other = (await ledger(house, 0)).json(), (await ledger(house, 1)).json()
        assert (own["spendings"], other["spendings"]) == (1, 2)
        headers = {"authorization": f"Bearer {house.gateway.platform_key}"}
        rows = (await house.gateway.client.get("/admin/v1/audit-log?limit=500", headers=headers)).json()["data"]
        assert [row["detail"]["from_period"] for row in rows if row["action"] == "privacy.budget"] == [spent_in + 1]

    run(tmp_path, scenario, pool_period_epochs=1)
