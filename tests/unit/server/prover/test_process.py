from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from crypto.applicability.setup import Setup
from crypto.applicability.suites import SUITES
from crypto.errors import EncodingError
from server.prover.commitment import commit
from server.prover.errors import NotProvable, ProverBusy, ProverFailed
from server.prover.jobs import Answer, pack_answer
from server.prover.process import ProverProcess
from tests.applicability_examples import (
    ENTRY,
    SCORE,
    SEED,
    SUITE,
    applicability_statement,
    pair,
    verifier,
    well_formedness_statement,
)

ROOT = Path(__file__).parents[4]
LARGE = SUITES[-1]
LARGE_ENTRY, _ = pair(LARGE.size, 3)


def within(work: Callable[[ProverProcess], Awaitable[None]], prover: ProverProcess) -> None:
    """Run *work* with a prover that is closed behind it, whatever happens."""

    async def run() -> None:
        try:
            await work(prover)
        finally:
            await prover.close()

    asyncio.run(run())


def child_that(program: str, *arguments: str, **options: float) -> ProverProcess:
    """Return a prover whose process runs *program* in the worker's place."""
    return ProverProcess(None, command=(sys.executable, "-c", f"import sys, time; {program}", *arguments), **options)


async def started(prover: ProverProcess, patience_s: float = 30) -> int:
    async with asyncio.timeout(patience_s):
        while (found := prover.process_id) is None:
            await asyncio.sleep(0.01)
    return found


def children() -> set[int]:
    """Return the processes that this one has started and that still run."""
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


def has_ended(process_id: int, patience_s: float = 20) -> bool:
    """Say whether the process is gone, or is but waiting to be collected, within some seconds."""
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        try:
            if psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_proofs_that_the_process_makes_hold(setup: Setup) -> None:
    async def work(prover: ProverProcess) -> None:
        statement = applicability_statement()
        assert await prover.commit(SUITE.name, ENTRY, SEED) == commit(setup, SUITE, ENTRY, SEED)
        one = await prover.prove_well_formedness(SUITE.name, ENTRY, SEED)
        other = await prover.prove_applicability(statement, ENTRY, SEED)
        verifier().verify_well_formedness(well_formedness_statement(), one)
        verifier().verify_applicability(statement, other)

    within(work, ProverProcess(None))


def test_no_process_runs_before_it_is_needed_and_one_serves_all_jobs() -> None:
    async def work(prover: ProverProcess) -> None:
        assert prover.process_id is None
        await prover.commit(SUITE.name, ENTRY, SEED)
        first = prover.process_id
        await prover.commit(SUITE.name, ENTRY, SEED)
        assert prover.process_id == first is not None

    within(work, ProverProcess(None))


def test_concurrent_callers_each_get_their_own_answer(setup: Setup) -> None:
    async def work(prover: ProverProcess) -> None:
        seeds = [bytes([number]) * 32 for number in range(12)]
        found = await asyncio.gather(*(prover.commit(SUITE.name, ENTRY, seed) for seed in seeds))
        assert found == [commit(setup, SUITE, ENTRY, seed) for seed in seeds]

    within(work, ProverProcess(None))


def test_why_there_is_no_proof_crosses_the_pipe() -> None:
    async def work(prover: ProverProcess) -> None:
        with pytest.raises(NotProvable, match="below τ"):
            await prover.prove_applicability(applicability_statement(tau=SCORE + 1), ENTRY, SEED)
        with pytest.raises(EncodingError, match="127"):
            await prover.commit(SUITE.name, (128,), SEED)
        with pytest.raises(EncodingError, match="no suite"):
            await prover.commit("another", ENTRY, SEED)
        assert len(await prover.commit(SUITE.name, ENTRY, SEED)) == 48

    within(work, ProverProcess(None))


def test_another_ceremonys_file_makes_nothing_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "setup.txt"
    file.write_text("4096\n65\n")

    async def work(prover: ProverProcess) -> None:
        with pytest.raises(ProverFailed, match="SHA-256"):
            await prover.commit(SUITE.name, ENTRY, SEED)

    within(work, ProverProcess(file))


