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
#: How much longer is waited for witnesses that do not answer; then the bundle shows what cosignatures there are.
WITNESS_WAIT_S: Final = 10.0


def settle(
    database: Database,
    tenant: TenantId,
    *,
    clock: Clock,
    random: RandomSource,
    quorum: int = 0,
    advance: Callable[[], None] | None = None,
    wait_s: float = WAIT_S,
) -> CheckpointRow:
    """Restate the status list and return a checkpoint that covers it and every hit of *tenant* until now.

    One that *quorum* witnesses cosigned where there is one soon. *advance* moves the log where no gateway does. Raises
    `ExportUnavailable` when nothing moves for *wait_s*.
    """
    now_ms = clock.now_ms()
    seq = database.write_now(lambda connection: restate_status(connection, now_ms=now_ms, random=random)).seq
    covering: CheckpointRow | None = None
    polls, polls_max = 0, max(1, round(wait_s / POLL_S))
    while polls < polls_max:
        if advance is not None:
            advance()
        found = database.read_now(lambda connection: _covering(connection, tenant, seq, now_ms, quorum))
        if found is not None and found.witnesses >= quorum:
            return found
        if found is not None and covering is None:
            polls_max = polls + round(WITNESS_WAIT_S / POLL_S)
        covering, polls = found or covering, polls + 1
        time.sleep(POLL_S)
    if covering is not None:
        return covering
    raise ExportUnavailable(
        "the log does not move, so nothing can be proved: is a gateway with log_sequencer running? "
        "`hitproof log fsck` says what is wrong"
    )


def newest_checkpoint(connection: Connection, *, through_seq: int, quorum: int) -> CheckpointRow | None:
    """Return the newest checkpoint that *quorum* witnesses cosigned if it covers *through_seq*, else the newest of all."""
    repository = LogRepository(connection)
    witnessed = repository.latest_checkpoint(witnesses_min=quorum) if quorum > 0 else None
    if witnessed is not None and witnessed.through_seq >= through_seq:
        return witnessed
    return repository.latest_checkpoint()


def _covering(connection: Connection, tenant: TenantId, seq: int, before_ms: int, quorum: int) -> CheckpointRow | None:
    newest = newest_checkpoint(connection, through_seq=seq, quorum=quorum)
    if newest is None or newest.through_seq < seq:
        return None
    last = HitRepository(connection, tenant).last_unlogged_ms(through_seq=newest.through_seq, before_ms=before_ms)
    return newest if last is None else None
