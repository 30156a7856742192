"""What endpoints answer, for the OpenAPI document; tests/api/test_openapi.py holds every answer to it.

Answers are written with orjson from plain objects, not through these models: they describe, and cost nothing at run time.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Outcome = Literal["hit", "miss", "bypass", "refused"]
Tier = Literal["exact", "private", "pool"]


class Shape(BaseModel):
    """An answer with exactly these fields."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(Shape):
    """What went wrong and what to change; `param` names the field, `code` stays the same between releases."""

    message: str
    type: str
    param: str | None
    code: str | None


class Saved(Shape):
    """What a hit saved: tokens, and their price in millionths."""

    tokens: int
    micro_currency: int


class Nearest(Shape):
    """The nearest candidate and what spoke against it."""

    entry: str | None
    cosine: float | None
    threshold: float
    certified: bool
    guard: str | None
    doubts: list[str]
    compared: int


class Receipt(Shape):
    """What stands behind an answer: how far its leaf got in the log, and what its signer vouches for."""

    id: str
    state: Literal["pending", "included", "witnessed"]
    grade: Literal["declared", "attested"]


class Account(Shape):
    """How one lookup went."""

    outcome: Outcome
    tier: Tier | None
    derivation: Literal["none", "adapted", "composed"]
    entry: str | None
    hit: str | None
    lookup: str | None
    receipt: Receipt | None
    reason: str
    model_version: str | None
    policy_version: int
    saved: Saved
    nearest: Nearest | None = None
    would_hit: bool = False


class ErrorAnswer(Shape):
    """OpenAI's error object; `hitproof` is there when a lookup was made before the error."""

    error: ErrorDetail
    hitproof: Account | None = None


class ProblemAnswer(Shape):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    param: str | None = None


class ChatCompletion(BaseModel):
    """OpenAI's object, as the model's server wrote it, and `hitproof`."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    hitproof: Account


class LookupAnswer(Account):
    """What a request would come to; nothing was computed, stored or recorded."""

    object: Literal["cache.lookup"]
    response: dict[str, Any] | None


class StoredEntry(Shape):
    """The id of a new entry."""

    object: Literal["cache.entry"]
    id: str


class EntrySummary(StoredEntry):
    """An entry without its content."""

    model: str
    model_version: str
    source: Literal["runner", "upstream", "client"]
    state: Literal["live", "quarantined"]
    state_reason: str | None
    created_at_ms: int
    expires_at_ms: int
    last_hit_at_ms: int
    hits: int
    bytes: int
    matched_by_meaning: bool
    tags: list[str]


class Entry(EntrySummary):
    """An entry, opened."""

    messages: list[dict[str, Any]]
    parameters: dict[str, Any]
    response: dict[str, Any]
    provenance: dict[str, Any] | None
    receipt: Receipt | None


class EntryPage(Shape):
    """A page of entries, newest first; ask for the next with `after` = `last_id`."""

    object: Literal["list"]
    data: list[EntrySummary]
    has_more: bool
    last_id: str | None


class DeletedEntry(StoredEntry):
    """An entry that is gone."""

    deleted: bool


class Invalidation(Shape):
    """How many entries went, or would go."""

    object: Literal["cache.invalidation"]
    dry_run: bool
    entries: int


class Usage(Shape):
    """One kind of outcome on one day, for one key and model."""

    day: str
    key: str
    model: str
    outcome: Outcome
    tier: Tier | None
    requests: int
    saved_prompt_tokens: int
    saved_output_tokens: int
    saved_micro_currency: int
    mean_latency_ms: float


class Stats(Shape):
    """What the cache holds, answered and saved."""

    object: Literal["cache.stats"]
    since: str
    entries: int
    bytes: int
    requests: int
    hits: dict[str, int]
    hit_rate: float
    saved_tokens: int
    saved_micro_currency: int
    labels: dict[str, int]
    days: list[Usage]


class Feedback(Shape):
    """A verdict that was written down."""

    object: Literal["cache.feedback"]
    hit: str
    verdict: Literal["good", "bad"]
    quarantined: bool
    suppressed: bool


class Model(Shape):
    """A model that may be asked."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    hitproof: dict[str, Any]


class ModelPage(Shape):
    """All models that may be asked."""

    object: Literal["list"]
    data: list[Model]


class Embedding(Shape):
    """One vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(Shape):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: dict[str, int]
    hitproof: dict[str, Any]


class Health(Shape):
    """The event loop turns."""

    status: Literal["ok"]


class Readiness(Shape):
    """Whether requests can be served, and by what not."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str]


class ProofAnswer(Shape):
    """What is common to the proofs of receipts and hits: the receipt, and the proof file once there is one."""

    id: str
    state: Literal["pending", "included", "witnessed"]
    grade: Literal["declared", "attested"]
    model_version: str
    statement: str
    issued_at_ms: int
    signer: str
    leaf_index: int | None
    proof: str | None


class ReceiptProof(ProofAnswer):
    """A receipt and its proof file."""

    object: Literal["receipt"]


class HitApplicability(Shape):
    """Whether the file also shows what makes the hit one, where that was asked for."""

    state: Literal["pending", "proved"]
    reason: Literal["not_logged"] | None


class HitProof(ProofAnswer):
    """A hit's proof file, with the receipt that answered."""

    object: Literal["hit.proof"]
    hit: str
    applicability: HitApplicability | None = None


class AuditExport(Shape):
    """An export: what it is about, and how far it is, in rows."""

    object: Literal["audit.export"]
    id: str
    state: Literal["running", "done", "failed"]
    done: int
    total: int
    scope: dict[str, Any]
    unproved: int | None
    error: str | None
    created_at_ms: int
