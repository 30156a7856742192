"""The prover as the gateway sees it: a process of its own, so that field arithmetic never holds the gateway's interpreter.

Started when first used, started again when it died, one job at a time behind a queue of bounded length. It ends with its
parent, however that ends: its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crypto.applicability.statement import ApplicabilityStatement
from crypto.applicability.suites import Suite, find_suite
from crypto.errors import EncodingError
from server.prover.errors import NotProvable, ProverBusy, ProverFailed
from server.prover.jobs import (
    LENGTH_BYTES,
    Answer,
    ApplicabilityJob,
    CommitJob,
    Job,
    WellFormednessJob,
    pack_job,
    read_length,
    unpack_answer,
)

QUEUE_MAX: Final = 64
#: A job takes a fraction of a second; the first of a suite prepares for up to three more.
JOB_TIMEOUT_S: Final = 60.0
#: What finding libraries may need. Keys and passwords in the gateway's environment are not the prover's business.
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
_ROOT: Final = Path(__file__).parents[2]
_COMMAND: Final = (sys.executable, "-P", "-m", "server.prover.worker")


@dataclass(frozen=True, slots=True)
class _Child:
    process: asyncio.subprocess.Process
    jobs: asyncio.StreamWriter
    answers: asyncio.StreamReader

    def is_running(self) -> bool:
        return self.process.returncode is None

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.jobs.close()
        await self.process.wait()


class ProverProcess:
    """Makes commitments and proofs without holding up the event loop.

    Each method raises `ProverBusy` before anything was started, and `ProverFailed` where the process broke, took longer
    than *timeout_s* seconds or was closed.
    """

    def __init__(
        self,
        srs: Path | None,
        *,
        queue_max: int = QUEUE_MAX,
        timeout_s: float = JOB_TIMEOUT_S,
        command: tuple[str, ...] = _COMMAND,
    ) -> None:
        """*srs* names another copy of the ceremony's file; *queue_max* jobs may be wanted at once."""
        self._command = command if srs is None else (*command, str(srs.absolute()))
        self._queue_max = queue_max
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[Answer]] = set()
        self._child: _Child | None = None
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """The running child's, or None where none runs."""
        child = self._child
        return child.process.pid if child is not None and child.is_running() else None

    async def commit(self, suite_name: str, vector: Sequence[int], seed: bytes) -> bytes:
        """Commit to a quantised vector: 48 bytes. Raises `EncodingError` for what cannot be committed to."""
        return await self._make(CommitJob(_suite(suite_name), vector, seed))

    async def prove_well_formedness(self, suite_name: str, vector: Sequence[int], seed: bytes) -> bytes:
        """Prove a commitment well-formed: 576 bytes, the same ones each time. Raises `NotProvable`."""
        return await self._make(WellFormednessJob(_suite(suite_name), vector, seed))

    async def prove_applicability(self, statement: ApplicabilityStatement, vector: Sequence[int], seed: bytes) -> bytes:
        """Prove a hit's statement: 416 bytes, other ones each time. Raises `NotProvable`."""
        return await self._make(ApplicabilityJob(statement, vector, seed))

    async def close(self) -> None:
        """End the process at once, with the job it works on: proofs can be made again."""
        self._closed = True
        if self._child is not None and self._child.is_running():
            self._child.process.kill()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._end()

    async def _make(self, job: Job) -> bytes:
        if self._closed:
            raise ProverFailed("the prover was closed")
        if len(self._running) >= self._queue_max:
            raise ProverBusy(f"{len(self._running)} proofs are wanted already")
        task = asyncio.create_task(self._take_turn(pack_job(job)))
        self._running.add(task)
        task.add_done_callback(self._forget)
        # A caller who leaves does not end the job: half an exchange would cost a process.
        answer = await asyncio.shield(task)
        if answer.outcome == "made":
            return answer.data
        if answer.outcome == "not_provable":
            raise NotProvable(answer.message)
        if answer.outcome == "invalid":
            raise EncodingError(answer.message)
        raise ProverFailed(answer.message)

    def _forget(self, task: asyncio.Task[Answer]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whose caller left is nobody's to see

    async def _take_turn(self, frame: bytes) -> Answer:
        async with self._turn:
            if self._closed:
                raise ProverFailed("the prover was closed")
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._exchange(frame)
            except TimeoutError:
                reason = f"the prover took longer than {self._timeout_s:g} s"
            except (OSError, asyncio.IncompleteReadError):
                reason = "the prover's process ended before it answered"
            except EncodingError:
                reason = "the prover's process answered with something else than an answer"
            except BaseException:
                await self._end()
                raise
            await self._end()
            raise ProverFailed(reason)

    async def _exchange(self, frame: bytes) -> Answer:
        served_before = self._child is not None
        try:
            return await self._ask(frame)
        except (OSError, asyncio.IncompleteReadError):
            # One that had died since its last job is first noticed now, and no fault of this job.
            if not served_before or self._closed:
                raise
            await self._end()
            return await self._ask(frame)

    async def _ask(self, frame: bytes) -> Answer:
        child = await self._started()
        if self._closed:
            raise ProverFailed("the prover was closed")
        child.jobs.write(frame)
        await child.jobs.drain()
        length = read_length(await child.answers.readexactly(LENGTH_BYTES))
        return unpack_answer(await child.answers.readexactly(length))

    async def _started(self) -> _Child:
        if self._child is None or not self._child.is_running():
            await self._end()
            self._child = await _start(self._command)
        return self._child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()


async def _start(command: tuple[str, ...]) -> _Child:
    known = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=known | {"PYTHONPATH": str(_ROOT)},
    )
    if process.stdin is None or process.stdout is None:
        raise ProverFailed("the prover's process has no pipes")
    return _Child(process, process.stdin, process.stdout)


def _suite(name: str) -> Suite:
    suite = find_suite(name)
    if suite is None:
        raise EncodingError(f"no suite is called {name!r}")
    return suite
