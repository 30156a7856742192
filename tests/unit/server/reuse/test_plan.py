"""Which requests the cache is not asked for at all, by the request and the policy alone."""

from __future__ import annotations

from typing import Any

import pytest

from server.reuse.plan import reason_for_exact_only, reason_to_bypass
from server.reuse.policy import ReusePolicy
from server.reuse.request import ChatRequest, Steering

QUESTION = [{"role": "user", "content": "How deep is the lake?"}]


def request(**fields: Any) -> ChatRequest:
    return ChatRequest({"model": "m", "messages": QUESTION, **fields}, Steering())


@pytest.mark.parametrize(
    ("temperature", "highest", "bypasses"),
    [(0.7, "0.7", False), (0.71, "0.7", True), (0, "0", False), (0.0, "0", False), (1, "1", False), (1.1, "1", True),
     (None, "1", False), (None, "0.9", True)],
)  # fmt: skip
def test_a_temperature_above_the_policys_bypasses_and_none_counts_as_one(
    temperature: float | None, highest: str, bypasses: bool
) -> None:
    found = reason_to_bypass(request(temperature=temperature), ReusePolicy(temperature_max=highest))
    assert found == ("temperature_above_policy" if bypasses else None)


def test_a_policy_that_is_off_bypasses() -> None:
    assert reason_to_bypass(request(), ReusePolicy(mode="off")) == "policy_off"


@pytest.mark.parametrize("fields", [{"modalities": ["text", "audio"]}, {"audio": {"voice": "x"}}])
def test_what_asks_for_more_than_text_bypasses(fields: dict[str, Any]) -> None:
    assert reason_to_bypass(request(**fields), ReusePolicy()) == "not_text"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "text"}}, None),
        ({"n": 2}, "several_choices"),
        ({"n": 1}, None),
        ({"seed": 7}, "seed"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"messages": [*QUESTION, {"role": "assistant", "content": "Deep."}]}, "not_a_text_question"),
    ],
)
def test_what_may_only_be_answered_by_an_equal_request(fields: dict[str, Any], reason: str | None) -> None:
    assert reason_for_exact_only(request(**fields), ReusePolicy()) == reason


def test_a_policy_of_exact_answers_nothing_by_meaning() -> None:
    assert reason_for_exact_only(request(), ReusePolicy(mode="exact")) == "policy_exact"
