"""The key-encryption key in a file: 64 hexadecimal digits, mode 0400, refused when anybody else could have read it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from tenants.errors import KeyFormError, SealedError
from tenants.key_wrapping import KEK_BYTES, KeyEncryptionKey, parse_kek_hex
from tenants.randomness import RandomSource, draw

FILE_BYTES_MAX: Final = 256
FILE_MODE: Final = 0o400


def read_key_file(path: Path) -> KeyEncryptionKey:
    """Read the key in *path*; raises `SealedError` that says how to mend its absence, kind, owner, mode or content."""
    try:
        # Opened once, without following a link or waiting on a pipe, and everything is asked of what was opened.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SealedError(f"there is no key file at {path}; restore it from where you keep it") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SealedError(f"the key file {path} is a symbolic link; put the file itself there") from None
        raise SealedError(f"the key file {path} cannot be opened: {error.strerror}; change its owner or path") from None
    try:
        _refuse_open_to_others(path, os.fstat(descriptor))
        content = os.read(descriptor, FILE_BYTES_MAX)
    except OSError as error:
        raise SealedError(f"the key file {path} cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return parse_kek_hex(content.decode("ascii", "replace"), where=f"the key file {path}")


def create_key_file(path: Path, random: RandomSource) -> None:
    """Make a new random key in *path*, durably; raises `KeyFormError` if anything is there already.

    Losing this file loses everything that is sealed under it: keep a copy apart from the database's backups.
    """
    digits = draw(random, KEK_BYTES).hex() + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    except FileExistsError:
        raise KeyFormError(f"there is something at {path} already; a key file is never overwritten") from None
    except OSError as error:
        raise KeyFormError(f"the key file {path} cannot be made: {error.strerror}; choose another path") from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            os.fchmod(handle.fileno(), FILE_MODE)
            handle.write(digits)
            handle.flush()
            os.fsync(handle.fileno())
        _sync_folder(path.parent)
    except OSError as error:
        # A key that may not be on the disk must not be used: half a file is worse than none.
        path.unlink(missing_ok=True)
        raise KeyFormError(f"the key file {path} cannot be written: {error.strerror}; free space or move it") from None


def _refuse_open_to_others(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SealedError(f"the key file {path} is not a regular file; put the file itself there")
    if found.st_uid not in (os.geteuid(), 0):
        raise SealedError(f"the key file {path} belongs to another user; chown it to the one that runs hitproof")
    if stat.S_IMODE(found.st_mode) != FILE_MODE:
        raise SealedError(
            f"the key file {path} has mode {stat.S_IMODE(found.st_mode):04o}; run: chmod 0400 {path} "
            "(and make a new key if others could read it)"
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
