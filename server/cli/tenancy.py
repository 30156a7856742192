"""`hitproof org|tenant|key`: set tenants up from the command line, on the data folder itself.

A running gateway notices within seconds: it follows the same store.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from server.cli.context import ACTOR, ConfigOption, DataOption, JsonOption, Opened, opened, print_result, settings_from
from server.cli.naming import NameUnknown, TenantArgument, find_organisation_id, find_tenant_id
from tenants.identifiers import KeyId, TenantId

organisations = typer.Typer(help="Organisations: the billing units that own tenants.", no_args_is_help=True)
tenants = typer.Typer(help="Tenants: isolated customers.", no_args_is_help=True)
keys = typer.Typer(help="API keys.", no_args_is_help=True)


@organisations.command("create")
def create_organisation(
    name: str, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Create an organisation."""
    from server.setup import create_organisation as create

    with opened(settings_from(data, config)) as store:
        made = store.database.write_now(
            lambda c: create(c, name, actor=ACTOR, now_ms=store.clock.now_ms(), random=store.random)
        )
        print_result({"id": made.id, "name": made.name}, as_json=as_json)


@organisations.command("list")
def list_organisations(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List organisations."""
    from server.pool.principal import list_customer_organisations

    with opened(settings_from(data, config)) as store:
        rows = store.database.read_now(list_customer_organisations)
        print_result([{"id": row.id, "name": row.name} for row in rows], as_json=as_json)


@tenants.command("create")
def create_tenant(
    organisation: str,
    name: str,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a tenant and its owner's API key, which is shown this once."""
    from server.setup import create_tenant as create
    from tenants.quotas import Quota

    with opened(settings_from(data, config)) as store:

        def make(connection: Connection) -> tuple[TenantId, str]:
            made = create(
                connection,
                find_organisation_id(connection, organisation),
                name,
                quota=Quota(),
                provider=store.provider,
                actor=ACTOR,
                now_ms=store.clock.now_ms(),
                random=store.random,
            )
            return made.id, _mint(connection, store, made.id, role="owner", label="first key", expires_in_s=None)[
                "api_key"
            ]

        tenant, text = store.database.write_now(make)
        print_result({"id": tenant, "organisation": organisation, "name": name, "api_key": text}, as_json=as_json)


@tenants.command("list")
def list_tenants(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List tenants."""
    from server.pool.principal import list_customer_organisations, list_customers

    with opened(settings_from(data, config)) as store:

        def load(connection: Connection) -> list[dict[str, Any]]:
            names = {row.id: row.name for row in list_customer_organisations(connection)}
            return [
                {"id": row.id, "organisation": names[row.organisation_id], "name": row.name, "status": row.status}
                for row in list_customers(connection)
            ]

        print_result(store.database.read_now(load), as_json=as_json)


def _set_status(data: Path | None, config: Path | None, tenant: str, status: str, as_json: bool) -> None:
    from server.setup import set_status

    with opened(settings_from(data, config)) as store:
        store.database.write_now(
            lambda c: set_status(c, find_tenant_id(c, tenant), status, actor=ACTOR, now_ms=store.clock.now_ms())
        )
        print_result({"tenant": tenant, "status": status}, as_json=as_json)


@tenants.command("suspend")
def suspend_tenant(
    tenant: TenantArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Let a tenant's keys open nothing until it is resumed; nothing is lost."""
    _set_status(data, config, tenant, "suspended", as_json)


@tenants.command("resume")
def resume_tenant(
    tenant: TenantArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Let a suspended tenant's keys work again."""
    _set_status(data, config, tenant, "active", as_json)


@tenants.command("erase")
def erase_tenant(
    tenant: TenantArgument,
    confirm: Annotated[str, typer.Option(help="The tenant again, to confirm.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Destroy a tenant's data keys, entries, lookups and receipts. There is no way back, from no backup either."""
    from server.erasing import erase_tenant as erase
    from server.erasing import remove_exports
    from server.erasures import Erasures

    if confirm != tenant:
        raise NameUnknown(f"to erase {tenant}, repeat with --confirm {tenant}")
    with opened(settings_from(data, config)) as store:
        exports = store.database.write_now(
            lambda c: erase(
                c,
                find_tenant_id(c, tenant),
                erasures=Erasures(store.folder.erasures_file),
                provider=store.provider,
                actor=ACTOR,
                now_ms=store.clock.now_ms(),
                random=store.random,
            )
        )
        remove_exports(store.folder.exports, exports)
        print_result({"tenant": tenant, "status": "erased"}, as_json=as_json)


def _mint(
    connection: Connection, store: Opened, tenant: TenantId | None, *, role: str, label: str, expires_in_s: int | None
) -> dict[str, Any]:
    from server.setup import create_key as create

    now_ms = store.clock.now_ms()
    record, text = create(
        connection,
        tenant,
        role=role,
        scopes=None,
        label=label,
        expires_at_ms=None if expires_in_s is None else now_ms + expires_in_s * 1000,
        pepper=store.pepper,
        actor=ACTOR,
        now_ms=now_ms,
        random=store.random,
    )
    return {
        "key_id": record.key_id,
        "tenant": tenant,
        "role": role,
        "scopes": json.loads(record.scopes),
        "api_key": text,
    }


@keys.command("create")
def create_key(
    tenant: Annotated[str | None, typer.Argument(help="The tenant; none for a platform key.")] = None,
    role: Annotated[str | None, typer.Option(help="owner, admin, member, billing, auditor, application.")] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires_in_s: Annotated[int | None, typer.Option(min=1, help="Seconds until it ends.")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mint an API key, shown this once. Without a tenant it is a platform operator's."""
    chosen = role or ("platform-operator" if tenant is None else "application")
    with opened(settings_from(data, config)) as store:
        made = store.database.write_now(
            lambda c: _mint(
                c,
                store,
                None if tenant is None else find_tenant_id(c, tenant),
                role=chosen,
                label=label,
                expires_in_s=expires_in_s,
            )
        )
        print_result(made, as_json=as_json)


@keys.command("list")
def list_keys(
    tenant: TenantArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List a tenant's API keys, without the keys."""
    from server.store.tenancy import KeyRepository

    with opened(settings_from(data, config)) as store:
        rows = store.database.read_now(lambda c: KeyRepository(c, find_tenant_id(c, tenant)).list_all())
        shown = [
            {
                "key_id": row.key_id,
                "role": row.role,
                "label": row.label,
                "created_at_ms": row.created_at_ms,
                "expires_at_ms": row.expires_at_ms,
                "revoked_at_ms": row.revoked_at_ms,
            }
            for row in rows
        ]
        print_result(shown, as_json=as_json)


@keys.command("signers")
def list_signers(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the keys that sign receipts, and whether what they sign still counts."""
    from server.store.signers import SignerRepository

    with opened(settings_from(data, config)) as store:
        rows = store.database.read_now(lambda c: SignerRepository(c).list_all())
        shown = [
            {"key_id": row.key_id, "role": row.role, "name": row.name, "status": row.status,
             "since_index": row.since_index}
            for row in rows
        ]  # fmt: skip
        print_result(shown, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    subject: Annotated[str, typer.Argument(help="The tenant whose API key it is, or the id of a signing key.")],
    key_id: Annotated[str | None, typer.Argument(help="The API key's id.")] = None,
    since_index: Annotated[
        int | None, typer.Option(min=0, help="Leaf of the log from which on a signing key was compromised.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke an API key, or end a signing key: retired from now on, or compromised from a leaf of the log on."""
    from server.standing import is_signing_key_id, revoke_signer

    if key_id is not None:
        if since_index is not None:
            raise NameUnknown("an API key is revoked at once; --since-index goes with a signing key alone")
        return _revoke_api_key(subject, key_id, data, config, as_json=as_json)
    if not is_signing_key_id(subject):
        raise NameUnknown("name the tenant and its API key's id, or a signing key by its 64 hexadecimal digits")
    with opened(settings_from(data, config)) as store:
        row = store.database.write_now(
            lambda c: revoke_signer(
                c, subject, since_index=since_index, actor=ACTOR, now_ms=store.clock.now_ms(), random=store.random
            )
        )
        shown = {"key_id": row.key_id, "role": row.role, "status": row.status, "since_index": row.since_index}
        print_result(shown, as_json=as_json)


def _revoke_api_key(tenant: str, key_id: str, data: Path | None, config: Path | None, *, as_json: bool) -> None:
    from server.setup import revoke_key as revoke

    with opened(settings_from(data, config)) as store:
        store.database.write_now(
            lambda c: revoke(c, find_tenant_id(c, tenant), KeyId(key_id), actor=ACTOR, now_ms=store.clock.now_ms())
        )
        print_result({"key_id": key_id, "revoked": True}, as_json=as_json)