def test_a_process_killed_in_the_middle_of_a_job_fails_it_and_the_next_job_has_a_new_one() -> None:
    async def work(prover: ProverProcess) -> None:
        job = asyncio.create_task(prover.commit(LARGE.name, LARGE_ENTRY, SEED))
        first = await started(prover)
        await asyncio.sleep(0.3)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ProverFailed, match="ended before it answered"):
            await job
        assert len(await prover.commit(SUITE.name, ENTRY, SEED)) == 48
        assert prover.process_id not in (None, first)

    within(work, ProverProcess(None))


def test_a_process_killed_between_two_jobs_is_not_missed() -> None:
    async def work(prover: ProverProcess) -> None:
        await prover.commit(SUITE.name, ENTRY, SEED)
        first = await started(prover)
        os.kill(first, signal.SIGKILL)
        assert len(await prover.commit(SUITE.name, ENTRY, SEED)) == 48
        assert prover.process_id not in (None, first)

    within(work, ProverProcess(None))


def test_a_job_that_kills_one_process_after_another_fails() -> None:
    good = "n = int.from_bytes(sys.stdin.buffer.read(4), 'big'); sys.stdin.buffer.read(n);"
    answer = pack_answer(Answer("made", data=b"first"))

    async def work(prover: ProverProcess) -> None:
        assert await prover.commit(SUITE.name, ENTRY, SEED) == b"first"
        # This process ends at its second job, and the next one, which finds the file, at its first.
        with pytest.raises(ProverFailed, match="ended before it answered"):
            await prover.commit(SUITE.name, ENTRY, SEED)

    once = f"{good} open(sys.argv[1], 'x'); sys.stdout.buffer.write({answer!r}); sys.stdout.flush();"
    program = f"{once} sys.stdin.buffer.read(4)"
    with tempfile.TemporaryDirectory() as folder:
        within(work, child_that(program, str(Path(folder) / "answered")))


@pytest.mark.parametrize(
    "program",
    [
        "sys.stdout.buffer.write(bytes([255]) * 99); sys.stdout.flush(); time.sleep(60)",
        "sys.stdout.buffer.write(bytes([0, 0, 0, 2]) + b'{}'); sys.stdout.flush(); time.sleep(60)",
        "sys.stdout.buffer.write(bytes([0, 0, 0, 9]) + b'not json!'); sys.stdout.flush(); time.sleep(60)",
    ],
    ids=["a length beyond the bound", "no answer", "no json"],
)
def test_garbage_on_the_pipe_fails_the_job_and_ends_the_process(program: str) -> None:
    async def work(prover: ProverProcess) -> None:
        before = children()
        with pytest.raises(ProverFailed, match="something else"):
            await prover.commit(SUITE.name, ENTRY, SEED)
        assert prover.process_id is None
        assert children() <= before

    within(work, child_that(program))


@pytest.mark.parametrize("program", ["pass", "sys.stdout.buffer.write(b'12'); sys.stdout.flush()", "sys.exit(3)"])
def test_a_process_that_ends_too_early_fails_the_job(program: str) -> None:
    async def work(prover: ProverProcess) -> None:
        for _ in range(2):
            with pytest.raises(ProverFailed, match="ended before it answered"):
                await prover.commit(SUITE.name, ENTRY, SEED)

    within(work, child_that(program))


def test_a_command_that_cannot_be_run_fails_the_job(tmp_path: Path) -> None:
    async def work(prover: ProverProcess) -> None:
        with pytest.raises(ProverFailed):
            await prover.commit(SUITE.name, ENTRY, SEED)

    within(work, ProverProcess(None, command=(str(tmp_path / "absent"),)))


