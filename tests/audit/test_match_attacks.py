"""Ways to pass a hit off as one that the pool answered rightly; both verifiers see through each, with one reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from crypto.commitment import query_vector_commitment
from crypto.hit import HitRecord
from crypto.reference.verify import verify as verify_again
from crypto.release import PoolItem, item_paths, items_root
from crypto.similarity import COMPONENT_MAX, inner_product, threshold_integer
from crypto.verify import AuditOptions, verify_bundle
from tests.audit.bundles import HonestBundle, MadeReceipt, Plan, World, make_world
from tests.audit.pools import alias_of
from tests.audit.proofs import ALIAS_VECTOR, COSINE, DIMENSION
from tests.audit.tampering import Attempt, attempt, forged, line, lines, put, reseal
from tests.audit.verifiers import VERIFIERS
from tests.pool_matches import MALFORMED

#: Two hits of the pool with what they matched, and one of the tenant's own.
PLAN = Plan(receipts=1, hits=1, releases=3, matched=2, seed=11)
OTHER = "sha256:" + "7" * 64
SCORE = inner_product(ALIAS_VECTOR, ALIAS_VECTOR)


def shown(tried: Attempt) -> int:
    """Return how many hits both verifiers, which accept the bundle, say are shown to be close."""
    first = verify_bundle(tried.data, tried.trust, AuditOptions(now_ms=tried.now_ms))
    second = verify_again(tried.data, tried.trust, now_ms=tried.now_ms, max_age_ms=None, last_seen=None)
    assert (first.report.exit_code, second.exit_code, second.reason) == (0, 0, None)
    assert first.applicable == second.applicable
    return len(first.applicable)


def refused(tried: Attempt, *reasons: str) -> None:
    """Check that both verifiers refuse the bundle, each first of all for one of *reasons*."""
    for verifier, ask in VERIFIERS.items():
        found = ask(tried)
        assert found.exit_code == 1 and found.reason in reasons, (verifier, found.reason)


def matched(change: Callable[[Any], object]) -> Attempt:
    """Let the gateway sign a bundle in which the first match was changed."""
    return reseal(make_world(PLAN).export(), matches_jsonl=line(0, lambda found: change(found["match"])))


Making = Callable[[World, MadeReceipt, str], object]


def answered(make: Making, **release: Any) -> Attempt:
    """Let the whole house log what *make* does with an answer of the pool to the first of two releases of its own."""

    def happen(world: World, policy: str) -> None:
        pool_policy = world.pool.add_policy()
        first = world.pool.add_release(**release)
        receipt = world.pool.add_answer(first, pool_policy)
        world.pool.add_release()
        make(world, receipt, policy)

    return attempt(forged(happen, Plan(receipts=1, hits=1)))


def give(world: World, record: HitRecord, release: int = 1, **match: Any) -> None:
    """Log the hit *record* and say that it matched an item of *release*."""
    world.add_batch([record])
    world.closeness.add_match(record, release, **match)


# What is accepted


def test_hits_of_the_pool_are_shown_to_be_close_by_their_matches() -> None:
    assert shown(attempt(make_world(PLAN).export())) == 2


def test_a_closed_query_shows_nothing_and_refuses_nothing() -> None:
    assert shown(attempt(make_world(replace(PLAN, queries=False)).export())) == 0


def test_a_hit_of_the_pool_without_its_match_is_not_shown() -> None:
    honest = make_world(PLAN).export()
    without = reseal(honest, matches_jsonl=lines(lambda found: found.pop()), manifest=put("counts", "matches", to=1))
    assert shown(without) == 1


def test_a_threshold_that_was_reached_to_the_last_unit_is_enough() -> None:
    def make(world: World, receipt: MadeReceipt, policy: str) -> None:
        query = world.closeness.near(ALIAS_VECTOR)
        score = inner_product(query, ALIAS_VECTOR)
        give(world, world.closeness.make_pool_hit(receipt, policy, query=query, tau=score))

    assert shown(answered(make)) == 1


# What a match says


#: An item of a single alias has no other order.
@pytest.mark.parametrize("name", sorted(MALFORMED.keys() - {"aliases in no order"}))
def test_a_match_in_no_form_is_refused(name: str) -> None:
    refused(matched(MALFORMED[name]), "match_invalid")


@pytest.mark.parametrize(
    "change",
    [
        put("alias", to="question 3.1"),
        put("alias", to="question 3.0?"),
        put("item", "profile", to="polite"),
        put("item", "vector", to=OTHER),
        put("item", "aliases", 0, to=OTHER),
        put("position", to=1),
        put("position", to=2),
        put("path", 0, to="00" * 32),
        put("path", to=[]),
        put("vector", 0, to=-COMPONENT_MAX),
        put("vector", to=lambda vector: [-part for part in vector]),
        put("vector", to=lambda vector: [*vector, 0]),
        put("vector", to=lambda vector: vector[1:]),
        put("vector", to=[]),
        put("vector", to=[0] * DIMENSION),
        put("vector", to=[COMPONENT_MAX] * DIMENSION),
    ],
)
def test_a_changed_match_is_refused(change: Callable[[Any], None]) -> None:
    refused(matched(change), "match_invalid")


@pytest.mark.parametrize("value", [None, 7, "match", []])
def test_a_match_that_is_no_object_makes_the_bundle_malformed(value: Any) -> None:
    honest = make_world(PLAN).export()
    refused(reseal(honest, matches_jsonl=line(0, put("match", to=value))), "malformed")


# What a match is of


def test_the_match_of_another_hit_is_refused_where_their_queries_differ() -> None:
    honest = make_world(PLAN).export()

    def swap(found: list[Any]) -> None:
        found[0]["match"]["vector"], found[1]["match"]["vector"] = [100] * DIMENSION, [-100] * DIMENSION

    refused(reseal(honest, matches_jsonl=lines(swap)), "match_invalid")


def test_a_match_of_a_hit_that_is_not_here_is_refused() -> None:
    honest = make_world(PLAN).export()
    refused(reseal(honest, matches_jsonl=line(0, put("hit", to="hit_" + "0" * 32))), "match_invalid")


def test_two_matches_of_one_hit_make_the_bundle_malformed() -> None:
    honest = make_world(PLAN).export()
    twice = lines(lambda found: found.append(found[-1]))
    refused(reseal(honest, matches_jsonl=twice, manifest=put("counts", "matches", to=3)), "malformed")


def test_matches_that_the_manifest_does_not_count_are_noticed() -> None:
    honest = make_world(PLAN).export()
    refused(reseal(honest, manifest=put("counts", "matches", to=1)), "counts_wrong")


@pytest.mark.parametrize("tier", ["exact", "private"])
def test_a_hit_of_the_tenants_own_has_no_match(tier: str) -> None:
    def make(world: World, receipt: MadeReceipt, policy: str) -> None:
        own = world.add_answer(world.runners[0], policy)
        world.add_batch([world.closeness.make_pool_hit(receipt, policy)])
        by_meaning = {} if tier == "private" else {"query_vector": None, "tau": None}
        record = world.closeness.make_pool_hit(own, policy, tier=tier, **by_meaning)
        world.add_batch([record])
        world.closeness.add_match(record, 1)
        if tier == "exact":
            world.closeness.opened.clear()

    refused(answered(make), "match_invalid")


def test_an_item_of_another_release_than_the_receipt_names_is_refused() -> None:
    def make(world: World, receipt: MadeReceipt, policy: str) -> None:
        give(world, world.closeness.make_pool_hit(receipt, policy), release=2)

    refused(answered(make), "match_invalid")


def test_an_item_that_nothing_released_is_refused_whatever_tree_it_comes_with() -> None:
    def make(world: World, receipt: MadeReceipt, policy: str) -> None:
        items = [PoolItem.of(["whatever was asked"], "plain", b"\1"), PoolItem.of(["more"], "plain", b"\2")]
        position, path = item_paths(items)[0]
        record = world.closeness.make_pool_hit(receipt, policy)
        give(world, record, alias="whatever was asked", item=items[0], position=position, path=path)

    refused(answered(make), "match_invalid")


@pytest.mark.parametrize("inner", [0, 1])
def test_a_node_of_the_tree_is_no_item(inner: int) -> None:
    """A path that stops early would prove whatever hashes to an inner node; an item's leaf never does."""

    def make(world: World, receipt: MadeReceipt, policy: str) -> None:
        record = world.closeness.make_pool_hit(receipt, policy)
        item = world.pool.items[1][inner]
        give(world, record, alias=alias_of(1, inner), item=item, position=0, path=())

    refused(answered(make), "match_invalid")


