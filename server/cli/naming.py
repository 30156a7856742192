"""Find organisations and tenants by the names that people give them."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import Connection

from crypto.errors import Error
from tenants.identifiers import OrganisationId, TenantId


class NameUnknown(Error):
    """No organisation, tenant or kind of that name; the message says how to find the right one."""


TenantArgument = Annotated[str, typer.Argument(help="The tenant, as organisation/name or id.")]


def find_organisation_id(connection: Connection, name: str) -> OrganisationId:
    """Find an organisation by name; raises `NameUnknown`."""
    from server.store.platform import PlatformRepository

    found = PlatformRepository(connection).find_organisation(name)
    if found is None:
        raise NameUnknown(f"there is no organisation {name!r}; `hitproof org list` shows them")
    return found.id


def find_tenant_id(connection: Connection, name: str) -> TenantId:
    """Find a tenant by id or by `organisation/name`; raises `NameUnknown`."""
    from server.store.platform import PlatformRepository

    platform = PlatformRepository(connection)
    organisation_names = {row.id: row.name for row in platform.list_organisations()}
    for row in platform.list_tenants():
        if name in (row.id, f"{organisation_names[row.organisation_id]}/{row.name}"):
            return row.id
    raise NameUnknown(f"there is no tenant {name!r}; name it as organisation/tenant, `hitproof tenant list` shows them")
