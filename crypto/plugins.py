"""Helpers that this package does not bring itself, found through entry points and never imported by name.

One that cannot be imported, or lacks what it must have, is reported and not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Final, Generic, TypeGuard, TypeVar

PLUGINS_MAX: Final = 64
#: This package's two names: in a checkout, and where an auditor installed it. A process uses one of them.
_OWN_NAMES: Final = frozenset({"crypto", "hitproof_verify"})

Plugin = TypeVar("Plugin")


@dataclass(frozen=True, slots=True)
class FoundPlugins(Generic[Plugin]):
    """Plugins that can be used, by name, and why the others cannot."""

    usable: Mapping[str, Plugin]
    unusable: Mapping[str, str]


def find_plugins(
    points: Iterable[EntryPoint], is_wanted: Callable[[object], TypeGuard[Plugin]], lacking: str
) -> FoundPlugins[Plugin]:
    """Load *points*; what fails to load, or is not *is_wanted*, is named with its reason (*lacking*) instead of raised."""
    usable: dict[str, Plugin] = {}
    unusable: dict[str, str] = {}
    for point in sorted(set(points), key=lambda point: (point.name, point.value))[:PLUGINS_MAX]:
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
        if is_wanted(loaded):
            usable[point.name] = loaded
        else:
            unusable[point.name] = lacking
    for name in unusable:
        usable.pop(name, None)
    return FoundPlugins(MappingProxyType(usable), MappingProxyType(unusable))


def has_methods(loaded: object, *names: str) -> bool:
    """Say whether *loaded* has a name that is a text, and can be called by each of *names*."""
    methods = (getattr(loaded, name, None) for name in names)
    return isinstance(getattr(loaded, "name", None), str) and all(callable(method) for method in methods)


def _is_twin(point: EntryPoint) -> bool:
    """Say whether *point* is this package under its other name, whose errors would not be ours."""
    root = point.value.partition(":")[0].partition(".")[0]
    return root in _OWN_NAMES - {__name__.partition(".")[0]}
