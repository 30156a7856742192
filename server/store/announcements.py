"""What must be known before a receipt or a hit is written down: is its policy in the log, does its signer still count?

Read before every such write, so compiled once and handed to the driver as they are.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, select

from server.store.scoped import Prepared, TenantRepository, scoped_select
from server.store.tables import announced_policies, signers

_OF_EPOCH: Final = scoped_select(announced_policies, announced_policies.c.version, announced_policies.c.digest).where(
    announced_policies.c.epoch == bindparam("epoch")
)
_VERSION: Final = Prepared(_OF_EPOCH.where(announced_policies.c.version == bindparam("version")))
_NEWEST: Final = Prepared(_OF_EPOCH.order_by(announced_policies.c.version.desc()).limit(1))
_SIGNER: Final = Prepared(select(signers.c.status).where(signers.c.key_id == bindparam("key")))


class PolicyAnnouncements(TenantRepository):
    """Which policies of one tenant are in the log, by the epoch of its pseudonym."""

    def has(self, *, epoch: int, version: int) -> bool:
        """Tell whether that version was announced in that epoch."""
        return self._one(_VERSION, {"epoch": epoch, "version": version}) is not None

    def newest(self, *, epoch: int) -> tuple[int, str] | None:
        """Return version and digest of the newest policy that was announced in that epoch."""
        row = self._one(_NEWEST, {"epoch": epoch})
        return None if row is None else (int(row[0]), str(row[1]))


def is_active_signer(connection: Connection, key_id: str) -> bool:
    """Tell whether what the key of that id signs now will count."""
    cursor = _SIGNER.run(connection, {"key": key_id})
    row = cursor.fetchone()
    cursor.close()
    return row is not None and row[0] == "active"
