"""Embedders of an auditor's own, which make a query's vector from its text: found through entry points.

An entry point of the group `hitproof.embedders` names an object with the methods of `EmbedderLoader`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol, TypeGuard

from .errors import ReplayUnavailable
from .plugins import find_plugins, has_methods

GROUP: Final = "hitproof.embedders"


class AuditEmbedder(Protocol):
    """An embedder whose files were read."""

    @property
    def digests(self) -> Sequence[str]:
        """Every embedder digest that a gateway may give it: its arithmetic on other devices has another name."""
        ...

    def embed(self, text: str) -> Sequence[float]:
        """Return the unit vector of *text*; raises `ReplayUnavailable` where there is none."""
        ...


class EmbedderLoader(Protocol):
    """Reads the files of embedders of some kind."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def load(self, folder: Path) -> AuditEmbedder:
        """Return the embedder in *folder*; raises `ReplayUnavailable` where this machine cannot run it."""
        ...


def load_embedders() -> Mapping[str, EmbedderLoader]:
    """Return the usable loaders that are installed here, by entry point."""
    return find_plugins(entry_points(group=GROUP), _is_loader, "it has no name and load").usable


def load_embedder(folder: Path, loaders: Mapping[str, EmbedderLoader]) -> AuditEmbedder:
    """Return the embedder in *folder* by the first of *loaders* that can read it; raises `ReplayUnavailable`."""
    reasons: list[str] = []
    for name, loader in loaders.items():
        try:
            return loader.load(folder)
        except ReplayUnavailable as error:
            reasons.append(f"{name}: {error}")
    raise ReplayUnavailable(f"nothing installed here can run the embedder in {folder} ({'; '.join(reasons) or 'none'})")


def _is_loader(loaded: object) -> TypeGuard[EmbedderLoader]:
    return has_methods(loaded, "load")
