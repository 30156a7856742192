"""Worlds in which honest and dishonest things happen at random, well signed: only the rules decide what counts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from crypto.bundle import BundleParts
from crypto.ed25519 import SigningKey
from crypto.release import Tree
from crypto.spending import Budget, Cost, Period
from crypto.statement import sign_receipt
from crypto.status import ModelStanding
from tests.audit.bundles import DAY_MS, POLICY, START_MS, Plan, make_world
from tests.audit.tampering import Attempt, last_seen

STRANGER = "ten_zzzzzzzzzzzzzzzz"
OTHER_MODEL = "sha256:" + "3" * 64
#: How likely it is that a thing that happens is a dishonest one.
DISHONEST = 0.06


class Chronicle:
    """A world, and the chance by which things happen in it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        draw = self.chance.randrange
        receipts, witnesses = draw(1, 4), draw(3)
        self.world = make_world(
            Plan(
                receipts=receipts, hits=draw(5), declared=draw(receipts + 1), embeddings=draw(receipts + 1),
                tree_size=draw(60), witnesses=witnesses, witness_threshold=draw(witnesses + 1), runners=2, seed=seed,
            )
        )  # fmt: skip
        self.pool_policy = ""
        self.documents: list[dict[str, Any]] = [{**POLICY, "threshold_ten_thousandths": 9_500 + n} for n in range(3)]

    def lies(self) -> bool:
        """Say whether the next thing is a dishonest one."""
        return self.chance.random() < DISHONEST

    def signer(self) -> SigningKey:
        """Return a runner, or somebody who is none."""
        world = self.world
        return self.chance.choice([world.gateway, world.log] if self.lies() else world.runners)

    def policy(self) -> str:
        """Return a policy that was announced some time."""
        known = [name for name in self.world.policies if name != self.pool_policy or self.lies()]
        return known[-1] if self.chance.random() < 0.8 else self.chance.choice(known)

    def tenant(self, at_ms: int) -> dict[str, Any]:
        """Return the tenant's pseudonym, or now and then another's, or another epoch's."""
        if not self.lies():
            return {}
        name, then_ms = self.chance.choice([(STRANGER, at_ms), (self.world.tenant, at_ms - 31 * DAY_MS)])
        return {"tenant": self.world.pseudonym_at(then_ms, name)}

    def moment(self) -> dict[str, Any]:
        """Return nothing, or now and then another time than now."""
        if not self.lies():
            return {}
        return {"issued_at_ms": self.world.now_ms + self.chance.choice([-DAY_MS, -1_000, 1_000, DAY_MS])}

    # What can happen

    def policy_changes(self) -> None:
        document = self.chance.choice(self.documents)
        self.world.add_policy(document, tenant=self.tenant(self.world.now_ms).get("tenant"))

    def time_passes(self) -> None:
        self.world.tick(self.chance.choice([1_000, 30_000, 59_000, 61_000, DAY_MS, 31 * DAY_MS]))
        if not self.lies():
            self.policy_changes()

    def answer(self) -> None:
        changes = {**self.tenant(self.world.now_ms), **self.moment()}
        if self.lies():
            changes |= self.chance.choice([{"model_version": OTHER_MODEL}, {"runtime": OTHER_MODEL}, {"policy": None}])
        self.world.add_answer(self.signer(), changes.pop("policy", self.policy()), **changes)

    def declaration(self) -> None:
        world = self.world
        signer = world.gateway if self.chance.random() < 0.7 else self.signer()
        changes = {**self.tenant(world.now_ms), **self.moment(), "signer": signer.key_id}
        statement = world.make_declared(self.policy(), **changes)
        world.add_receipt(sign_receipt(statement, signer), statement)

    def hits(self) -> None:
        world = self.world
        records = []
        for _ in range(self.chance.randrange(1, 4)):
            record = world.make_hit(self.chance.choice(world.receipts), self.policy())
            if self.lies():
                at_ms = record.at_ms + self.chance.choice([-31 * DAY_MS, -DAY_MS, DAY_MS])
                record = replace(record, at_ms=at_ms, tenant=world.pseudonym_at(at_ms))
            if self.lies() and records:
                record = replace(record, hit=records[0].hit)
            records.append(replace(record, **self.tenant(record.at_ms)))
        shown = [place for place in range(len(records)) if self.chance.random() < 0.7] or [0]
        world.add_batch(records, shown, **self.tenant(world.now_ms))

    def key_ends(self) -> None:
        world = self.world
        key = self.chance.choice([*world.runners, world.gateway]).key_id
        if key in {one.key_id for one in world.status.keys}:
            return
        early = self.lies()
        since = self.chance.randrange(world.tree.size) if early else -1
        world.retire_key(key, self.chance.choice(["retired", "compromised"]), since_index=since)

    def model_changes(self) -> None:
        if self.chance.random() < 0.3:
            status: Any = self.chance.choice(["superseded", "revoked"])
            self.world.add_status(models=(ModelStanding(self.world.model, status),))

    def evidence(self) -> None:
        receipt = self.chance.choice(self.world.receipts)
        changes = {**self.tenant(self.world.now_ms), **({"statement": OTHER_MODEL} if self.lies() else {})}
        if self.chance.random() < 0.5:
            self.world.add_embedding(receipt, self.signer(), **changes)
        else:
            changes.pop("tenant", None)
            self.world.add_evidence(receipt, **changes)

    def spending(self) -> None:
        """Spend for the next release, perhaps before another has come."""
        pool = self.world.pool
        changes: dict[str, Any] = {"body": {"number": 7}} if self.lies() else {}
        if self.lies():
            changes |= self.chance.choice(
                [
                    {"number": 9, "previous": OTHER_MODEL}, {"organisation": "0" * 32}, {"unit": "organisation"},
                    {"budget": Budget(10**15, 10**15, 10**15)}, {"release": 1}, {"release": pool.next_release + 1},
                    {"stated": Cost(1, 2, 3)}, {"period": Period(3, 0, 2**52)},
                ]
            )  # fmt: skip
        pool.add_spending(**changes)

    def release(self) -> None:
        """Release, or say that nothing came of it; perhaps under another's head."""
        pool = self.world.pool
        body = {"epoch": 99} if self.lies() else None
        changes: dict[str, Any] = {}
        if self.lies():
            changes = self.chance.choice([{"number": 9, "previous": OTHER_MODEL}, {"ledger": Tree(1, bytes(32))}])
        if self.chance.random() < 0.3:
            pool.add_void(body=body, **changes)
        else:
            pool.add_release(body=body, **changes)

    def pool_answer(self) -> None:
        """Let the pool answer from something that it may have released, and let the tenant hit that."""
        pool, world = self.world.pool, self.world
        released = [one.document for one in pool.releases if one.document.state == "released" or self.lies()]
        if not released:
            return
        self.pool_policy = self.pool_policy or pool.add_policy()
        policy = self.policy() if self.lies() else self.pool_policy
        receipt = pool.add_answer(self.chance.choice(released), policy, **({"evidence": ()} if self.lies() else {}))
        own = next(name for name in reversed(world.policies) if name != self.pool_policy)
        if not self.lies():
            tier = {"tier": "exact", "query_vector": None, "tau": None} if self.lies() else {}
            world.add_batch([pool.make_hit(receipt, own, **tier)])

    def live(self) -> None:
        """Let a few things happen."""
        events: list[Callable[[], None]] = [
            self.policy_changes, self.time_passes, self.answer, self.answer, self.declaration, self.hits, self.hits,
            self.key_ends, self.model_changes, self.evidence, self.spending, self.release, self.release,
            self.pool_answer,
        ]  # fmt: skip
        for _ in range(self.chance.randrange(9)):
            self.chance.choice(events)()

    # What is shown of it

    def scoped(self, parts: BundleParts) -> BundleParts:
        """Narrow the scope now and then, to what it may or may not cover."""
        ends = [START_MS, self.world.now_ms, self.world.now_ms - DAY_MS, self.world.now_ms + 1]
        scope = parts.scope
        if self.lies():
            scope = replace(scope, since_ms=self.chance.choice(ends))
        if self.lies():
            scope = replace(scope, until_ms=self.chance.choice(ends))
        if self.lies():
            scope = replace(scope, model_version=self.chance.choice([self.world.model, OTHER_MODEL]))
        if self.lies():
            scope = replace(scope, pseudonyms=scope.pseudonyms[1:])
        return replace(parts, scope=scope)

    def trusted(self) -> bytes:
        """Return a trust file that now and then lets somebody do more or less than the honest one."""
        trust = self.world.make_trust(expires_at_ms=START_MS + 10_000 * DAY_MS)
        changed: dict[str, Any] = {}
        if self.lies():
            changed["until_ms"] = self.world.now_ms - self.chance.choice([0, 1_000, DAY_MS])
        if self.lies():
            changed["from_ms"] = self.world.now_ms - self.chance.choice([0, 5_000, DAY_MS])
        if self.lies():
            changed["models"] = self.chance.choice([(), (OTHER_MODEL,), tuple(sorted((OTHER_MODEL, self.world.model)))])
        runners = tuple(replace(key, **changed) for key in trust.runners)
        return self.world.sign_trust(replace(trust, runners=runners))

    def attempt(self) -> Attempt:
        """Return what is put before a verifier."""
        world = self.world
        if not self.lies():
            world.add_status()
        data = world.seal(self.scoped(world.make_parts()))
        max_age_ms = self.chance.choice([None, None, 0, 1_000, 60_000, 100 * DAY_MS])
        seen = last_seen(self.chance.choice(world.checkpoints)) if self.chance.random() < 0.3 else None
        if self.lies():
            seen = last_seen(world.sign_checkpoint(self.chance.randrange(1, world.tree.size + 1)))
        return Attempt(data, self.trusted(), world.now_ms + 1_000, max_age_ms, seen)


def random_attempt(seed: int) -> Attempt:
    """Return a bundle of a random world; it may be honest, or not."""
    chronicle = Chronicle(seed)
    chronicle.live()
    return chronicle.attempt()
