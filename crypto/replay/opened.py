"""Opened values as a runner read and wrote them: the conversation, the answer's text, and the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import VerificationError

MESSAGES_MAX: Final = 4_096
STOPS_MAX: Final = 64
_ROLES: Final = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message as a model reads it; *role* is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run of tokens says, and why it ended: `stop` or `length`."""

    text: str
    finish_reason: str


def failed(message: str, *, expected: object = None, actual: object = None) -> VerificationError:
    """Return the error of a replay that came to another result."""
    return VerificationError(message, reason="replay_failed", expected=expected, actual=actual)


def read_turns(messages: Sequence[Any]) -> tuple[Turn, ...]:
    """Return the turns of OpenAI *messages*. Raises `VerificationError` for what no runner here answers."""
    if not 0 < len(messages) <= MESSAGES_MAX:
        raise failed(f"the opened prompt is not a list of 1 to {MESSAGES_MAX} messages")
    return tuple(_read_turn(message) for message in messages)


def verify_choices(choices: Sequence[Any], answer: Answer) -> None:
    """Check that *choices*, as opened, are *answer* and nothing besides. Raises `VerificationError`."""
    stated = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text},
        "finish_reason": answer.finish_reason,
    }
    found = [_without_nulls(choice) for choice in choices]
    if found != [stated]:
        raise failed("the opened answer is not what its tokens say", expected=stated, actual=found[:2])


def verify_tokens(prompt: Sequence[int], output: Sequence[int], *, vocabulary: int, context: int) -> None:
    """Check that both are runs of tokens that a model of these sizes can hold. Raises `VerificationError`."""
    if not prompt or not output or len(prompt) + len(output) > context:
        raise failed(f"{len(prompt)} and {len(output)} tokens are not a prompt and an answer within {context}")
    if any(type(token) is not int or not 0 <= token < vocabulary for token in (*prompt, *output)):
        raise failed(f"a token is not an id below {vocabulary}")


def verify_parameters(parameters: Mapping[str, Any], keys: frozenset[str]) -> None:
    """Check that *parameters* has exactly *keys*. Raises `VerificationError`."""
    if set(parameters) != keys:
        raise failed("the statement's parameters are not those of this model", expected=sorted(keys))


def read_integer(parameters: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """Return the integer *key*. Raises `VerificationError` outside *low* to *high*."""
    value = parameters[key]
    if type(value) is not int or not low <= value <= high:
        raise failed(f"the parameter {key} is not a whole number from {low} to {high}")
    return value


def read_stops(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the stop texts. Raises `VerificationError`."""
    stops = parameters["stop"]
    if not isinstance(stops, list | tuple) or len(stops) > STOPS_MAX:
        raise failed(f"the parameter stop is not a list of at most {STOPS_MAX} texts")
    if not all(isinstance(stop, str) and stop for stop in stops):
        raise failed("a stop text is empty or no text")
    return tuple(stops)


def _read_turn(message: Any) -> Turn:
    role = message.get("role") if isinstance(message, Mapping) else None
    if not isinstance(role, str) or role not in _ROLES:
        raise failed("an opened message has no role that models here read")
    content = message.get("content")
    if isinstance(content, str):
        return Turn(_ROLES[role], content)
    parts = content if isinstance(content, list | tuple) else ()
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
    if not parts or len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise failed("the content of an opened message is neither a text nor a list of text parts")
    return Turn(_ROLES[role], "".join(map(str, texts)))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value
