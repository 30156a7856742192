"""A fake runner that signs what it answers, and lies exactly as a test tells it to."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

from crypto.applicability.suites import suite_for
from crypto.commitment import (
    output_commitment,
    output_tokens_commitment,
    prompt_commitment,
    prompt_tokens_commitment,
    text_commitment,
    vector_commitment,
)
from crypto.ed25519 import SigningKey
from crypto.embedding_statement import EmbeddingStatement, sign_embedding
from crypto.manifest import model_version
from crypto.statement import EvidenceReference, ReceiptStatement, runtime_digest, sign_receipt
from server.ports import Chunk, Completion, JsonObject, Provenance, UpstreamModel
from server.runner.commitments import CeremonyCommitter
from server.runner.restatements import RestatementMaker
from server.upstream.errors import UpstreamUnavailable
from server.upstream.runner_answers import EmbeddingStatementAnswer, RestatementAnswer, read_restatement
from tests.fakes import FakeClock, FakeUpstream

RUNNER_KEY = SigningKey(bytes(range(2, 34)))
OTHER_KEY = SigningKey(bytes(range(3, 35)))
MANIFEST: dict[str, Any] = {
    "schema": "hitproof/model-manifest/v1",
    "name": "fake-model",
    "resources": [{"name": "weights", "size_bytes": 0, "sha256": "22" * 32}],
    "tokenizer": None,
    "chat_template": None,
    "config": None,
    "quantisation": None,
    "runtime": {"engine": "fake"},
    "numerics": None,
    "weight_commitments": [],
    "openssf_digest": None,
}
PROMPT_IDS, OUTPUT_IDS = (1, 2, 3), (4, 5)
#: One for all runners of a run: it reads the ceremony's file once.
COMMIT = CeremonyCommitter()


class SigningRunner(FakeUpstream):
    """Answers as the fake upstream does, with a signed statement; *change* and the other hooks make it lie."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.key = RUNNER_KEY
        self.announced: str | None = RUNNER_KEY.public_key.hex()
        self.manifest: JsonObject | None = MANIFEST
        self.change: Callable[[ReceiptStatement], ReceiptStatement] = lambda statement: statement
        self.change_openings: Callable[[JsonObject], JsonObject] = lambda openings: openings
        self.change_envelope: Callable[[JsonObject], JsonObject | None] = lambda envelope: envelope
        self.change_embedding: Callable[[EmbeddingStatement], EmbeddingStatement] = lambda statement: statement
        self.commits = True
        self.change_seed: Callable[[bytes | None], bytes | None] = lambda seed: seed
        self.embedding_fault: Exception | None = None
        self.embeddings: list[str] = []
        self.asked: list[JsonObject] = []
        self.restated: list[JsonObject] = []
        self.restating_fault: Exception | None = None
        self.change_restated: Callable[[JsonObject], JsonObject] = lambda answer: answer
        self.version = model_version(MANIFEST)
        self._drawn = 0

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        return (UpstreamModel("fake-model", self.version, self.manifest, self.announced),)

    async def complete(self, request: JsonObject, *, tenant_salt: str) -> Completion:
        found = await super().complete(_plain(request), tenant_salt=tenant_salt)
        return replace(found, provenance=self._provenance(request, found.response))

    async def stream(self, request: JsonObject, *, tenant_salt: str) -> AsyncIterator[Chunk | Completion]:
        async for item in super().stream(_plain(request), tenant_salt=tenant_salt):
            if isinstance(item, Completion):
                yield replace(item, provenance=self._provenance(request, item.response))
            else:
                yield item

    async def embedding_statement(
        self, *, embedder: str, statement: str, tenant: str, text: str, vector: Sequence[int]
    ) -> EmbeddingStatementAnswer:
        if self.embedding_fault is not None:
            raise self.embedding_fault
        self.embeddings.append(text)
        salts = {"text": self._draw(), "vector": self._draw()}
        packed = bytes(part & 255 for part in vector)
        suite, seed = (suite_for(len(vector)), self._draw()) if self.commits else (None, None)
        point = None if suite is None or seed is None else COMMIT(suite, vector, seed)
        made = self.change_embedding(
            EmbeddingStatement(
                commitment=None if point is None else point.hex(),
                dimension=len(vector),
                embedder=embedder,
                issued_at_ms=self.clock.now_ms(),
                nonce=self._draw(),
                signer=self.key.key_id,
                statement=statement,
                suite=None if suite is None else suite.name,
                tenant=tenant,
                text_commitment=text_commitment(salts["text"], text),
                vector_commitment=vector_commitment(salts["vector"], packed),
            )
        )
        envelope = sign_embedding(made, self.key).to_json()
        return EmbeddingStatementAnswer(dict(envelope), salts["text"], salts["vector"], self.change_seed(seed))

    async def restate(self, asked: JsonObject) -> RestatementAnswer:
        """Say a statement again as a real runner does, or fail, or change what was said."""
        if self.restating_fault is not None:
            raise self.restating_fault
        self.restated.append(asked)
        maker = RestatementMaker(self.key, clock=self.clock, random_source=self)
        return read_restatement(self.change_restated(maker.restate(asked)), self.name)

    def token_bytes(self, count: int) -> bytes:
        """Be the chance of what is said again: it repeats from run to run, and never within one."""
        return self._draw()[:count]

    def _provenance(self, request: JsonObject, response: JsonObject) -> Provenance:
        parameters = {"temperature": "0", "seed": 0}
        bare = Provenance(self.version, PROMPT_IDS, OUTPUT_IDS, parameters)
        wanted = request.get("hitproof_statement")
        if wanted is None:
            return bare
        self.asked.append(wanted)
        kinds = ("output", "prompt", "output_tokens", "prompt_tokens")
        salts = {kind: self._draw() for kind in kinds}
        attested = self.manifest is not None
        statement = self.change(
            ReceiptStatement(
                derivation=wanted["derivation"],
                evidence=tuple(EvidenceReference(**reference) for reference in wanted.get("evidence", [])),
                grade="attested" if attested else "declared",
                issued_at_ms=self.clock.now_ms(),
                model_name="fake-model",
                openssf_digest=None,
                model_version=self.version,
                nonce=self._draw(),
                output_commitment=output_commitment(salts["output"], response["choices"]),
                output_tokens_commitment=output_tokens_commitment(salts["output_tokens"], OUTPUT_IDS),
                prompt_tokens_commitment=prompt_tokens_commitment(salts["prompt_tokens"], PROMPT_IDS),
                parameters=parameters,
                parents=(),
                policy=wanted["policy"],
                prompt_commitment=prompt_commitment(salts["prompt"], request["messages"]),
                runtime=runtime_digest(MANIFEST) if attested else None,
                signer=self.key.key_id,
                tenant=wanted["tenant"],
            )
        )
        envelope = self.change_envelope(dict(sign_receipt(statement, self.key).to_json()))
        openings = self.change_openings({kind: salt.hex() for kind, salt in salts.items()})
        return replace(bare, statement=envelope, openings=openings)

    def _draw(self) -> bytes:
        self._drawn += 1
        return hashlib.sha256(f"drawn {self._drawn}".encode()).digest()


def unavailable() -> UpstreamUnavailable:
    """Return the error of a runner that does not answer."""
    return UpstreamUnavailable("the runner does not answer")


def _plain(request: JsonObject) -> JsonObject:
    return {name: value for name, value in request.items() if name != "hitproof_statement"}
