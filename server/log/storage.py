"""Where tiles, checkpoint and state lie: a port, and the folder behind it.

What `write` was given is durable when it returns, each file whole or not at all. A reader that comes in the middle of a
write sees the file from before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from server.log.disk import Disk, RealDisk

CHECKPOINT: Final = "checkpoint"
STATE: Final = "state"

_TEMPORARY: Final = ".new"


class LogStorage(Protocol):
    """Named byte strings; a name is a path of `server.log.tiles`, `CHECKPOINT` or `STATE`."""

    def read(self, name: str) -> bytes | None:
        """Return what lies under *name*, None for nothing. Raises `OSError`."""
        ...

    def list_folder(self, name: str) -> list[str]:
        """Return the names directly below *name*, none for nothing."""
        ...

    def write(self, files: Mapping[str, bytes]) -> None:
        """Make *files* durable, each in one step; raises `OSError`, and then any of them may be there or not."""
        ...

    def remove_folder(self, name: str) -> None:
        """Remove the files below *name*, which is no longer needed."""
        ...


class DirectoryStorage:
    """`LogStorage` in a folder, in the layout that a web server may serve as it is."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self._root = root
        self._disk = RealDisk() if disk is None else disk

    def read(self, name: str) -> bytes | None:
        """Return the file's content."""
        return self._disk.read(self._root / name)

    def list_folder(self, name: str) -> list[str]:
        """Return the names in a folder, without files that are being written."""
        return [found for found in self._disk.list_folder(self._root / name) if not found.endswith(_TEMPORARY)]

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write beside, sync, rename, and sync the folders, in this order for all of them together."""
        paths = {self._root / name: data for name, data in files.items()}
        folders = sorted({path.parent for path in paths})
        for folder in folders:
            self._make(folder)
        for path, data in paths.items():
            self._disk.write(_beside(path), data)
        for path in paths:
            self._disk.sync_file(_beside(path))
        for path in paths:
            self._disk.rename(_beside(path), path)
        for folder in folders:
            self._disk.sync_folder(folder)

    def remove_folder(self, name: str) -> None:
        """Remove a folder and the files in it; a crash in between leaves what does no harm."""
        folder = self._root / name
        names = self._disk.list_folder(folder)
        for found in names:
            self._disk.remove(folder / found)
        if names:
            self._disk.remove(folder)

    def _make(self, folder: Path) -> None:
        missing = [folder, *(parent for parent in folder.parents if self._root in (parent, *parent.parents))]
        for path in reversed(missing):
            if self._disk.make_folder(path):
                self._disk.sync_folder(path.parent)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _TEMPORARY)
