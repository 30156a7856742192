"""Free labels: a miss with a candidate fetches the true answer anyway, so compare the two and write the verdict down.

It happens behind the answer, from a bounded queue; when too many wait, new ones are dropped. Labels calibrate
thresholds and never change what is served by themselves; a person's feedback quarantines.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from server.ports import Clock, JsonObject
from server.reuse.labels import AnswerJudge, label_answers
from server.reuse.near import Near
from server.reuse.recorder import Recorder
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.lookups import LookupRepository
from server.telemetry import Telemetry
from tenants.identifiers import LookupId, TenantId

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Comparison:
    tenant: TenantId
    lookup: LookupId
    fresh: str
    stored: str


class Labeller:
    """Compares fresh answers with candidates' and writes labels to the recorded lookups."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        judge: AnswerJudge,
        telemetry: Telemetry,
        clock: Clock,
        *,
        queue_max: int,
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._judge = judge
        self._telemetry = telemetry
        self._clock = clock
        self._queue: asyncio.Queue[_Comparison] = asyncio.Queue(queue_max)

    def offer(self, tenant: TenantContext, lookup: LookupId, near: Near, response: JsonObject) -> None:
        """Queue the comparison of *response* with the nearest candidate's answer, if there was one."""
        candidate = near.candidate
        if candidate is None or not tenant.policy.lookup_retention_s:
            return
        fresh, stored = answer_text(response), answer_text(candidate.payload.response)
        if fresh is None or stored is None or self._queue.full():
            return
        self._queue.put_nowait(_Comparison(tenant.id, lookup, fresh, stored))

    async def run(self) -> None:
        """Compare until cancelled."""
        while True:
            comparison = await self._queue.get()
            try:
                await self._compare(comparison)
            except Exception as error:  # noqa: BLE001  # an edge: whatever a judge raises costs this label, no later ones
                log.warning("not_labelled", error=type(error).__name__)
            finally:
                self._queue.task_done()

    async def settle(self) -> None:
        """Wait until nothing is queued."""
        await self._queue.join()

    async def _compare(self, comparison: _Comparison) -> None:
        label = await asyncio.to_thread(label_answers, comparison.fresh, comparison.stored, self._judge)
        if label.right is None:
            return
        await self._recorder.flush()
        value = "right" if label.right else "wrong"
        now_ms = self._clock.now_ms()
        await self._database.write(
            lambda connection: LookupRepository(connection, comparison.tenant).set_label(
                comparison.lookup, label=value, kind=label.kind, at_ms=now_ms
            )
        )
        self._telemetry.labels.labels(value, label.kind).inc()


def answer_text(response: JsonObject) -> str | None:
    """Return the text of the only choice, or None."""
    choices = response.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    content = choices[0].get("message", {}).get("content")
    return content if isinstance(content, str) else None
