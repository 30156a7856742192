"""Wait until all that was answered before an export stands in the log, under a checkpoint with a fresh status list."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from server.audit.request import ExportUnavailable
from server.log.status import restate_status
from server.ports import Clock, RandomSource
from server.store.database import Database
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow
from server.store.receipts import HitRepository
from tenants.identifiers import TenantId

WAIT_S: Final = 30.0
POLL_S: Final = 0.1


def settle(
    database: Database,
    tenant: TenantId,
    *,
    clock: Clock,
    random: RandomSource,
    advance: Callable[[], None] | None = None,
    wait_s: float = WAIT_S,
) -> CheckpointRow:
    """Restate the status list and return the first checkpoint that covers it and every hit of *tenant* until now.

    *advance* moves the log where no gateway does. Raises `ExportUnavailable` when nothing moves for *wait_s*.
    """
    now_ms = clock.now_ms()
    seq = database.write_now(lambda connection: restate_status(connection, now_ms=now_ms, random=random)).seq
    for _ in range(max(1, round(wait_s / POLL_S))):
        if advance is not None:
            advance()
        found = database.read_now(lambda connection: _covering(connection, tenant, seq, now_ms))
        if found is not None:
            return found
        time.sleep(POLL_S)
    raise ExportUnavailable(
        "the log does not move, so nothing can be proved: is a gateway with log_sequencer running? "
        "`hitproof log fsck` says what is wrong"
    )


def _covering(connection: Connection, tenant: TenantId, seq: int, before_ms: int) -> CheckpointRow | None:
    newest = LogRepository(connection).latest_checkpoint()
    if newest is None or newest.through_seq < seq:
        return None
    last = HitRepository(connection, tenant).last_unlogged_ms(through_seq=newest.through_seq, before_ms=before_ms)
    return newest if last is None else None
