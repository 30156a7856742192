from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from server.upstream.errors import UpstreamError, UpstreamMalformed, UpstreamUnavailable
from server.upstream.events import EventReader
from server.upstream.limits import UpstreamLimits

DONE = b"data: [DONE]\n\n"


def read(*parts: bytes, limits: UpstreamLimits | None = None) -> list[dict[str, Any]]:
    reader = EventReader(limits or UpstreamLimits())
    events = [event for part in parts for event in reader.feed(part)]
    reader.finish()
    return events


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def test_events_are_read_until_done() -> None:
    assert read(event({"a": 1}) + event({"b": 2}) + DONE) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_is_read(end: bytes) -> None:
    assert read((event({"a": 1}) + DONE).replace(b"\n", end)) == [{"a": 1}]


@given(cuts=st.sets(st.integers(0, 80)), end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_where_the_network_cuts_makes_no_difference(cuts: set[int], end: bytes) -> None:
    stream = (b": hello\n" + 'data: {"a": "äöü€😀"}\n\ndata: {"b":\ndata: 2}\n\n'.encode() + DONE).replace(b"\n", end)
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    parts = [stream[low:high] for low, high in pairwise(places)]
    assert read(*parts) == [{"a": "äöü€😀"}, {"b": 2}]


def test_comments_ids_and_retry_hints_are_ignored() -> None:
    assert read(b": ping\n\nid: 7\nretry: 10\nevent: message\ndata:{}\n\n" + DONE) == [{}]


MALFORMED = {
    "nothing": b"",
    "no done": event({}),
    "cut in a line": b'data: {"a"',
    "cut before the empty line": b"data: [DONE]\n",
    "duplicate done": DONE + DONE,
    "event behind done": DONE + event({}),
    "half a line behind done": DONE + b"data: {",
    "a line behind done": DONE + b"data: {}\n",
    "invalid json": b"data: {]\n\n" + DONE,
    "empty data": b"data:\n\n" + DONE,
    "duplicate key": b'data: {"a":1,"a":2}\n\n' + DONE,
    "not a number": b'data: {"a":NaN}\n\n' + DONE,
    "a list": event([1]) + DONE,
    "a text": event("x") + DONE,
    "null": event(None) + DONE,
    "two values": b"data: {}{}\n\n" + DONE,
    "html": b"<!doctype html>\n<html>\n\n" + DONE,
    "bare json": b'{"choices": []}\n\n' + DONE,
    "unknown field": b"date: {}\n\n" + DONE,
    "unknown event": b"event: ping\ndata: {}\n\n" + DONE,
    "not utf-8": b'data: {"a": "\xff"}\n\n' + DONE,
    "lone surrogate": b'data: {"a": "\\ud800"}\n\n' + DONE,
    "byte order mark": b"\xef\xbb\xbf" + event({}) + DONE,
    "done in other case": event({}) + b"data: [done]\n\n",
    "deep nesting": b"data: " + b'{"a":' * 40 + b"1" + b"}" * 40 + b"\n\n" + DONE,
}


@pytest.mark.parametrize("stream", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_stream_out_of_form_never_ends_well(stream: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        read(stream)
    with pytest.raises(UpstreamMalformed):
        read(*(bytes([byte]) for byte in stream))


@pytest.mark.parametrize(
    "stream",
    [event({"error": {"message": "x"}}) + DONE, b"event: error\ndata: {}\n\n" + DONE, b"event: error\n\n" + DONE],
)
def test_a_reported_error_ends_the_stream(stream: bytes) -> None:
    with pytest.raises(UpstreamUnavailable, match="in mid-stream"):
        read(stream)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_never_crash(data: bytes) -> None:
    assume(b"[DONE]" not in data)
    with pytest.raises(UpstreamError):
        read(data)


@given(st.integers(0, 10_000))
def test_a_stream_cut_anywhere_is_refused(place: int) -> None:
    stream = event({"a": "x" * 50}) + event({"b": [1, 2]}) + DONE
    with pytest.raises(UpstreamMalformed):
        read(stream[: place % len(stream)])


def test_a_line_without_end_is_refused_at_the_limit() -> None:
    limits = UpstreamLimits(event_bytes_max=1_000)
    with pytest.raises(UpstreamMalformed, match="longer than 1000"):
        read(*[b"x" * 100] * 20, limits=limits)


def test_an_event_of_many_lines_is_refused_at_the_limit() -> None:
    with pytest.raises(UpstreamMalformed, match="longer than 1000"):
        read(b"data: xxxxxxxxxxxx\n" * 100, limits=UpstreamLimits(event_bytes_max=1_000))


def test_a_stream_of_comments_is_refused_at_the_limit() -> None:
    with pytest.raises(UpstreamMalformed, match="longer than 5000"):
        read(*[b": ping\n"] * 1_000, limits=UpstreamLimits(response_bytes_max=5_000))


def test_too_many_events_are_refused() -> None:
    with pytest.raises(UpstreamMalformed, match="more than 10 events"):
        read(event({}) * 11 + DONE, limits=UpstreamLimits(events_max=10))
