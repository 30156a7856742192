"""Open the key provider that the settings name."""

from __future__ import annotations

import os

from server.datafolder import DataFolder
from server.ports import RandomSource
from server.settings import Settings
from tenants.key_files import create_key_file
from tenants.key_providers import EnvironmentKeyProvider, FileKeyProvider, KeyProvider


def open_key_provider(settings: Settings, folder: DataFolder, random: RandomSource) -> KeyProvider:
    """Return the provider; a file is made on first use, a Shamir one starts sealed."""
    if settings.key_provider == "env":
        return EnvironmentKeyProvider(settings.key_variable, os.environ)
    if not folder.key_file.exists():
        create_key_file(folder.key_file, random)
    return FileKeyProvider(folder.key_file)
