"""A validated chat request, seen as what can be reused: what must agree exactly, and what may agree by meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from server.ports import JsonObject

#: Top-level fields that never reach the upstream and never enter a key: they speak to us or about transport.
OURS: Final = frozenset({"hitproof", "hitproof_statement", "stream", "stream_options"})
#: Fields that reach the upstream but cannot change an answer, so two requests that differ only here are one.
IMMATERIAL: Final = frozenset({"user", "metadata", "store", "safety_identifier", "service_tier"})


@dataclass(frozen=True, slots=True)
class ShareWish:
    """What a request says of sharing its entry: whether, under which public *aliases*, and at which smaller ε."""

    shares: bool
    aliases: tuple[str, ...] = ()
    epsilon_milli: int | None = None


@dataclass(frozen=True, slots=True)
class Steering:
    """What a caller may ask of the cache for one request; all but *share*, which is consent, can only tighten."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age_s: int | None = None
    tags: tuple[str, ...] = ()
    ttl_s: int | None = None
    threshold_ten_thousandths: int | None = None
    share: ShareWish | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat request; *body* is what the client sent, checked."""

    body: JsonObject
    steering: Steering

    @property
    def model(self) -> str:
        """The model alias that the client asked for."""
        return str(self.body["model"])

    @property
    def messages(self) -> Sequence[JsonObject]:
        """The conversation."""
        messages: Sequence[JsonObject] = self.body["messages"]
        return messages

    @property
    def is_streamed(self) -> bool:
        """Whether the answer goes out in chunks."""
        return bool(self.body.get("stream"))

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the usage chunk."""
        options = self.body.get("stream_options") or {}
        return bool(options.get("include_usage"))

    @property
    def upstream_body(self) -> JsonObject:
        """What an upstream may see: everything but our own fields and streaming."""
        return {name: value for name, value in self.body.items() if name not in OURS}

    @property
    def material_parameters(self) -> JsonObject:
        """All that can change an answer besides the model and the conversation."""
        skipped = OURS | IMMATERIAL | {"model", "messages"}
        return {name: value for name, value in self.body.items() if name not in skipped and value is not None}

    @property
    def query(self) -> str | None:
        """The text of the last message if it is a user's and nothing but text, else None."""
        last = self.messages[-1]
        return text_of(last) if last.get("role") == "user" else None

    @property
    def context(self) -> Sequence[JsonObject]:
        """Every message before the last."""
        return self.messages[:-1]

    @property
    def has_earlier_turns(self) -> bool:
        """Whether anything but instructions comes before the last message."""
        return any(message.get("role") not in ("system", "developer") for message in self.context)

    @property
    def uses_tools(self) -> bool:
        """Whether tools or functions are offered, or were used in an earlier turn."""
        if any(self.body.get(name) for name in ("tools", "functions", "tool_choice", "function_call")):
            return True
        return any(
            message.get("role") in ("tool", "function") or message.get("tool_calls") for message in self.messages
        )


def text_of(message: Mapping[str, Any]) -> str | None:
    """Return a message's text, parts joined by nothing; None when it holds anything but text."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    if any(part.get("type") != "text" for part in content):
        return None
    return "".join(str(part["text"]) for part in content)
