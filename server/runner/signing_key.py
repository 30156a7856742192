"""The file with the runner's signing key: made by the runner itself, read by nobody else.

32 secret bytes in hexadecimal, readable by their owner alone. A key is never overwritten: another key is another file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from crypto.ed25519 import SEED_BYTES, SigningKey
from crypto.errors import EncodingError
from server.ports import RandomSource
from server.runner.errors import RunnerConfigurationError

_FILE_BYTES_MAX: Final = 256


def load_or_create_signing_key(path: Path, random_source: RandomSource) -> SigningKey:
    """Return the key in *path*, which is made first where there is none.

    Raises `RunnerConfigurationError` where the file cannot be made or read, is a link, can be read by others, or holds
    something else.
    """
    if not os.path.lexists(path):
        _create(path, random_source)
    return _load(path)


def _create(path: Path, random_source: RandomSource) -> None:
    """Write a new key beside *path* and give it that name once it is whole and on disk."""
    started = path.with_name(f"{path.name}.{random_source.token_bytes(8).hex()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(started, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(random_source.token_bytes(SEED_BYTES).hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
            _name(started, path)
        finally:
            started.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise RunnerConfigurationError(f"the signing key {path} cannot be made: {error.strerror}") from None


def _name(started: Path, path: Path) -> None:
    # A link fails where the name is taken, which a rename would not: of two runners that start at once, one key stays.
    try:
        os.link(started, path)
    except FileExistsError:
        return


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _load(path: Path) -> SigningKey:
    # O_NONBLOCK, so that a pipe in the key's place is refused below instead of waited for.
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_FILE_BYTES_MAX + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise RunnerConfigurationError(f"the signing key {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
        raise RunnerConfigurationError(f"others can read the signing key {path}; run: chmod 400 {path}")
    try:
        return SigningKey(bytes.fromhex(data.decode("ascii").strip()))
    except (ValueError, EncodingError):
        raise RunnerConfigurationError(
            f"the file {path} does not hold a signing key of {2 * SEED_BYTES} hexadecimal digits; restore it, or name "
            "a file that does not exist to have a new key made"
        ) from None
