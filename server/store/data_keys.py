"""The wrapped data keys of all tenants, and of the votes: what a rotation of the key-encryption key goes through.

Platform-level on purpose: a key-encryption key wraps every tenant's data keys, and rewrapping opens nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, select, union

from server.store.tables import data_keys, vote_keys
from server.store.tenancy import DataKeyRepository
from server.store.vote_keys import VoteKeyRepository
from tenants.data_keys import WrappedDataKey
from tenants.identifiers import TenantId


def list_wrapping_keys(connection: Connection) -> frozenset[str]:
    """Return the names of the key-encryption keys that any data key or vote key needs; empty for a store without tenants."""
    named = union(select(data_keys.c.kek_id), select(vote_keys.c.kek_id))
    return frozenset(row[0] for row in connection.execute(named))


def rewrap_data_keys(connection: Connection, rewrap: Callable[[WrappedDataKey], WrappedDataKey], *, key_id: str) -> int:
    """Replace every data key and vote key that is not under *key_id* by what *rewrap* makes of it; return how many."""
    columns = (data_keys.c.tenant_id, data_keys.c.epoch, data_keys.c.wrapped, data_keys.c.kek_id)
    rows = connection.execute(select(*columns).where(data_keys.c.kek_id != key_id)).all()
    for tenant, epoch, wrapped, kek_id in rows:
        found = WrappedDataKey(TenantId(tenant), epoch, bytes(wrapped), kek_id)
        DataKeyRepository(connection, found.tenant).replace(rewrap(found))
    votes = VoteKeyRepository(connection)
    old = [key for key in votes.list_all() if key.kek_id != key_id]
    for key in old:
        votes.replace(rewrap(key))
    return len(rows) + len(old)
