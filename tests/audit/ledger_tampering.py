"""Ways to deceive an auditor about what an organisation spent, what was released, and what the pool answered from.

63 is about spendings, 64 about releases, 65 about receipts of the pool, 66 about hits in it. Most need the whole house to
lie: it logs what it likes, and the log signs the tree that it gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from crypto.merkle import EMPTY_ROOT
from crypto.release import EVIDENCE_TYPE, Tree
from crypto.spending import Budget, Cost, Period
from crypto.statement import EvidenceReference, sign_receipt
from tests.audit.bundles import HonestBundle, World
from tests.audit.pools import PERIOD_MS, PoolSide
from tests.audit.tampering import (
    PLAN,
    Attempt,
    Case,
    attempt,
    flip_text,
    forged,
    honest,
    line,
    lines,
    put,
    reseal,
)

LEDGER: list[Case] = []
OTHER = "sha256:" + "7" * 64
#: Three releases, of which the second is void; the second and the third were paid for; two hits on the third.
POOL_PLAN = replace(PLAN, releases=3, pool_hits=2)
PLENTY = Budget(10**15, 10**15, 10**15)


def deceit(name: str, *reasons: str, exit_code: int = 1) -> Any:
    """Enter the function below as the case *name*, refused for one of *reasons*."""

    def enter(make: Any) -> Any:
        LEDGER.append(Case(name, make, frozenset(reasons), exit_code))
        return make

    return enter


def told(change: Callable[[PoolSide, World], object]) -> Attempt:
    """Put the bundle of a world before a verifier in whose pool *change* happened and nothing else."""
    return attempt(forged(lambda world, policy: change(world.pool, world)))


def spent(**changes: Any) -> Attempt:
    """Spend and release honestly, then spend again with fields changed, and release."""

    def change(pool: PoolSide, world: World) -> None:
        pool.add_spending()
        pool.add_release()
        pool.add_spending(**changes)
        pool.add_release()

    return told(change)


def spent_on(times: int, **changes: Any) -> Attempt:
    """Spend on several releases in one period, with the same fields changed in all."""

    def change(pool: PoolSide, world: World) -> None:
        for _ in range(times):
            pool.add_spending(**changes)
            pool.add_release()

    return told(change)


def hide(world: World, index: int) -> None:
    """Leave a body, its leaf and its document out of the bundle; the log keeps the leaf."""
    del world.leaves[index]
    world.bodies = [one for one in world.bodies if one.index != index]
    world.pool.spendings = [one for one in world.pool.spendings if one.index != index]
    world.pool.releases = [one for one in world.pool.releases if one.index != index]


def resealed(bundle: HonestBundle | None = None, **members: Any) -> Attempt:
    """Change members of a bundle with a pool and let the gateway sign it anew."""
    return reseal(bundle or honest(POOL_PLAN), **members)


# 63: spendings


@deceit("63a-epsilon-overspent", "budget_overspent")
def _() -> Attempt:
    return spent_on(4)


@deceit("63b-rho-overspent", "budget_overspent")
def _() -> Attempt:
    return spent_on(2, budget=replace(PLENTY, rho_nano=799_999_999))


@deceit("63c-delta-overspent", "budget_overspent")
def _() -> Attempt:
    return spent_on(2, budget=replace(PLENTY, delta_atto=72_618_323_517))


@deceit("63d-spending-left-out-between-two", "spending_missing")
def _() -> Attempt:
    def change(pool: PoolSide, world: World) -> None:
        for _ in range(3):
            pool.add_spending()
            pool.add_release()
        hide(world, pool.spendings[1].index)

    return told(change)


@deceit("63e-last-spending-before-a-release-left-out", "ledger_head")
def _() -> Attempt:
    def change(pool: PoolSide, world: World) -> None:
        for _ in range(2):
            pool.add_spending()
            pool.add_release()
        hide(world, pool.spendings[1].index)

    return told(change)


@deceit("63f-spendings-of-a-tenant-that-never-spent", "organisation_mismatch")
def _() -> Attempt:
    return resealed(manifest=put("scope", "organisation", to=None))


@deceit("63g-spending-renumbered", "spending_missing")
def _() -> Attempt:
    return spent(number=3)


@deceit("63h-spending-behind-another-than-the-one-before", "spending_missing")
def _() -> Attempt:
    return spent(previous=OTHER)


@deceit("63i-two-first-spendings", "spending_missing")
def _() -> Attempt:
    return spent(number=1, previous=None)


@deceit("63j-epsilon-of-the-sum-changed", "spending_arithmetic")
def _() -> Attempt:
    return spent(stated=Cost(1, 400_000_000, 36_309_161_759))


@deceit("63k-rho-of-the-sum-changed", "spending_arithmetic")
def _() -> Attempt:
    return spent(stated=Cost(40_000_000, 399_999_999, 36_309_161_759))


@deceit("63l-delta-of-the-sum-rounded-down", "spending_arithmetic")
def _() -> Attempt:
    return spent(stated=Cost(40_000_000, 400_000_000, 36_309_161_758))


@deceit("63m-charge-changed-behind-its-leaf", "spending_mismatch")
def _() -> Attempt:
    return resealed(spendings_jsonl=line(0, put("document", "charges", 0, "epsilon_micro", to=1)))


@deceit("63n-budget-raised-within-the-period", "budget_changed")
def _() -> Attempt:
    return spent(budget=PLENTY)


@deceit("63o-period-made-longer", "budget_changed")
def _() -> Attempt:
    return told(lambda pool, world: _spend_in_two(pool, stretch_ms=1))


def _spend_in_two(pool: PoolSide, stretch_ms: int, later: int = 0) -> None:
    """Spend in the present period, and again in one whose number is *later* and whose end is *stretch_ms* further."""
    pool.add_spending()
    pool.add_release()
    period = pool.spendings[0].document.period
    pool.add_spending(period=Period(period.number + later, period.from_ms, period.until_ms + stretch_ms))
    pool.add_release()


@deceit("63p-periods-that-overlap", "period_overlap")
def _() -> Attempt:
    def change(pool: PoolSide, world: World) -> None:
        pool.add_spending()
        pool.add_release()
        period = pool.spendings[0].document.period
        pool.add_spending(
            period=Period(period.number + 1, period.until_ms - PERIOD_MS + 1, period.until_ms + PERIOD_MS)
        )
        pool.add_release()

    return told(change)


@deceit("63q-one-time-under-two-numbers-of-periods", "period_overlap")
def _() -> Attempt:
    return told(lambda pool, world: _spend_in_two(pool, stretch_ms=0, later=1))


@deceit("63r-spending-behind-its-release", "spending_order")
def _() -> Attempt:
    def change(pool: PoolSide, world: World) -> None:
        pool.add_release()
        pool.add_spending(release=1)
        pool.add_release()

    return told(change)


@deceit("63s-spending-for-a-release-after-the-next", "spending_order")
def _() -> Attempt:
    return told(lambda pool, world: (pool.add_release(), pool.add_spending(release=3)))


@deceit("63t-spending-before-its-turn-for-the-next-release", "spending_order")
def _() -> Attempt:
    return told(lambda pool, world: (pool.add_spending(release=2), pool.add_release()))


@deceit("63u-spending-of-another-unit-than-its-release", "spending_order")
def _() -> Attempt:
    return spent(unit="organisation")


@deceit("63v-spending-of-another-organisation", "organisation_mismatch")
def _() -> Attempt:
    return spent(organisation="0" * 32)


@deceit("63w-leaf-of-another-number", "spending_mismatch")
def _() -> Attempt:
    return spent(body={"number": 9})


@deceit("63x-leaf-of-another-organisation", "spending_mismatch")
def _() -> Attempt:
    return spent(body={"organisation": "0" * 32})


@deceit("63y-spending-that-was-never-logged", "spending_mismatch")
def _() -> Attempt:
    def change(pool: PoolSide, world: World) -> None:
        pool.add_spending()
        pool.add_release()
        index = pool.spendings[0].index
        del world.leaves[index]
        world.bodies = [one for one in world.bodies if one.index != index]

    return told(change)


@deceit("63z-document-of-the-last-spending-left-out", "spending_mismatch")
def _() -> Attempt:
    bundle = forged(lambda world, policy: (world.pool.add_release(), world.pool.add_spending()))
    return reseal(bundle, spendings_jsonl=lambda data: b"", manifest=put("counts", "spendings", to=0))


# 64: releases


@deceit("64a-release-left-out-between-two", "release_missing")
def _() -> Attempt:
    def change(pool: PoolSide, world: World) -> None:
        for _ in range(3):
            pool.add_release()
        hide(world, pool.releases[1].index)

    return told(change)


@deceit("64b-release-renumbered", "release_missing")
def _() -> Attempt:
    return told(lambda pool, world: (pool.add_release(), pool.add_release(number=3)))


@deceit("64c-release-behind-another-than-the-one-before", "release_missing")
def _() -> Attempt:
    return told(lambda pool, world: (pool.add_release(), pool.add_release(previous=OTHER)))


@deceit("64d-release-changed-behind-its-leaf", "release_mismatch")
def _() -> Attempt:
    return resealed(releases_jsonl=line(0, put("document", "organisations", to=51)))


@deceit("64e-leaf-of-another-epoch", "release_mismatch")
def _() -> Attempt:
    return told(lambda pool, world: pool.add_release(body={"epoch": 9}))


@deceit("64f-release-that-was-never-logged", "release_mismatch")
def _() -> Attempt:
    def change(pool: PoolSide, world: World) -> None:
        pool.add_release()
        index = pool.releases[0].index
        del world.leaves[index]
        world.bodies = [one for one in world.bodies if one.index != index]

    return told(change)


@deceit("64g-document-of-the-last-release-left-out", "release_mismatch")
def _() -> Attempt:
    bundle = forged(lambda world, policy: (world.pool.add_release(), world.pool.add_release()))
    return reseal(bundle, releases_jsonl=lines(lambda found: found.pop()), manifest=put("counts", "releases", to=1))


@deceit("64h-release-on-an-older-head", "ledger_head")
def _() -> Attempt:
    def change(pool: PoolSide, world: World) -> None:
        pool.add_spending()
        pool.add_release()
        ledger, head = pool.releases[0].document.ledger, pool.releases[0].head
        pool.add_spending()
        pool.log_release(pool.make_release(ledger=ledger), head)

    return told(change)


@deceit("64i-path-of-a-head-changed", "ledger_head")
def _() -> Attempt:
    return resealed(releases_jsonl=line(1, put("head", "path", 0, to=flip_text)))


@deceit("64j-head-at-another-position", "ledger_head")
def _() -> Attempt:
    return resealed(releases_jsonl=line(1, put("head", "position", to=9)))


@deceit("64k-head-left-out", "ledger_head")
def _() -> Attempt:
    return resealed(releases_jsonl=line(2, put("head", to=None)))


@deceit("64l-head-of-a-ledger-that-had-not-begun", "ledger_head")
def _() -> Attempt:
    return resealed(releases_jsonl=line(0, put("head", to={"path": [], "position": 0})))


@deceit("64m-release-without-any-ledger", "ledger_head")
def _() -> Attempt:
    def change(pool: PoolSide, world: World) -> None:
        pool.add_spending()
        pool.add_release(ledger=Tree(0, EMPTY_ROOT))

    return told(change)


@deceit("64n-void-release-with-items", "malformed")
def _() -> Attempt:
    return resealed(releases_jsonl=line(1, put("document", "items", "count", to=1)))


@deceit("64o-labelled-entries-under-the-unit-of-questions", "malformed")
def _() -> Attempt:
    return resealed(releases_jsonl=line(0, put("document", "mode", to="noised")))


@deceit("64p-counts-of-the-ledger-wrong", "counts_wrong")
def _() -> Attempt:
    return resealed(manifest=put("counts", "releases", to=lambda count: count + 1))


# 65: receipts of the pool


def answered(change: Callable[[World, str, str], object]) -> Attempt:
    """Log what *change* does in a world with two releases, the second void; it gets both policies."""

    def happen(world: World, policy: str) -> None:
        pool_policy = world.pool.add_policy()
        world.pool.add_release()
        world.pool.add_void()
        change(world, policy, pool_policy)

    return attempt(forged(happen))


def pool_answer(release: int | str, **changes: Any) -> Attempt:
    """Let the pool answer from a release, by its place or by a digest, and let a hit refer to the answer."""

    def change(world: World, own_policy: str, pool_policy: str) -> None:
        named = world.pool.releases[release].document if isinstance(release, int) else release
        receipt = world.pool.add_answer(named, pool_policy, **changes)
        world.add_batch([world.pool.make_hit(receipt, own_policy)])

    return answered(change)


@deceit("65a-answer-to-what-was-never-released", "release_unlogged")
def _() -> Attempt:
    return pool_answer(OTHER)


@deceit("65b-answer-to-a-void-release", "release_unlogged")
def _() -> Attempt:
    return pool_answer(1)


@deceit("65c-answer-before-its-release", "release_unlogged")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        release = world.pool.make_release()
        receipt = world.pool.add_answer(release, pool_policy)
        world.pool.log_release(release, None)
        world.add_batch([world.pool.make_hit(receipt, policy)])

    return answered(change)


@deceit("65d-answer-of-the-pool-that-names-no-release", "release_unlogged")
def _() -> Attempt:
    return pool_answer(0, evidence=())


@deceit("65e-answer-of-the-pool-with-other-evidence-besides", "release_unlogged")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        named = EvidenceReference(EVIDENCE_TYPE, world.pool.releases[0].document.digest())
        receipt = world.pool.add_answer("", pool_policy, evidence=(EvidenceReference("example/v1", OTHER), named))
        world.add_batch([world.pool.make_hit(receipt, policy)])

    return answered(change)


@deceit("65f-own-receipt-that-names-a-release", "release_unlogged")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        named = EvidenceReference(EVIDENCE_TYPE, world.pool.releases[0].document.digest())
        world.add_answer(world.runners[0], policy, evidence=(named,))

    return answered(change)


@deceit("65g-declared-answer-of-the-pool", "release_unlogged")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        named = EvidenceReference(EVIDENCE_TYPE, world.pool.releases[0].document.digest())
        tenant = world.pool.pseudonym_at(world.now_ms + 1_000)
        statement = world.make_declared(pool_policy, tenant=tenant, evidence=(named,))
        receipt = world.add_receipt(sign_receipt(statement, world.gateway), statement)
        world.add_batch([world.pool.make_hit(receipt, policy)])

    return answered(change)


@deceit("65h-answer-of-the-pool-that-no-hit-refers-to", "out_of_scope")
def _() -> Attempt:
    return answered(
        lambda world, policy, pool_policy: world.pool.add_answer(world.pool.releases[0].document, pool_policy)
    )


@deceit("65i-answer-of-the-pool-under-the-tenants-policy", "policy_unknown")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        receipt = world.pool.add_answer(world.pool.releases[0].document, policy)
        world.add_batch([world.pool.make_hit(receipt, policy)])

    return answered(change)


@deceit("65j-own-receipt-under-the-pools-policy", "policy_unknown")
def _() -> Attempt:
    return answered(lambda world, policy, pool_policy: world.add_answer(world.runners[0], pool_policy))


@deceit("65k-pool-that-the-scope-does-not-open", "release_unlogged", "tenant_mismatch")
def _() -> Attempt:
    return resealed(manifest=put("scope", "pool", to=None))


@deceit("65l-pool-of-another-tenant", "pool_superfluous")
def _() -> Attempt:
    return resealed(manifest=put("scope", "pool", "tenant", to="ten_zzzzzzzzzzzzzzzz"))


@deceit("65m-answer-of-the-pool-signed-by-nobody-who-may", "signer_role")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        named = EvidenceReference(EVIDENCE_TYPE, world.pool.releases[0].document.digest())
        tenant = world.pool.pseudonym_at(world.now_ms + 1_000)
        receipt = world.add_answer(world.gateway, pool_policy, tenant=tenant, evidence=(named,))
        world.pool.answers += 1
        world.add_batch([world.pool.make_hit(receipt, policy)])

    return answered(change)


# 66: hits in the pool


@deceit("66a-pool-hit-called-exact", "hit_tier")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        receipt = world.pool.add_answer(world.pool.releases[0].document, pool_policy)
        world.add_batch([world.pool.make_hit(receipt, policy, tier="exact", query_vector=None, tau=None)])

    return answered(change)


@deceit("66b-own-hit-called-a-hit-in-the-pool", "hit_tier")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        world.add_batch([world.pool.make_hit(world.receipts[0], policy)])

    return answered(change)


@deceit("66c-hit-of-the-pool-itself", "tenant_mismatch")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        receipt = world.pool.add_answer(world.pool.releases[0].document, pool_policy)
        record = world.pool.make_hit(receipt, policy)
        world.add_batch([replace(record, tenant=world.pool.pseudonym_at(record.at_ms))])

    return answered(change)


@deceit("66d-batch-of-the-pools-hits", "tenant_mismatch")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        receipt = world.pool.add_answer(world.pool.releases[0].document, pool_policy)
        record = world.pool.make_hit(receipt, policy)
        world.add_batch([record], tenant=world.pool.pseudonym_at(world.now_ms + 1_000))

    return answered(change)


@deceit("66e-hit-by-the-pools-policy", "policy_unknown")
def _() -> Attempt:
    def change(world: World, policy: str, pool_policy: str) -> None:
        receipt = world.pool.add_answer(world.pool.releases[0].document, pool_policy)
        world.add_batch([world.pool.make_hit(receipt, pool_policy)])

    return answered(change)
