"""What a lookup came to: one of four, each with its reason in words that the API prints as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tenants.identifiers import EntryId

Tier = Literal["exact", "private", "pool"]
Derivation = Literal["none", "adapted", "composed"]


@dataclass(frozen=True, slots=True)
class Hit:
    """The answer was there."""

    tier: Tier
    entry: EntryId
    reason: str
    derivation: Derivation = "none"


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing that may be reused; *stored* names the entry that the fresh answer became, if it did."""

    reason: str
    stored: EntryId | None = None


@dataclass(frozen=True, slots=True)
class Bypass:
    """The cache was not asked, because of the request itself, the policy, or a fault."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The caller asked for nothing but a stored answer, and there is none."""

    reason: str


Outcome: TypeAlias = Hit | Miss | Bypass | Refused


def outcome_name(outcome: Outcome) -> str:
    """Return the word of the API: hit, miss, bypass or refused."""
    return type(outcome).__name__.lower()
