"""Single flight: identical questions of one tenant that wait at the same time share one upstream call.

A flight runs in a task of its own. Clients come and go; one that leaves takes nothing with it, so a cancelled request can
neither cut another's answer short nor leave half a reply behind. A flight is forgotten the moment it ends: later
arrivals find the stored entry or start anew, and never inherit an error.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from crypto.errors import Error
from server.ports import Completion, JsonObject
from server.reuse.outcomes import Hit, Miss
from server.reuse.receipts import Receipt
from server.store.records import StoredEntry
from tenants.identifiers import TenantId


class TooManyFlights(Error):
    """Too many answers are being computed, or too many requests wait for this one; try again in a moment."""


@dataclass(frozen=True, slots=True)
class Landed:
    """How a flight ended well: the whole answer, and what became of it.

    *row* is where it was found, if it was there; *receipt* stands behind what was found or stored.
    """

    completion: Completion
    outcome: Hit | Miss
    model_version: str
    row: StoredEntry | None = None
    receipt: Receipt | None = None


class Flight:
    """One upstream call for one tenant: what arrived so far, and the end."""

    def __init__(self, tenant: TenantId) -> None:
        self.tenant = tenant
        self.waiters = 0
        self._chunks: list[JsonObject] = []
        self._landed: Landed | None = None
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._labelled = False

    def take_label(self) -> bool:
        """True for the first who asks: one answer gives one label, however many waited for it."""
        first, self._labelled = not self._labelled, True
        return first

    def publish(self, chunk: JsonObject) -> None:
        """Hand a chunk to everybody who listens."""
        self._chunks.append(chunk)
        self._wake()

    def land(self, landed: Landed) -> None:
        """End well."""
        self._landed = landed
        self._wake()

    def crash(self, error: BaseException) -> None:
        """End badly."""
        self._error = error
        self._wake()

    @property
    def has_ended(self) -> bool:
        """Whether it landed or crashed."""
        return self._landed is not None or self._error is not None

    async def result(self) -> Landed:
        """Wait for the end; raises what the flight crashed with."""
        with self._waiting():
            while not self.has_ended:
                await self._changed.wait()
            return self._outcome()

    async def follow(self) -> AsyncIterator[JsonObject | Landed]:
        """Yield every chunk from the first on and, last, how it landed; raises what it crashed with."""
        seen = 0
        with self._waiting():
            while True:
                while seen < len(self._chunks):
                    seen += 1
                    yield self._chunks[seen - 1]
                if self.has_ended:
                    break
                await self._changed.wait()
            yield self._outcome()

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        self.waiters += 1
        try:
            yield
        finally:
            self.waiters -= 1

    def _outcome(self) -> Landed:
        if self._error is not None:
            raise self._error
        if self._landed is None:
            raise RuntimeError("a flight was asked for its outcome in the air")
        return self._landed

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


Fly: TypeAlias = Callable[[Flight], Awaitable[Landed]]


class Flights:
    """The flights in the air, by tenant and key: two tenants never share one."""

    def __init__(self, *, flights_max: int, waiters_max: int) -> None:
        self._flights_max = flights_max
        self._waiters_max = waiters_max
        self._shared: dict[tuple[TenantId, bytes], Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def join(self, tenant: TenantId, key: bytes | None, fly: Fly) -> Flight:
        """Join the flight under *key*, or start one with *fly*; without a key the flight is nobody else's."""
        flight = None if key is None else self._shared.get((tenant, key))
        if flight is None:
            if len(self._tasks) >= self._flights_max:
                raise TooManyFlights("too many answers are being computed; try again in a moment")
            flight = Flight(tenant)
            if key is not None:
                self._shared[tenant, key] = flight
            task = asyncio.create_task(self._run(flight, tenant, key, fly))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif flight.waiters >= self._waiters_max:
            raise TooManyFlights("too many requests wait for this answer; try again in a moment")
        return flight

    async def _run(self, flight: Flight, tenant: TenantId, key: bytes | None, fly: Fly) -> None:
        try:
            flight.land(await fly(flight))
        except asyncio.CancelledError:
            # Whoever waits was not cancelled itself, and must hear of an error that it can answer with.
            flight.crash(TooManyFlights("shutting down before the answer was whole; try another instance"))
            raise
        except BaseException as error:
            flight.crash(error)
            if not isinstance(error, Exception):
                raise
        finally:
            if key is not None:
                self._shared.pop((tenant, key), None)

    async def drain(self, timeout_s: float) -> None:
        """Wait for the flights in the air, then cancel what is left."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
