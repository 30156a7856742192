import dataclasses
from typing import Any

import pytest

from crypto.canonical import canonical_json, parse_canonical_json
from server.reuse.guards import HARD_GUARDS
from server.reuse.policy import DEFAULT_POLICY, PolicyError, ReusePolicy, policy_digest


def test_the_default_serves_at_a_cosine_of_95_hundredths_with_every_hard_guard() -> None:
    assert DEFAULT_POLICY.mode == "static"
    assert DEFAULT_POLICY.threshold_ten_thousandths == 9_500
    assert DEFAULT_POLICY.guards == HARD_GUARDS
    assert DEFAULT_POLICY.sharing == "off"
    assert not DEFAULT_POLICY.pool_read
    assert not DEFAULT_POLICY.share_by_default


def test_a_pool_hit_leaves_in_steps_of_a_clock_unless_the_policy_says_otherwise() -> None:
    assert DEFAULT_POLICY.pool_clock == "quantised"
    assert DEFAULT_POLICY.pool_profiles == ("plain",)


def test_noise_above_the_cap_is_obfuscation_and_needs_a_word_that_allows_it() -> None:
    assert not DEFAULT_POLICY.is_obfuscation
    with pytest.raises(PolicyError, match="obfuscation"):
        ReusePolicy(noised_epsilon_milli=8_001)
    assert ReusePolicy(noised_epsilon_milli=8_001, noised_allow_weak=True).is_obfuscation


def test_a_static_policy_is_never_certified() -> None:
    assert not DEFAULT_POLICY.certified


def test_a_policy_survives_its_json_form() -> None:
    policy = ReusePolicy(
        mode="shadow",
        guards=("number",),
        temperature_max="0.25",
        ttl_s=60,
        eviction="cost",
        pool_profiles=("plain", "support"),
        share_tags=("faq", "team:a"),
        sharing="noised",
    )
    assert ReusePolicy.from_json(parse_canonical_json(canonical_json(policy.to_json()))) == policy


def test_a_missing_field_reads_as_its_default() -> None:
    assert ReusePolicy.from_json({"mode": "exact"}) == ReusePolicy(mode="exact")


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(PolicyError, match="treshold") as caught:
        ReusePolicy.from_json({"treshold": 9500})
    assert caught.value.field == "treshold"


@pytest.mark.parametrize("value", [None, [], "static", 3])
def test_what_is_no_object_is_no_policy(value: Any) -> None:
    with pytest.raises(PolicyError):
        ReusePolicy.from_json(value)


BAD = [
    ("mode", "always"),
    ("mode", None),
    ("threshold_ten_thousandths", 7_459),
    ("threshold_ten_thousandths", 10_001),
    ("threshold_ten_thousandths", 9500.0),
    ("threshold_ten_thousandths", True),
    ("threshold_ten_thousandths", "9500"),
    ("guards", "number"),
    ("guards", ["numbers"]),
    ("guards", ["number", "number"]),
    ("guards", [1]),
    ("other_languages", "yes"),
    ("time_sensitive", "deny"),
    ("query_characters_max", 0),
    ("query_characters_max", 8_001),
    ("temperature_max", 1),
    ("temperature_max", "2.1"),
    ("temperature_max", "-0.1"),
    ("temperature_max", "NaN"),
    ("temperature_max", "warm"),
    ("temperature_max", "1" + "0" * 400),
    ("ttl_s", 0),
    ("ttl_s_max", 0),
    ("entries_max", -1),
    ("bytes_max", -1),
    ("eviction", "random"),
    ("lookup_retention_s", -1),
    ("audit_share_ten_thousandths", 10_001),
    ("pool_read", 1),
    ("sharing", "always"),
    ("sharing", True),
    ("pool_clock", "slow"),
    ("pool_profiles", "plain"),
    ("pool_profiles", ["Plain"]),
    ("pool_profiles", ["plain", "plain"]),
    ("pool_profiles", [f"p{number}" for number in range(17)]),
    ("noised_epsilon_milli", 0),
    ("noised_epsilon_milli", 1_000_001),
    ("noised_epsilon_milli", 8_001),
    ("noised_allow_weak", 1),
    ("share_tags", ["two words"]),
    ("share_tags", ["a" * 101]),
    ("share_tags", [["faq"]]),
    ("share_by_default", "no"),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_value_out_of_range_is_refused_under_its_name(field: str, value: Any) -> None:
    with pytest.raises(PolicyError) as caught:
        ReusePolicy.from_json({field: value})
    assert caught.value.field == field
    assert field in str(caught.value)


def test_every_field_has_a_value_that_is_refused() -> None:
    assert {field for field, _ in BAD} == {field.name for field in dataclasses.fields(ReusePolicy)}


def test_the_message_names_the_range() -> None:
    with pytest.raises(PolicyError, match="from 7460 to 10000"):
        ReusePolicy(threshold_ten_thousandths=5_000)


def test_a_lifetime_above_its_own_maximum_is_refused() -> None:
    with pytest.raises(PolicyError, match="ttl_s_max"):
        ReusePolicy(ttl_s=100, ttl_s_max=99)


def test_no_guards_is_a_policy_too() -> None:
    assert ReusePolicy(guards=()).guards == ()


def test_equal_policies_have_equal_digests_and_others_do_not() -> None:
    assert policy_digest(ReusePolicy()) == policy_digest(DEFAULT_POLICY)
    digests = {
        policy_digest(policy)
        for policy in (DEFAULT_POLICY, ReusePolicy(mode="off"), ReusePolicy(guards=()), ReusePolicy(ttl_s=1))
    }
    assert len(digests) == 4


def test_the_digest_of_a_policy_does_not_depend_on_the_spelling_of_defaults() -> None:
    assert policy_digest(ReusePolicy.from_json({})) == policy_digest(DEFAULT_POLICY)
