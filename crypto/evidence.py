"""Verifiers of evidence that need more than this package: found through entry points, never imported by name.

An entry point of the group `hitproof.evidence` names an object with the methods of `EvidenceVerifier`. One that cannot
be imported or lacks a method is reported and not used: what it would have checked is then not covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeGuard

GROUP: Final = "hitproof.evidence"
VERIFIERS_MAX: Final = 64
#: This package's two names: in a checkout, and where an auditor installed it. A process uses one of them.
_OWN_NAMES: Final = frozenset({"crypto", "hitproof_verify"})


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


@dataclass(frozen=True, slots=True)
class FoundVerifiers:
    """Verifiers that can be used, by name, and why the others cannot."""

    usable: Mapping[str, EvidenceVerifier]
    unusable: Mapping[str, str]


def load_verifiers() -> Mapping[str, EvidenceVerifier]:
    """Return the usable verifiers that are installed here, by entry point."""
    return find_verifiers(entry_points(group=GROUP)).usable


def find_verifiers(points: Iterable[EntryPoint]) -> FoundVerifiers:
    """Load *points*; what fails to load, or is not a verifier, is named with its reason instead of raised."""
    usable: dict[str, EvidenceVerifier] = {}
    unusable: dict[str, str] = {}
    for point in sorted(set(points), key=lambda point: (point.name, point.value))[:VERIFIERS_MAX]:
        if _is_twin(point):
            continue
        if point.name in usable:
            unusable[point.name] = "two packages register this name"
            continue
        try:
            loaded = point.load()
        except Exception as error:  # noqa: BLE001 - whatever a foreign module raises while it is imported
            unusable[point.name] = f"{type(error).__name__}: {error}"[:300]
            continue
        if _is_verifier(loaded):
            usable[point.name] = loaded
        else:
            unusable[point.name] = "it has no name, supports and replay"
    for name in unusable:
        usable.pop(name, None)
    return FoundVerifiers(MappingProxyType(usable), MappingProxyType(unusable))


def _is_twin(point: EntryPoint) -> bool:
    """Say whether *point* is this package under its other name, whose errors would not be ours."""
    root = point.value.partition(":")[0].partition(".")[0]
    return root in _OWN_NAMES - {__name__.partition(".")[0]}


def _is_verifier(loaded: object) -> TypeGuard[EvidenceVerifier]:
    methods = (getattr(loaded, "supports", None), getattr(loaded, "replay", None))
    return isinstance(getattr(loaded, "name", None), str) and all(callable(method) for method in methods)
