"""Open the key provider that the settings name, with whatever older keys the store still needs."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import Final

from server.datafolder import DataFolder
from server.ports import RandomSource
from server.settings import Settings
from tenants.key_files import create_key_file
from tenants.key_providers import (
    EnvironmentKeyProvider,
    FileKeyProvider,
    KeyProvider,
    RotatingKeyProvider,
    ShamirKeyProvider,
)

_NAME: Final = re.compile(r"kek-[0-9a-f]{16}")


def open_key_provider(
    settings: Settings, folder: DataFolder, random: RandomSource, *, wrapped_under: Collection[str]
) -> KeyProvider:
    """Return the provider for a store whose data keys are *wrapped_under* keys of these names.

    A key file is made where the store holds no data key yet, and never in the place of one that was lost: then, and
    until its shares are given for a Shamir one, the provider is sealed. Older keys that the store needs are found in
    `previous_key_file` and where an interrupted rotation left them.
    """
    provider = _open_current(settings, folder, random, wrapped_under)
    # The names come from rows; nothing but a name may become part of a path.
    older = [folder.old_key_file(name) for name in sorted(wrapped_under) if _NAME.fullmatch(name)]
    if settings.previous_key_file is not None:
        older.append(settings.previous_key_file)
    for path in older:
        if path == settings.previous_key_file or path.exists():
            provider = RotatingKeyProvider(provider, FileKeyProvider(path))
    return provider


def find_shamir_provider(provider: KeyProvider) -> ShamirKeyProvider | None:
    """Return the provider that takes shares, if there is one within *provider*."""
    while isinstance(provider, RotatingKeyProvider):
        provider = provider.current
    return provider if isinstance(provider, ShamirKeyProvider) else None


def _open_current(
    settings: Settings, folder: DataFolder, random: RandomSource, wrapped_under: Collection[str]
) -> KeyProvider:
    if settings.key_provider == "env":
        return EnvironmentKeyProvider(settings.key_variable, os.environ)
    if settings.key_provider == "shamir":
        # Between two keys, in a rotation that was cut short, either one's shares may come.
        expected = next(iter(wrapped_under)) if len(wrapped_under) == 1 else None
        return ShamirKeyProvider(expected_key_id=expected)
    if not folder.key_file.exists() and not wrapped_under:
        create_key_file(folder.key_file, random)
    return FileKeyProvider(folder.key_file)
