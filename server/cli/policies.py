"""`hitproof policy show|list|create`: what a tenant allows to be reused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from crypto.canonical import parse_json
from server.cli.context import ACTOR, ConfigOption, DataOption, JsonOption, opened, print_result, settings_from
from server.cli.naming import TenantArgument, find_tenant_id

app = typer.Typer(help="What a tenant allows to be reused.", no_args_is_help=True)


@app.command("show")
def show_policy(
    tenant: TenantArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show the policy in force."""
    from server.reuse.policy import DEFAULT_POLICY, ReusePolicy
    from server.store.tenancy import PolicyRepository

    with opened(settings_from(data, config)) as store:
        row = store.database.read_now(lambda c: PolicyRepository(c, find_tenant_id(c, tenant)).get_active())
        policy = DEFAULT_POLICY if row is None else ReusePolicy.from_json(parse_json(row.document.encode()))
        shown = {
            "version": 0 if row is None else row.version,
            "obfuscation": policy.is_obfuscation,
            "policy": DEFAULT_POLICY.to_json() if row is None else json.loads(row.document),
        }
        print_result(shown, as_json=as_json)


@app.command("list")
def list_policies(
    tenant: TenantArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List every version of a tenant's policy, newest first."""
    from server.store.tenancy import PolicyRepository

    with opened(settings_from(data, config)) as store:
        rows = store.database.read_now(lambda c: PolicyRepository(c, find_tenant_id(c, tenant)).list_versions())
        shown = [
            {"version": row.version, "digest": row.digest, "created_at_ms": row.created_at_ms, "by": row.created_by}
            for row in rows
        ]
        print_result(shown, as_json=as_json)


@app.command("create")
@app.command("set")
def set_policy(
    tenant: TenantArgument,
    document: Annotated[str, typer.Argument(help="The policy as JSON, or @FILE.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the next version of a policy in force; fields that are not named take their default."""
    from server.reuse.policy import ReusePolicy
    from server.setup import set_policy as put

    text = Path(document[1:]).read_bytes() if document.startswith("@") else document.encode()
    policy = ReusePolicy.from_json(parse_json(text))
    with opened(settings_from(data, config)) as store:
        row = store.database.write_now(
            lambda c: put(c, find_tenant_id(c, tenant), policy, actor=ACTOR, now_ms=store.clock.now_ms())
        )
        made = {"tenant": tenant, "version": row.version, "digest": row.digest, "obfuscation": policy.is_obfuscation}
        print_result(made, as_json=as_json)
