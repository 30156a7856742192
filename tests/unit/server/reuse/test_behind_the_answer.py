"""What runs behind the answers goes on whatever one piece of work raises."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from server.reuse.labelling import Labeller
from server.reuse.recorder import Recorded, Recorder
from server.telemetry import Telemetry
from tenants.identifiers import KeyId, LookupId, TenantId
from tests.fakes import FakeClock

RECORDED = Recorded(TenantId("ten_a"), None, KeyId("k"), 0, "m", "miss", "", None, 0, 0, 0, 1)


class FakeDatabase:
    """Fails the first write in a way that no database of ours names."""

    def __init__(self) -> None:
        self.writes = 0

    async def write(self, _run: Any) -> None:
        self.writes += 1
        if self.writes == 1:
            raise OverflowError("too large for a column")


class FakeJudge:
    """Fails at the first pair, as a model may."""

    def __init__(self) -> None:
        self.asked = 0

    def judge(self, fresh: str, stored: str) -> bool | None:
        self.asked += 1
        if self.asked == 1:
            raise ValueError("the model has no idea")
        return True


def response(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}}]}


def test_records_that_cannot_be_written_are_counted_and_later_ones_are_written() -> None:
    database, telemetry = FakeDatabase(), Telemetry()
    recorder = Recorder(database, telemetry, flush_s=1, queue_max=10)  # type: ignore[arg-type]

    async def play() -> None:
        for _ in range(2):
            recorder.record(RECORDED)
            await recorder.flush()

    asyncio.run(play())
    assert database.writes == 2
    assert telemetry.registry.get_sample_value("hitproof_records_dropped_total") == 1


@pytest.mark.filterwarnings("error")
def test_a_judge_that_raises_costs_one_label_and_no_later_one() -> None:
    judge, telemetry = FakeJudge(), Telemetry()
    database = FakeDatabase()
    database.writes = 1
    recorder = Recorder(database, telemetry, flush_s=1, queue_max=10)  # type: ignore[arg-type]
    labeller = Labeller(database, recorder, judge, telemetry, FakeClock(), queue_max=10)  # type: ignore[arg-type]
    tenant: Any = SimpleNamespace(id=TenantId("ten_a"), policy=SimpleNamespace(lookup_retention_s=60))
    near: Any = SimpleNamespace(candidate=SimpleNamespace(payload=SimpleNamespace(response=response("stored"))))

    async def play() -> None:
        work = asyncio.create_task(labeller.run())
        for _ in range(2):
            labeller.offer(tenant, LookupId("lk_1"), near, response("fresh"))
        await asyncio.wait_for(labeller.settle(), 5)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    asyncio.run(play())
    assert judge.asked == 2
    assert telemetry.registry.get_sample_value("hitproof_labels_total", {"label": "right", "kind": "embedding"}) == 1
