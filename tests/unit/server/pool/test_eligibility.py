from __future__ import annotations

from typing import Any

import pytest

from server.pool.eligibility import PLAIN, Eligibility, Profile, check_profile, poolable, read_profiles
from server.pool.errors import PoolError
from server.reuse.policy import ReusePolicy
from server.reuse.request import ChatRequest, Steering
from server.store.pool_records import ProfileRecord

BRIEF = Profile("brief", "Answer in one sentence.", {"temperature": 0, "max_tokens": 100})
ALL = Eligibility(frozenset({"fake-model"}), {"plain": PLAIN, "brief": BRIEF})
BOTH = ReusePolicy(pool_profiles=("plain", "brief"))
QUESTION = {"role": "user", "content": "What is the capital of France?"}


def asked(messages: list[dict[str, Any]], **fields: Any) -> ChatRequest:
    return ChatRequest({"model": "fake-model", "messages": messages, **fields}, Steering())


def found(request: ChatRequest, policy: ReusePolicy = BOTH) -> str | None:
    profile = poolable(request, policy, ALL)
    return None if profile is None else profile.name


def test_a_single_question_is_of_the_plain_profile() -> None:
    assert found(asked([QUESTION])) == "plain"


def test_a_question_in_parts_of_text_is_too() -> None:
    assert found(asked([{"role": "user", "content": [{"type": "text", "text": "What is it?"}]}])) == "plain"


def test_a_profile_is_recognised_by_its_system_text_and_parameters() -> None:
    system = {"role": "system", "content": " Answer in one sentence.\r\n"}
    assert found(asked([system, QUESTION], temperature=0.0, max_tokens=100)) == "brief"


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "You are ours."}, QUESTION],
        [{"role": "developer", "content": "Answer in one sentence."}, QUESTION],
        [QUESTION, {"role": "assistant", "content": "Paris."}, QUESTION],
        [{"role": "assistant", "content": "Paris."}],
        [{**QUESTION, "name": "alice"}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}],
    ],
)
def test_a_conversation_of_the_callers_own_is_not_poolable(messages: list[dict[str, Any]]) -> None:
    assert found(asked(messages)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.5},
        {"tools": [{"type": "function"}]},
        {"functions": []},
        {"response_format": {"type": "json_object"}},
        {"seed": 0},
        {"n": 2},
        {"prompt_cache_key": "mine"},
    ],
)
def test_any_parameter_that_the_profile_does_not_have_makes_it_the_callers_own(fields: dict[str, Any]) -> None:
    assert found(asked([QUESTION], **fields)) is None


def test_transport_and_immaterial_fields_change_nothing() -> None:
    assert found(asked([QUESTION], stream=True, user="u-1", hitproof={"tags": []})) == "plain"


def test_a_model_that_is_not_pooled_is_not_poolable() -> None:
    assert poolable(asked([QUESTION]), BOTH, Eligibility(frozenset({"another"}))) is None


def test_a_profile_that_the_policy_does_not_name_is_not_used() -> None:
    assert found(asked([QUESTION]), ReusePolicy(pool_profiles=("brief",))) is None


def test_plain_is_there_without_being_stored() -> None:
    stored = [ProfileRecord("brief", BRIEF.system, '{"temperature":0}', 1)]
    assert set(read_profiles(stored)) == {"plain", "brief"}


def test_the_request_that_a_profile_makes_is_of_that_profile() -> None:
    assert found(BRIEF.request("fake-model", "How deep is it?")) == "brief"


@pytest.mark.parametrize(
    "profile",
    [
        Profile("plain", None, {}),
        Profile("Not a name", None, {}),
        Profile("empty", "  ", {}),
        Profile("tools", None, {"tools": []}),
        Profile("seeded", None, {"seed": 1}),
        Profile("null", None, {"top_p": None}),
    ],
)
def test_a_profile_that_could_never_be_matched_is_refused(profile: Profile) -> None:
    with pytest.raises(PoolError):
        check_profile(profile)
