"""The pool's side of a world: its own tenant, releases, and what one organisation spent on them.

    world.pool.add_spending()          charged to the present period, for the next release
    release = world.pool.add_release() with the heads of this organisation and of two others
    receipt = world.pool.add_answer(release)

Documents can be changed field by field, their bodies apart from them, and both are logged as they are.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from crypto.bodies import PolicyEvent, PoolRelease, PrivacySpending
from crypto.bundle_manifest import PoolScope, PseudonymKey
from crypto.canonical import JsonValue
from crypto.commitment import hit_salt, query_vector_commitment
from crypto.hit import HitRecord
from crypto.ledger_lines import HeadProof, ReleaseLine, SpendingLine
from crypto.policy import policy_digest
from crypto.pseudonym import epoch_of, organisation_pseudonym, pseudonym, pseudonym_key
from crypto.release import EVIDENCE_TYPE, LedgerHead, PoolItem, Release, head_path, heads_root, items_root
from crypto.spending import Budget, GaussianSum, LaplaceSelection, Period, Spending, sorted_charges
from crypto.statement import EvidenceReference

if TYPE_CHECKING:
    from tests.audit.bundles import MadeReceipt, World

POOL_TENANT = "ten_pppppppppppppppp"
ORGANISATION = "org_0123456789abcdef"
POOL_POLICY: dict[str, JsonValue] = {"mode": "static", "threshold_ten_thousandths": 9900}
CHARGES = sorted_charges((LaplaceSelection(2_000_000, 20, 11), GaussianSum(20, 25_000_000)))
RELEASES_IN_PERIOD = 3
BUDGET = Budget(RELEASES_IN_PERIOD * 40_000_000, RELEASES_IN_PERIOD * 400_000_000, 10**12)
PERIOD_MS = 1_000_000_000
#: The quantised vector of every question that the pool answers here, a signed byte per component, and what it reached.
QUERY = b"\3\4"
TAU = 20


def alias_of(release: int, item: int = 0) -> str:
    """Return the question that stands for an item of a release."""
    return f"question {release}.{item}"


def make_items(release: int) -> list[PoolItem]:
    """Return what a release brings out."""
    return [PoolItem.of([alias_of(release, one)], "plain", bytes([release % 256, one])) for one in range(2)]


@dataclass(slots=True)
class PoolSide:
    """Keys of the pool, its releases so far, and the spendings of this world's organisation."""

    world: World
    random: random.Random
    tenant_key: bytes
    organisation: str
    spendings: list[SpendingLine] = field(default_factory=list)
    releases: list[ReleaseLine] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
    policies: int = 0
    answers: int = 0
    items: dict[int, list[PoolItem]] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World) -> PoolSide:
        """Return the pool of *world*; it draws on randomness of its own, so a world without a pool stays as it was."""
        source = random.Random(f"pool of {world.plan.seed}")
        tenant_key, organisation_key = source.randbytes(32), source.randbytes(32)
        names = {organisation_pseudonym(organisation_key, f"org_{number}"): 0 for number in range(2)}
        return cls(world, source, tenant_key, organisation_pseudonym(organisation_key, ORGANISATION), others=names)

    def pseudonym_at(self, at_ms: int) -> str:
        """Return the pool's pseudonym at *at_ms*."""
        return pseudonym(pseudonym_key(self.tenant_key, epoch_of(at_ms)), POOL_TENANT)

    def make_scope(self) -> PoolScope | None:
        """Return what opens the pool's pseudonyms, where a receipt or policy of it exists."""
        if not self.policies and not self.answers:
            return None
        epochs = range(epoch_of(self.world.plan.start_ms), epoch_of(self.world.now_ms) + 1)
        return PoolScope(
            POOL_TENANT, tuple(PseudonymKey(epoch, pseudonym_key(self.tenant_key, epoch)) for epoch in epochs)
        )

    def period_at(self, at_ms: int) -> Period:
        """Return the budget period that *at_ms* lies in."""
        number = at_ms // PERIOD_MS
        return Period(number, number * PERIOD_MS, (number + 1) * PERIOD_MS)

    def make_spending(self, /, **changes: Any) -> Spending:
        """Return the organisation's next spending, for the next release, with any field changed."""
        at_ms = self.world.tick()
        last = self.spendings[-1].document if self.spendings else None
        spending = Spending(
            at_ms=at_ms,
            budget=BUDGET,
            charges=CHARGES,
            number=1 if last is None else last.number + 1,
            organisation=self.organisation,
            period=self.period_at(at_ms),
            previous=None if last is None else last.digest(),
            release=self.next_release,
            unit="question",
        )
        return replace(spending, **changes)

    @property
    def next_release(self) -> int:
        """The number of the next release."""
        return self.releases[-1].document.number + 1 if self.releases else 1

    def add_spending(self, /, body: Mapping[str, Any] | None = None, **changes: Any) -> Spending:
        """Log a spending, with any field of it changed, or of the *body* alone."""
        spending = self.make_spending(**changes)
        stated = PrivacySpending(
            at_ms=spending.at_ms,
            nonce=self.random.randbytes(32),
            number=spending.number,
            organisation=spending.organisation,
            spending=spending.digest(),
        )
        index = self.world.add_body(replace(stated, **(body or {})))
        self.spendings.append(SpendingLine(index, spending))
        return spending

    def heads(self) -> list[LedgerHead]:
        """Return the heads of all ledgers: this organisation's, if it spent, and those of strangers that did."""
        found = [
            LedgerHead(number, name, "sha256:" + f"{number:064x}") for name, number in self.others.items() if number
        ]
        if self.spendings:
            last = self.spendings[-1].document
            found.append(LedgerHead(last.number, last.organisation, last.digest()))
        return found

    def prove_head(self) -> HeadProof | None:
        """Return the proof of this organisation's present head."""
        if not self.spendings:
            return None
        return HeadProof(*head_path(self.heads(), self.spendings[-1].document.organisation))

    def make_release(self, /, **changes: Any) -> Release:
        """Return the next release under the present heads, with any field changed; everybody else spent on it too."""
        for name in self.others:
            self.others[name] += 1
        last = self.releases[-1].document if self.releases else None
        number = self.next_release
        items = self.items[number] = make_items(number)
        release = Release(
            at_ms=self.world.tick(),
            epoch=number,
            items=items_root(items),
            ledger=heads_root(self.heads()),
            mode="pooled",
            number=number,
            organisations=50,
            previous=None if last is None else last.digest(),
            state="released",
            unit="question",
            vector_source="dp_mean",
        )
        return replace(release, **changes)

    def add_release(self, /, body: Mapping[str, Any] | None = None, **changes: Any) -> Release:
        """Log the next release, with any field of it changed, or of the *body* alone."""
        return self.log_release(self.make_release(**changes), self.prove_head(), body)

    def log_release(self, release: Release, head: HeadProof | None, body: Mapping[str, Any] | None = None) -> Release:
        """Log *release* with the proof *head*, under a body with fields changed."""
        stated = PoolRelease(
            at_ms=release.at_ms,
            epoch=release.epoch,
            nonce=self.random.randbytes(32),
            number=release.number,
            release=release.digest(),
        )
        index = self.world.add_body(replace(stated, **(body or {})))
        self.releases.append(ReleaseLine(index, release, head))
        return release

    def add_void(self, **changes: Any) -> Release:
        """Log that what was paid for never came out."""
        return self.add_release(**{"state": "void", "items": items_root([]), **changes})

    def add_policy(self) -> str:
        """Announce the pool's policy and return its digest."""
        at_ms, digest = self.world.tick(), policy_digest(POOL_POLICY)
        self.world.policies[digest] = POOL_POLICY
        self.world.add_body(PolicyEvent(at_ms, self.random.randbytes(32), digest, self.pseudonym_at(at_ms), 1))
        self.policies += 1
        return digest

    def add_answer(self, release: Release | str, policy: str | None, /, **changes: Any) -> MadeReceipt:
        """Log the pool's receipt of an answer to something of *release*, attested by the first runner."""
        world = self.world
        digest = release if isinstance(release, str) else release.digest()
        fields = {
            "tenant": self.pseudonym_at(world.now_ms + 1_000),
            "evidence": (EvidenceReference(EVIDENCE_TYPE, digest),),
        }
        self.answers += 1
        return world.add_answer(world.runners[0], policy, **{**fields, **changes})

    def make_hit(self, receipt: MadeReceipt, policy: str, /, **changes: Any) -> HitRecord:
        """Return the record of this tenant's reuse of the pool's *receipt*."""
        record = self.world.make_hit(receipt, policy, tier="pool", tau=TAU)
        salt = hit_salt(self.world.tenant_key, record.hit, "query_vector")
        return replace(record, **{"query_vector": query_vector_commitment(salt, QUERY), **changes})
