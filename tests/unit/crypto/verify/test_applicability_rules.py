"""Thresholds: τ against the one that a policy's document states."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.bundle_lines import PolicyLine
from crypto.canonical import JsonValue
from crypto.errors import EncodingError, VerificationError
from crypto.hit import HitRecord
from crypto.similarity import threshold_integer
from crypto.verify.applicability_rules import Thresholds
from tests.proof_examples import HIT

POLICY = "sha256:" + "9" * 64
QUERY = (100, -100, 50)
NORM_SQUARED = 22_500


def thresholds(**document: JsonValue) -> Thresholds:
    return Thresholds.of([PolicyLine(document=document, policy=POLICY)])


def hit(tau: int) -> HitRecord:
    return replace(HIT, tier="private", policy=POLICY, tau=tau)


def refused(stated: Thresholds, record: HitRecord) -> str | None:
    with pytest.raises(VerificationError) as caught:
        stated.verify(record, QUERY)
    return caught.value.reason


@pytest.mark.parametrize("cosine", [0, 1, 9_500, 10_000])
def test_a_tau_of_the_stated_threshold_is_accepted_and_one_below_is_not(cosine: int) -> None:
    least = threshold_integer(cosine, NORM_SQUARED)
    stated = thresholds(threshold_ten_thousandths=cosine)
    stated.verify(hit(least), QUERY)
    if least:
        assert refused(stated, hit(least - 1)) == "tau_below_policy"


def test_a_policy_that_states_no_threshold_asks_for_ninety_five_hundredths() -> None:
    least = threshold_integer(9_500, NORM_SQUARED)
    thresholds().verify(hit(least), QUERY)
    assert refused(thresholds(), hit(least - 1)) == "tau_below_policy"


@pytest.mark.parametrize("stated", ["9500", None, True, False, -1, 10_001, 2**53 - 1, [9_500], {}])
def test_a_policy_with_something_else_than_a_threshold_lets_nothing_pass(stated: JsonValue) -> None:
    assert refused(thresholds(threshold_ten_thousandths=stated), hit(260_100)) == "tau_below_policy"


def test_a_policy_that_is_not_there_lets_nothing_pass() -> None:
    assert refused(Thresholds({}), hit(260_100)) == "tau_below_policy"


@pytest.mark.parametrize("query", [(), (0, 0), (127,) * 17])
@pytest.mark.parametrize("stated", [9_500, "9500"])
def test_a_query_that_may_not_be_matched_is_refused_for_that_whatever_the_policy(
    query: tuple[int, ...], stated: JsonValue
) -> None:
    with pytest.raises(EncodingError):
        thresholds(threshold_ten_thousandths=stated).verify(hit(260_100), query)
