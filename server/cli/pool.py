"""`hitproof pool status|release|profile`: how the pool stands, the release of a closed epoch, and public profiles."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from server.cli.context import ConfigOption, DataOption, JsonOption, Opened, opened, print_result, settings_from

app = typer.Typer(help="What organisations share.", no_args_is_help=True)
profiles = typer.Typer(help="Public pairs of system text and parameters.", no_args_is_help=True)
app.add_typer(profiles, name="profile")


@app.command("status")
def show_status(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show terms, calendar, releases and what the pool holds; where it is empty, why."""
    from server.pool.status import pool_status
    from server.pool.terms import rules_of

    settings = settings_from(data, config)
    rules = rules_of(settings)
    with opened(settings) as store:
        status = store.database.read_now(lambda c: pool_status(c, rules, now_ms=store.clock.now_ms()))
    if as_json:
        print_result(status, as_json=True)
    else:
        print("\n".join(_lines(status)), flush=True)


@app.command("release")
def release(
    epoch: Annotated[
        int | None, typer.Option(help="The closed epoch to release; default: every one that is due.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Release closed epochs now; a gateway does so by itself. What failed before is paid for anew."""
    settings = settings_from(data, config)
    with opened(settings) as store:
        ended = asyncio.run(_release(store, epoch))
    rows = [{"epoch": row.epoch, "state": row.state, "reason": row.reason, "release": row.release} for row in ended]
    print_result(rows, as_json=as_json)


@profiles.command("add")
def add_profile(
    name: str,
    system: Annotated[Path | None, typer.Option(help="File with the system text; none: no system prompt.")] = None,
    parameters: Annotated[
        str, typer.Option(help="Parameters as a JSON object, such as '{\"temperature\": 0}'.")
    ] = "{}",
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a profile; what a name means never changes."""
    from crypto.canonical import parse_json
    from server.pool.eligibility import Profile, check_profile
    from server.pool.errors import PoolError
    from server.store.pool import PoolRepository
    from server.store.pool_records import ProfileRecord

    chosen = parse_json(parameters.encode())
    if not isinstance(chosen, dict):
        raise PoolError("a profile's parameters are a JSON object")
    text = None if system is None else system.read_text(encoding="utf-8")
    check_profile(Profile(name, text, chosen))
    with opened(settings_from(data, config)) as store:
        record = ProfileRecord(name, text, json.dumps(chosen, sort_keys=True), store.clock.now_ms())
        store.database.write_now(lambda c: PoolRepository(c).add_profile(record))
    print_result({"name": name, "system": text, "parameters": chosen}, as_json=as_json)


@profiles.command("list")
def list_profiles(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the profiles, `plain` included."""
    from server.pool.eligibility import read_profiles
    from server.store.pool import PoolRepository

    with opened(settings_from(data, config)) as store:
        found = read_profiles(store.database.read_now(lambda c: PoolRepository(c).list_profiles()))
    rows = [{"name": one.name, "system": one.system, "parameters": one.parameters} for _, one in sorted(found.items())]
    print_result(rows, as_json=as_json)


async def _release(store: Opened, epoch: int | None) -> list[Any]:
    """Release *epoch*, or all that are due, as a gateway would."""
    from privacy.opendp_noise import OpenDpNoise
    from server.pool.build import Embedding, build_releaser, open_pool
    from server.pool.calendar import fix_calendar
    from server.pool.errors import PoolError
    from server.pool.principal import Pool
    from server.pool.terms import rules_of
    from server.reuse.tenant_directory import TenantDirectory
    from server.serving import load_configured_embedder

    settings, clock, random = store.settings, store.clock, store.random
    tenant = open_pool(settings, store.database, store.provider, clock=clock, random=random)
    if tenant is None:
        raise PoolError("the pool is off: name the models whose answers are pooled in pool_models")
    rules = rules_of(settings)
    store.database.write_now(lambda connection: fix_calendar(connection, rules.calendar))
    tenants = TenantDirectory(
        store.database, store.provider, clock=clock, random=random, keep_s=settings.tenant_cache_s, tenants_max=1
    )
    plain = load_configured_embedder(settings)

    embedding = Embedding(plain.digest, plain.dimension, plain.covers, plain.embed)
    releaser = build_releaser(
        rules,
        Pool(tenant, tenants),
        store.database,
        store.provider,
        embedding,
        OpenDpNoise(),
        clock=clock,
        random=random,
    )
    return await releaser.release_due() if epoch is None else [await releaser.release(epoch)]


def _lines(status: dict[str, Any]) -> list[str]:
    """Return the status as a person reads it."""
    terms, calendar, organisations = status["terms"], status["calendar"], status["organisations"]
    unit, total = terms["guarantee_of_unit"], terms["guarantee_of_organisation"]
    lines = [
        f"pool: {'on, models ' + ', '.join(status['models']) if status['enabled'] else 'off'}",
        f"terms: unit {terms['unit']}, vectors {terms['vector_source']}, threshold {terms['threshold']}, "
        f"{terms['keys_max']} places per organisation and epoch",
        f"one {terms['unit']}, per period: {_shown(unit)}",
        f"everything of an organisation, per period: {_shown(total)}",
        f"epoch {calendar['epoch']} closes at {_time(calendar['closes_at_ms'])}; period {calendar['period']} ends at "
        f"{_time(calendar['period_until_ms'])}",
        f"organisations: {organisations['sharing']} share, {organisations['needed']} needed, "
        f"{organisations['exhausted']} have spent this period's budget",
    ]
    lines += [f"entries of {model}: {count}" for model, count in status["entries"].items()]
    lines += [
        f"release {row['number']}: {row['mode']}, epoch {row['epoch']}, {row['state']}, paid by {row['organisations']}"
        for row in status["releases"]
    ]
    if status["is_empty"]:
        lines.append(f"the pool is empty: {status['why']}")
    return lines


def _shown(guarantee: dict[str, int]) -> str:
    return f"epsilon {guarantee['epsilon_micro'] / 10**6:g}, delta {guarantee['delta_atto'] / 10**18:.1g}"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
