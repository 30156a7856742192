"""Honest bundles, made from `crypto` alone: a small world with keys, a tenant, a model and a log, and what it exports.

    world = make_world(Plan(receipts=3, hits=4, witnesses=2))
    honest = world.export()

`honest.parts` can be changed with `dataclasses.replace` and sealed again with `world.seal(parts)`: so a test breaks one
thing and keeps every signature around it right. Deeper breaks put other statements, bodies or leaves into the world.
Everything follows from `Plan.seed`; there is no clock and no randomness of the machine.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from crypto.bodies import Body, Erasure, Evidence, HitBatch, KeyEvent, ModelStatus, PolicyEvent
from crypto.bundle import BundleParts, build_bundle
from crypto.bundle_lines import (
    BodyLine,
    CheckpointLine,
    EnvelopeLine,
    HitLine,
    ModelLine,
    OpeningLine,
    PolicyLine,
    PublisherLine,
)
from crypto.bundle_manifest import PseudonymKey, Scope
from crypto.canonical import JsonValue
from crypto.checkpoint import Checkpoint, append_cosignature, cosign_checkpoint, parse_checkpoint, sign_checkpoint
from crypto.commitment import (
    hit_salt,
    output_commitment,
    output_tokens_commitment,
    prompt_commitment,
    prompt_tokens_commitment,
    query_commitment,
    query_vector_commitment,
    text_commitment,
    vector_commitment,
)
from crypto.dsse import Envelope
from crypto.ed25519 import SigningKey
from crypto.embedding_statement import EmbeddingStatement, sign_embedding
from crypto.hit import HitRecord
from crypto.leaf import Leaf, LeafKind, body_leaf, envelope_leaf
from crypto.manifest import model_version
from crypto.merkle import MemoryTree, consistency_proof, inclusion_proof, leaf_hash
from crypto.multiproof import make_multiproof
from crypto.note import LOG_ALGORITHM, WITNESS_ALGORITHM, VerifierKey, make_vkey, parse_vkey
from crypto.policy import policy_digest
from crypto.pseudonym import epoch_of, pseudonym, pseudonym_key
from crypto.statement import ReceiptStatement, runtime_digest, sign_receipt, statement_digest
from crypto.status import KeyStatus, ModelStanding, StatusList
from crypto.tlog_proof import HitProofExtra, ReceiptProofExtra, TlogProof, format_tlog_proof
from crypto.trust import Trust, TrustedKey, sign_trust
from tests.audit.pools import PoolSide
from tests.audit.proofs import ProofSide

START_MS = 1_790_000_000_000
SECOND_MS = 1_000
DAY_MS = 86_400_000
TENANT = "ten_0123456789abcdef"
ORIGIN = "log.example/audit"
POLICY: dict[str, JsonValue] = {"mode": "static", "threshold_ten_thousandths": 9500}
MANIFEST: dict[str, Any] = {
    "schema": "hitproof/model-manifest/v1",
    "name": "small model",
    "resources": [{"name": "weights.bin", "size_bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}],
    "tokenizer": None,
    "chat_template": None,
    "config": None,
    "quantisation": None,
    "runtime": {"engine": "example", "version": "1"},
    "numerics": None,
    "weight_commitments": [],
    "openssf_digest": None,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a world holds: how many of everything, and from which seed."""

    receipts: int = 3
    hits: int = 4
    declared: int = 0
    """How many of the receipts are a gateway's word about a model that it did not load."""
    hits_per_batch: int = 3
    embeddings: int = 1
    tree_size: int = 0
    """Leaves of strangers are put between this world's until the log has this many."""
    witnesses: int = 0
    witness_threshold: int | None = None
    """All witnesses, unless stated."""
    openings: bool = True
    earlier_checkpoints: int = 1
    runners: int = 1
    root_keys: int = 1
    root_threshold: int = 1
    model_status: str | None = None
    """`superseded` or `revoked`: what the status list says of the model."""
    releases: int = 0
    """Releases of the pool; the second is void, and each but the first was paid for by this tenant's organisation."""
    pool_hits: int = 0
    """Hits in the pool, each on its own receipt of the last release; they need a release that came out."""
    proved: int = 0
    """Further hits by meaning, in a batch of their own, whose vectors are committed and whose closeness is proved."""
    matched: int = 0
    """Further hits in the pool, each on a receipt of the last release, with what they matched."""
    queries: bool = True
    """Whether the queries of those are opened."""
    retired_runner: bool = False
    """The first runner's key is retired at the end; everything it signed came before."""
    seed: int = 0
    start_ms: int = START_MS
    expires_at_ms: int = START_MS + 365 * DAY_MS
    """When the trust file ends."""


