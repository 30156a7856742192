from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from crypto.embedders import GROUP, load_embedder, load_embedders
from crypto.errors import ReplayUnavailable
from crypto.plugins import find_plugins, has_methods


class Embedder:
    """An embedder of nothing."""

    digests: Sequence[str] = ()

    def embed(self, text: str) -> Sequence[float]:
        return []


@dataclass(frozen=True)
class Loader:
    """Reads any folder, or none."""

    name: str
    refuses: bool = False

    def load(self, folder: Path) -> Embedder:
        if self.refuses:
            raise ReplayUnavailable(f"{self.name} reads no {folder.name}")
        return Embedder()


def test_the_first_loader_that_can_read_the_folder_is_used() -> None:
    loaders = {"first": Loader("first", refuses=True), "second": Loader("second")}
    assert isinstance(load_embedder(Path("model"), loaders), Embedder)


def test_why_no_loader_could_is_said_of_each() -> None:
    loaders = {"first": Loader("first", refuses=True), "second": Loader("second", refuses=True)}
    with pytest.raises(ReplayUnavailable, match=r"first reads no model.*second reads no model"):
        load_embedder(Path("model"), loaders)


def test_without_any_loader_nothing_can_be_embedded() -> None:
    with pytest.raises(ReplayUnavailable, match="none"):
        load_embedder(Path("model"), {})


def test_the_loaders_that_are_installed_have_what_a_loader_has() -> None:
    for name, loader in load_embedders().items():
        assert name
        assert has_methods(loader, "load")


def test_something_that_is_no_plugin_is_reported_and_not_used() -> None:
    point = EntryPoint("odd", "crypto.errors:Error", GROUP)
    found = find_plugins([point], lambda loaded: has_methods(loaded, "load"), "it lacks load")  # type: ignore[arg-type]
    assert (dict(found.usable), dict(found.unusable)) == ({}, {"odd": "it lacks load"})
