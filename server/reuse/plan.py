"""Which tiers a request may use at all, from the request and the policy alone."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from server.reuse.policy import ReusePolicy
from server.reuse.query import may_match_by_meaning
from server.reuse.request import ChatRequest

#: The default of OpenAI's API; a request that names none is held to a stricter policy by this.
TEMPERATURE_WHEN_ABSENT: Final = Decimal(1)


def reason_to_bypass(request: ChatRequest, policy: ReusePolicy) -> str | None:
    """Return why the cache is not asked at all for *request*, or None."""
    if policy.mode == "off":
        return "policy_off"
    temperature = _decimal(request.body.get("temperature"))
    if (TEMPERATURE_WHEN_ABSENT if temperature is None else temperature) > Decimal(policy.temperature_max):
        return "temperature_above_policy"
    if request.body.get("modalities") not in (None, ["text"]) or request.body.get("audio"):
        return "not_text"
    return None


def reason_for_exact_only(request: ChatRequest, policy: ReusePolicy) -> str | None:
    """Return why *request* may not be matched by meaning, or None; reads its text, so ask only after the exact tier."""
    if policy.mode == "exact":
        return "policy_exact"
    body = request.body
    if request.uses_tools:
        return "tools"
    if body.get("response_format") not in (None, {"type": "text"}):
        return "response_format"
    if (body.get("n") or 1) > 1:
        return "several_choices"
    for name in ("seed", "web_search_options"):
        if body.get(name) is not None:  # a seed of 0 is a seed, and {} asks for a search with its defaults
            return name
    for name in ("logprobs", "logit_bias", "prediction"):
        if body.get(name):
            return name
    query = request.query
    if query is None:
        return "not_a_text_question"
    return may_match_by_meaning(query, has_earlier_turns=request.has_earlier_turns, policy=policy)


def _decimal(value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None
