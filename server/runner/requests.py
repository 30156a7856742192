"""From an OpenAI chat request to the engine's own request: honour a field or refuse it, never pretend.

Fields that cannot change an answer are ignored; everything else that this runner does not do is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from server.ports import JsonObject
from server.runner.engine import GenerationRequest, Turn
from server.runner.errors import RequestInvalid
from server.runner.limits import RunnerLimits

_ROLES: Final = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_IGNORED: Final = frozenset(
    {
        "cache_salt",
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
#: What these may say, because it is what happens anyway.
_ONLY: Final[dict[str, tuple[object, ...]]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
}
_HONOURED: Final = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "stream",
        "stream_options",
    }
)
_TOKENS_MAX: Final = 2**20
_SEED_MAX: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request the runner can answer: which model, how to deliver, and what to generate."""

    model: str
    stream: bool
    include_usage: bool
    generation: GenerationRequest


def read_chat_request(body: JsonObject, limits: RunnerLimits) -> ChatRequest:
    """Read *body*; raises `RequestInvalid` naming the field that must change."""
    _refuse_unsupported(body)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RequestInvalid("model is missing; GET /v1/models lists the names", param="model")
    stream, include_usage = _read_delivery(body)
    tokens_max = _integer(body, "max_completion_tokens", 1, _TOKENS_MAX)
    generation = GenerationRequest(
        turns=_read_turns(body.get("messages"), limits),
        tokens_max=tokens_max if tokens_max is not None else _integer(body, "max_tokens", 1, _TOKENS_MAX),
        temperature=_decimal(body, "temperature", Decimal(0), Decimal(2)),
        top_p=_decimal(body, "top_p", Decimal(0), Decimal(1)),
        seed=_integer(body, "seed", -_SEED_MAX, _SEED_MAX),
        stop=_read_stop(body.get("stop"), limits),
    )
    return ChatRequest(model=model, stream=stream, include_usage=include_usage, generation=generation)


def _refuse_unsupported(body: JsonObject) -> None:
    for key, value in body.items():
        if key in _HONOURED or key in _IGNORED:
            continue
        if key not in _ONLY:
            raise RequestInvalid(f"this runner does not know the field {key[:64]!r}; remove it", param=key[:64])
        if not any(value == allowed and isinstance(value, bool) == isinstance(allowed, bool) for allowed in _ONLY[key]):
            raise RequestInvalid(f"this runner does not do {key} as asked; remove the field", param=key)


def _read_delivery(body: JsonObject) -> tuple[bool, bool]:
    stream, options = body.get("stream"), body.get("stream_options")
    if stream not in (None, True, False) or (isinstance(stream, int) and not isinstance(stream, bool)):
        raise RequestInvalid("stream is neither true nor false", param="stream")
    if options is None:
        return bool(stream), False
    if not stream:
        raise RequestInvalid("stream_options is only for streams; set stream to true", param="stream_options")
    if not isinstance(options, dict) or not set(options) <= {"include_usage", "include_obfuscation"}:
        raise RequestInvalid("stream_options holds something other than include_usage", param="stream_options")
    include_usage = options.get("include_usage", False)
    if not isinstance(include_usage, bool):
        raise RequestInvalid("stream_options.include_usage is neither true nor false", param="stream_options")
    return True, include_usage


def _read_turns(messages: object, limits: RunnerLimits) -> tuple[Turn, ...]:
    if not isinstance(messages, list) or not 0 < len(messages) <= limits.messages_max:
        raise RequestInvalid(f"messages is not a list of 1 to {limits.messages_max} messages", param="messages")
    turns = tuple(_read_turn(message, f"messages[{place}]") for place, message in enumerate(messages))
    if sum(len(turn.text.encode()) for turn in turns) > limits.text_bytes_max:
        raise RequestInvalid(f"the messages hold more than {limits.text_bytes_max} bytes of text", param="messages")
    return turns


def _read_turn(message: object, where: str) -> Turn:
    if not isinstance(message, dict):
        raise RequestInvalid(f"{where} is not an object", param=where)
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise RequestInvalid(f"{where}.role is not one of {', '.join(_ROLES)}", param=f"{where}.role")
    if message.get("tool_calls") or message.get("function_call"):
        raise RequestInvalid(f"{where} calls a tool, which this runner's models do not", param=f"{where}.tool_calls")
    return Turn(role=_ROLES[role], text=_read_content(message.get("content"), f"{where}.content"))


def _read_content(content: object, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise RequestInvalid(f"{where} is neither a text nor a list of text parts", param=where)
    texts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise RequestInvalid(f"{where} holds a part that is not text, which these models do not read", param=where)
        texts.append(part["text"])
    return "".join(texts)


def _read_stop(stop: Any, limits: RunnerLimits) -> tuple[str, ...]:
    if stop is None:
        return ()
    strings = [stop] if isinstance(stop, str) else stop
    if not isinstance(strings, list) or len(strings) > limits.stop_strings_max:
        raise RequestInvalid(f"stop is not a text or a list of at most {limits.stop_strings_max} texts", param="stop")
    if not all(isinstance(text, str) and 0 < len(text) <= limits.stop_length_max for text in strings):
        raise RequestInvalid(f"a stop text is empty or longer than {limits.stop_length_max} characters", param="stop")
    return tuple(strings)


def _integer(body: JsonObject, key: str, low: int, high: int) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestInvalid(f"{key} is not a whole number from {low} to {high}", param=key)
    return value


def _decimal(body: JsonObject, key: str, low: Decimal, high: Decimal) -> Decimal | None:
    value = body.get(key)
    if value is None:
        return None
    # repr gives the shortest text that reads back as the same number, which is what the caller wrote: 0.7, not 0.69999…
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not low <= (exact := Decimal(repr(value))) <= high
    ):
        raise RequestInvalid(f"{key} is not a number from {low} to {high}", param=key)
    return exact
