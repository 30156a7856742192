"""The log's part of a serving process: writes the log where it may, follows it elsewhere, and knows how far it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from crypto.ed25519 import Signer
from crypto.note import VerifierKey
from server.log.errors import LogDamaged, LogRefusal, WitnessError
from server.log.follower import TileFollower
from server.log.high_water import Found, HighWater
from server.log.sequencer import Sequencer, SequencerLimits, Step
from server.log.storage import LogStorage
from server.log.transactions import QueuedTransactions
from server.log.witnesses import Post, WitnessAddress, WitnessAnswer, Witnesses
from server.ports import Clock, RandomSource
from server.store.database import Database
from server.store.errors import StoreError
from server.store.log import LogRepository

log = structlog.get_logger()

Result = TypeVar("Result")

#: How long the end of a process waits for the last checkpoint.
LAST_STEP_S: Final = 10.0
#: How many bounded steps the end takes to catch up; what is left then, the next start does.
LAST_STEPS_MAX: Final = 100
HOLDER_BYTES: Final = 8


class LogMetrics(Protocol):
    """What the log tells of itself."""

    def note_step(self, step: Step, *, now_ms: int) -> None:
        """Note what a step did."""
        ...

    def note_backlog(self, leaves: int, *, age_s: float) -> None:
        """Note how many leaves wait for an index, and how long the first of them has."""
        ...

    def note_failure(self, reason: str, *, refused: bool) -> None:
        """Note that a step failed, or that the log is not written any more (*refused*)."""
        ...


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How the log is written: from settings."""

    interval_s: float = 1.0
    limits: SequencerLimits = field(default_factory=SequencerLimits)
    witnesses: Sequence[WitnessAddress] = ()
    post: Post | None = None


class LogService:
    """Steps the log in a thread of its own; `high_water` and `storage` are for whoever serves."""

    def __init__(
        self,
        database: Database,
        storage: LogStorage,
        high_water: HighWater,
        *,
        log_key: VerifierKey,
        signer: Signer | None,
        clock: Clock,
        random: RandomSource,
        options: LogOptions,
        metrics: LogMetrics,
        refusal: LogRefusal | None = None,
    ) -> None:
        """With *signer* None this process only follows the log, with a *refusal* it only reads how far it is."""
        self.storage = storage
        self.log_key = log_key
        self.high_water = high_water
        self._database = database
        self._signer = signer
        self._clock = clock
        self._random = random
        self._options = options
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hitproof-log")
        self._sequencer: Sequencer | None = None
        self._follower: TileFollower | None = None
        self._refused = refusal

    @property
    def refusal(self) -> LogRefusal | None:
        """Why the log is not written any more, None while it is."""
        return self._refused

    async def start(self) -> None:
        """Read how far the log is, and make the parts that step it."""
        transactions = QueuedTransactions(self._database, asyncio.get_running_loop())
        options = self._options
        if self._signer is not None:
            self._sequencer = Sequencer(
                transactions,
                self.storage,
                signer=self._signer,
                log_key=self.log_key,
                witnesses=Witnesses(options.witnesses, options.post or _no_post, self._clock),
                clock=self._clock,
                random=self._random,
                holder=self._random.token_bytes(HOLDER_BYTES).hex(),
                limits=options.limits,
            )
        self._follower = TileFollower(transactions, self.storage, self.log_key)
        if self._refused is not None:
            self._tell(self._refused)
        await self._read_high_water()

    async def run(self) -> None:
        """Step until cancelled; a log that may not be written any more is still read."""
        while True:
            has_more = await self.step()
            await asyncio.sleep(0 if has_more else self._options.interval_s)

    async def step(self) -> bool:
        """Do what is to be done now; return whether there is more to do at once. Failures are told and tried again."""
        has_more = False
        try:
            if self._refused is None:
                has_more = await self._on_thread(self._step)
            await self._read_high_water()
        except LogRefusal as refusal:
            self._refused = refusal
            self._tell(refusal)
        except (StoreError, LogDamaged, OSError) as error:
            log.warning("log_step_failed", error=str(error), kind=type(error).__name__)
            self._metrics.note_failure(type(error).__name__, refused=False)
        return has_more

    async def stop(self) -> None:
        """Sign what was written last, give the lease back and end; call it behind the last write."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_STEP_S):
                for _step in range(LAST_STEPS_MAX):
                    if not await self.step():
                        break
        sequencer = self._sequencer
        if sequencer is not None:
            with contextlib.suppress(StoreError):
                await self._on_thread(sequencer.release)
        await asyncio.to_thread(self._thread.shutdown)

    def _step(self) -> bool:
        assert self._follower is not None
        step = Step(leads=False) if self._sequencer is None else self._sequencer.step()
        if step.leads:
            self._follower.forget()
        else:
            step = Step(leads=False, size=self._follower.step())
        self._metrics.note_step(step, now_ms=self._clock.now_ms())
        return step.has_more

    def _tell(self, refusal: LogRefusal) -> None:
        log.error("log_refused", reason=refusal.reason, error=str(refusal))
        self._metrics.note_failure(refusal.reason, refused=True)

    async def _read_high_water(self) -> None:
        found, (leaves, since_ms) = await self._database.read(self._read)
        self.high_water.update(found)
        age_s = 0.0 if since_ms is None else max(0.0, (self._clock.now_ms() - since_ms) / 1000)
        self._metrics.note_backlog(leaves, age_s=age_s)

    def _read(self, connection: Connection) -> tuple[Found, tuple[int, int | None]]:
        return self.high_water.read(connection), LogRepository(connection).count_unsequenced()

    async def _on_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _no_post(url: str, body: bytes) -> WitnessAnswer:
    raise WitnessError(f"there is no way to send {len(body)} bytes to {url}")
