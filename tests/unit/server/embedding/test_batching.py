import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.embedding.batching import BatchReport, MicroBatcher
from server.embedding.errors import BatchDeadlineError, BatcherClosedError, BatchingError, BatchQueueFullError

LONG_S = 30.0
NAMED = {"name": "the machine", "batch_max": 4, "queue_max": 8}


class Machine:
    """Doubles numbers, remembers its batches, and can be held in the middle of one."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.refused = ()

    def __call__(self, items):
        self.batches.append(list(items))
        self.entered.set()
        assert self.gate.wait(LONG_S)
        if any(item in self.refused for item in items):
            raise ArithmeticError(f"refused {items}")
        return [2 * item for item in items]

    def hold(self):
        self.entered.clear()
        self.gate.clear()

    async def until_entered(self):
        await asyncio.to_thread(self.entered.wait, LONG_S)


def make(machine, **options):
    return MicroBatcher(machine, **{"name": "the machine", "batch_max": 4, "queue_max": 8, **options})


def submit(batcher, item, timeout_s=LONG_S):
    return asyncio.ensure_future(batcher.submit(item, timeout_s=timeout_s))


async def settled(*tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


async def held(batcher, machine, *items, timeout_s=LONG_S):
    """Submit 0, wait until the machine works on it, then queue *items* behind."""
    machine.hold()
    first = submit(batcher, 0)
    await machine.until_entered()
    behind = [submit(batcher, item, timeout_s) for item in items]
    await asyncio.sleep(0)
    return first, behind


def test_every_caller_gets_its_own_result():
    async def scenario():
        batcher = make(Machine())
        assert await settled(*(submit(batcher, item) for item in range(8))) == [0, 2, 4, 6, 8, 10, 12, 14]
        await batcher.close()

    asyncio.run(scenario())


def test_what_one_turn_of_the_loop_submits_runs_together():
    machine = Machine()

    async def scenario():
        batcher = make(machine)
        await settled(*(submit(batcher, item) for item in range(3)))
        await batcher.close()

    asyncio.run(scenario())
    assert machine.batches == [[0, 1, 2]]


def test_what_queues_while_the_machine_is_busy_runs_together_up_to_the_limit():
    machine = Machine()

    async def scenario():
        batcher = make(machine)
        first, behind = await held(batcher, machine, 1, 2, 3, 4, 5)
        assert batcher.depth == 5
        machine.gate.set()
        assert await settled(first, *behind) == [0, 2, 4, 6, 8, 10]
        await batcher.close()

    asyncio.run(scenario())
    assert machine.batches == [[0], [1, 2, 3, 4], [5]]


@pytest.mark.alone
def test_an_idle_batcher_adds_little_to_a_bare_thread_hop():
    async def seconds(call):
        start_s = time.perf_counter()
        await call
        return time.perf_counter() - start_s

    async def scenario():
        batcher = MicroBatcher(lambda items: items, name="echo", batch_max=4, queue_max=8)
        loop = asyncio.get_running_loop()
        bare, batched = [], []
        with ThreadPoolExecutor(1) as pool:
            for _ in range(200):
                bare.append(await seconds(loop.run_in_executor(pool, abs, 1)))
                batched.append(await seconds(batcher.submit(1, timeout_s=LONG_S)))
        await batcher.close()
        return min(bare), min(batched)

    bare_s, batched_s = asyncio.run(scenario())
    assert batched_s < bare_s + 0.001


def test_a_full_queue_refuses_at_once_and_takes_more_once_there_is_room():
    machine = Machine()

    async def scenario():
        batcher = make(machine, queue_max=2)
        first, behind = await held(batcher, machine, 1, 2)
        with pytest.raises(BatchQueueFullError, match="2 items already wait for the machine"):
            await batcher.submit(3, timeout_s=LONG_S)
        machine.gate.set()
        await settled(first, *behind)
        assert await batcher.submit(3, timeout_s=LONG_S) == 6
        await batcher.close()

    asyncio.run(scenario())


def test_an_item_that_waits_too_long_fails_in_time_and_never_runs():
    machine = Machine()

    async def scenario():
        batcher = make(machine)
        first, behind = await held(batcher, machine, 1, timeout_s=0.02)
        with pytest.raises(BatchDeadlineError, match=r"within 0\.02 s"):
            await asyncio.wait_for(behind[0], 5)
        assert batcher.depth == 0
        machine.gate.set()
        await first
        await batcher.close()

    asyncio.run(scenario())
    assert machine.batches == [[0]]


def test_an_item_that_runs_too_long_fails_in_time_and_the_next_one_succeeds():
    machine = Machine()

    async def scenario():
        batcher = make(machine)
        machine.hold()
        with pytest.raises(BatchDeadlineError):
            await asyncio.wait_for(batcher.submit(1, timeout_s=0.02), 5)
        machine.gate.set()
        assert await batcher.submit(2, timeout_s=LONG_S) == 4
        await batcher.close()

    asyncio.run(scenario())


def test_a_cancelled_caller_leaves_the_queue_and_never_runs():
    machine = Machine()

    async def scenario():
        batcher = make(machine, queue_max=2)
        first, behind = await held(batcher, machine, 1, 2)
        behind[0].cancel()
        await asyncio.sleep(0)
        assert batcher.depth == 1
        machine.gate.set()
        assert await settled(first, behind[1]) == [0, 4]
        await batcher.close()

    asyncio.run(scenario())
    assert machine.batches == [[0], [2]]


def test_a_caller_cancelled_while_its_batch_runs_takes_nobody_along():
    machine = Machine()

    async def scenario():
        batcher = make(machine)
        machine.hold()
        tasks = [submit(batcher, item) for item in (1, 2)]
        await machine.until_entered()
        tasks[0].cancel()
        machine.gate.set()
        assert await tasks[1] == 4
        await batcher.close()

    asyncio.run(scenario())


def test_a_cancel_storm_gives_nobody_another_ones_result():
    async def scenario():
        batcher = make(Machine(), batch_max=16, queue_max=2000)
        tasks = [submit(batcher, item) for item in range(2000)]
        for step, task in enumerate(tasks):
            if step % 3 == 0:
                task.cancel()
            if step % 50 == 0:
                await asyncio.sleep(0)
        found = await settled(*tasks)
        await batcher.close()
        assert all(result == 2 * item for item, result in enumerate(found) if not isinstance(result, BaseException))
        assert sum(isinstance(result, asyncio.CancelledError) for result in found) >= 600

    asyncio.run(scenario())


def test_one_bad_item_fails_alone():
    machine = Machine()
    machine.refused = (3,)

    async def scenario():
        batcher = make(machine)
        found = await settled(*(submit(batcher, item) for item in (1, 2, 3, 4)))
        assert found[:2] + found[3:] == [2, 4, 8]
        assert isinstance(found[2], ArithmeticError)
        await batcher.close()

    asyncio.run(scenario())


def test_a_failed_batch_leaves_the_next_one_untouched():
    machine = Machine()
    machine.refused = (1,)

    async def scenario():
        batcher = make(machine)
        assert isinstance((await settled(submit(batcher, 1)))[0], ArithmeticError)
        assert await batcher.submit(2, timeout_s=LONG_S) == 4
        await batcher.close()

    asyncio.run(scenario())


def test_an_error_that_blames_no_item_is_not_tried_again():
    machine = Machine()
    machine.refused = (1,)

    async def scenario():
        batcher = make(machine, isolates=lambda error: False)
        found = await settled(*(submit(batcher, item) for item in (1, 2, 3)))
        assert all(isinstance(result, ArithmeticError) for result in found)
        await batcher.close()

    asyncio.run(scenario())
    assert machine.batches == [[1, 2, 3]]


def test_those_who_gave_up_are_left_out_when_halves_are_tried():
    machine = Machine()
    machine.refused = (1,)

    async def scenario():
        batcher = make(machine)
        machine.hold()
        tasks = [submit(batcher, item) for item in (1, 2, 3, 4)]
        await machine.until_entered()
        tasks[2].cancel()
        tasks[3].cancel()
        await asyncio.sleep(0)
        machine.gate.set()
        found = await settled(*tasks)
        assert isinstance(found[0], ArithmeticError)
        assert found[1] == 4
        await batcher.close()

    asyncio.run(scenario())
    assert machine.batches == [[1, 2, 3, 4], [1, 2], [1], [2]]


@pytest.mark.parametrize("results", [[], [1], [1, 2, 3]])
def test_a_wrong_number_of_results_is_an_error_for_all_of_them(results):
    async def scenario():
        batcher = MicroBatcher(lambda items: results[: len(items) + 1] if len(items) > 1 else [], **NAMED)
        found = await settled(submit(batcher, 1), submit(batcher, 2))
        assert all(isinstance(result, BatchingError) for result in found)
        await batcher.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [StopIteration("done"), SystemExit(3)])
def test_errors_that_futures_refuse_reach_the_caller_as_batching_errors(error):
    def stop(items):
        raise error

    async def scenario():
        batcher = MicroBatcher(stop, **NAMED)
        for _ in range(2):
            with pytest.raises(BatchingError, match="stopped"):
                await asyncio.wait_for(batcher.submit(1, timeout_s=LONG_S), 5)
        await batcher.close()

    asyncio.run(scenario())


def test_closing_fails_what_waits_and_lets_the_running_batch_end():
    machine = Machine()

    async def scenario():
        batcher = make(machine)
        first, behind = await held(batcher, machine, 1)
        closing = asyncio.ensure_future(batcher.close())
        with pytest.raises(BatcherClosedError, match="the machine is stopping"):
            await behind[0]
        machine.gate.set()
        assert await first == 0
        await closing
        with pytest.raises(BatcherClosedError):
            await batcher.submit(2, timeout_s=LONG_S)

    asyncio.run(scenario())
    assert machine.batches == [[0]]


def test_closing_does_not_wait_longer_than_its_grace_for_a_machine_that_hangs():
    machine = Machine()

    async def scenario():
        batcher = make(machine)
        first, _ = await held(batcher, machine)
        await asyncio.wait_for(batcher.close(grace_s=0.02), 5)
        with pytest.raises(BatcherClosedError):
            await first
        machine.gate.set()

    asyncio.run(scenario())


def test_every_batch_is_reported_with_its_size_failures_and_the_queue_behind_it():
    machine = Machine()
    machine.refused = (2,)
    reports = []

    async def scenario():
        batcher = make(machine, batch_max=2, observe=reports.append)
        first, behind = await held(batcher, machine, 1, 2, 3)
        machine.gate.set()
        await settled(first, *behind)
        await batcher.close()

    asyncio.run(scenario())
    assert all(isinstance(report, BatchReport) and report.run_s >= 0 for report in reports)
    assert [(report.size, report.failed, report.waiting) for report in reports] == [(1, 0, 3), (2, 1, 1), (1, 0, 0)]


@pytest.mark.parametrize("limits", [{"batch_max": 0, "queue_max": 1}, {"batch_max": 1, "queue_max": 0}])
def test_limits_that_let_nothing_through_are_refused(limits):
    with pytest.raises(ValueError, match="at least 1"):
        MicroBatcher(list, name="nothing", **limits)
