from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.upstream.assembly import Assembler
from server.upstream.errors import UpstreamMalformed
from server.upstream.limits import UpstreamLimits

HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "system_fingerprint": "fp"}


def chunk(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**HEAD, "choices": list(choices), **fields}


def piece(delta: Any = None, *, index: Any = 0, finish: Any = None, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish, **fields}


def assemble(*chunks: dict[str, Any], limits: UpstreamLimits | None = None) -> dict[str, Any]:
    assembler = Assembler(limits or UpstreamLimits())
    for value in chunks:
        assembler.add(value)
    return assembler.finish()


def message(*deltas: dict[str, Any]) -> dict[str, Any]:
    whole = assemble(*(chunk(piece(delta)) for delta in deltas), chunk(piece(finish="stop")))
    found: dict[str, Any] = whole["choices"][0]["message"]
    return found


def test_a_stream_becomes_the_whole_object() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    whole = assemble(
        chunk(piece({"role": "assistant", "content": "", "refusal": None}, logprobs=None), usage=None),
        chunk(piece({"content": "Hel"}, logprobs=None), usage=None),
        chunk(piece({"content": "lo"}, logprobs=None), usage=None),
        chunk(piece(finish="stop", logprobs=None), usage=None),
        chunk(usage=usage),
    )
    assert whole == {
        "id": "c1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage,
    }


@given(st.lists(st.text(max_size=5), min_size=1, max_size=30))
def test_the_content_is_the_deltas_in_order(texts: list[str]) -> None:
    assert message(*({"content": text} for text in texts))["content"] == "".join(texts)


def test_several_choices_are_kept_apart_whatever_their_order() -> None:
    whole = assemble(
        chunk(piece({"content": "b"}, index=1), piece({"content": "a"}, index=0)),
        chunk(piece({"content": "B"}, index=1, finish="length")),
        chunk(piece({"content": "A"}, index=0, finish="stop")),
    )
    found = [(choice["index"], choice["message"]["content"], choice["finish_reason"]) for choice in whole["choices"]]
    assert found == [(0, "aA", "stop"), (1, "bB", "length")]


def test_a_refusal_is_joined_and_the_content_stays_null() -> None:
    found = message({"role": "assistant", "refusal": "I "}, {"refusal": "can't"})
    assert found == {"role": "assistant", "refusal": "I can't", "content": None}


def test_unknown_text_fields_are_joined() -> None:
    found = message({"reasoning_content": "let me "}, {"reasoning_content": "think"}, {"content": "42"})
    assert found == {"role": "assistant", "reasoning_content": "let me think", "content": "42"}


def test_unknown_lists_are_extended_and_objects_merged() -> None:
    found = message(
        {"annotations": [1], "audio": {"id": "a", "data": "xx"}}, {"annotations": [2], "audio": {"data": "yy"}}
    )
    assert found["annotations"] == [1, 2]
    assert found["audio"] == {"id": "a", "data": "xxyy"}


