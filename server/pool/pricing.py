"""What publishing labelled entries costs: the noise that each entry's ε asks for, and how many a budget holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from crypto.charges import Charge, GaussianEmbedding
from privacy.calibration import multiplier_squared_micro_for
from privacy.errors import TermsError
from server.pool.consented import Candidate, Unpublishable
from server.store.pool_records import WaitingShare
from tenants.identifiers import OrganisationId

#: Different noise multipliers that one spending can state.
CHARGES_MAX: Final = 8
MICRO_PER_MILLI: Final = 1_000
TOO_LITTLE: Final = "epsilon_too_small"


@dataclass(frozen=True, slots=True)
class Priced:
    """An entry that may be published, and the noise that its ε takes."""

    candidate: Candidate
    multiplier_squared_micro: int

    @property
    def waiting(self) -> WaitingShare:
        """Its label."""
        return self.candidate.waiting


def price(candidate: Candidate, delta_atto: int) -> Priced:
    """Return *candidate* with its noise; raises `Unpublishable` for an ε that no charge can state the noise of."""
    try:
        return Priced(candidate, multiplier_squared_micro_for(candidate.epsilon_milli * MICRO_PER_MILLI, delta_atto))
    except TermsError:
        raise Unpublishable(TOO_LITTLE) from None


def by_organisation(priced: Sequence[Priced]) -> dict[OrganisationId, list[Priced]]:
    """Return *priced* by organisation, in the order in which they came."""
    found: dict[OrganisationId, list[Priced]] = defaultdict(list)
    for one in priced:
        found[one.waiting.organisation_id].append(one)
    return found


def charges_of(priced: Sequence[Priced]) -> tuple[Charge, ...]:
    """Return one charge per multiplier, over as many entries as are noised with it."""
    counts: dict[int, int] = defaultdict(int)
    for one in priced:
        counts[one.multiplier_squared_micro] += 1
    return tuple(GaussianEmbedding(count, multiplier) for multiplier, count in sorted(counts.items()))


def count_statable(own: Sequence[Priced]) -> int:
    """Return how many of *own*, from the first on, one spending can state; the others wait for the next batch."""
    seen: set[int] = set()
    for count, one in enumerate(own):
        seen.add(one.multiplier_squared_micro)
        if len(seen) > CHARGES_MAX:
            return count
    return len(own)


def count_affordable(own: Sequence[Priced], may_spend: Callable[[tuple[Charge, ...]], bool]) -> int:
    """Return how many of *own*, from the first on, a budget holds; *may_spend* says whether it holds some charges."""
    low, high = 0, len(own) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if may_spend(charges_of(own[:middle])) else (low, middle)
    return low
