"""Whatever happens in a house, what it exports verifies: worlds made by chance, each bundle read by both verifiers."""

from __future__ import annotations

import asyncio
import random as chance
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crypto.manifest import model_version
from crypto.pseudonym import EPOCH_MS
from crypto.reference.verify import verify as second_opinion
from crypto.verify import AuditOptions, verify_bundle
from server.audit.export import Exporter
from server.audit.keys import ExportKeys
from server.audit.request import ExportRequest
from server.audit.settling import settle
from server.standing import end_model_version, revoke_signer
from server.store.receipts import HitRepository, ReceiptRepository
from tests.api.in_process import GENEROUS, InProcess, in_process
from tests.api.test_proofs import trust_of
from tests.fakes import FakeClock, Options, WordEmbedder
from tests.signing_runner import MANIFEST, SigningRunner

STEPS = 60
KINDS = ("output", "output_tokens", "prompt", "prompt_tokens")


class World:
    """A house, a second worker's memory of its tenants, and what may happen to both."""

    def __init__(self, house: InProcess, seed: int) -> None:
        self.house = house
        self.chance = chance.Random(seed)
        self.number = 0
        self.sizes: list[int] = []
        self.started_ms = house.gateway.clock.now_ms()

    def ask(self) -> None:
        tenant, text = self._tenant(), f"How deep is lake number {self.chance.randrange(6)}?"
        stream = self.chance.random() < 0.3
        self.house.chat(text, key=self.house.gateway.tenants[tenant].key, stream=stream)

    def ask_alike(self) -> None:
        tenant = self._tenant()
        words = "please tell me how deep the old northern lake behind the wooden mill of the village really is"
        self.house.chat(words + " today" * self.chance.randrange(2), key=self.house.gateway.tenants[tenant].key)

    def change_policy(self) -> None:
        self.house.gateway.set_policy(
            tenant=self._tenant(), threshold_ten_thousandths=9_000 + self.chance.randrange(3), ttl_s=86_400 * 40
        )

    def change_policy_unheard(self) -> None:
        """Change a policy as another worker does: for a moment this one goes by the old."""
        tenant, gateway = self._tenant(), self.house.gateway.gateway
        directory, name = gateway.tenants, self.house.gateway.tenants[tenant].id
        old = self.house.run(directory.get(name))
        self.change_of(tenant)
        self.ask_of(tenant)
        now_s = self.house.gateway.clock.monotonic_s()
        directory._kept[name] = (now_s, old)
        self.house.gateway.clock.advance(3)
        self.ask_of(tenant)
        directory.forget(name)

    def change_of(self, tenant: int) -> None:
        self.number += 1
        self.house.gateway.set_policy(
            tenant=tenant, threshold_ten_thousandths=9_000 + self.number % 500, ttl_s=86_400 * 40
        )

    def ask_of(self, tenant: int) -> None:
        for text in ("How deep is lake number 1?", f"What is new about number {self.number}?"):
            self.house.chat(text, key=self.house.gateway.tenants[tenant].key)

    def let_time_pass(self) -> None:
        self.house.gateway.clock.advance(self.chance.choice((0.001, 1, 30, 3_700, 86_400 * 3)))

    def pass_into_the_next_epoch(self) -> None:
        """Ask just before a pseudonym ends and write the hits down just behind."""
        clock = self.house.gateway.clock
        clock.advance((EPOCH_MS - clock.now_ms() % EPOCH_MS) / 1000 - 0.01)
        self.ask_of(0)
        self.ask_of(0)
        clock.advance(5)

    def invalidate(self) -> None:
        answer = self.house.call(
            "POST",
            "/v1/cache/invalidate",
            json={"all": True, "dry_run": False, "confirm": "remove everything"},
            key=self._key(),
        )
        assert answer.status_code == 200, answer.text

    def put(self) -> None:
        messages = [{"role": "user", "content": f"How deep is lake number {self.chance.randrange(6)}?"}]
        body = {"model": "fake-model", "messages": messages, "answer": "So somebody says."}
        stored = self.house.call("POST", "/v1/cache/entries", json=body, key=self._key())
        assert stored.status_code == 201, stored.text

    def new_model(self) -> None:
        runner = self.house.gateway.upstream
        assert isinstance(runner, SigningRunner)
        self.number += 1
        resources = [{"name": "weights", "size_bytes": self.number, "sha256": "22" * 32}]
        runner.manifest = MANIFEST | {"resources": resources}
        runner.version = model_version(runner.manifest)
        if self.chance.random() < 0.5:
            self.ask()
        self.house.run(self.house.gateway.gateway.models.ask_upstreams())

    def supersede(self) -> None:
        runner, gateway = self.house.gateway.upstream, self.house.gateway.gateway
        assert isinstance(runner, SigningRunner)
        now_ms, version = self.house.gateway.clock.now_ms(), runner.version
        gateway.database.write_now(
            lambda c: end_model_version(
                c, version, "superseded", actor="test", now_ms=now_ms, random=gateway.state.random
            )
        )
        self.new_model()

    def state_embeddings(self) -> None:
        self.house.run(self.house.gateway.gateway.embedding_statements.step())

    def flush(self) -> None:
        self.house.run(self.house.gateway.gateway.state.hit_journal.flush())
        self.house.run(asyncio.sleep(0.06))

    def export(self) -> None:
        """Export some scope of one tenant, and hold it to both verifiers."""
        house, tenant = self.house, self._tenant()
        gateway, clock = house.gateway.gateway, house.gateway.clock
        house.run(gateway.state.hit_journal.flush())
        name, random = house.gateway.tenants[tenant].id, gateway.state.random
        checkpoint = house.run(asyncio.to_thread(settle, gateway.database, name, clock=clock, random=random))
        context = house.run(gateway.tenants.get(name))
        keys = ExportKeys(context.pseudonym_key, context.open_with, gateway.state.gateway_signer)
        exporter = Exporter(gateway.database, gateway.proving.log.storage, name, keys, clock)
        request = self._request()
        data = exporter.export(request, checkpoint, lambda _done, _total: None).data
        self.sizes.append(checkpoint.size)
        options = AuditOptions(now_ms=clock.now_ms(), max_age_ms=60_000)
        trust = trust_of(house)
        verification = verify_bundle(data, trust, options)
        assert verification.report.exit_code == 0, (request, verification.report)
        second = second_opinion(data, trust, now_ms=clock.now_ms(), max_age_ms=60_000)
        assert second.exit_code == 0, (request, second)
        if request == replace(ExportRequest(), kinds=request.kinds, from_sizes=request.from_sizes):
            assert len(verification.hits) == self.count("hits", tenant)
            assert len(verification.statements) == self.count("receipts", tenant)

    def count(self, table: str, tenant: int) -> int:
        database, name = self.house.gateway.gateway.database, self.house.gateway.tenants[tenant].id
        repository = HitRepository if table == "hits" else ReceiptRepository
        return database.read_now(lambda c: repository(c, name).count())

    def _request(self) -> ExportRequest:
        now_ms = self.house.gateway.clock.now_ms()
        since = self.chance.choice((None, self.chance.randint(self.started_ms, now_ms)))
        until = self.chance.choice((None, self.chance.randint(since or self.started_ms, now_ms) + 1))
        runner = self.house.gateway.upstream
        assert isinstance(runner, SigningRunner)
        return ExportRequest(
            since_ms=since,
            until_ms=until,
            model_version=self.chance.choice((None, None, runner.version)),
            kinds=self.chance.choice(((), KINDS)),
            from_sizes=tuple(self.sizes[-2:]),
        )

    def _tenant(self) -> int:
        return self.chance.randrange(len(self.house.gateway.tenants))

    def _key(self) -> str:
        return self.house.gateway.tenants[self._tenant()].key