def test_a_release_of_one_item_proves_it_without_a_path_and_no_other() -> None:
    items = [PoolItem.of([alias_of(1)], "plain", b"\1")]

    def with_item(item: PoolItem) -> Attempt:
        def make(world: World, receipt: MadeReceipt, policy: str) -> None:
            give(world, world.closeness.make_pool_hit(receipt, policy), item=item, position=0, path=())

        return answered(make, items=items_root(items))

    assert shown(with_item(items[0])) == 1
    refused(with_item(replace(items[0], profile="polite")), "match_invalid")


# Queries and thresholds


def asked(query: tuple[int, ...], tau: int | None = None, vector: tuple[int, ...] = ALIAS_VECTOR) -> Attempt:
    """Let the house commit to *query* and claim *tau*, by default what the policy asks for."""

    def make(world: World, receipt: MadeReceipt, policy: str) -> None:
        record = world.closeness.make_pool_hit(receipt, policy)
        committed = query_vector_commitment(world.closeness.salt(record.hit), bytes(part & 255 for part in query))
        world.closeness.queries[record.hit] = query
        claimed = threshold_integer(COSINE, inner_product(query, query)) if tau is None else tau
        give(world, replace(record, query_vector=committed, tau=claimed), vector=vector)

    return answered(make)


@pytest.mark.parametrize(
    ("query", "tau", "reason"),
    [
        (ALIAS_VECTOR, SCORE + 1, "match_invalid"),
        (ALIAS_VECTOR, 0, "tau_below_policy"),
        (tuple(-part for part in ALIAS_VECTOR), None, "match_invalid"),
        ((*ALIAS_VECTOR, 1), None, "match_invalid"),
        (ALIAS_VECTOR[1:], None, "match_invalid"),
        ((), 0, "match_invalid"),
        ((0,) * DIMENSION, 0, "match_invalid"),
        # Beyond the bound there is no threshold that τ could be below.
        ((COMPONENT_MAX,) * DIMENSION, 260_100, "match_invalid"),
        ((COMPONENT_MAX,) * DIMENSION, 0, "match_invalid"),
    ],
)
def test_a_query_that_was_not_close_or_is_beyond_the_bounds_is_refused(
    query: tuple[int, ...], tau: int | None, reason: str
) -> None:
    refused(asked(query, tau), reason)


