"""The few things that the log asks of a disk, so that tests can lose power between any two of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

FILE_BYTES_MAX = 1 << 20


class Disk(Protocol):
    """Files and folders; nothing is durable before it was synced, a name not before its folder was."""

    def read(self, path: Path) -> bytes | None:
        """Return what *path* holds, None where nothing is."""
        ...

    def list_folder(self, path: Path) -> list[str]:
        """Return the names in *path*, none for no folder."""
        ...

    def write(self, path: Path, data: bytes) -> None:
        """Write a whole file."""
        ...

    def sync_file(self, path: Path) -> None:
        """Make the content of *path* durable."""
        ...

    def rename(self, before: Path, after: Path) -> None:
        """Put *before* in the place of *after*, in one step."""
        ...

    def make_folder(self, path: Path) -> bool:
        """Make one folder; say whether it was not there before."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Make the names in *path* durable."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file or an empty folder."""
        ...


class RealDisk:
    """`Disk` over the operating system."""

    def read(self, path: Path) -> bytes | None:
        """Return what *path* holds; raises `OSError` for a file that is larger than any of ours."""
        try:
            with path.open("rb") as handle:
                data = handle.read(FILE_BYTES_MAX + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if len(data) > FILE_BYTES_MAX:
            raise OSError(27, "the file is too large", str(path))
        return data

    def list_folder(self, path: Path) -> list[str]:
        """Return the names in *path*."""
        try:
            return sorted(os.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def write(self, path: Path, data: bytes) -> None:
        """Write a whole file that others may read: everything in the log is public."""
        with path.open("wb") as handle:
            handle.write(data)

    def sync_file(self, path: Path) -> None:
        """Make the content of *path* durable."""
        _sync(path)

    def rename(self, before: Path, after: Path) -> None:
        """Put *before* in the place of *after*."""
        os.replace(before, after)

    def make_folder(self, path: Path) -> bool:
        """Make one folder."""
        try:
            path.mkdir(mode=0o755)
        except FileExistsError:
            return False
        return True

    def sync_folder(self, path: Path) -> None:
        """Make the names in *path* durable."""
        _sync(path)

    def remove(self, path: Path) -> None:
        """Remove a file or an empty folder."""
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