#: What happens, and how often.
EVENTS: tuple[tuple[Callable[[World], None], int], ...] = (
    (World.ask, 20),
    (World.ask_alike, 6),
    (World.change_policy, 2),
    (World.change_policy_unheard, 3),
    (World.let_time_pass, 4),
    (World.pass_into_the_next_epoch, 1),
    (World.invalidate, 1),
    (World.put, 2),
    (World.new_model, 1),
    (World.supersede, 1),
    (World.state_embeddings, 2),
    (World.flush, 3),
    (World.export, 3),
)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_every_bundle_verifies(tmp_path: Path, seed: int) -> None:
    clock = FakeClock()
    settings = {
        "log_sequencer": True,
        "log_interval_s": 0.03,
        "embedding_statement_batch_max": 8,
        "embedding_statement_interval_s": 3600,
    }
    options = Options(
        tenants=3, quota=GENEROUS, clock=clock, upstream=SigningRunner(clock), upstream_kind="runner",
        embedder=WordEmbedder(), settings=settings, seed=seed,
    )  # fmt: skip
    with in_process(tmp_path, options) as house:
        world = World(house, seed)
        events, weights = zip(*EVENTS, strict=True)
        for event in world.chance.choices(events, weights, k=STEPS):
            event(world)
        for _ in range(3):
            world.export()
        hits = sum(world.count("hits", tenant) for tenant in range(3))
        assert hits > 3, "a world in which nothing was reused shows nothing"


def test_a_key_that_is_retired_in_the_midst_of_work_leaves_nothing_behind_its_end(tmp_path: Path) -> None:
    settings = {"log_sequencer": True, "log_interval_s": 0.03}
    with in_process(tmp_path, Options(quota=GENEROUS, settings=settings)) as house:
        world, gateway = World(house, 1), house.gateway.gateway
        world.ask_of(0)

        async def both() -> None:
            asking = [house.gateway.chat(f"What is number {number}?") for number in range(20)]
            waiting = asyncio.gather(*asking)
            await asyncio.sleep(0.002)
            await gateway.database.write(
                lambda c: revoke_signer(
                    c,
                    gateway.state.gateway_signer.key_id,
                    since_index=None,
                    actor="test",
                    now_ms=house.gateway.clock.now_ms(),
                    random=gateway.state.random,
                )
            )
            await waiting

        house.run(both())
        data = house.call("GET", "/v1/audit/export").content
        options = AuditOptions(now_ms=house.gateway.clock.now_ms())
        verification = verify_bundle(data, trust_of(house), options)
        assert verification.report.exit_code == 0, verification.report