def test_a_job_beyond_its_time_fails_and_its_process_is_ended() -> None:
    async def work(prover: ProverProcess) -> None:
        before = children()
        with pytest.raises(ProverFailed, match="longer than"):
            await prover.commit(SUITE.name, ENTRY, SEED)
        assert children() <= before

    within(work, child_that("time.sleep(60)", timeout_s=0.3))


def test_more_callers_than_the_queue_holds_are_turned_away_and_the_others_are_served() -> None:
    async def work(prover: ProverProcess) -> None:
        jobs = [asyncio.create_task(prover.commit(SUITE.name, ENTRY, SEED)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ProverBusy):
            await prover.commit(SUITE.name, ENTRY, SEED)
        assert len(set(await asyncio.gather(*jobs))) == 1
        assert len(await prover.commit(SUITE.name, ENTRY, SEED)) == 48

    within(work, ProverProcess(None, queue_max=3))


def test_a_caller_who_leaves_costs_no_process_and_the_next_gets_its_own_answer(setup: Setup) -> None:
    async def work(prover: ProverProcess) -> None:
        await prover.commit(SUITE.name, ENTRY, SEED)
        process_id = prover.process_id
        leaving = asyncio.create_task(prover.prove_well_formedness(SUITE.name, ENTRY, SEED))
        await asyncio.sleep(0.01)
        leaving.cancel()
        other = bytes(32)
        assert await prover.commit(SUITE.name, ENTRY, other) == commit(setup, SUITE, ENTRY, other)
        assert prover.process_id == process_id

    within(work, ProverProcess(None))


def test_closing_in_the_middle_of_work_fails_all_of_it_at_once() -> None:
    async def work(prover: ProverProcess) -> None:
        jobs = [asyncio.create_task(prover.commit(LARGE.name, LARGE_ENTRY, SEED)) for _ in range(3)]
        process_id = await started(prover)
        await asyncio.sleep(0.3)
        started_s = time.monotonic()
        await prover.close()
        assert time.monotonic() - started_s < 5
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(result) for result in results] == [ProverFailed] * 3
        assert has_ended(process_id)
        with pytest.raises(ProverFailed, match="closed"):
            await prover.commit(SUITE.name, ENTRY, SEED)

    within(work, ProverProcess(None))


def test_closing_while_the_process_is_being_started_leaves_none() -> None:
    async def work(prover: ProverProcess) -> None:
        before = children()
        job = asyncio.create_task(prover.commit(LARGE.name, LARGE_ENTRY, SEED))
        await asyncio.sleep(0)
        await prover.close()
        with pytest.raises(ProverFailed, match="closed"):
            await job
        assert children() <= before

    within(work, ProverProcess(None))


def test_closing_what_never_worked_does_nothing_and_may_be_repeated() -> None:
    async def work(prover: ProverProcess) -> None:
        await prover.close()

    within(work, ProverProcess(None))


def test_neither_secrets_of_the_environment_nor_of_a_job_are_on_the_childs_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HITPROOF_SECRET_FOR_TEST", "do-not-pass-on")

    async def work(prover: ProverProcess) -> None:
        await prover.commit(SUITE.name, ENTRY, SEED)
        child = psutil.Process(await started(prover))
        assert child.cmdline()[1:] == ["-P", "-m", "server.prover.worker"]
        assert "HITPROOF_SECRET_FOR_TEST" not in child.environ()
        assert child.nice() >= psutil.Process().nice()

    within(work, ProverProcess(None))


def test_the_process_ends_when_its_parent_is_killed() -> None:
    program = f"""
import asyncio
from server.prover.jobs import Answer, pack_answer
from server.prover.process import ProverProcess

async def main():
    prover = ProverProcess(None)
    await prover.commit({SUITE.name!r}, {ENTRY!r}, {SEED!r})
    print(prover.process_id, flush=True)
    await prover.commit({LARGE.name!r}, {LARGE_ENTRY!r}, {SEED!r})
    await asyncio.sleep(60)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process_id = int(parent.stdout.readline())
        parent.kill()
    assert has_ended(process_id)
