"""What a runner needs from a model: a manifest, and answers token by token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from server.ports import JsonObject

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation; *role* is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One answer to compute; None means that the caller left it to the model.

    Temperature and top_p are decimals, never floats, because they are part of what a statement will state exactly.
    """

    turns: tuple[Turn, ...]
    tokens_max: int | None
    temperature: Decimal | None
    top_p: Decimal | None
    seed: int | None
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step added: a token and the text that became complete with it (empty inside a multi-byte character)."""

    token_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Generated:
    """The finished answer; *text* is every piece joined, *parameters* the exact values that were used."""

    text: str
    prompt_token_ids: tuple[int, ...]
    output_token_ids: tuple[int, ...]
    finish_reason: FinishReason
    parameters: JsonObject


class Engine(Protocol):
    """A loaded model. `generate` runs in a worker thread and may be abandoned between two pieces."""

    @property
    def name(self) -> str:
        """The name clients put into `model`."""
        ...

    @property
    def manifest(self) -> JsonObject:
        """The model manifest (docs/formats.md); its digest is the model version."""
        ...

    def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
        """Yield pieces and, last, exactly one `Generated`. Raises `server.runner.errors.RequestTooLong` and the like."""
        ...
