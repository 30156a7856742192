"""Whose receipts and hits these are, the tenant's own or the pool's, and by which policies who reused at which leaf."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..bodies import PolicyEvent
from ..bundle_lines import BodyLine, PolicyLine
from ..bundle_manifest import PoolScope, PseudonymKey, Scope
from ..errors import VerificationError
from ..policy import policy_digest
from ..pseudonym import epoch_of, pseudonym
from .findings import Notes

#: How long a gateway may go on by a policy whose successor is in the log already.
GRACE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Tenancy:
    """One tenant: its pseudonym in every epoch that the bundle opens."""

    by_epoch: Mapping[int, str]
    pseudonyms: frozenset[str]

    def verify_at(self, found: str, at_ms: int) -> None:
        """Check that *found* is the tenant's pseudonym at *at_ms*; raises `VerificationError` (`tenant_mismatch`)."""
        expected = self.by_epoch.get(epoch_of(at_ms))
        if found != expected:
            raise VerificationError(
                "this belongs to another tenant, or to an epoch that the bundle does not open",
                reason="tenant_mismatch",
                expected=expected or f"no pseudonym of epoch {epoch_of(at_ms)}",
                actual=found,
            )

    def is_ours(self, found: str) -> bool:
        """Say whether *found* is the tenant's pseudonym in any epoch that the bundle opens."""
        return found in self.pseudonyms


@dataclass(frozen=True, slots=True)
class Principals:
    """Whose word may stand in a bundle: the tenant that it is about, and the pool, which may be nobody."""

    tenant: Tenancy
    pool: Tenancy

    def find(self, pseudonym: str) -> Tenancy:
        """Return the pool where *pseudonym* is one of its own, and the tenant for everything else."""
        return self.pool if self.pool.is_ours(pseudonym) else self.tenant

    def verify_at(self, found: str, at_ms: int) -> None:
        """Check that *found* is the pseudonym of one of both at *at_ms*; raises `VerificationError` (`tenant_mismatch`)."""
        self.find(found).verify_at(found, at_ms)


def make_principals(scope: Scope) -> Principals:
    """Return the pseudonyms that *scope* opens."""
    pool = scope.pool or PoolScope("", ())
    return Principals(_make_tenancy(scope.tenant, scope.pseudonyms), _make_tenancy(pool.tenant, pool.pseudonyms))


def _make_tenancy(tenant: str, keys: Sequence[PseudonymKey]) -> Tenancy:
    by_epoch = {one.epoch: pseudonym(one.key, tenant) for one in keys}
    return Tenancy(by_epoch, frozenset(by_epoch.values()))


@dataclass(frozen=True, slots=True)
class Policies:
    """Policies in the order of the log.

    *documents* are the digests whose documents are in the bundle, *first* the leaf that first announces each policy to
    the tenant, *pool_first* to the pool, *events* all announcements to one pseudonym, *places* where among them one policy
    stands.
    """

    documents: frozenset[str]
    first: Mapping[str, int]
    pool_first: Mapping[str, int]
    events: Mapping[str, Sequence[tuple[int, PolicyEvent]]]
    places: Mapping[tuple[str, str], Sequence[int]]

    def verify_announced(self, policy: str, index: int, *, to_pool: bool = False) -> None:
        """Check that *policy* was the tenant's, or the pool's, before leaf *index*.

        Raises `VerificationError` (`policy_unknown`).
        """
        self._verify_document(policy)
        first = self.pool_first if to_pool else self.first
        if policy not in first or first[policy] >= index:
            message = "no leaf before this one announces the policy for this tenant"
            raise VerificationError(message, reason="policy_unknown", actual=policy)

    def verify_in_force(self, policy: str, batch: int, tenant: str, at_ms: int) -> None:
        """Check that *policy* decided at leaf *batch* for the pseudonym *tenant*, or was replaced only just now.

        Raises `VerificationError`: `policy_unknown`, `policy_inactive`.
        """
        self._verify_document(policy)
        events = self.events.get(tenant, ())
        count = bisect_left(events, batch, key=lambda event: event[0])
        places = self.places.get((tenant, policy), ())
        earlier = bisect_left(places, count)
        if not earlier:
            message = "no leaf before the batch announces the policy for this tenant and epoch"
            raise VerificationError(message, reason="policy_unknown", actual=policy)
        successor = places[earlier - 1] + 1
        if successor < count and events[successor][1].at_ms < at_ms - GRACE_MS:
            expected = events[count - 1][1].policy
            message = "another policy was in force"
            raise VerificationError(message, reason="policy_inactive", expected=expected, actual=policy)

    def _verify_document(self, policy: str) -> None:
        if policy not in self.documents:
            message = "the policy's document is not in the bundle"
            raise VerificationError(message, reason="policy_unknown", actual=policy)


def check_policies(
    notes: Notes, lines: Sequence[PolicyLine], bodies: Sequence[BodyLine], principals: Principals
) -> Policies:
    """Return the policies, having noted every document that is not what its digest says."""
    for line in lines:
        with notes.about(f"policy {line.policy}", "policy_mismatch"):
            digest = policy_digest(line.document)
            if digest != line.policy:
                message = "the document is another policy's"
                raise VerificationError(message, reason="policy_mismatch", expected=line.policy, actual=digest)
    first: dict[str, int] = {}
    pool_first: dict[str, int] = {}
    events: dict[str, list[tuple[int, PolicyEvent]]] = {}
    places: dict[tuple[str, str], list[int]] = {}
    for index, event in ((line.index, line.body) for line in bodies if isinstance(line.body, PolicyEvent)):
        if principals.tenant.is_ours(event.tenant):
            first.setdefault(event.policy, index)
        if principals.pool.is_ours(event.tenant):
            pool_first.setdefault(event.policy, index)
        announced = events.setdefault(event.tenant, [])
        places.setdefault((event.tenant, event.policy), []).append(len(announced))
        announced.append((index, event))
    return Policies(frozenset(line.policy for line in lines), first, pool_first, events, places)
