"""Worlds whose house proves at random that hits were close, honestly or not, and changes what it shows of that."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from crypto.hit import HitRecord
from tests.audit.applicability_tampering import IDENTITY, OTHER, off_curve, outside_subgroup, put_bytes
from tests.audit.bundles import MadeReceipt, Plan, World, make_world
from tests.audit.mutations import change_line
from tests.audit.proofs import ProofSide
from tests.audit.tampering import Attempt, attempt, flip, reseal

#: How likely it is that a thing that happens is a dishonest one.
DISHONEST = 0.07
UNKNOWN = "hitproof/another-curve/v1"


@dataclass(slots=True)
class Closeness:
    """A world, and the chance by which it shows that its hits were close."""

    world: World
    policy: str
    chance: random.Random

    @property
    def side(self) -> ProofSide:
        """Its vectors, queries, proofs and matches."""
        return self.world.closeness

    def lies(self) -> bool:
        """Say whether the next thing is a dishonest one."""
        return self.chance.random() < DISHONEST

    def spoiled(self, proof: bytes) -> bytes:
        """Return *proof* with something changed in it."""
        point = self.chance.choice([IDENTITY, off_curve(), outside_subgroup(), b"\xff" * 48, proof[:48], proof[48:96]])
        changed: Callable[[], bytes] = self.chance.choice(
            [
                lambda: flip(proof, self.chance.randrange(len(proof)), 1 << self.chance.randrange(8)),
                lambda: put_bytes(proof, 48 * self.chance.randrange(6), point),
                lambda: proof[:-32] + b"\xff" * 32,
                lambda: proof[48:96] + proof[:48] + proof[96:],
            ]
        )
        return changed()

    def commit(self, receipt: MadeReceipt) -> None:
        """State a vector of *receipt*, and mostly prove it well formed."""
        own = self.world.gateway if receipt.statement.grade == "declared" else self.world.runners[0]
        signer = self.chance.choice([self.world.gateway, self.world.log]) if self.lies() else own
        changes: dict[str, Any] = {}
        if self.lies():
            changes = self.chance.choice(
                [{"suite": UNKNOWN}, {"commitment": None, "suite": None}, {"tenant": "0" * 32}]
            )
        self.side.add_vector(receipt, signer, **changes)
        if not self.lies():
            document = self.side.well_formedness(
                receipt.digest, **({"suite": UNKNOWN} if UNKNOWN in changes.values() else {})
            )
            if self.lies():
                document = replace(document, proof=self.spoiled(document.proof))
            self.side.log(document, receipt.digest, **self.body_changes())

    def body_changes(self) -> dict[str, Any]:
        """Return nothing, or now and then what makes a body say something else."""
        if not self.lies():
            return {}
        kinds = ({"kind": "well-formedness"}, {"kind": "applicability"}, {"statement": OTHER}, {"digest": OTHER})
        return dict(self.chance.choice(kinds))

    def hits(self) -> None:
        """Log a few hits by meaning, prove most of them and open most queries."""
        committed = [one for one in self.world.receipts if one.digest in self.side.vectors]
        if not committed:
            return
        records = [self.hit(self.chance.choice(committed)) for _ in range(self.chance.randrange(1, 4))]
        logged = [replace(one, tau=(one.tau or 0) + 1) if self.lies() else one for one in records]
        self.world.add_batch(logged)
        for record in records:
            self.prove(record, records)
            if self.chance.random() < 0.85:
                self.side.open_query(record, **({"vector": (1,) * 20} if self.lies() else {}))

    def hit(self, receipt: MadeReceipt) -> HitRecord:
        """Return a hit on *receipt*, now and then under a threshold below its policy's."""
        return self.side.make_hit(
            receipt, self.policy, **({"tau": self.chance.choice([0, 200_000])} if self.lies() else {})
        )

    def prove(self, record: HitRecord, records: list[HitRecord]) -> None:
        """Log the proof of *record*, or of another, or nothing."""
        if self.chance.random() < 0.15:
            return
        document = self.side.applicability(record)
        if self.lies():
            document = replace(document, proof=self.spoiled(document.proof))
        if self.lies():
            document = replace(document, hit=self.chance.choice(records).hit)
        if self.lies():
            document = replace(document, **self.chance.choice([{"suite": UNKNOWN}, {"embedding": OTHER}]))
        self.side.log(document, record.receipt, **self.body_changes())

    def matches(self) -> None:
        """Let the pool answer, and say what the hit matched."""
        pool = self.world.pool
        number = pool.add_release().number
        receipt = pool.add_answer(pool.releases[-1].document, None)
        record = self.side.make_pool_hit(receipt, self.policy, **({"tau": 1} if self.lies() else {}))
        self.world.add_batch([record])
        changes: dict[str, Any] = {}
        if self.lies():
            changes = self.chance.choice([{"alias": "another"}, {"position": 1}, {"vector": (-113,) * 20}])
        self.side.add_match(record, number, **changes)

    def live(self) -> None:
        """Let a few things happen."""
        for receipt in self.world.receipts:
            if self.chance.random() < 0.8:
                self.commit(receipt)
        self.hits()
        for _ in range(self.chance.randrange(3)):
            self.chance.choice([self.hits, self.matches])()


def random_proved_attempt(seed: int) -> Attempt:
    """Return a bundle of a random world; it may be honest, or not."""
    chance = random.Random(f"closeness {seed}")
    world = make_world(Plan(receipts=3, hits=0, embeddings=0, declared=1, seed=seed % 7))
    Closeness(world, next(iter(world.policies)), chance).live()
    world.add_status()
    bundle = world.export()
    members = {"proofs_jsonl": bundle.parts.proofs, "queries_jsonl": bundle.parts.queries}
    if chance.random() < 0.2 and all(members.values()):
        name = chance.choice(sorted(members))
        return reseal(bundle, **{name: functools.partial(change_line, chance)})
    return attempt(bundle)
