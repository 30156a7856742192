"""Verifiers of evidence that need more than this package: found through entry points, never imported by name.

An entry point of the group `hitproof.evidence` names an object with the methods of `EvidenceVerifier`. One that cannot
be imported or lacks a method is reported and not used: what it would have checked is then not covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, Protocol, TypeGuard

from .plugins import FoundPlugins, find_plugins, has_methods

GROUP: Final = "hitproof.evidence"


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What a passed replay found: how many *tokens*, whether all came out *exact*, and in words by what *margin*."""

    tokens: int
    exact: bool
    margin: str


class EvidenceVerifier(Protocol):
    """Runs a model again over an opened answer."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def supports(self, manifest: Mapping[str, Any]) -> bool:
        """Say whether models of this *manifest* are its business."""
        ...

    def replay(
        self,
        manifest: Mapping[str, Any],
        folder: Path,
        *,
        prompt_tokens: Sequence[int],
        output_tokens: Sequence[int],
        parameters: Mapping[str, Any],
        messages: Sequence[Any] | None = None,
        choices: Sequence[Any] | None = None,
    ) -> ReplayOutcome:
        """Check that the model in *folder* gives *output_tokens* after *prompt_tokens*.

        *messages* and *choices* are checked where given. Raises `VerificationError` with reason `replay_failed`, and
        `ReplayUnavailable` where this machine cannot tell.
        """
        ...


def load_verifiers() -> Mapping[str, EvidenceVerifier]:
    """Return the usable verifiers that are installed here, by entry point."""
    return find_verifiers(entry_points(group=GROUP)).usable


def find_verifiers(points: Iterable[EntryPoint]) -> FoundPlugins[EvidenceVerifier]:
    """Load *points*; what fails to load, or is not a verifier, is named with its reason instead of raised."""
    return find_plugins(points, _is_verifier, "it has no name, supports and replay")


def _is_verifier(loaded: object) -> TypeGuard[EvidenceVerifier]:
    return has_methods(loaded, "supports", "replay")
