"""What comes of a wish for a proof: the stored proof, a match of the pool to compute again, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from server.store.log_records import StoredApplicability, StoredEvidence, StoredHit, StoredWellFormedness
from tenants.identifiers import EntryId, TenantId

UnprovableReason: TypeAlias = Literal[
    "does_not_open",
    "entry_gone",
    "not_by_meaning",
    "not_provable",
    "not_stated",
    "query_not_kept",
    "unsupported_dimension",
]

#: What each reason says to whoever asked.
MESSAGES: Final[dict[UnprovableReason, str]] = {
    "does_not_open": "what this proof would be made of does not open any more",
    "entry_gone": "the entry that answered is gone or was replaced, and with it what this proof would be made of",
    "not_by_meaning": "this hit was an exact one: the requests were equal, and there is no closeness to prove",
    "not_provable": "the proof could not be made by a fault of ours; the operator's log says more",
    "not_stated": "no statement commits to the entry's vector yet; where its runner answers, it will within minutes",
    "query_not_kept": "the query's vector is not kept: the tenant's policy keeps lookups for no or a shorter time",
    "unsupported_dimension": "the embedder's vectors have more components than any suite takes",
}


@dataclass(frozen=True, slots=True)
class ProvedHit:
    """A hit of the private tier with everything that proves it: statement, well-formedness and the proof itself."""

    hit: StoredHit
    embedding: StoredEvidence
    well_formedness: StoredWellFormedness
    proof: StoredApplicability


@dataclass(frozen=True, slots=True)
class PooledHit:
    """A hit of the pool: its vector is public to the pool, so a verifier computes again what others prove."""

    hit: StoredHit


@dataclass(frozen=True, slots=True)
class Unprovable:
    """There is no proof of this hit, and none can be made now."""

    reason: UnprovableReason

    @property
    def message(self) -> str:
        """The reason as a sentence."""
        return MESSAGES[self.reason]


Outcome: TypeAlias = ProvedHit | PooledHit | Unprovable


class StatesNow(Protocol):
    """Has an entry's vector stated, with a commitment, while somebody waits."""

    async def state_now(self, tenant: TenantId, entry: EntryId) -> str | None:
        """Return the evidence that states it from now on; None where nobody can state it now."""
        ...
