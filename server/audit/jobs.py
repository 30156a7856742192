"""Exports that run beside requests: started, watched, fetched; what a process did not finish is said to have failed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import orjson
import structlog

from server.audit.export import Exported, Exporter
from server.audit.keys import ExportKeys
from server.audit.request import (
    ExportError,
    ExportNotReady,
    ExportRequest,
    ExportRunning,
    ExportsBusy,
    ExportUnavailable,
)
from server.audit.settling import settle
from server.log.storage import LogStorage
from server.ports import Clock, RandomSource
from server.store.audit_jobs import AuditJobRepository, forget_old_jobs, has_old_jobs, load_files
from server.store.database import Database
from server.store.errors import NotFound, StoreError
from server.store.log_records import AuditJob
from tenants.identifiers import TenantId

log = structlog.get_logger()

Result = TypeVar("Result")
#: What comes before an export is made, on the event loop: the proofs that it lacks.
Preparation: TypeAlias = Callable[[], Awaitable[object]]

RUNNING_MAX: Final = 2
#: Of so many finished exports it is known how many hits they leave unproved.
UNPROVED_MAX: Final = 1_000
KEPT_MS: Final = 24 * 3_600_000
_MARK: Final = ".running"
_BUNDLE: Final = ".zip"


class ExportJobs:
    """Runs exports on threads of its own, `RUNNING_MAX` at once and one of a tenant; bundles lie in *folder* for a day.

    How far a running one is, the process that runs it knows; that it runs, and how it ended, every process.
    """

    def __init__(
        self, database: Database, storage: LogStorage, folder: Path, *, quorum: int, clock: Clock, random: RandomSource
    ) -> None:
        self._database = database
        self._storage = storage
        self._folder = folder
        self._quorum = quorum
        self._clock = clock
        self._random = random
        self._threads = ThreadPoolExecutor(RUNNING_MAX, thread_name_prefix="hitproof-export")
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._tenants: dict[str, TenantId] = {}
        self._progress: dict[str, tuple[int, int]] = {}
        self._unproved: OrderedDict[str, int] = OrderedDict()
        self._preparing: set[asyncio.Task[object]] = set()
        self._is_stopping = False

    async def recover(self) -> None:
        """Say of every export that the last process on this folder did not finish that it failed, and tidy up."""
        for mark in await asyncio.to_thread(lambda: sorted(self._folder.glob(f"*{_MARK}"))):
            tenant = TenantId(await asyncio.to_thread(mark.read_text, encoding="utf-8"))
            if tenant:  # an empty one is of a process that ended before its job was written down
                await self._end(tenant, mark.stem, error="the gateway ended before the export did; start it again")
            mark.with_suffix(_BUNDLE).unlink(missing_ok=True)
            mark.unlink(missing_ok=True)
        await self.tidy()

    async def run(self, interval_s: float) -> None:
        """Tidy up until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.tidy()
            except (StoreError, OSError) as error:
                log.warning("exports_not_tidied", error=type(error).__name__)

    async def tidy(self) -> None:
        """Forget exports that are older than a day, and remove every bundle that no export is known by.

        So a bundle ends with its day, and with its tenant, on whatever machine it lies.
        """
        before_ms = self._clock.now_ms() - KEPT_MS
        # What lies here is listed before the rows are read, and what is being made has its mark: neither is taken for old.
        found = await asyncio.to_thread(lambda: [path.name for path in self._folder.glob(f"*{_BUNDLE}")])
        if await self._database.read(lambda connection: has_old_jobs(connection, before_ms=before_ms)):
            await self._database.write(lambda connection: forget_old_jobs(connection, before_ms=before_ms))
        known = await self._database.read(load_files) if found else set()
        for name in found:
            path = self._folder / name
            if name not in known and not path.with_suffix(_MARK).exists():
                path.unlink(missing_ok=True)

    async def start(
        self, tenant: TenantId, keys: ExportKeys, request: ExportRequest, *, prepare: Preparation | None = None
    ) -> AuditJob:
        """Begin an export of *tenant*, by *prepare*, and return its job; raises `ExportRunning`, `ExportsBusy`."""
        name = "aud_" + self._random.token_bytes(16).hex()
        self._take_place(name, tenant)
        job = AuditJob(
            id=name,
            state="running",
            done=0,
            total=0,
            scope=orjson.dumps(request.to_json()).decode(),
            file=None,
            error=None,
            created_at_ms=self._clock.now_ms(),
        )
        task = asyncio.create_task(self._run(tenant, job, keys, request, prepare, begun := asyncio.Event()))
        self._keep(name, task)
        # Whoever is told of the job may ask for it at once.
        await begun.wait()
        return job

    async def make_now(
        self, tenant: TenantId, keys: ExportKeys, request: ExportRequest, *, prepare: Preparation | None = None
    ) -> Exported:
        """Make an export of *tenant*, by *prepare* first, while the caller waits; raises `ExportError`."""
        name = "now_" + self._random.token_bytes(16).hex()
        self._take_place(name, tenant)

        async def work() -> Exported:
            await self._prepare(prepare)
            return await self._on_thread(lambda: self._export(tenant, name, keys, request))

        task = asyncio.create_task(work())
        self._keep(name, task)
        # A thread cannot be cancelled: whoever leaves does not give back the place before it ends.
        return await asyncio.shield(task)

    async def get(self, tenant: TenantId, job: str) -> AuditJob:
        """Return a job of *tenant* as it stands; raises `NotFound`."""
        found = await self._database.read(lambda c: AuditJobRepository(c, tenant).get(job))
        done, total = self._progress.get(job, (found.done, found.total))
        return replace(found, done=done, total=total)

    def unproved(self, job: str) -> int | None:
        """Return how many hits of a finished export have no applicability proof in it; known where its file lies alone."""
        return self._unproved.get(job)

    def path_of(self, job: AuditJob) -> Path:
        """Return where a finished job's bundle lies; raises `ExportNotReady` for one that is not here."""
        path = self._folder / (job.file or "")
        is_kept = self._clock.now_ms() < job.created_at_ms + KEPT_MS
        if job.state != "done" or job.file is None or not is_kept or not path.is_file():
            raise ExportNotReady(
                "this export has no file here: it is not done, has expired, or another gateway made it"
            )
        return path

    async def stop(self) -> None:
        """Wait for running exports and end the threads: one cannot be ended before, and what it makes is bounded.

        One whose proofs are still being made goes no further: that takes minutes, and can be had again.
        """
        self._is_stopping = True
        for task in self._preparing:
            task.cancel()
        await self.drain()
        await asyncio.to_thread(self._threads.shutdown)

    async def drain(self) -> None:
        """Wait for the exports that are running now."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _run(
        self,
        tenant: TenantId,
        job: AuditJob,
        keys: ExportKeys,
        request: ExportRequest,
        prepare: Preparation | None,
        begun: asyncio.Event,
    ) -> None:
        path, is_kept = self._folder / f"{job.id}{_BUNDLE}", False
        try:
            try:
                # First the mark: what it stands for is found by the next process whatever happens to this one.
                await asyncio.to_thread(self._set_mark, tenant, job.id)
                await self._database.write(lambda c: AuditJobRepository(c, tenant).add(job))
            finally:
                begun.set()
            await self._prepare(prepare)
            exported = await self._on_thread(lambda: self._export(tenant, job.id, keys, request))
            await self._on_thread(lambda: _write_bundle(path, exported.data))
            self._note_unproved(job.id, exported.unproved)
        except (ExportError, StoreError) as error:
            await self._end(tenant, job.id, error=str(error))
        except Exception as error:  # noqa: BLE001  # an edge: nobody awaits a job, so its end must be written down
            # Not the error's own text, there or here: it can quote what was to be opened.
            log.error("export_failed", job=job.id, error=type(error).__name__)
            await self._end(tenant, job.id, error="the export failed by a fault of ours; the operator's log says more")
        else:
            # A tenant that was erased meanwhile has no such job any more, and must have no such bundle.
            is_kept = await self._end(tenant, job.id, file=path.name)
        finally:
            if not is_kept:
                path.unlink(missing_ok=True)
            path.with_suffix(_MARK).unlink(missing_ok=True)

    async def _prepare(self, prepare: Preparation | None) -> None:
        """Do what comes before an export; raises `ExportUnavailable` where the gateway ends meanwhile."""
        if prepare is None:
            return
        task: asyncio.Task[object] = asyncio.ensure_future(prepare())
        self._preparing.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self._preparing.discard(task)
            task.cancel()
        if task.cancelled() and self._is_stopping:
            raise ExportUnavailable("the gateway ended before the export did; start it again")
        task.result()

    def _set_mark(self, tenant: TenantId, job: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / f"{job}{_MARK}").write_text(tenant, encoding="utf-8")

    def _export(self, tenant: TenantId, job: str, keys: ExportKeys, request: ExportRequest) -> Exported:
        checkpoint = settle(self._database, tenant, clock=self._clock, random=self._random, quorum=self._quorum)
        exporter = Exporter(self._database, self._storage, tenant, keys, self._clock)
        return exporter.export(request, checkpoint, self._watcher(job))

    def _note_unproved(self, job: str, count: int) -> None:
        self._unproved[job] = count
        while len(self._unproved) > UNPROVED_MAX:
            self._unproved.popitem(last=False)

    def _take_place(self, name: str, tenant: TenantId) -> None:
        if tenant in self._tenants.values():
            raise ExportRunning("an export of this tenant is running already; wait for it to end")
        if len(self._tenants) >= RUNNING_MAX:
            raise ExportsBusy(f"{RUNNING_MAX} exports are running already; wait for one to end")
        self._tenants[name], self._progress[name] = tenant, (0, 0)

    def _keep(self, name: str, task: asyncio.Task[Any]) -> None:
        self._running[name] = task
        task.add_done_callback(lambda done: self._forget(name, done))

    def _watcher(self, job: str) -> Callable[[int, int], None]:
        def watch(done: int, total: int) -> None:
            self._progress[job] = (done, total)

        return watch

    async def _end(self, tenant: TenantId, job: str, *, file: str | None = None, error: str | None = None) -> bool:
        """Write down how a job ended; False where it is not there any more, or that cannot be written now."""
        done, total = self._progress.get(job, (0, 0))
        state = "failed" if file is None else "done"
        try:
            await self._database.write(
                lambda c: AuditJobRepository(c, tenant).update(
                    job, state=state, done=done, total=total, file=file, error=error
                )
            )
        except NotFound:
            return False
        except StoreError as fault:
            log.warning("export_end_not_noted", job=job, error=type(fault).__name__)
            return False
        return True

    def _forget(self, job: str, task: asyncio.Task[Any]) -> None:
        for kept in (self._running, self._tenants, self._progress):
            kept.pop(job, None)
        with contextlib.suppress(asyncio.CancelledError):
            task.exception()  # heard of by whoever waits, and by nobody where the caller has left

    async def _on_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _write_bundle(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
