"""What counts as a whole `chat.completion`: the one check that every answer passes, streamed or not."""

from __future__ import annotations

from typing import Final

from server.ports import JsonObject
from server.upstream.errors import UpstreamMalformed
from server.upstream.limits import UpstreamLimits

OBJECT: Final = "chat.completion"


def check_completion(response: JsonObject, limits: UpstreamLimits) -> None:
    """Raise `UpstreamMalformed` unless *response* is a finished answer with every choice in its place."""
    if response.get("error") is not None:
        raise UpstreamMalformed("the upstream answered 200 with an error inside")
    if response.get("object", OBJECT) != OBJECT:
        raise UpstreamMalformed(f"the upstream's answer is not a {OBJECT} object")
    choices = response.get("choices")
    if not isinstance(choices, list) or not 0 < len(choices) <= limits.choices_max:
        raise UpstreamMalformed("the upstream's answer has no choices, or too many")
    for place, choice in enumerate(choices):
        _check_choice(choice, place)
    if not isinstance(response.get("usage"), dict | None):
        raise UpstreamMalformed("the usage of the upstream's answer is not an object")


def _check_choice(choice: object, place: int) -> None:
    if not isinstance(choice, dict) or choice.get("index", 0) != place or isinstance(choice.get("index"), bool):
        raise UpstreamMalformed(f"choice {place} of the upstream's answer is missing or out of place")
    message, reason = choice.get("message"), choice.get("finish_reason")
    if not isinstance(message, dict) or message.get("role", "assistant") != "assistant":
        raise UpstreamMalformed(f"choice {place} of the upstream's answer holds no message of the assistant")
    if not isinstance(message.get("content"), str | None) or not isinstance(message.get("tool_calls"), list | None):
        raise UpstreamMalformed(f"the message of choice {place} is not in the form of the API")
    if not isinstance(reason, str) or not reason:
        raise UpstreamMalformed(f"choice {place} of the upstream's answer was never finished")
