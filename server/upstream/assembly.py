"""From the chunks of a stream to the `chat.completion` that the same request would have got unstreamed.

Rules, by kind of value: texts that grow (content, refusal, tool arguments, and fields we do not know, such as
reasoning_content) are joined; lists (logprobs) are extended; everything else is set, and what identifies the answer may
not change on the way. Source: OpenAI's API reference, "The chat completion chunk object".
"""

from __future__ import annotations

from typing import Any, Final, TypeGuard

from server.ports import JsonObject
from server.upstream.errors import UpstreamMalformed
from server.upstream.limits import UpstreamLimits
from server.upstream.responses import OBJECT, check_completion

_CHUNK_OBJECT: Final = "chat.completion.chunk"
_IDENTITY: Final = ("id", "model")
_TOOL_CALLS_MAX: Final = 128
_SET_ONCE: Final = frozenset({"role", "type", "id"})


class _Text:
    """A text that grows; joined once at the end, because joining at each chunk costs the square of the length."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[str] = []


class _ToolCalls(dict[int, JsonObject]):
    """Tool calls by their index."""


class Assembler:
    """Collects the chunks of one stream; `finish` gives the whole answer or raises."""

    def __init__(self, limits: UpstreamLimits) -> None:
        self._limits = limits
        self._head: JsonObject = {}
        self._choices: dict[int, JsonObject] = {}

    def add(self, chunk: JsonObject) -> None:
        """Take one chunk; raises `UpstreamMalformed` for one that does not continue this answer."""
        if chunk.get("object", _CHUNK_OBJECT) != _CHUNK_OBJECT:
            raise UpstreamMalformed(f"an event of the stream is not a {_CHUNK_OBJECT}")
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise UpstreamMalformed("a chunk of the stream has no list of choices")
        for key, value in chunk.items():
            if key in _IDENTITY and value and self._head.get(key) not in (None, "", value):
                raise UpstreamMalformed(f"the {key} changes in mid-stream")
            if key not in ("choices", "object") and (value is not None or key not in self._head):
                self._head[key] = self._head.get(key) or value if key in _IDENTITY else value
        for choice in choices:
            self._add_choice(choice)

    def finish(self) -> JsonObject:
        """Return the whole answer; raises `UpstreamMalformed` where a choice is missing or was never finished."""
        choices = [_settled(self._choices[index]) for index in sorted(self._choices)]
        for choice in choices:
            choice["message"].setdefault("role", "assistant")
            choice["message"].setdefault("content", None)
        response = self._head | {"object": OBJECT, "choices": choices}
        check_completion(response, self._limits)
        return response

    def _add_choice(self, piece: object) -> None:
        index = piece.get("index", 0) if isinstance(piece, dict) else None
        if not isinstance(piece, dict) or not _is_index(index, self._limits.choices_max):
            raise UpstreamMalformed("a choice of the stream has no proper index")
        choice = self._choices.setdefault(index, {"index": index, "message": {}, "finish_reason": None})
        delta = piece.get("delta") or {}
        if not isinstance(delta, dict):
            raise UpstreamMalformed("a delta of the stream is not an object")
        if choice["finish_reason"] is not None and any(value for key, value in delta.items() if key != "role"):
            raise UpstreamMalformed("a choice goes on after it was finished")
        _merge(choice["message"], delta)
        for key, value in piece.items():
            if key == "logprobs":
                _add_logprobs(choice, value)
            elif key == "finish_reason":
                _finish(choice, value)
            elif key not in ("index", "delta") and (value is not None or key not in choice):
                choice[key] = value


def _merge(target: JsonObject, delta: JsonObject) -> None:
    for key, value in delta.items():
        if key == "tool_calls" and value is not None:
            _merge_tool_calls(target, value)
        elif value is None:
            target.setdefault(key, None)
        elif isinstance(value, str) and key not in _SET_ONCE:
            _append_text(target, key, value)
        elif isinstance(value, str):
            if target.get(key) and value and target[key] != value:
                raise UpstreamMalformed(f"the {key} of a message changes in mid-stream")
            target[key] = target.get(key) or value
        elif isinstance(value, list):
            _extend(target, key, value)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        elif isinstance(value, dict):
            target[key] = {}
            _merge(target[key], value)
        else:
            target[key] = value


def _merge_tool_calls(target: JsonObject, calls: object) -> None:
    known = target.get("tool_calls")
    if not isinstance(known, _ToolCalls):
        known = target["tool_calls"] = _ToolCalls()
    if not isinstance(calls, list):
        raise UpstreamMalformed("the tool calls of a delta are not a list")
    for call in calls:
        index = call.get("index") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not _is_index(index, _TOOL_CALLS_MAX):
            raise UpstreamMalformed("a tool call of the stream has no proper index")
        _merge(known.setdefault(index, {}), {key: value for key, value in call.items() if key != "index"})


def _append_text(target: JsonObject, key: str, text: str) -> None:
    known = target.get(key)
    if known is None:
        known = target[key] = _Text()
    if not isinstance(known, _Text):
        raise UpstreamMalformed(f"the field {key[:64]!r} changes its type in mid-stream")
    known.parts.append(text)


def _extend(target: JsonObject, key: str, values: list[Any]) -> None:
    known = target.get(key)
    if known is None:
        known = target[key] = []
    if not isinstance(known, list):
        raise UpstreamMalformed(f"the field {key[:64]!r} changes its type in mid-stream")
    known.extend(values)


def _settled(value: Any) -> Any:
    """Replace what was kept in a form that grows cheaply by its JSON form."""
    if isinstance(value, _Text):
        return "".join(value.parts)
    if isinstance(value, _ToolCalls):
        return [_settled(value[index]) for index in sorted(value)]
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items()}
    return value


def _add_logprobs(choice: JsonObject, logprobs: object) -> None:
    if logprobs is None:
        choice.setdefault("logprobs", None)
        return
    if not isinstance(logprobs, dict):
        raise UpstreamMalformed("the logprobs of a choice are not an object")
    known = choice.get("logprobs") or {}
    _merge(known, logprobs)
    choice["logprobs"] = known


def _finish(choice: JsonObject, reason: object) -> None:
    if reason is None:
        return
    if not isinstance(reason, str) or choice["finish_reason"] not in (None, reason):
        raise UpstreamMalformed("a choice is finished for two reasons")
    choice["finish_reason"] = reason


def _is_index(value: object, count_max: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count_max
