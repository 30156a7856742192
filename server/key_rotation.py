"""Change the key-encryption key: a new key file, every data key rewrapped in one transaction, the old key kept beside.

    1  keys/kek.new        a new key, durable
    2  keys/kek.<id>.old   a copy of the old key, durable
    3  keys/kek            becomes the new key, in one rename
    4  the database        every data key rewrapped, in one transaction

Interrupted after any step, the store opens as before: between 3 and 4 the data keys name the old key, which
`server.keys` finds under 2. Running it again finishes what was begun and makes no second key.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from sqlalchemy import Connection

from server.datafolder import DataFolder, sync_folder, write_secret
from server.keys import open_key_provider
from server.ports import RandomSource
from server.settings import Settings
from server.store.data_keys import list_wrapping_keys, rewrap_data_keys
from server.store.database import Database
from server.store.maintenance import AuditEvent, append_audit
from tenants.data_keys import rewrap_data_key
from tenants.errors import KeyFormError
from tenants.key_files import create_key_file, read_key_file
from tenants.key_providers import KeyProvider, RotatingKeyProvider

Step: TypeAlias = Literal["made", "kept", "switched", "rewrapped"]


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was done: the key in force, how many data keys moved to it, and the old keys that may be deleted."""

    key_id: str
    rewrapped: int
    old_keys: tuple[str, ...]


def rotate_key_encryption_key(
    settings: Settings,
    folder: DataFolder,
    database: Database,
    random: RandomSource,
    *,
    actor: str,
    now_ms: int,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> Rotation:
    """Rotate, or finish a rotation that was begun; no gateway may run on the store meanwhile.

    With a key in a variable or in shares only the second: the new key is the one in use, the old one is
    `previous_key_file`. Raises `SealedError` when a key is missing and `KeyFormError` when there is nothing to do.
    """
    before = database.read_now(list_wrapping_keys)
    provider = open_key_provider(settings, folder, random, wrapped_under=before)
    if before <= {provider.key_id}:
        if settings.key_provider != "file":
            raise KeyFormError(
                "every data key is under the key in use already; put a new key there, "
                "name a file with the old one as previous_key_file, and run this again"
            )
        _make_new_key_file(folder, random, on_step)
    opener = open_key_provider(settings, folder, random, wrapped_under=before)
    newest = _current(opener)
    count = database.write_now(lambda c: _rewrap(c, opener, newest, before=before, actor=actor, now_ms=now_ms))
    on_step("rewrapped")
    return Rotation(newest.key_id, count, tuple(str(path) for path in sorted(folder.key_file.parent.glob("kek.*.old"))))


def _make_new_key_file(folder: DataFolder, random: RandomSource, on_step: Callable[[Step], None]) -> None:
    old = read_key_file(folder.key_file)
    # One that lies there was never in use: it gets its name only in step 3.
    folder.new_key_file.unlink(missing_ok=True)
    create_key_file(folder.new_key_file, random)
    on_step("made")
    _keep(folder.old_key_file(old.key_id), old.secret.hex() + "\n")
    on_step("kept")
    os.replace(folder.new_key_file, folder.key_file)
    sync_folder(folder.key_file.parent)
    on_step("switched")


def _keep(path: Path, text: str) -> None:
    """Write *text* to *path* so that it is whole or not there at all."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    write_secret(part, text)
    os.replace(part, path)
    sync_folder(path.parent)


def _current(provider: KeyProvider) -> KeyProvider:
    while isinstance(provider, RotatingKeyProvider):
        provider = provider.current
    return provider


def _rewrap(
    connection: Connection,
    opener: KeyProvider,
    newest: KeyProvider,
    *,
    before: frozenset[str],
    actor: str,
    now_ms: int,
) -> int:
    detail = {"from": sorted(before - {newest.key_id}), "to": newest.key_id}
    append_audit(connection, AuditEvent(actor, None, "kek.rotate", newest.key_id, detail), at_ms=now_ms)
    return rewrap_data_keys(connection, partial(rewrap_data_key, opener, newest), key_id=newest.key_id)
