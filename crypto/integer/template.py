"""How a conversation becomes tokens, and what is left out of one that is too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ..canonical import canonical_json
from .errors import SettingRefused
from .tokenizer import ASSISTANT, END, SYSTEM, USER, Tokenizer

TEMPLATE_KIND: Final = "hitproof-turns/v1"
TRUNCATION_RULE: Final = "the oldest tokens are dropped"
ROLES: Final = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


class Turn(Protocol):
    """One message of a conversation."""

    @property
    def role(self) -> str:
        """System, user or assistant."""
        ...

    @property
    def text(self) -> str:
        """What was said."""
        ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads; *truncated* says that older tokens of the conversation were dropped."""

    tokens: tuple[int, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """Role token and text for each turn, END behind each answer given before, and ASSISTANT last.

    Of a conversation longer than *context* − *answer_reserve* tokens only the newest tokens are kept, so that every
    prompt leaves room for an answer.
    """

    context: int
    answer_reserve: int = 96

    @property
    def prompt_tokens_max(self) -> int:
        """The longest prompt that is passed to the model."""
        return self.context - self.answer_reserve

    def render(self, turns: Sequence[Turn], tokenizer: Tokenizer) -> Prompt:
        """Return the prompt, at most `prompt_tokens_max` tokens. Raises `SettingRefused` for an unknown role."""
        parts: list[list[int]] = [[ASSISTANT]]
        room = self.prompt_tokens_max  # one token more than fits, so that dropping is noticed
        for turn in reversed(turns):
            if turn.role not in ROLES:
                raise SettingRefused(
                    f"the role {turn.role!r} is unknown; use system, user or assistant", param="messages"
                )
            if room > 0:
                part = [ROLES[turn.role], *tokenizer.encode_tail(turn.text, room)]
                part = ([*part, END] if turn.role == "assistant" else part)[-room:]
                parts.append(part)
                room -= len(part)
        tokens = [token for part in reversed(parts) for token in part]
        return Prompt(tuple(tokens[-self.prompt_tokens_max :]), len(tokens) > self.prompt_tokens_max)

    def as_manifest(self) -> dict[str, str | int]:
        """Return kind, rules and sizes, without the digest."""
        return {
            "kind": TEMPLATE_KIND,
            "turn": "role token, text; END behind an assistant turn; ASSISTANT last",
            "system_token": SYSTEM,
            "user_token": USER,
            "assistant_token": ASSISTANT,
            "end_token": END,
            "prompt_tokens_max": self.prompt_tokens_max,
            "answer_reserve_tokens": self.answer_reserve,
            "truncation": TRUNCATION_RULE,
        }

    def to_bytes(self) -> bytes:
        """Return the canonical form of `as_manifest`, whose SHA-256 identifies the template."""
        return canonical_json(self.as_manifest())
