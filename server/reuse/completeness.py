"""May an upstream's answer be stored? Only a whole one that stands by itself."""

from __future__ import annotations

import re
from typing import Any, Final

from server.ports import JsonObject

#: How a whole answer ends; `length`, `content_filter`, `tool_calls` and whatever comes next do not.
WHOLE: Final = "stop"
WORD: Final = re.compile(r"[a-z_]{1,40}")


def reason_not_to_store(response: JsonObject) -> str | None:
    """Return why *response* must not be stored, or None: every choice whole, in text, not refused, not a tool call."""
    choices = response.get("choices")
    if not isinstance(choices, list) or not choices:
        return "no_choices"
    for choice in choices:
        reason = _reason_not_to_store_choice(choice)
        if reason is not None:
            return reason
    return None


def _reason_not_to_store_choice(choice: Any) -> str | None:
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return "malformed_choice"
    message = choice["message"]
    finish = choice.get("finish_reason")
    if message.get("tool_calls") or message.get("function_call"):
        return "tool_call"
    if message.get("refusal"):
        return "refusal"
    if finish != WHOLE:
        # An upstream's word ends up in a header: only what could stand there is repeated.
        return f"finish_{finish}"[:60] if isinstance(finish, str) and WORD.fullmatch(finish) else "finish_unknown"
    if message.get("audio"):
        return "audio"
    if not isinstance(message.get("content"), str) or not message["content"].strip():
        return "empty_answer"
    return None
