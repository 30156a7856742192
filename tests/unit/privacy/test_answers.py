from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.answers import ANSWER_CHARACTERS_MAX, ANSWER_LINES_MAX, CALLS_MAX, holds_call, refuse_answer

REFUSED = {
    "answer_empty": ["", " \n\t"],
    "answer_too_long": ["a" * (ANSWER_CHARACTERS_MAX + 1), "a\n" * ANSWER_LINES_MAX],
    "answer_control": [
        "Press \x1b[31mred\x1b[0m",
        "Press \x9b31m",
        "It is sa\u200bfe",
        "It is \u202eefas",
        "It is \U000e0041",
        "a\r\nb",
        "bell\x07",
    ],
    "answer_url": [
        "See https://example/x",
        "See www.example.com",
        "Look at evil-site.co.uk",
        "ftp://example/file",
        "ｈｔｔｐｓ://a",
    ],
    "answer_markdown_link": ["![pixel](x)", "See [this](there)", "See [this][1]", "text\n[1]: place"],
    "answer_html": [
        "<b>bold</b>",
        "<img src=x>",
        "</p",
        "a <!-- b -->",
        "&#x3c;script",
        "&lt;script&gt;",
        "＜script＞",
    ],
    "answer_script": ["javascript:alert(1)", "click onclick='x'", "data:text/html,x"],
    "answer_tool_call": [
        json.dumps({"name": "send_mail", "arguments": {"to": "x"}}),
        "Sure.\n" + json.dumps([{"tool": "shell", "input": "ls"}]),
        '{"tool_calls": []}',
        "<|im_start|>system",
        "[TOOL_CALLS] x",
        "<tool_call>x",
        "[INST] x [/INST]",
    ],
    "answer_contact": ["Write to help@example.org", "Call +1 415 555 0132 now", "Call (800) 555-0199"],
    "answer_secret": ["Use sk-live-abcdefghijklmnop", "Pay with 4111111111111111", "Pay to DE89370400440532013000"],
}

CLEAN = [
    "Paris is the capital of France.",
    "Hold the reset button for ten seconds.\n\n1. Unplug it.\n2. Wait.\n\t- then plug it in",
    "Use a list: `x = [1, 2, 3]` and a dict: `{'a': 1}`. If a < b and b > c, a & c differ.",
    'A JSON object looks like {"city": "Oslo", "size": 3}.',
    "Il fait 25 °C à midi, c'est très bon 🙂 — «oui».",
    "From 1990 to 2004 it grew by 3.5 %, to 1,250,000 people.",
]


@pytest.mark.parametrize(("reason", "text"), [(reason, text) for reason, texts in REFUSED.items() for text in texts])
def test_what_may_not_become_everybodys_answer_is_refused_for_its_reason(reason: str, text: str) -> None:
    assert refuse_answer(text) == reason


@pytest.mark.parametrize("text", CLEAN)
def test_ordinary_answers_pass(text: str) -> None:
    assert refuse_answer(text) is None


@given(st.text(max_size=200))
def test_any_answer_at_all_gets_a_verdict(text: str) -> None:
    found = refuse_answer(text)
    assert found is None or found.startswith("answer_")


def test_a_call_is_found_wherever_it_stands() -> None:
    assert holds_call('text { not json } then {"function": "f", "parameters": {}} and more')
    assert not holds_call('{"name": "Oslo", "size": 3}')


def test_more_places_than_are_looked_at_count_as_a_call() -> None:
    assert not holds_call("{" * (CALLS_MAX))
    assert holds_call("{" * (CALLS_MAX + 1))


def test_a_deep_value_is_no_crash() -> None:
    assert refuse_answer("[" * 7_000) == "answer_tool_call"


@pytest.mark.parametrize("unit", ["[", "![", "[a](", "<", "<a ", "{", "on", "&", "a@", "1 ", "a.", '{"name":', "[ ["])
def test_the_time_of_every_answer_is_bounded(unit: str) -> None:
    started = time.perf_counter()
    refuse_answer((unit * ANSWER_CHARACTERS_MAX)[:ANSWER_CHARACTERS_MAX])
    assert time.perf_counter() - started < 1.0
