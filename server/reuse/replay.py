"""Give a stored answer back as if it were fresh: the whole object field for field, under a new id and time, whole or in
chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from server.ports import JsonObject

#: Text per replayed chunk; also the answer's shape on the wire, which does not depend on how it was first produced.
CHUNK_CHARACTERS: Final = 64


def client_response(model: str, answer: str, *, created_s: int) -> JsonObject:
    """Return the response object of an answer that a client stored itself."""
    return {
        "id": "",
        "object": "chat.completion",
        "created": created_s,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }


def replay_whole(response: JsonObject, *, identifier: str, created_s: int) -> JsonObject:
    """Return *response* under a fresh id and time."""
    return {**response, "id": identifier, "created": created_s}


def replay_chunks(response: JsonObject, *, identifier: str, created_s: int, with_usage: bool) -> Iterator[JsonObject]:
    """Yield `chat.completion.chunk` objects that add up to *response* again, in the order of OpenAI's streams."""
    frame = {
        **{name: value for name, value in response.items() if name not in ("choices", "usage")},
        "id": identifier,
        "object": "chat.completion.chunk",
        "created": created_s,
    }
    pending_usage: JsonObject = {"usage": None} if with_usage else {}
    for choice in response["choices"]:
        for delta in _deltas(choice):
            yield {**frame, **pending_usage, "choices": [delta]}
    if with_usage:
        yield {**frame, "choices": [], "usage": response.get("usage")}


def _deltas(choice: JsonObject) -> Iterator[JsonObject]:
    """Yield the choice objects of one choice: the role, each text field in pieces, then the end."""
    message: JsonObject = choice["message"]
    index = choice.get("index", 0)
    rest = {name: value for name, value in choice.items() if name not in ("message", "index", "finish_reason")}
    logprobs = rest.pop("logprobs", None)
    texts = {name: value for name, value in message.items() if isinstance(value, str) and name != "role"}
    others = {name: value for name, value in message.items() if name not in texts and name != "role"}
    yield _delta(index, {"role": message.get("role", "assistant"), **others}, logprobs=None)
    for name, text in texts.items():
        for start in range(0, max(len(text), 1), CHUNK_CHARACTERS):
            first_of_content = name == "content" and start == 0
            piece = {name: text[start : start + CHUNK_CHARACTERS]}
            yield _delta(index, piece, logprobs=logprobs if first_of_content else None)
    yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.get("finish_reason"), **rest}


def _delta(index: int, delta: JsonObject, *, logprobs: Any) -> JsonObject:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
