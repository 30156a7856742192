"""`hitproof share list|add|remove|publish`: what a tenant publishes by consent, from the command line."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from crypto.errors import Error
from server.cli.context import (
    ACTOR,
    ConfigOption,
    DataOption,
    JsonOption,
    Opened,
    opened,
    print_result,
    settings_from,
)
from server.cli.naming import TenantArgument, find_tenant_id

if TYPE_CHECKING:
    from server.reuse.tenant_directory import TenantContext
    from tenants.identifiers import EntryId

app = typer.Typer(help="Entries that a tenant publishes by consent.", no_args_is_help=True)

EntryArgument = Annotated[str, typer.Argument(help="The entry, ent_…")]
SHOWN_MAX = 1_000


class ShareCommandError(Error):
    """A command on shares that cannot be carried out as it was given."""


@app.command("list")
def list_shares(
    tenant: TenantArgument,
    state: Annotated[
        Literal["labelled", "published", "revoked", "refused"] | None, typer.Option(help="Only those in this state.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what a tenant ever labelled, newest entry first, and what became of it."""
    from server.pool.share_report import summarise_share
    from server.store.shares import ShareRepository

    with opened(settings_from(data, config)) as store:
        rows = store.database.read_now(
            lambda c: ShareRepository(c, find_tenant_id(c, tenant)).list_page(state=state, limit=SHOWN_MAX)
        )
    print_result([summarise_share(row) for row in rows], as_json=as_json)


@app.command("add")
def add_share(
    tenant: TenantArgument,
    entry: EntryArgument,
    alias: Annotated[
        list[str] | None, typer.Option(help="A public question that the answer answers; repeat it for others.")
    ] = None,
    epsilon: Annotated[str | None, typer.Option(help="Less than the policy's, such as 4 or 0.5.")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Label an entry: it is published once its quarantine is over and it is found fit."""
    from server.api.body import check
    from server.api.schemas import ShareOptions
    from server.api.steering import read_share_wish, refuse_wish
    from server.pool.share_report import summarise_share
    from server.pool.sharing import label_entry

    options = check(ShareOptions, {"aliases": alias or [], "epsilon": epsilon})
    wish, wanted = read_share_wish(options, field="epsilon"), _entry_id(entry)
    with opened(settings_from(data, config)) as store:
        context = asyncio.run(_context(store, tenant))
        refuse_wish(wish, context.policy, field=None)
        if wish is None:
            raise ShareCommandError("say how the entry is to be shared")
        share = store.database.write_now(
            lambda c: label_entry(
                c, context, wanted, wish, actor=ACTOR, now_ms=store.clock.now_ms(), random=store.random
            )
        )
    print_result(summarise_share(share), as_json=as_json)


@app.command("remove")
def remove_share(
    tenant: TenantArgument,
    entry: Annotated[str | None, typer.Argument(help="The entry, ent_…")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is labelled or published.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take consent back, for good: the entry leaves the pool at once; what was spent on it stays spent."""
    from sqlalchemy import Connection

    from server.pool.revoking import revoke_share
    from server.store.shares import ShareRepository

    if everything == (entry is not None):
        raise ShareCommandError("name one entry, or else --all")
    wanted = None if entry is None else _entry_id(entry)
    with opened(settings_from(data, config)) as store:
        now_ms = store.clock.now_ms()

        def remove(connection: Connection) -> int:
            identifier = find_tenant_id(connection, tenant)
            shares = ShareRepository(connection, identifier)
            found = [wanted] if wanted is not None else shares.list_given()
            for one in found:
                revoke_share(connection, identifier, one, actor=ACTOR, now_ms=now_ms)
            return len(found)

        count = store.database.write_now(remove)
    print_result({"tenant": tenant, "revoked": count}, as_json=as_json)


@app.command("publish")
def publish(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Publish what is labelled and out of quarantine now; a gateway does so by itself, every `pool_interval_s`."""
    from server.telemetry import configure_logging

    with opened(settings_from(data, config)) as store:
        configure_logging(store.settings.log_format)
        done = asyncio.run(_publish(store))
    print_result(done, as_json=as_json)


async def _context(store: Opened, tenant: str) -> TenantContext:
    from server.reuse.tenant_directory import TenantDirectory

    tenants = TenantDirectory(
        store.database, store.provider, clock=store.clock, random=store.random, keep_s=60, tenants_max=1
    )
    return await tenants.get(await store.database.read(lambda c: find_tenant_id(c, tenant)))


async def _publish(store: Opened) -> dict[str, Any]:
    """Publish as a gateway would, in a gateway that serves nobody."""
    from server.gateway import Gateway
    from server.pool.errors import PoolError
    from server.serving import build_outside, load_configured_embedder
    from server.telemetry import Telemetry

    embedder = load_configured_embedder(store.settings)
    gateway = Gateway(store.settings, build_outside(store.settings, embedder, store.provider), Telemetry())
    try:
        parts = gateway.pooling.parts
        if parts is None:
            raise PoolError("the pool is off: name the models whose answers are pooled in pool_models")
        await gateway.models.refresh()
        await gateway.models.ask_upstreams()
        return await parts.service.publish_now()
    finally:
        await gateway.upstreams.close()
        await gateway.embedder.close()
        await gateway.partitions.close()
        await asyncio.to_thread(gateway.database.close)


def _entry_id(text: str) -> EntryId:
    from server.identifiers import parse_entry_id

    found = parse_entry_id(text)
    if found is None:
        raise ShareCommandError(f"{text!r} is no entry; they look like ent_0123456789abc")
    return found
