"""A gateway whose pool is on, with many organisations that share and noise that a test knows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from server.pool.build import Embedding, PoolParts, build_releaser
from server.pool.release import PoolReleaser, find_sharing_organisations
from server.pool.writer import Order, Payer, ReleaseWriter
from server.reuse.policy import ReusePolicy
from server.store.database import Database
from server.store.pool import PoolRepository
from server.store.vote_keys import VoteKeyRepository
from server.store.votes import VoteRepository
from tenants.quotas import Quota
from tests.fakes import FakeClock, FakeGateway, Options, fake_gateway
from tests.signing_runner import SigningRunner

EPOCH_S = 86_400
#: The first moment of an epoch, and of a budget period of three.
START_MS = 1_790_000_000_000 // (3 * EPOCH_S * 1000) * 3 * EPOCH_S * 1000
QUESTION = "How do I reset the password of my account?"
GENEROUS = Quota(requests_per_minute=10_000_000, tokens_per_minute=10**12, concurrent_requests_max=512)


class KnownNoise:
    """Noise that is always *value*, and the count of how often it was asked for."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.calls: list[int] = []
        self.fault: Exception | None = None

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        return self._draw(count)

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        return self._draw(count)

    def _draw(self, count: int) -> list[int]:
        self.calls.append(count)
        if self.fault is not None:
            raise self.fault
        return [self.value] * count


class PoolHouse:
    """A running gateway with its pool."""

    def __init__(self, gateway: FakeGateway, runner: SigningRunner, noise: KnownNoise) -> None:
        self.gateway = gateway
        self.runner = runner
        self.noise = noise

    @property
    def parts(self) -> PoolParts:
        found = self.gateway.gateway.pooling.parts
        assert found is not None
        return found

    @property
    def database(self) -> Database:
        return self.gateway.gateway.database

    @property
    def epoch(self) -> int:
        return self.parts.rules.calendar.epoch_of(self.gateway.clock.now_ms())

    async def ask(self, text: str, tenants: Sequence[int], **options: Any) -> None:
        """Have *tenants* ask *text*, and their votes taken."""
        for tenant in tenants:
            await self.gateway.ask(text, tenant=tenant, **options)
        await self.parts.votes.settle()

    async def next_epoch(self) -> None:
        """Let the running epoch end, and the next one begin."""
        self.gateway.clock.advance(EPOCH_S)
        await self.parts.releaser.open_epoch()

    async def release_last(self) -> Any:
        """End the running epoch and release it."""
        epoch = self.epoch
        await self.next_epoch()
        return await self.parts.releaser.release(epoch)

    async def until_live(self) -> None:
        """Have what was released answered, and answered again."""
        await self.parts.service.work()
        self.gateway.clock.advance(EPOCH_S // 4)
        await self.parts.service.work()
        await self.gateway.gateway.follower.catch_up()

    def another_releaser(self) -> PoolReleaser:
        """Return what another process would release with."""
        rules, plain = self.parts.rules, self.gateway.embedder
        embedding = Embedding(plain.digest, plain.dimension, plain.covers, plain.embed)
        state = self.gateway.gateway.state
        return build_releaser(
            rules, self.parts.pool, self.database, state.key_provider, embedding, self.noise,
            clock=self.gateway.clock, random=state.random,
        )  # fmt: skip

    async def begin_and_die(self, epoch: int) -> None:
        """Pay for a release of *epoch* as another process, which then is heard of no more."""
        terms, random = self.parts.rules.terms, self.gateway.gateway.state.random
        writer = ReleaseWriter(
            self.parts.rules.calendar, self.parts.rules.budget, self.gateway.clock, random, holder="dead"
        )
        order, pool = Order("pooled", epoch, terms.unit, terms.vector_source), await self.parts.pool.context()

        def begin(connection: Any) -> None:
            payers = [Payer(one, terms.charges()) for one in find_sharing_organisations(connection)]
            writer.begin(connection, pool, order, payers)

        await self.database.write(begin)

    async def stop_taking_votes(self) -> None:
        """Stop taking votes from the queue, so that it fills."""
        for task in self.gateway.gateway._tasks:
            if task.get_coro().__qualname__ == "VoteBox.run":  # type: ignore[union-attr]
                task.cancel()
        await asyncio.sleep(0)

    def has_vote_key(self, epoch: int) -> bool:
        return self.database.read_now(lambda connection: VoteKeyRepository(connection).get(epoch)) is not None

    def votes_of(self, epoch: int) -> int:
        return self.database.read_now(lambda connection: VoteRepository(connection).count(epoch))

    def releases(self) -> list[Any]:
        return self.database.read_now(lambda connection: PoolRepository(connection).list_releases())[::-1]


@contextlib.asynccontextmanager
async def pool_house(
    folder: Path,
    *,
    tenants: int = 12,
    now_ms: int = START_MS,
    noise: KnownNoise | None = None,
    policy: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[PoolHouse]:
    """Run a gateway on *folder* where every tenant shares and reads, and 3 organisations are enough for a release."""
    clock, noise = FakeClock(now_ms), noise or KnownNoise()
    runner = SigningRunner(clock)
    chosen: dict[str, Any] = {
        "pool_models": ("fake-model",), "pool_organisations_min": 3, "pool_epoch_s": EPOCH_S, "pool_interval_s": 86_400,
        "pool_quarantine_s": EPOCH_S // 4, "log_sequencer": False,
    }  # fmt: skip
    shared = ReusePolicy(
        **({"threshold_ten_thousandths": 9_000, "sharing": "pooled", "pool_read": True} | (policy or {}))
    )
    options = Options(
        tenants=tenants, quota=GENEROUS, clock=clock, upstream=runner, upstream_kind="runner", policy=shared,
        settings=chosen | settings, noise=noise,
    )  # fmt: skip
    async with fake_gateway(folder, options) as gateway:
        house = PoolHouse(gateway, runner, noise)
        await gateway.gateway.models.ask_upstreams()
        await house.parts.service.work()
        yield house
