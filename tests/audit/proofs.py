"""A world's hits by meaning: vectors that lie close, commitments to them, and the proofs and matches that show it.

    receipt's vector  = world.closeness.add_vector(receipt, runner)     an embedding statement with a commitment
    record            = world.closeness.make_hit(receipt, policy)       a hit of the tier `private`, near that vector
    world.closeness.add_well_formedness(receipt); world.closeness.add_proof(record)
    world.closeness.add_match(pool_record)

Documents can be changed field by field, their bodies apart from them, and both are logged as they are. Everything follows
from the world's seed, so a proof that was made once is taken from a cache when the same world is made again.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from crypto.applicability.documents import Applicability, ProofDocument, WellFormedness
from crypto.applicability.match import PoolMatch
from crypto.applicability.setup import load_setup
from crypto.applicability.statement import ApplicabilityStatement
from crypto.applicability.suites import Suite, suite_for
from crypto.applicability_extra import QueryOpening, Shown, ShownMatch, ShownProof
from crypto.applicability_lines import MatchLine, ProofLine, QueryLine
from crypto.bodies import Evidence
from crypto.bundle_lines import OpeningLine
from crypto.commitment import hit_salt, query_vector_commitment
from crypto.ed25519 import SigningKey
from crypto.hit import HitRecord
from crypto.merkle import inclusion_proof
from crypto.release import item_paths
from crypto.similarity import inner_product, threshold_integer
from server.prover.prover import Prover
from tests.audit.pools import alias_of

if TYPE_CHECKING:
    from tests.audit.bundles import MadeReceipt, World

Vector = tuple[int, ...]
#: Twenty components of ±113: a norm of 505, where a unit vector has 508.
DIMENSION = 20
SIZE = 113
SUITE = suite_for(DIMENSION)
COSINE = 9_500
EMBEDDER = "sha256:" + "e" * 64


@dataclass(frozen=True, slots=True)
class Committed:
    """A stored vector, the seed of its commitment, and the embedding statement that names it."""

    vector: Vector
    seed: bytes
    commitment: bytes
    embedding: str
    receipt: str


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Randomness of a hit's proof that follows from a number."""

    source: random.Random

    def token_bytes(self, count: int) -> bytes:
        """Return *count* bytes."""
        return self.source.randbytes(count)