def test_a_component_that_no_quantised_vector_has_is_refused_in_the_query() -> None:
    beyond, vector = (-128, *ALIAS_VECTOR[1:]), (-113, *ALIAS_VECTOR[1:])
    assert shown(asked((-127, *ALIAS_VECTOR[1:]), vector=vector)) == 1
    refused(asked(beyond, vector=vector), "match_invalid")


def test_a_longer_vector_buys_no_lower_threshold() -> None:
    """τ is for vectors of norm 510 at most: one of twice the length would reach it with half the cosine."""
    long = tuple(COMPONENT_MAX if place < 18 else 0 for place in range(DIMENSION))
    refused(asked(ALIAS_VECTOR, SCORE, vector=long), "match_invalid")


def test_another_query_than_the_record_commits_to_opens_nothing() -> None:
    honest = make_world(PLAN).export()
    other = reseal(honest, queries_jsonl=line(0, put("vector", 0, to=-1)))
    refused(other, "opening_mismatch")


def test_the_threshold_of_a_record_cannot_be_raised_afterwards() -> None:
    """The record stands in a batch that is logged, so no later word about τ counts."""
    honest: HonestBundle = make_world(PLAN).export()

    def raise_it(found: list[Any]) -> None:
        record = next(record for one in found for record in one["records"] if record["tier"] == "pool")
        record["tau"] += 1

    refused(reseal(honest, hits_jsonl=lines(raise_it)), "batch_invalid")


def test_a_match_of_a_hit_that_is_refused_shows_nothing() -> None:
    def make(world: World, receipt: MadeReceipt, policy: str) -> None:
        record = world.closeness.make_pool_hit(receipt, policy)
        give(world, replace(record, tier="private"))

    refused(answered(make), "hit_tier")
