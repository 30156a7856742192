from __future__ import annotations

from typing import Any

import pytest

from crypto.errors import VerificationError
from crypto.replay.opened import MESSAGES_MAX, read_turns
from server.runner.limits import RunnerLimits
from server.runner.requests import read_chat_request

READ: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "Why?"}],
    [{"role": "developer", "content": "Be short."}, {"role": "user", "content": "Why?", "name": "ann"}],
    [{"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]}],
    [{"role": "user", "content": ""}, {"role": "assistant", "content": "Because."}],
]


@pytest.mark.parametrize("messages", READ)
def test_messages_are_read_as_the_runner_reads_them(messages: list[dict[str, Any]]) -> None:
    request = read_chat_request({"model": "m", "messages": messages}, RunnerLimits())
    expected = [(turn.role, turn.text) for turn in request.generation.turns]
    assert [(turn.role, turn.text) for turn in read_turns(messages)] == expected


@pytest.mark.parametrize(
    "message",
    [
        "Why?",
        {},
        {"role": "tool", "content": "x"},
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "user", "content": []},
        {"role": "user", "content": [{"type": "image_url", "text": "x"}]},
        {"role": "user", "content": [{"type": "text", "text": 1}]},
        {"role": "user", "content": ["x"]},
    ],
)
def test_what_no_runner_here_answers_is_refused(message: Any) -> None:
    with pytest.raises(VerificationError) as caught:
        read_turns([message])
    assert caught.value.reason == "replay_failed"


def test_no_messages_and_too_many_are_refused() -> None:
    for messages in ([], READ[0] * (MESSAGES_MAX + 1)):
        with pytest.raises(VerificationError, match="messages"):
            read_turns(messages)