@dataclass(slots=True)
class MadeReceipt:
    """A receipt that is in the log."""

    index: int
    envelope: Envelope
    statement: ReceiptStatement
    leaf: bytes
    openings: list[OpeningLine] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """The statement's digest."""
        return statement_digest(self.envelope.payload)


@dataclass(frozen=True, slots=True)
class HonestBundle:
    """An exported bundle and all that a test may want to change or to compare."""

    data: bytes
    trust_data: bytes
    parts: BundleParts
    trust: Trust
    world: World
    now_ms: int

    @property
    def statements(self) -> frozenset[str]:
        """Digests of all receipts' statements."""
        return frozenset(receipt.digest for receipt in self.world.receipts)

    @property
    def hits(self) -> frozenset[str]:
        """Ids of all hits."""
        return frozenset(record.hit for line in self.parts.hits for record in line.records)


class World:
    """Keys, a tenant, a model, and a log that grows by what is added."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = random.Random(plan.seed)
        self.now_ms = self.plan.start_ms
        self.tenant = TENANT
        self.tenant_key = self.bytes_32()
        self.gateway = self.new_key()
        self.log = self.new_key()
        self.roots = [self.new_key() for _ in range(plan.root_keys)]
        self.runners = [self.new_key() for _ in range(plan.runners)]
        self.witnesses = [self.new_key() for _ in range(plan.witnesses)]
        self.manifest = MANIFEST
        self.model = model_version(MANIFEST)
        self.tree = MemoryTree()
        self.leaves: dict[int, bytes] = {}
        self.receipts: list[MadeReceipt] = []
        self.bodies: list[BodyLine] = []
        self.evidence: list[EnvelopeLine] = []
        self.hit_lines: list[HitLine] = []
        self.batches: dict[int, tuple[HitRecord, ...]] = {}
        self.evidence_openings: list[OpeningLine] = []
        self.policies: dict[str, dict[str, JsonValue]] = {}
        self.checkpoints: list[str] = []
        self.publishers: list[PublisherLine] = []
        self.status = StatusList(self.plan.start_ms, (), (), 1)
        self.statements: dict[str, tuple[int, Envelope]] = {}
        self.pool = PoolSide.of(self)
        self.closeness = ProofSide.of(self)
        self.since_ms: int | None = None
        self.until_ms: int | None = None

    # Keys and randomness

    def bytes_32(self) -> bytes:
        """Return 32 bytes that follow from the seed."""
        return self.random.randbytes(32)

    def new_key(self) -> SigningKey:
        """Return a key that follows from the seed."""
        return SigningKey(self.bytes_32())

    def tick(self, milliseconds: int = SECOND_MS) -> int:
        """Let time pass and return it."""
        self.now_ms += milliseconds
        return self.now_ms

    def pseudonym_at(self, at_ms: int, tenant: str | None = None) -> str:
        """Return the tenant's pseudonym at *at_ms*."""
        return pseudonym(pseudonym_key(self.tenant_key, epoch_of(at_ms)), tenant or self.tenant)

    @cached_property
    def log_vkey(self) -> VerifierKey:
        """The log's verifier key."""
        return parse_vkey(make_vkey(ORIGIN, LOG_ALGORITHM, self.log.public_key))

    def witness_vkeys(self) -> tuple[VerifierKey, ...]:
        """The witnesses' verifier keys, as a trust file sorts them."""
        texts = [
            make_vkey(f"witness-{number}.example", WITNESS_ALGORITHM, key.public_key)
            for number, key in enumerate(self.witnesses)
        ]
        return tuple(parse_vkey(text) for text in sorted(texts))

    # The log

    def append(self, leaf: bytes) -> int:
        """Put a leaf into the log and return its index."""
        index = self.tree.size
        self.tree.append(leaf_hash(leaf))
        self.leaves[index] = leaf
        return index

    def add_strangers(self, count: int) -> None:
        """Put *count* leaves of others into the log; their contents are nobody's business here."""
        start = self.tree.size
        self.tree.extend(hashlib.sha256(b"stranger %d" % number).digest() for number in range(start, start + count))

    def add_body(self, body: Body, leaf: Leaf | None = None) -> int:
        """Log *body* in the log's own name, under *leaf* where a test wants another one than the right one."""
        made = leaf or body_leaf(body.KIND, body.to_payload(), body.at_ms, self.log.public_key)
        index = self.append(made.encode())
        self.bodies.append(BodyLine(index, body.KIND, body))
        return index

    def add_policy(self, document: dict[str, JsonValue], version: int = 1, tenant: str | None = None) -> str:
        """Announce a policy and return its digest."""
        at_ms, digest = self.tick(), policy_digest(document)
        self.policies[digest] = document
        self.add_body(PolicyEvent(at_ms, self.bytes_32(), digest, tenant or self.pseudonym_at(at_ms), version))
        return digest

    def add_status(
        self,
        *,
        keys: tuple[KeyStatus, ...] | None = None,
        models: tuple[ModelStanding, ...] | None = None,
        at_ms: int | None = None,
    ) -> StatusList:
        """Log a status list, with the parts of the present one that are not given."""
        self.status = StatusList(
            at_ms=self.tick() if at_ms is None else at_ms,
            keys=self.status.keys if keys is None else keys,
            models=self.status.models if models is None else models,
            trust_version=self.status.trust_version,
        )
        self.add_body(ModelStatus(self.status.at_ms, None, self.bytes_32(), None, self.status.digest()))
        return self.status

    def retire_key(self, key_id: str, status: str = "retired", role: str = "runner", since_index: int = -1) -> None:
        """Log that a key is retired or compromised since *since_index*, by default the next leaf's."""
        since = self.tree.size if since_index < 0 else since_index
        standing = KeyStatus(key_id, role, since, status)  # type: ignore[arg-type]
        keys = tuple(sorted([*self.status.keys, standing], key=lambda one: one.key_id))
        self.status = replace(self.status, keys=keys, at_ms=self.tick())
        self.add_body(
            KeyEvent(self.status.at_ms, status, key_id, self.bytes_32(), role, since, self.status.digest())  # type: ignore[arg-type]
        )

    # Receipts

    def make_statement(self, signer: SigningKey, policy: str | None, /, **changes: object) -> ReceiptStatement:
        """Return an attested statement of *signer*'s, with any field changed."""
        issued_at_ms = self.tick()
        statement = ReceiptStatement(
            derivation="none",
            evidence=(),
            grade="attested",
            issued_at_ms=issued_at_ms,
            model_name="small model",
            openssf_digest=None,
            model_version=self.model,
            nonce=self.bytes_32(),
            output_commitment=self.bytes_32(),
            output_tokens_commitment=self.bytes_32(),
            prompt_tokens_commitment=self.bytes_32(),
            parameters={"max_tokens": 16, "temperature": "0.0"},
            parents=(),
            policy=policy,
            prompt_commitment=self.bytes_32(),
            runtime=runtime_digest(self.manifest),
            signer=signer.key_id,
            tenant=self.pseudonym_at(issued_at_ms),
        )
        return replace(statement, **changes)  # type: ignore[arg-type]

    def make_declared(self, policy: str | None, /, **changes: object) -> ReceiptStatement:
        """Return a gateway's statement about a model that nobody here loaded."""
        nothing = {"runtime": None, "output_tokens_commitment": None, "prompt_tokens_commitment": None}
        declared = {"grade": "declared", "model_version": "sha256:" + "d" * 64, **nothing}
        return self.make_statement(self.gateway, policy, **{**declared, **changes})

    def add_answer(self, signer: SigningKey, policy: str | None, /, **changes: object) -> MadeReceipt:
        """Log a receipt whose commitments can be opened."""
        number = len(self.receipts)
        salts = {kind: self.bytes_32() for kind in ("output", "prompt", "output_tokens", "prompt_tokens")}
        values: dict[str, JsonValue] = {
            "output": [
                {"finish_reason": "stop", "index": 0, "message": {"content": f"a{number}", "role": "assistant"}}
            ],
            "prompt": [{"content": f"question {number}", "role": "user"}],
            "output_tokens": [7, 8, number],
            "prompt_tokens": [1, 2, 3, number],
        }
        statement = self.make_statement(
            signer,
            policy,
            output_commitment=output_commitment(salts["output"], values["output"]),
            prompt_commitment=prompt_commitment(salts["prompt"], values["prompt"]),
            output_tokens_commitment=output_tokens_commitment(salts["output_tokens"], [7, 8, number]),
            prompt_tokens_commitment=prompt_tokens_commitment(salts["prompt_tokens"], [1, 2, 3, number]),
            **changes,
        )
        made = self.add_receipt(sign_receipt(statement, signer), statement)
        made.openings = [OpeningLine(made.digest, kind, salts[kind], values[kind]) for kind in sorted(salts)]
        return made

    def add_receipt(self, envelope: Envelope, statement: ReceiptStatement) -> MadeReceipt:
        """Log a receipt that was signed somewhere."""
        leaf = envelope_leaf(LeafKind.RECEIPT, envelope, statement.issued_at_ms).encode()
        made = MadeReceipt(self.append(leaf), envelope, statement, leaf)
        self.receipts.append(made)
        return made

    def add_embedding(
        self, receipt: MadeReceipt, signer: SigningKey, /, vector: Sequence[int] = (3, -4, 5), **changes: object
    ) -> int:
        """Log a runner's statement about the vector of *receipt*'s prompt."""
        at_ms, text = self.tick(), "question"
        text_salt, vector_salt = self.bytes_32(), self.bytes_32()
        statement = EmbeddingStatement(
            commitment=None,
            dimension=len(vector),
            embedder="sha256:" + "e" * 64,
            issued_at_ms=at_ms,
            nonce=self.bytes_32(),
            signer=signer.key_id,
            statement=receipt.digest,
            suite=None,
            tenant=self.pseudonym_at(at_ms),
            text_commitment=text_commitment(text_salt, text),
            vector_commitment=vector_commitment(vector_salt, bytes(part & 255 for part in vector)),
        )
        statement = replace(statement, **changes)  # type: ignore[arg-type]
        envelope = sign_embedding(statement, signer)
        index = self.append(envelope_leaf(LeafKind.EVIDENCE, envelope, statement.issued_at_ms).encode())
        self.evidence.append(EnvelopeLine(index, envelope.to_json()))
        digest = statement_digest(envelope.payload)
        self.statements[digest] = index, envelope
        self.evidence_openings += [
            OpeningLine(digest, "text", text_salt, text),
            OpeningLine(digest, "vector", vector_salt, list(vector)),
        ]
        return index

    def add_evidence(self, receipt: MadeReceipt, kind: str = "example/v1", **changes: object) -> int:
        """Log that evidence of *kind* about *receipt* exists."""
        body = Evidence(self.tick(), "sha256:" + "7" * 64, kind, self.bytes_32(), receipt.digest)
        return self.add_body(replace(body, **changes))  # type: ignore[arg-type]

    def add_erasure(self, tenant: str) -> int:
        """Log that what was kept of a tenant, by its pseudonym, was erased."""
        return self.add_body(Erasure(self.tick(), self.bytes_32(), tenant))

    # Hits

    def make_hit(self, receipt: MadeReceipt, policy: str, /, **changes: object) -> HitRecord:
        """Return the record of one reuse of *receipt*, with any field changed."""
        at_ms, hit = self.tick(), f"hit_{self.random.randbytes(16).hex()}"
        private = self.random.random() < 0.5
        record = HitRecord(
            at_ms=at_ms,
            derivation="none",
            hit=hit,
            policy=policy,
            query=query_commitment(hit_salt(self.tenant_key, hit, "query"), [{"content": hit, "role": "user"}]),
            query_vector=(
                query_vector_commitment(hit_salt(self.tenant_key, hit, "query_vector"), b"\3\4") if private else None
            ),
            receipt=receipt.digest,
            receipt_leaf=leaf_hash(receipt.leaf),
            tau=245_000 if private else None,
            tenant=self.pseudonym_at(at_ms),
            tier="private" if private else "exact",
        )
        return replace(record, **changes)  # type: ignore[arg-type]

    def add_batch(self, records: Sequence[HitRecord], shown: Sequence[int] | None = None, **changes: object) -> int:
        """Log a batch of hits, of which the positions *shown* (all, unless stated) go into the bundle."""
        positions = tuple(range(len(records)) if shown is None else shown)
        tree = MemoryTree(leaf_hash(record.to_payload()) for record in records)
        at_ms = self.tick()
        batch = HitBatch(at_ms, len(records), self.bytes_32(), tree.root(), self.pseudonym_at(at_ms))
        index = self.add_body(replace(batch, **changes))  # type: ignore[arg-type]
        hashes = tuple(make_multiproof(positions, len(records), tree.node))
        self.hit_lines.append(HitLine(index, hashes, positions, tuple(records[place] for place in positions)))
        self.batches[index] = tuple(records)
        return index

    # What is exported

    def sign_checkpoint(self, size: int | None = None) -> str:
        """Return the log's checkpoint at *size*, with every witness's cosignature."""
        width = self.tree.size if size is None else size
        text = sign_checkpoint(Checkpoint(ORIGIN, width, self.tree.root(width)), self.log)
        for number, key in enumerate(self.witnesses):
            line = cosign_checkpoint(text, f"witness-{number}.example", key, self.now_ms // 1000)
            text = append_cosignature(text, line)
        return text

    def keep_checkpoint(self) -> str:
        """Sign the present checkpoint and list it in later bundles."""
        text = self.sign_checkpoint()
        self.checkpoints.append(text)
        return text

    def trusted_key(self, key: SigningKey, name: str, models: tuple[str, ...] = ()) -> TrustedKey:
        """Return the trust file's entry of a runner's or gateway's key, good from the beginning."""
        return TrustedKey(self.plan.start_ms, models, name, key.public_key, None)

    def make_trust(self, **changes: object) -> Trust:
        """Return the trust file's contents, with any field changed."""
        plan = self.plan
        runners = [self.trusted_key(key, "runner", (self.model,)) for key in self.runners]
        trust = Trust(
            version=1,
            issued_at_ms=self.plan.start_ms,
            expires_at_ms=plan.expires_at_ms,
            root_keys=tuple(sorted(key.public_key for key in self.roots)),
            root_threshold=plan.root_threshold,
            log=self.log_vkey,
            witnesses=self.witness_vkeys(),
            witness_threshold=plan.witnesses if plan.witness_threshold is None else plan.witness_threshold,
            runners=tuple(sorted(runners, key=lambda key: key.public_key)),
            gateways=(self.trusted_key(self.gateway, "gateway"),),
            publishers=(),
        )
        return replace(trust, **changes)  # type: ignore[arg-type]

    def sign_trust(self, trust: Trust) -> bytes:
        """Return the trust file that states *trust*, signed by every root key."""
        return sign_trust(trust.to_payload(), self.roots).encode()

    def make_scope(self) -> Scope:
        """Return the scope that covers all that happened, one pseudonym key for each epoch of it."""
        epochs = range(epoch_of(self.plan.start_ms), epoch_of(self.now_ms) + 1)
        keys = tuple(PseudonymKey(epoch, pseudonym_key(self.tenant_key, epoch)) for epoch in epochs)
        organisation = self.pool.organisation if self.pool.spendings else None
        return Scope(
            self.tenant,
            keys,
            self.since_ms,
            self.until_ms,
            organisation=organisation,
            pool=self.pool.make_scope(),
        )

    def make_parts(self, size: int | None = None) -> BundleParts:
        """Return the bundle's parts under the checkpoint of the present log, or of its first *size* leaves."""
        width = self.tree.size if size is None else size
        indexes = sorted(self.leaves)
        openings = [line for receipt in self.receipts for line in receipt.openings] + self.evidence_openings
        attested = any(receipt.statement.grade == "attested" for receipt in self.receipts)
        return BundleParts(
            checkpoint=self.sign_checkpoint(width),
            leaves=dict(self.leaves),
            multiproof=tuple(make_multiproof(indexes, width, self.tree.node)),
            status=self.status,
            scope=self.make_scope(),
            made_at_ms=self.now_ms,
            receipts=tuple(EnvelopeLine(one.index, one.envelope.to_json()) for one in self.receipts),
            hits=tuple(self.hit_lines),
            bodies=tuple(self.bodies),
            evidence=tuple(self.evidence),
            openings=tuple(sorted(openings, key=lambda line: (line.statement, line.kind)))
            if self.plan.openings
            else (),
            policies=tuple(PolicyLine(digest, self.policies[digest]) for digest in sorted(self.policies)),
            models=(ModelLine(self.model, self.manifest),) if attested else (),
            publishers=tuple(self.publishers),
            checkpoints=tuple(self.prove_checkpoint(text, width) for text in self.checkpoints),
            releases=tuple(self.pool.releases),
            spendings=tuple(self.pool.spendings),
            proofs=tuple(self.closeness.proofs),
            queries=tuple(sorted(self.closeness.opened, key=lambda line: line.hit)) if self.plan.queries else (),
            matches=tuple(sorted(self.closeness.matches, key=lambda line: line.hit)),
        )

    def prove_checkpoint(self, text: str, size: int | None = None) -> CheckpointLine:
        """Return the line of an earlier checkpoint with its consistency proof."""
        width = self.tree.size if size is None else size
        signed = parse_checkpoint(text)
        return CheckpointLine(signed, tuple(consistency_proof(signed.checkpoint.size, width, self.tree.node)))

    def seal(self, parts: BundleParts, signer: SigningKey | None = None) -> bytes:
        """Return the bundle of *parts*, signed by the gateway or by whom a test wants."""
        return build_bundle(parts, signer or self.gateway)

    def export(self) -> HonestBundle:
        """Return the bundle of everything in this world."""
        trust, parts = self.make_trust(), self.make_parts()
        return HonestBundle(self.seal(parts), self.sign_trust(trust), parts, trust, self, self.now_ms + SECOND_MS)

    # Proof files

    def receipt_proof(self, receipt: MadeReceipt) -> str:
        """Return the proof file of one receipt."""
        path = inclusion_proof(receipt.index, self.tree.size, self.tree.node)
        extra = ReceiptProofExtra(receipt.envelope.to_json()).to_payload()
        return format_tlog_proof(TlogProof(receipt.index, tuple(path), self.sign_checkpoint(), extra))

    def hit_proof(self, batch: int, position: int, /, *, shows: bool = False, **changes: object) -> str:
        """Return the proof file of one hit, with what *shows* that it was close, and any field of its `extra` changed."""
        records, size = self.batches[batch], self.tree.size
        tree = MemoryTree(leaf_hash(record.to_payload()) for record in records)
        receipt = next(one for one in self.receipts if one.digest == records[position].receipt)
        line = next(line for line in self.bodies if line.index == batch)
        extra = HitProofExtra(
            batch=line.to_json()["body"],  # type: ignore[arg-type]
            envelope=receipt.envelope.to_json(),
            path=tuple(inclusion_proof(position, len(records), tree.node)),
            position=position,
            receipt_index=receipt.index,
            receipt_path=tuple(inclusion_proof(receipt.index, size, self.tree.node)),
            record=records[position].to_json(),
        )
        shown = self.closeness.show(records[position]) if shows else None
        payload = replace(extra, **{"applicability": shown, **changes}).to_payload()  # type: ignore[arg-type]
        path = tuple(inclusion_proof(batch, size, self.tree.node))
        return format_tlog_proof(TlogProof(batch, path, self.sign_checkpoint(), payload))


def make_world(plan: Plan) -> World:
    """Return a world in which everything of *plan* has happened, in the order in which a house would do it."""
    world = World(plan)
    batches = -(-plan.hits // plan.hits_per_batch)
    leaves = plan.receipts + plan.embeddings + batches + 3
    strangers = max(0, plan.tree_size - leaves)
    gap = strangers // max(1, plan.receipts + batches)
    world.add_status()
    policy = world.add_policy(POLICY)
    for number in range(plan.receipts):
        world.add_strangers(gap)
        if number < plan.declared:
            statement = world.make_declared(policy)
            world.add_receipt(sign_receipt(statement, world.gateway), statement)
        else:
            world.add_answer(world.runners[number % plan.runners], policy)
        if plan.earlier_checkpoints and number < plan.earlier_checkpoints:
            world.keep_checkpoint()
    for number in range(min(plan.embeddings, plan.receipts)):
        world.add_embedding(world.receipts[number], world.runners[0])
    for start in range(0, plan.hits, plan.hits_per_batch):
        world.add_strangers(gap)
        numbers = range(start, min(start + plan.hits_per_batch, plan.hits))
        world.add_batch([world.make_hit(world.receipts[number % plan.receipts], policy) for number in numbers])
    if plan.proved:
        _prove_hits(world, policy)
    if plan.releases:
        _fill_pool(world, policy)
    world.add_strangers(max(0, plan.tree_size - world.tree.size - 1))
    if plan.retired_runner:
        world.retire_key(world.runners[0].key_id)
    models = (ModelStanding(world.model, plan.model_status),) if plan.model_status else ()  # type: ignore[arg-type]
    world.add_status(models=models)
    return world


def _fill_pool(world: World, policy: str) -> None:
    """Let the pool release what the plan says, and the tenant hit its last release."""
    pool, plan = world.pool, world.plan
    pool_policy = pool.add_policy()
    for number in range(1, plan.releases + 1):
        if number > 1:
            pool.add_spending()
        if number == 2:
            pool.add_void()
        else:
            pool.add_release()
    release = pool.releases[-1].document
    answers = [pool.add_answer(release, pool_policy) for _ in range(plan.pool_hits)]
    if answers:
        world.add_batch([pool.make_hit(receipt, policy) for receipt in answers])
    answers = [pool.add_answer(release, pool_policy) for _ in range(plan.matched)]
    if answers:
        records = [world.closeness.make_pool_hit(receipt, policy) for receipt in answers]
        world.add_batch(records)
        for record in records:
            world.closeness.add_match(record, release.number)


def _prove_hits(world: World, policy: str) -> None:
    """Let the tenant hit by meaning what was committed to, and let the house prove it."""
    closeness, plan = world.closeness, world.plan
    receipts = world.receipts[: plan.proved]
    for receipt in receipts:
        signer = world.gateway if receipt.statement.grade == "declared" else world.runners[0]
        closeness.add_vector(receipt, signer)
    records = [closeness.make_hit(receipts[number % len(receipts)], policy) for number in range(plan.proved)]
    world.add_batch(records)
    for receipt in receipts:
        closeness.add_well_formedness(receipt.digest)
    for record in records:
        closeness.add_proof(record)


def make_bundle(plan: Plan | None = None) -> HonestBundle:
    """Return an honest bundle."""
    return make_world(plan or Plan()).export()
