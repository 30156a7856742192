"""Exports that run beside requests: started, watched, fetched; what a process did not finish is said to have failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from crypto.errors import Error
from server.audit.export import Exported, Exporter, ExportKeys
from server.audit.request import ExportNotReady, ExportRequest, ExportsBusy
from server.audit.settling import settle
from server.log.storage import LogStorage
from server.ports import Clock, RandomSource
from server.store.audit_jobs import AuditJobRepository
from server.store.database import Database
from server.store.log_records import AuditJob
from tenants.identifiers import TenantId

log = structlog.get_logger()

RUNNING_MAX: Final = 2
KEPT_MS: Final = 24 * 3_600_000
_MARK: Final = ".running"


class ExportJobs:
    """Runs exports of any tenant on threads, at most `RUNNING_MAX` at once; bundles lie in *folder* for a day.

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
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._progress: dict[str, tuple[int, int]] = {}

    async def recover(self) -> None:
        """Say of every export that the last process on this folder did not finish that it failed."""
        for mark in await asyncio.to_thread(lambda: sorted(self._folder.glob(f"*{_MARK}"))):
            tenant = TenantId(mark.read_text(encoding="utf-8"))
            await self._end(tenant, mark.stem, error="the gateway ended before the export did; start it again")
            mark.unlink(missing_ok=True)

    async def start(self, tenant: TenantId, keys: ExportKeys, request: ExportRequest) -> AuditJob:
        """Begin an export of *tenant* and return its job; raises `ExportsBusy` while too many run."""
        name = "aud_" + self._random.token_bytes(16).hex()
        self._take_place(name)
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
        task = asyncio.create_task(self._run(tenant, job, keys, request, begun := asyncio.Event()))
        self._running[name] = task
        task.add_done_callback(lambda _: self._forget(name))
        # Whoever is told of the job may ask for it at once.
        await begun.wait()
        return job

    async def make_now(self, tenant: TenantId, keys: ExportKeys, request: ExportRequest) -> Exported:
        """Make an export of *tenant* while the caller waits; raises `ExportsBusy` while too many run, `ExportError`."""
        name = "now_" + self._random.token_bytes(16).hex()
        self._take_place(name)
        task = asyncio.create_task(asyncio.to_thread(self._export, tenant, name, keys, request))
        self._running[name] = task
        task.add_done_callback(lambda _: self._forget(name))
        # A thread cannot be cancelled: whoever leaves does not give back the place before it ends.
        return await asyncio.shield(task)

    async def get(self, tenant: TenantId, job: str) -> AuditJob:
        """Return a job of *tenant* as it stands; raises `NotFound`."""
        found = await self._database.read(lambda c: AuditJobRepository(c, tenant).get(job))
        done, total = self._progress.get(job, (found.done, found.total))
        return replace(found, done=done, total=total)

    def path_of(self, job: AuditJob) -> Path:
        """Return where a finished job's bundle lies; raises `ExportNotReady` for one that is not here."""
        path = self._folder / (job.file or "")
        if job.state != "done" or job.file is None or not path.is_file():
            raise ExportNotReady(
                "this export has no file here: it is not done, has expired, or another gateway made it"
            )
        return path

    async def stop(self) -> None:
        """Wait for running exports: a thread cannot be ended, and what it makes is bounded."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _run(
        self, tenant: TenantId, job: AuditJob, keys: ExportKeys, request: ExportRequest, begun: asyncio.Event
    ) -> None:
        try:
            try:
                old = await self._database.write(lambda c: _begin(AuditJobRepository(c, tenant), job))
            finally:
                begun.set()
            await asyncio.to_thread(self._make, tenant, job.id, keys, request, old)
        except Error as error:
            await self._end(tenant, job.id, error=str(error))
        except Exception as error:  # an edge: nobody awaits a job, so its end must be written down
            log.error("export_failed", error=type(error).__name__, exc_info=error)
            await self._end(tenant, job.id, error="the export failed by a fault of ours; the log says more")
        else:
            await self._end(tenant, job.id, file=f"{job.id}.zip")

    def _make(self, tenant: TenantId, job: str, keys: ExportKeys, request: ExportRequest, old: list[str]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in old:
            (self._folder / name).unlink(missing_ok=True)
        mark, path = self._folder / f"{job}{_MARK}", self._folder / f"{job}.zip"
        mark.write_text(tenant, encoding="utf-8")
        try:
            exported = self._export(tenant, job, keys, request)
            path.touch(mode=0o600)
            path.write_bytes(exported.data)
        finally:
            mark.unlink(missing_ok=True)

    def _export(self, tenant: TenantId, job: str, keys: ExportKeys, request: ExportRequest) -> Exported:
        checkpoint = settle(self._database, tenant, clock=self._clock, random=self._random, quorum=self._quorum)
        exporter = Exporter(self._database, self._storage, tenant, keys, self._clock)
        return exporter.export(request, checkpoint, self._watcher(job))

    def _take_place(self, name: str) -> None:
        if len(self._running) >= RUNNING_MAX:
            raise ExportsBusy(f"{RUNNING_MAX} exports are running already; wait for one to end")
        self._progress[name] = (0, 0)

    def _watcher(self, job: str) -> Callable[[int, int], None]:
        def watch(done: int, total: int) -> None:
            self._progress[job] = (done, total)

        return watch

    async def _end(self, tenant: TenantId, job: str, *, file: str | None = None, error: str | None = None) -> None:
        done, total = self._progress.get(job, (0, 0))
        state = "failed" if file is None else "done"
        await self._database.write(
            lambda c: AuditJobRepository(c, tenant).update(
                job, state=state, done=done, total=total, file=file, error=error
            )
        )

    def _forget(self, job: str) -> None:
        self._running.pop(job, None)
        self._progress.pop(job, None)


def _begin(repository: AuditJobRepository, job: AuditJob) -> list[str]:
    """Write *job* down and forget old ones; return the files that those left."""
    old = repository.delete_before(job.created_at_ms - KEPT_MS)
    repository.add(job)
    return old