@dataclass(slots=True)
class ProofSide:
    """Vectors of one world by receipt, queries by hit, and the lines that a bundle gets."""

    world: World
    random: random.Random
    vectors: dict[str, Committed] = field(default_factory=dict)
    queries: dict[str, Vector] = field(default_factory=dict)
    proofs: list[ProofLine] = field(default_factory=list)
    opened: list[QueryLine] = field(default_factory=list)
    matches: list[MatchLine] = field(default_factory=list)

    @classmethod
    def of(cls, world: World) -> ProofSide:
        """Return the side of *world*; it draws on randomness of its own, so a world without proofs stays as it was."""
        return cls(world, random.Random(f"proofs of {world.plan.seed}"))

    # Vectors and hits

    def add_vector(self, receipt: MadeReceipt, signer: SigningKey, /, **changes: Any) -> Committed:
        """Log an embedding statement about *receipt* that commits to a vector, with any field of it changed."""
        vector = tuple(self.random.choice((SIZE, -SIZE)) for _ in range(DIMENSION))
        seed = self.random.randbytes(32)
        commitment = commit(SUITE, vector, seed)
        fields = {"commitment": commitment.hex(), "dimension": DIMENSION, "embedder": EMBEDDER, "suite": SUITE.name}
        self.world.add_embedding(receipt, signer, vector=vector, **{**fields, **changes})
        made = Committed(vector, seed, commitment, next(reversed(self.world.statements)), receipt.digest)
        self.vectors[receipt.digest] = made
        return made

    def near(self, vector: Vector) -> Vector:
        """Return a vector close to *vector*: a few components are a little smaller."""
        near = list(vector)
        for place in self.random.sample(range(len(near)), 3):
            near[place] -= 10 if near[place] > 0 else -10
        return tuple(near)

    def make_hit(self, receipt: MadeReceipt, policy: str, /, query: Vector | None = None, **changes: Any) -> HitRecord:
        """Return the record of a hit by meaning on *receipt*, at the threshold of the policy, with any field changed."""
        return self._by_meaning(receipt, policy, query or self.near(self.vectors[receipt.digest].vector), changes)

    def make_pool_hit(
        self, receipt: MadeReceipt, policy: str, /, query: Vector | None = None, **changes: Any
    ) -> HitRecord:
        """Return the record of a hit on the pool's *receipt*, which `add_match` can explain."""
        return self._by_meaning(receipt, policy, query or self.near(ALIAS_VECTOR), {"tier": "pool", **changes})

    def _by_meaning(self, receipt: MadeReceipt, policy: str, query: Vector, changes: Mapping[str, Any]) -> HitRecord:
        world = self.world
        record = world.make_hit(receipt, policy, tier="exact", query_vector=None, tau=None)
        self.queries[record.hit] = query
        fields: dict[str, Any] = {
            "query_vector": query_vector_commitment(self.salt(record.hit), bytes(part & 255 for part in query)),
            "tier": "private",
        }
        if "tau" not in changes:
            fields["tau"] = threshold_integer(COSINE, inner_product(query, query))
        return replace(record, **{**fields, **changes})

    def salt(self, hit: str) -> bytes:
        """Return what opens the vector of a hit's query."""
        return hit_salt(self.world.tenant_key, hit, "query_vector")

    def open_query(self, record: HitRecord, /, **changes: Any) -> QueryLine:
        """Open the vector that *record* was asked with, or another one."""
        line = QueryLine(record.hit, self.salt(record.hit), self.queries[record.hit])
        self.opened.append(replace(line, **changes))
        return line

    def open_commitment(self, receipt: str, /, **changes: Any) -> OpeningLine:
        """Open the newest commitment to a receipt's vector, with any field of the line changed."""
        made = self.vectors[receipt]
        line = replace(OpeningLine(made.embedding, "commitment", made.seed, list(made.vector)), **changes)
        self.world.evidence_openings.append(line)
        return line

    # Proofs and matches

    def well_formedness(self, receipt: str, /, **changes: Any) -> WellFormedness:
        """Return the document about the commitment of a receipt's vector, with any field changed."""
        made = self.vectors[receipt]
        document = WellFormedness(made.embedding, prove_well_formedness(SUITE, made.vector, made.seed), SUITE.name)
        return replace(document, **changes)

    def applicability(self, record: HitRecord, /, **changes: Any) -> Applicability:
        """Return the document about a hit, with any field changed."""
        made = self.vectors[record.receipt]
        proof = prove_applicability(self.state(record), made.vector, made.seed)
        return replace(self.document(record, proof), **changes)

    def document(self, record: HitRecord, proof: bytes) -> Applicability:
        """Return the document that says *proof* is of *record*, under the newest commitment to its entry's vector."""
        return Applicability(self.vectors[record.receipt].embedding, record.hit, proof, SUITE.name)

    def state(self, record: HitRecord, /, **changes: Any) -> ApplicabilityStatement:
        """Return what is proved of *record*, with any field changed."""
        made = self.vectors[record.receipt]
        statement = ApplicabilityStatement(
            suite=SUITE,
            embedding=made.embedding,
            record=record.to_payload(),
            commitment=made.commitment,
            query=self.queries[record.hit],
            tau=record.tau or 0,
            dimension=DIMENSION,
        )
        return replace(statement, **changes)

    def log(self, document: ProofDocument, receipt: str, /, **changes: Any) -> int:
        """Log *document* about *receipt*, under a body with fields changed, and return its leaf's index."""
        at_ms, nonce = self.world.tick(), self.random.randbytes(32)
        body = Evidence(at_ms, document.digest(), document.kind, nonce, receipt)
        index = self.world.add_body(replace(body, **changes))
        self.proofs.append(ProofLine(index, document))
        return index

    def add_well_formedness(self, receipt: str, /, **changes: Any) -> int:
        """Prove the commitment of a receipt's vector well formed, and log it."""
        return self.log(self.well_formedness(receipt, **changes), receipt)

    def add_proof(self, record: HitRecord, /, **changes: Any) -> int:
        """Prove a hit, log it and open its query."""
        self.open_query(record)
        return self.log(self.applicability(record, **changes), record.receipt)

    def show(self, record: HitRecord, /, **changes: Any) -> Shown:
        """Return what a proof file shows of a hit that was proved or matched, with any field changed."""
        query = QueryOpening(self.salt(record.hit), self.queries[record.hit])
        if record.tier == "pool":
            match = next(line.match for line in self.matches if line.hit == record.hit)
            release = self.world.pool.releases[-1].document.to_json()
            return replace(ShownMatch(match, release, query), **changes)
        made, world = self.vectors[record.receipt], self.world
        index, envelope = world.statements[made.embedding]
        path = tuple(inclusion_proof(index, world.tree.size, world.tree.node))
        proof, formed = self.applicability(record).proof, self.well_formedness(record.receipt).proof
        return replace(ShownProof(envelope.to_json(), index, path, proof, formed, query), **changes)

    def add_match(self, record: HitRecord, number: int, /, **changes: Any) -> PoolMatch:
        """Explain a hit of the pool by the first item of its release number *number*, and open its query."""
        self.open_query(record)
        items = self.world.pool.items[number]
        position, path = item_paths(items)[0]
        match = replace(PoolMatch(alias_of(number), items[0], path, position, ALIAS_VECTOR), **changes)
        self.matches.append(MatchLine(record.hit, match.to_json()))
        return match


#: What the embedder is said to make of every alias of the pool.
ALIAS_VECTOR = (SIZE,) * DIMENSION


@functools.cache
def _prover() -> Prover:
    return Prover(load_setup())


@functools.cache
def commit(suite: Suite, vector: Vector, seed: bytes) -> bytes:
    """Return the commitment to *vector* under *seed*."""
    return _prover().commit(suite, vector, seed)


@functools.cache
def prove_well_formedness(suite: Suite, vector: Vector, seed: bytes) -> bytes:
    """Return the proof that the commitment of *vector* is well formed."""
    return _prover().prove_well_formedness(suite, vector, seed)


@functools.cache
def prove_applicability(statement: ApplicabilityStatement, vector: Vector, seed: bytes, number: int = 0) -> bytes:
    """Return a proof of *statement* about *vector*, another one for each *number*."""
    drawn = _Drawn(random.Random(f"{number} of {statement.record.hex()}"))
    return _prover().prove_applicability(statement, vector, seed, drawn)
