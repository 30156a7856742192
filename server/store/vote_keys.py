"""The keys that votes are sealed under, one per epoch: destroyed with the votes, so that no copy of those can be counted."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from server.store.erasure import overwrite_freed_space
from server.store.tables import vote_keys
from tenants.data_keys import WrappedDataKey
from tenants.identifiers import TenantId

#: Whose keys these are when they are wrapped: nobody's, so that none can stand in for a tenant's data key.
VOTES: Final = TenantId("pool-votes")

_KEY: Final = (vote_keys.c.epoch, vote_keys.c.wrapped, vote_keys.c.kek_id)


class VoteKeyRepository:
    """The wrapped vote keys; make one with `tenants.data_keys.new_wrapped_key(provider, VOTES, epoch, random)`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, key: WrappedDataKey, *, at_ms: int) -> None:
        """Store the key of an epoch; `Conflict` if that epoch has one."""
        if key.tenant != VOTES:
            raise ValueError("a vote key is wrapped for the votes alone")
        values = {"epoch": key.epoch, "wrapped": key.wrapped, "kek_id": key.kek_id, "created_at_ms": at_ms}
        self._connection.execute(insert(vote_keys), values)

    def get(self, epoch: int) -> WrappedDataKey | None:
        """Return the key of *epoch*; None before its first vote, and for ever once it was destroyed."""
        row = self._connection.execute(select(*_KEY).where(vote_keys.c.epoch == epoch)).first()
        return None if row is None else WrappedDataKey(VOTES, row[0], bytes(row[1]), row[2])

    def list_all(self) -> list[WrappedDataKey]:
        """Return every key, oldest epoch first."""
        rows = self._connection.execute(select(*_KEY).order_by(vote_keys.c.epoch))
        return [WrappedDataKey(VOTES, row[0], bytes(row[1]), row[2]) for row in rows]

    def replace(self, key: WrappedDataKey) -> None:
        """Put a rewrapped key in its epoch's place."""
        statement = update(vote_keys).where(vote_keys.c.epoch == key.epoch)
        self._connection.execute(statement.values(wrapped=key.wrapped, kek_id=key.kek_id))

    def destroy(self, epoch: int) -> bool:
        """Destroy the key of *epoch*, so that its votes never open again; False where there is none."""
        overwrite_freed_space(self._connection)
        return self._connection.execute(delete(vote_keys).where(vote_keys.c.epoch == epoch)).rowcount > 0
