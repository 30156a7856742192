"""Queries that an auditor computed, held against those that hits were asked with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.hit import HitRecord
from crypto.verify.options import GivenQuery
from tests.audit.bundles import HonestBundle, Plan, make_bundle
from tests.audit.checking import check_of, reasons, verify, verify_proof
from tests.audit.proofs import EMBEDDER

OTHER = "sha256:" + "7" * 64
PLAN = Plan(receipts=2, hits=0, embeddings=0, proved=1, seed=31)


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(PLAN)


@pytest.fixture(scope="module")
def several() -> HonestBundle:
    return make_bundle(replace(PLAN, proved=2, releases=3, matched=1))


def record_of(bundle: HonestBundle, place: int = 0, line: int = -1) -> HitRecord:
    return bundle.parts.hits[line].records[place]


def given(bundle: HonestBundle, record: HitRecord, by: int = 0, **changes: object) -> GivenQuery:
    vector = tuple(part - by if part > 0 else part + by for part in bundle.world.closeness.queries[record.hit])
    return replace(GivenQuery(vector, record.hit), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("by", [-1, 0, 1])
def test_a_query_that_differs_by_one_in_every_component_is_the_same(honest: HonestBundle, by: int) -> None:
    found = verify(honest, queries=(given(honest, record_of(honest), by),))
    assert reasons(found) == []
    assert (
        "1 of 1 queries that you gave are the ones of their hits, 1 shown close"
        in check_of(found, "applicability").detail
    )


@pytest.mark.parametrize("by", [-2, 2])
def test_a_query_that_differs_by_two_is_another(honest: HonestBundle, by: int) -> None:
    found = verify(honest, queries=(given(honest, record_of(honest), by),))
    assert reasons(found) == [("applicability", "query_mismatch")]


def test_a_single_component_that_differs_by_two_is_enough(honest: HonestBundle) -> None:
    query = given(honest, record_of(honest))
    changed = replace(query, vector=(*query.vector[:-1], query.vector[-1] + 2))
    assert reasons(verify(honest, queries=(changed,))) == [("applicability", "query_mismatch")]


def test_a_query_of_another_length_is_another(honest: HonestBundle) -> None:
    query = given(honest, record_of(honest))
    for vector in (query.vector[:-1], (*query.vector, 0), ()):
        found = verify(honest, queries=(replace(query, vector=vector),))
        assert reasons(found) == [("applicability", "query_mismatch")]


def test_a_query_without_a_hit_is_that_of_the_only_one_found_by_meaning(
    honest: HonestBundle, several: HonestBundle
) -> None:
    assert reasons(verify(honest, queries=(given(honest, record_of(honest), hit=None),))) == []
    found = verify(several, queries=(given(several, record_of(several), hit=None),))
    assert reasons(found) == [("applicability", "query_mismatch")]


def test_a_query_that_is_not_opened_cannot_be_compared(honest: HonestBundle) -> None:
    found = verify(honest, replace(honest.parts, queries=()), queries=(given(honest, record_of(honest)),))
    assert reasons(found) == [("applicability", "query_mismatch")]


def test_a_hit_that_is_not_here_has_no_query(honest: HonestBundle) -> None:
    found = verify(honest, queries=(given(honest, record_of(honest), hit="hit_" + "0" * 32),))
    assert reasons(found) == [("applicability", "query_mismatch")]


def test_59_a_vector_of_another_embedder_is_refused(honest: HonestBundle) -> None:
    record = record_of(honest)
    for embedders in ({EMBEDDER}, {EMBEDDER, OTHER}):
        assert reasons(verify(honest, queries=(given(honest, record, embedders=frozenset(embedders)),))) == []
    found = verify(honest, queries=(given(honest, record, embedders=frozenset({OTHER})),))
    assert reasons(found) == [("applicability", "embedder_mismatch")]


def test_the_embedder_of_a_hit_without_a_proof_is_that_of_any_vector_of_its_receipt() -> None:
    bundle = make_bundle(replace(PLAN, proved=0, embeddings=1))
    world = bundle.world
    world.closeness.add_vector(world.receipts[1], world.runners[0])
    record = world.closeness.make_hit(world.receipts[1], next(iter(world.policies)))
    world.add_batch([record])
    world.closeness.open_query(record)
    world.add_status()
    made = world.export()
    for embedder, expected in ((EMBEDDER, []), (OTHER, [("applicability", "embedder_mismatch")])):
        query = given(made, record, embedders=frozenset({embedder}))
        assert reasons(verify(made, queries=(query,))) == expected


def test_a_hit_of_the_pool_is_compared_without_its_embedder(several: HonestBundle) -> None:
    pooled = record_of(several)
    assert pooled.tier == "pool"
    found = verify(several, queries=(given(several, pooled, embedders=frozenset({OTHER})),))
    assert reasons(found) == []


def test_a_given_query_shows_nothing_by_itself() -> None:
    bundle = make_bundle(replace(PLAN, proved=0))
    world = bundle.world
    world.closeness.add_vector(world.receipts[1], world.runners[0])
    record = world.closeness.make_hit(world.receipts[1], next(iter(world.policies)))
    world.add_batch([record])
    world.closeness.open_query(record)
    world.add_status()
    made = world.export()
    found = verify(made, queries=(given(made, record),))
    check = check_of(found, "applicability")
    assert (check.status, found.applicable) == ("not_covered", frozenset())
    assert "0 shown close" in check.detail


def test_a_query_is_compared_with_a_proof_file_too(honest: HonestBundle) -> None:
    record = record_of(honest)
    text = honest.world.hit_proof(list(honest.world.batches)[-1], 0, shows=True)
    assert reasons(verify_proof(honest, text, queries=(given(honest, record, hit=None),))) == []
    found = verify_proof(honest, text, queries=(given(honest, record, 2, hit=None),))
    assert reasons(found) == [("applicability", "query_mismatch")]
    found = verify_proof(honest, text, queries=(given(honest, record, embedders=frozenset({OTHER})),))
    assert reasons(found) == [("applicability", "embedder_mismatch")]


def test_a_proof_file_of_a_receipt_has_no_query(honest: HonestBundle) -> None:
    text = honest.world.receipt_proof(honest.world.receipts[0])
    found = verify_proof(honest, text, queries=(given(honest, record_of(honest)),))
    assert reasons(found) == [("applicability", "query_mismatch")]


def test_a_proof_file_that_shows_nothing_opens_no_query(honest: HonestBundle) -> None:
    text = honest.world.hit_proof(list(honest.world.batches)[-1], 0)
    found = verify_proof(honest, text, queries=(given(honest, record_of(honest)),))
    assert reasons(found) == [("applicability", "query_mismatch")]
