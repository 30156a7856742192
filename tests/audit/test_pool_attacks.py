"""What somebody tried who keeps the books of a pool and means to deceive about them, and what bundles then cost.

The numbered deceits of `ledger_tampering` each break one rule. These are about what lies between the rules: what two
implementations read differently, what a scope may claim, what was charged for, and what a report leaves unsaid.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from crypto.bundle_manifest import PoolScope, Scope
from crypto.charges import GaussianEmbedding, GaussianSelection, GaussianSum, LaplaceSelection, sorted_charges
from crypto.ledger_lines import HeadProof
from crypto.reference import ledger_documents, privacy_cost
from crypto.release import EVIDENCE_TYPE
from crypto.spending import Budget, Charge, Cost, Period
from crypto.statement import EvidenceReference
from tests.audit.bundles import HonestBundle, Plan, World, make_bundle, make_world
from tests.audit.checking import check_of, reasons, verify, verify_proof
from tests.audit.ledger_tampering import OTHER, PLENTY, answered, spent, told
from tests.audit.pools import PERIOD_MS, PoolSide
from tests.audit.random_pools import random_charge, random_pool_attempt
from tests.audit.tampering import Attempt, attempt, forged, lines, reseal
from tests.audit.verifiers import VERIFIERS, ask_first, ask_second

BOTH = pytest.mark.parametrize("verifier", VERIFIERS)
#: What one charge may take either implementation; the slowest known takes a sixth of it.
CHARGE_S_MAX = 1.0


def ended(verifier: str, tried: Attempt) -> tuple[int, str | None]:
    """Ask one implementation and return exit code and first reason."""
    found = VERIFIERS[verifier](tried)
    return found.exit_code, found.reason


def scoped(bundle: HonestBundle, change: Callable[[Scope], Scope]) -> Attempt:
    """Let the gateway sign another scope."""
    return attempt(bundle, bundle.world.seal(replace(bundle.parts, scope=change(bundle.parts.scope))))


# What a scope claims


@BOTH
def test_a_pool_that_has_neither_receipt_nor_policy_in_the_bundle_is_superfluous(verifier: str) -> None:
    bundle = make_bundle(Plan(receipts=1, hits=1))
    stranger = bundle.world.pool.pseudonym_at(bundle.now_ms)
    assert stranger not in {line.body.tenant for line in bundle.parts.bodies if hasattr(line.body, "tenant")}
    for keys in ((), bundle.parts.scope.pseudonyms):
        tried = scoped(bundle, lambda scope, keys=keys: replace(scope, pool=PoolScope("ten_pppppppppppppppp", keys)))  # type: ignore[misc]
        assert ended(verifier, tried) == (1, "pool_superfluous")


@BOTH
def test_a_pool_whose_policy_alone_is_in_the_bundle_is_opened_rightly(verifier: str) -> None:
    assert ended(verifier, attempt(forged(lambda world, policy: world.pool.add_policy()))) == (0, None)


@BOTH
def test_the_pool_is_never_the_tenant_in_another_epoch(verifier: str) -> None:
    """Or a tenant's own answers of one month would pass as the pool's."""

    def change(scope: Scope) -> Scope:
        return replace(scope, pool=PoolScope(scope.tenant, ()))

    assert ended(verifier, scoped(make_bundle(Plan(receipts=1, hits=1)), change)) == (2, "manifest_malformed")


@BOTH
def test_an_organisation_is_named_only_where_it_spent(verifier: str) -> None:
    """Or every spending and every head could be left out together, and the report would name a ledger that adds up."""
    bundle = forged(lambda world, policy: world.pool.add_release())
    named = scoped(bundle, lambda scope: replace(scope, organisation=bundle.world.pool.organisation))
    assert ended(verifier, named) == (1, "spending_missing")


# Where the two implementations differed


@BOTH
@pytest.mark.parametrize(("hashes", "reason"), [(63, "ledger_head"), (64, "malformed")])
def test_the_path_of_a_head_has_as_many_hashes_as_any_other(hashes: int, reason: str, verifier: str) -> None:
    def change(pool: PoolSide, world: World) -> None:
        pool.add_spending()
        pool.log_release(pool.make_release(), HeadProof(0, (bytes(32),) * hashes))

    assert ended(verifier, told(change)) == (1, reason)


@BOTH
def test_a_spending_is_refused_before_a_release_whose_document_is_left_out(verifier: str) -> None:
    def change(world: World, policy: str) -> None:
        world.pool.add_spending(stated=Cost(1, 2, 3))
        world.pool.add_release()
        world.pool.add_release()

    bundle = forged(change)
    shown = replace(bundle.parts, releases=bundle.parts.releases[:1])
    assert ended(verifier, attempt(bundle, bundle.world.seal(shown))) == (1, "spending_arithmetic")


@BOTH
def test_what_the_pool_answered_from_is_asked_before_whose_model_it_was(verifier: str) -> None:
    def change(world: World, policy: str, pool_policy: str) -> None:
        receipt = world.pool.add_answer(OTHER, pool_policy, model_version=OTHER)
        world.add_batch([world.pool.make_hit(receipt, policy)])

    assert ended(verifier, answered(change)) == (1, "release_unlogged")


# Periods


def periods(*changes: Callable[[Period], Period]) -> Attempt:
    """Spend and release in one period after another, each changed."""

    def change(pool: PoolSide, world: World) -> None:
        for number, made in enumerate(changes):
            world.tick(PERIOD_MS if number else 1)
            pool.add_spending(period=made(pool.period_at(world.now_ms)))
            pool.add_release()

    return told(change)


def same(period: Period) -> Period:
    return period


@BOTH
def test_periods_of_one_calendar_are_accepted_with_gaps_between_them(verifier: str) -> None:
    def later(period: Period) -> Period:
        return Period(period.number - 9, period.from_ms - 9 * PERIOD_MS, period.until_ms - 9 * PERIOD_MS)

    assert ended(verifier, periods(same, same, later)) == (0, None)


@BOTH
@pytest.mark.parametrize(
    "other",
    [
        lambda period: replace(period, until_ms=period.from_ms + PERIOD_MS // 2),
        lambda period: replace(period, number=period.number + 1),
        lambda period: replace(period, from_ms=period.from_ms + 1, until_ms=period.until_ms + 1),
        lambda period: Period(0, 0, 1),
        lambda period: Period(2**53 - 1, period.from_ms, period.until_ms),
    ],
    ids=["shorter", "a-number-left-out", "moved", "a-moment-of-1970", "largest-number"],
)
def test_a_budget_is_not_renewed_by_a_period_outside_the_calendar(
    other: Callable[[Period], Period], verifier: str
) -> None:
    assert ended(verifier, periods(same, other)) == (1, "period_calendar")


def test_a_report_tells_the_largest_budget_of_the_periods_that_it_does_not_list() -> None:
    def change(world: World, policy: str) -> None:
        for number in range(26):
            world.tick(PERIOD_MS)
            world.pool.add_spending(**({"budget": Budget(777_000_000, 888_000_000_000, 10**13)} if number == 1 else {}))
            world.pool.add_release()

    detail = check_of(verify(forged(change)), "ledger").detail
    assert "2 earlier periods are added up and not told, none of them with more than" in detail
    assert "ε 777 and ρ 888 (zCDP) and δ 1.0e-5" in detail


# What is paid for


def paid(vector_source: str, *charges: Charge, **release: Any) -> Attempt:
    """Spend *charges* on a release whose vectors come from *vector_source*."""

    def change(pool: PoolSide, world: World) -> None:
        pool.add_spending(charges=sorted_charges(charges), budget=PLENTY, unit=release.get("unit", "question"))
        pool.add_release(vector_source=vector_source, **release)

    return told(change)


LAPLACE, GAUSSIAN = LaplaceSelection(2_000_000, 20, 11), GaussianSelection(20, 9_000_000, 60)
NOISED = {"mode": "noised", "unit": "entry"}


@BOTH
@pytest.mark.parametrize(
    "tried",
    [
        lambda: paid("dp_mean", LAPLACE),
        lambda: paid("dp_mean", LAPLACE, GaussianSum(19, 25_000_000)),
        lambda: paid("dp_mean", GAUSSIAN, GaussianEmbedding(20, 25_000_000)),
        lambda: paid("released_text", GaussianSum(20, 25_000_000)),
        lambda: paid("noised", LAPLACE, GaussianSum(20, 25_000_000), **NOISED),
    ],
    ids=["means", "means-of-a-key-more", "means-as-embeddings", "selection", "embeddings"],
)
def test_what_came_out_of_a_mechanism_that_nobody_was_charged_for_is_refused(
    tried: Callable[[], Attempt], verifier: str
) -> None:
    assert ended(verifier, tried()) == (1, "spending_charges")


@BOTH
@pytest.mark.parametrize(
    "tried",
    [
        lambda: paid("dp_mean", GAUSSIAN, GaussianSum(20, 25_000_000)),
        lambda: paid("released_text", LAPLACE),
        lambda: paid("released_text", LAPLACE, GaussianSum(1, 25_000_000)),
        lambda: paid("noised", GaussianEmbedding(3, 9_000_000), GaussianEmbedding(3, 9_000_001), **NOISED),
    ],
)
def test_what_was_charged_for_is_accepted(tried: Callable[[], Attempt], verifier: str) -> None:
    assert ended(verifier, tried()) == (0, None)


# One's own word under another's name


def test_a_hit_on_a_receipt_of_its_own_tenant_that_names_a_release_is_refused_in_a_proof_file() -> None:
    """A bundle refuses it, so a proof file that shows less may not accept it."""
    world = make_world(Plan(receipts=1, hits=1))
    world.pool.add_policy()
    release = world.pool.add_release()
    named = EvidenceReference(EVIDENCE_TYPE, release.digest())
    policy = next(iter(world.policies))
    receipt = world.add_answer(world.runners[0], policy, evidence=(named,))
    world.add_batch([world.make_hit(receipt, policy, tier="exact", query_vector=None, tau=None)])
    bundle = world.export()
    assert reasons(verify_proof(bundle, world.hit_proof(list(world.batches)[-1], 0))) == [("hits", "release_unlogged")]


@BOTH
@pytest.mark.parametrize("of_pool", [True, False])
def test_a_vector_of_one_side_is_not_evidence_about_a_receipt_of_the_other(of_pool: bool, verifier: str) -> None:
    def change(world: World, policy: str, pool_policy: str) -> None:
        receipt = world.pool.add_answer(world.pool.releases[0].document, pool_policy)
        world.add_batch([world.pool.make_hit(receipt, policy)])
        at_ms = world.now_ms + 1_000
        if of_pool:
            world.add_embedding(receipt, world.runners[0])
        else:
            world.add_embedding(world.receipts[0], world.runners[0], tenant=world.pool.pseudonym_at(at_ms))

    assert ended(verifier, answered(change)) == (1, "tenant_mismatch")


@BOTH
def test_a_vector_of_the_pool_is_evidence_about_a_receipt_of_the_pool(verifier: str) -> None:
    def change(world: World, policy: str, pool_policy: str) -> None:
        receipt = world.pool.add_answer(world.pool.releases[0].document, pool_policy)
        world.add_batch([world.pool.make_hit(receipt, policy)])
        tenant = world.pool.pseudonym_at(world.now_ms + 1_000)
        world.add_embedding(receipt, world.runners[0], tenant=tenant)

    assert ended(verifier, answered(change)) == (0, None)


# Numbers that are too large, and numbers that take long


@BOTH
def test_a_cost_that_no_spending_can_state_is_refused_however_large_the_budget(verifier: str) -> None:
    """ρ is 10,000 · 10^15/2 here, above 2^53: what wraps or saturates would fit the budget."""
    most = Budget(2**53 - 1, 2**53 - 1, 2**53 - 1)
    stated = Cost(0, 2**53 - 1, 0)
    tried = spent(charges=(GaussianEmbedding(10_000, 1),), budget=most, stated=stated, period=Period(0, 0, 1))
    assert ended(verifier, tried) == (1, "spending_arithmetic")


def second_cost(charge: Charge) -> Cost:
    """Return what the second implementation makes of a charge."""
    read = ledger_documents._charge(charge.to_json())  # type: ignore[arg-type]
    found = privacy_cost.cost(read)
    return Cost(found.epsilon_micro, found.rho_nano, found.delta_atto)


def test_both_charge_the_same_for_anything_that_can_be_charged(campaign: bool) -> None:
    chance = random.Random(11)
    for _ in range(2_000 if campaign else 250):
        charge = random_charge(chance)
        cost = charge.compute_cost()
        assert second_cost(charge) == cost, charge
        assert max(cost.epsilon_micro, cost.rho_nano, cost.delta_atto) > 0


EDGES = [
    GaussianSelection(keys, multiplier, threshold)
    for keys in (1, 7, 1_000)
    for multiplier in (1, 1_000, 10**6, 142_857_142, 10**9, 10**11, 10**12)
    for threshold in (2, 1_000, 9_999, 10_000)
] + [LaplaceSelection(epsilon, 1_000, threshold) for epsilon in (1, 10**6, 10**9) for threshold in (2, 10_000)]


@pytest.mark.parametrize("cost", [lambda charge: charge.compute_cost(), second_cost], ids=["first", "second"])
def test_no_charge_takes_long(cost: Callable[[Any], Cost]) -> None:
    for charge in EDGES:
        before = time.process_time()
        cost(charge)
        assert time.process_time() - before < CHARGE_S_MAX, charge


@BOTH
@pytest.mark.parametrize(("each", "reason"), [(7, "spending_mismatch"), (8, "malformed")])
def test_a_ledger_names_no_more_selections_than_an_auditor_has_time_for(each: int, reason: str, verifier: str) -> None:
    """Of 700 spendings with eight each, a bundle of a megabyte, the first made three minutes' work."""
    bundle = forged(lambda world, policy: [world.pool.add_spending() for _ in range(36)] and world.pool.add_release())

    def change(found: list[dict[str, Any]]) -> None:
        for place, one in enumerate(found):
            charges = (LaplaceSelection(10**6 + 8 * place + number, 20, 11) for number in range(each))
            one["document"]["charges"] = [charge.to_json() for charge in sorted_charges(charges)]

    assert ended(verifier, reseal(bundle, spendings_jsonl=lines(change))) == (1, reason)


# Anything at all


def test_both_come_to_the_same_end_for_the_same_reason_whatever_happened_to_a_pool(campaign: bool) -> None:
    ends: Counter[str] = Counter()
    for seed in range(5_000 if campaign else 60):
        tried = random_pool_attempt(seed)
        first, second = ask_first(tried), ask_second(tried)
        assert (first.exit_code, first.reason) == (second.exit_code, second.reason), seed
        ends[str(first.reason)] += 1
        if first.exit_code in (0, 3):
            assert first == second, seed
    assert ends["None"] > ends.total() // 6, ends
    assert len(ends) > 8, ends