def test_tool_calls_are_assembled_by_index() -> None:
    found = message(
        {"tool_calls": [{"index": 0, "id": "t0", "type": "function", "function": {"name": "add", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "t1", "type": "function", "function": {"name": "sub", "arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}, {"index": 1, "function": {"arguments": "}"}}]},
    )
    assert found["tool_calls"] == [
        {"id": "t0", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}},
        {"id": "t1", "type": "function", "function": {"name": "sub", "arguments": "{}"}},
    ]


def test_logprobs_are_extended() -> None:
    whole = assemble(
        chunk(piece({"content": "a"}, logprobs={"content": [{"token": "a"}], "refusal": None})),
        chunk(piece({"content": "b"}, logprobs={"content": [{"token": "b"}], "refusal": None})),
        chunk(piece(finish="stop", logprobs=None)),
    )
    assert whole["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}


def test_the_last_usage_and_unknown_fields_are_kept() -> None:
    whole = assemble(
        chunk(piece({"content": "a"}), usage={"total_tokens": 1}, service_tier="default", x_extra={"a": 1}),
        chunk(piece(finish="stop", stop_reason=None), usage={"total_tokens": 2}),
    )
    assert (whole["usage"], whole["service_tier"], whole["x_extra"]) == ({"total_tokens": 2}, "default", {"a": 1})
    assert whole["choices"][0]["stop_reason"] is None


def test_an_empty_first_id_and_model_give_way_to_the_real_ones() -> None:
    whole = assemble(chunk(id="", model=""), chunk(piece({"content": "a"}, finish="stop")))
    assert (whole["id"], whole["model"]) == ("c1", "m")


def test_a_mebibyte_in_single_characters_is_joined_in_good_time() -> None:
    assembler = Assembler(UpstreamLimits())
    for _ in range(100_000):
        assembler.add({"choices": [{"index": 0, "delta": {"content": "0123456789"}}]})
    assembler.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    assert len(assembler.finish()["choices"][0]["message"]["content"]) == 1_000_000


MALFORMED: dict[str, list[dict[str, Any]]] = {
    "no chunk": [],
    "no choice": [chunk()],
    "never finished": [chunk(piece({"content": "a"}))],
    "one of two never finished": [chunk(piece({"content": "a"}, index=1), piece({}, finish="stop"))],
    "a gap in the choices": [chunk(piece(finish="stop")), chunk(piece(finish="stop", index=2))],
    "content after the end": [chunk(piece(finish="stop")), chunk(piece({"content": "more"}))],
    "two reasons": [chunk(piece(finish="stop")), chunk(piece(finish="length"))],
    "reason as number": [chunk(piece(finish=1))],
    "empty reason": [chunk(piece(finish=""))],
    "id changes": [chunk(piece({"content": "a"})), chunk(piece(finish="stop"), id="c2")],
    "model changes": [chunk(piece({"content": "a"})), chunk(piece(finish="stop"), model="other")],
    "role changes": [chunk(piece({"role": "assistant"})), chunk(piece({"role": "user"}, finish="stop"))],
    "role of the user": [chunk(piece({"role": "user", "content": "a"}, finish="stop"))],
    "whole object as chunk": [chunk(piece(finish="stop"), object="chat.completion")],
    "choices as object": [{**HEAD, "choices": {}}],
    "choices missing": [dict(HEAD)],
    "choice as text": [{**HEAD, "choices": ["a"]}],
    "negative index": [chunk(piece(finish="stop", index=-1))],
    "index as text": [chunk(piece(finish="stop", index="0"))],
    "index as bool": [chunk(piece(finish="stop", index=False))],
    "too many choices": [chunk(*(piece(finish="stop", index=place) for place in range(17)))],
    "delta as list": [chunk(piece([1], finish="stop"))],
    "content as number": [chunk(piece({"content": 7}, finish="stop"))],
    "content changes type": [chunk(piece({"content": [1]})), chunk(piece({"content": "a"}, finish="stop"))],
    "text becomes list": [chunk(piece({"x": "a"})), chunk(piece({"x": [1]}, finish="stop"))],
    "tool calls as object": [chunk(piece({"tool_calls": {}}, finish="stop"))],
    "tool call without index": [chunk(piece({"tool_calls": [{"id": "a"}]}, finish="stop"))],
    "tool call far away": [chunk(piece({"tool_calls": [{"index": 10**9}]}, finish="stop"))],
    "tool call id changes": [
        chunk(piece({"tool_calls": [{"index": 0, "id": "a"}]})),
        chunk(piece({"tool_calls": [{"index": 0, "id": "b"}]}, finish="tool_calls")),
    ],
    "logprobs as list": [chunk(piece(finish="stop", logprobs=[]))],
    "usage as list": [chunk(piece(finish="stop"), usage=[1])],
}


@pytest.mark.parametrize("chunks", MALFORMED.values(), ids=MALFORMED.keys())
def test_chunks_that_are_no_whole_answer_are_refused(chunks: list[dict[str, Any]]) -> None:
    with pytest.raises(UpstreamMalformed):
        assemble(*chunks)
