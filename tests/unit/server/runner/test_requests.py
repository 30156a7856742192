from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from server.runner.engine import GenerationRequest, Turn
from server.runner.errors import RequestInvalid
from server.runner.limits import RunnerLimits
from server.runner.requests import ChatRequest, read_chat_request

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def read(**fields: Any) -> ChatRequest:
    return read_chat_request(BODY | fields, RunnerLimits())


def test_what_is_left_open_stays_open() -> None:
    assert read() == ChatRequest(
        "m", False, False, GenerationRequest((Turn("user", "hi"),), None, None, None, None, ())
    )


def test_every_sampling_field_is_read_exactly() -> None:
    generation = read(max_tokens=7, temperature=0.7, top_p=1, seed=-3, stop=["a", "b"]).generation
    assert generation == GenerationRequest((Turn("user", "hi"),), 7, Decimal("0.7"), Decimal(1), -3, ("a", "b"))


def test_the_newer_name_of_the_token_limit_wins() -> None:
    assert read(max_tokens=7, max_completion_tokens=5).generation.tokens_max == 5


def test_one_stop_text_may_stand_alone() -> None:
    assert read(stop="END").generation.stop == ("END",)


def test_a_developer_speaks_as_the_system_and_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": "be kind"}, {"role": "user", "content": parts}]
    assert read(messages=messages).generation.turns == (Turn("system", "be kind"), Turn("user", "ab"))


def test_usage_in_streams_is_read() -> None:
    request = read(stream=True, stream_options={"include_usage": True})
    assert (request.stream, request.include_usage) == (True, True)


@pytest.mark.parametrize("field", ["user", "metadata", "store", "cache_salt", "service_tier"])
def test_fields_that_cannot_change_an_answer_are_ignored(field: str) -> None:
    assert read(**{field: "x"}) == read()


HARMLESS = {"n": 1, "logprobs": False, "tools": [], "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {},
            "response_format": {"type": "text"}, "tool_choice": "none", "functions": None}  # fmt: skip


def test_fields_that_ask_for_what_happens_anyway_are_taken() -> None:
    assert read(**HARMLESS) == read()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "model missing": ({"model": None}, "model"),
    "model as number": ({"model": 7}, "model"),
    "model empty": ({"model": ""}, "model"),
    "no messages": ({"messages": []}, "messages"),
    "messages as text": ({"messages": "hi"}, "messages"),
    "too many messages": ({"messages": BODY["messages"] * 257}, "messages"),
    "too much text": ({"messages": [{"role": "user", "content": "x" * 262_145}]}, "messages"),
    "message as text": ({"messages": ["hi"]}, "messages[0]"),
    "role missing": ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    "role of a tool": ({"messages": [{"role": "tool", "content": "hi"}]}, "messages[0].role"),
    "role as list": ({"messages": [{"role": ["user"], "content": "hi"}]}, "messages[0].role"),
    "content missing": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "content empty list": ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    "image": ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
    "part as text": ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content"),
    "tool calls": (
        {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "a"}]}]},
        "messages[0].tool_calls",
    ),
    "tools": ({"tools": [{"type": "function"}]}, "tools"),
    "two answers": ({"n": 2}, "n"),
    "n as bool": ({"n": True}, "n"),
    "logprobs": ({"logprobs": True}, "logprobs"),
    "logprobs as zero": ({"logprobs": 0}, "logprobs"),
    "json mode": ({"response_format": {"type": "json_object"}}, "response_format"),
    "penalty": ({"frequency_penalty": 0.5}, "frequency_penalty"),
    "unknown field": ({"min_p": 0.1}, "min_p"),
    "no tokens": ({"max_tokens": 0}, "max_tokens"),
    "tokens as float": ({"max_tokens": 7.0}, "max_tokens"),
    "tokens as bool": ({"max_tokens": True}, "max_tokens"),
    "too many tokens": ({"max_completion_tokens": 2**21}, "max_completion_tokens"),
    "too hot": ({"temperature": 2.1}, "temperature"),
    "too cold": ({"temperature": -0.1}, "temperature"),
    "temperature as text": ({"temperature": "0.7"}, "temperature"),
    "temperature as bool": ({"temperature": True}, "temperature"),
    "top_p above one": ({"top_p": 1.01}, "top_p"),
    "seed as text": ({"seed": "1"}, "seed"),
    "seed too large": ({"seed": 2**53}, "seed"),
    "empty stop": ({"stop": ""}, "stop"),
    "empty stop in list": ({"stop": ["a", ""]}, "stop"),
    "five stops": ({"stop": ["a"] * 5}, "stop"),
    "long stop": ({"stop": "x" * 257}, "stop"),
    "stop as object": ({"stop": {}}, "stop"),
    "stream as text": ({"stream": "true"}, "stream"),
    "stream as one": ({"stream": 1}, "stream"),
    "options without stream": ({"stream_options": {"include_usage": True}}, "stream_options"),
    "unknown option": ({"stream": True, "stream_options": {"x": 1}}, "stream_options"),
    "usage as text": ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options"),
}


@pytest.mark.parametrize(("fields", "param"), REFUSED.values(), ids=REFUSED.keys())
def test_a_request_that_cannot_be_honoured_is_refused_by_its_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        read(**fields)
    assert caught.value.param == param
