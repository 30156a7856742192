"""What the engine hands to the edge: an answer that carries its tenant, and the words that explain it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

from server.identifiers import format_entry_id
from server.ports import JsonObject
from server.reuse.decision import Explanation
from server.reuse.outcomes import Hit, Miss, Outcome, Tier, outcome_name
from tenants.identifiers import LookupId, TenantId


@dataclass(frozen=True, slots=True)
class ReceiptState:
    """A receipt as its owner is told of it: how far its leaf got in the log, and what its signer vouches for."""

    id: str
    state: Literal["pending", "included", "witnessed"]
    grade: str

    def to_json(self) -> JsonObject:
        """Return the `receipt` object of an answer."""
        return {"id": self.id, "state": self.state, "grade": self.grade}


@dataclass(frozen=True, slots=True)
class Account:
    """How one lookup went: everything that the `hitproof` object of an answer says."""

    outcome: Outcome
    lookup: LookupId
    model_version: str | None
    policy_version: int
    explanation: Explanation | None = None
    guard: str | None = None
    would_hit: bool = False
    saved_tokens: int = 0
    saved_micro: int = 0
    receipt: ReceiptState | None = None

    @property
    def tier(self) -> Tier | None:
        """The tier that answered, if one did."""
        return self.outcome.tier if isinstance(self.outcome, Hit) else None

    def to_json(self) -> JsonObject:
        """Return the `hitproof` object: docs/reference/api.md describes each field."""
        outcome = self.outcome
        entry = outcome.entry if isinstance(outcome, Hit) else outcome.stored if isinstance(outcome, Miss) else None
        found: JsonObject = {
            "outcome": outcome_name(outcome),
            "tier": self.tier,
            "derivation": outcome.derivation if isinstance(outcome, Hit) else "none",
            "entry": None if entry is None else format_entry_id(entry),
            "hit": self.lookup if isinstance(outcome, Hit) else None,
            "lookup": self.lookup,
            "receipt": None if self.receipt is None else self.receipt.to_json(),
            "reason": outcome.reason,
            "model_version": self.model_version,
            "policy_version": self.policy_version,
            "saved": {"tokens": self.saved_tokens, "micro_currency": self.saved_micro},
        }
        if self.explanation is not None:
            found["nearest"] = nearest_to_json(self.explanation, self.guard)
        if self.would_hit:
            found["would_hit"] = True
        return found

    def headers(self) -> dict[str, str]:
        """Return the `x-hitproof-*` headers."""
        outcome = self.outcome
        entry = outcome.entry if isinstance(outcome, Hit) else outcome.stored if isinstance(outcome, Miss) else None
        headers = {
            "x-hitproof-cache": outcome_name(outcome),
            "x-hitproof-outcome": outcome_name(outcome),
            "x-hitproof-reason": outcome.reason,
            "x-hitproof-lookup": self.lookup,
        }
        if isinstance(outcome, Hit):
            headers["x-hitproof-tier"] = outcome.tier
            headers["x-hitproof-hit"] = self.lookup
        if entry is not None:
            headers["x-hitproof-entry"] = format_entry_id(entry)
        if self.receipt is not None:
            headers["x-hitproof-receipt"] = self.receipt.id
        return headers


def nearest_to_json(explanation: Explanation, guard: str | None) -> JsonObject:
    """Return what the owner may know of the nearest candidate: entry, cosine, threshold, doubts."""
    nearest = explanation.nearest
    cosine = explanation.nearest_cosine_ten_thousandths
    return {
        "entry": None if nearest is None else format_entry_id(nearest),
        "cosine": None if cosine is None else cosine / 10_000,
        "threshold": explanation.threshold_ten_thousandths / 10_000,
        "certified": explanation.certified,
        "guard": guard,
        "doubts": list(explanation.nearest_doubts),
        "compared": explanation.candidates_compared,
    }


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer for one tenant. *response* is None when there is nothing to give (refused)."""

    tenant: TenantId
    account: Account
    response: JsonObject | None


@dataclass(frozen=True, slots=True)
class LastChunk:
    """The end of a stream: no text, only the account."""

    account: Account


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """An answer in chunks for one tenant; the last item is a `LastChunk`.

    *early* is known before the first chunk, and so is *tier*, where a stored answer is given back.
    """

    tenant: TenantId
    chunks: AsyncIterator[JsonObject | LastChunk]
    early: dict[str, str] = field(default_factory=dict)
    tier: Tier | None = None
