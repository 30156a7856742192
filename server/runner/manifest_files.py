"""The files of a model folder as manifest resources: names, sizes and digests, and nothing that could lie about them.

Only kinds of files that the loader reads are listed; links are refused, because what they lead to can change without
the folder changing.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crypto.manifest import RESOURCES_MAX, is_resource_name
from server.ports import JsonObject
from server.runner.errors import ModelFolderError

#: What decides an answer: weights, configuration, tokenizer, template. Pickled weights and code are never read.
SUFFIXES: Final = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja"})
DEPTH_MAX: Final = 4
_BLOCK_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file as it was read: its manifest name, size and SHA-256, and the marks by which a change is noticed."""

    name: str
    size_bytes: int
    sha256: str
    inode: int
    changed_ns: int

    def as_resource(self) -> JsonObject:
        """Return the manifest's form of it."""
        return {"name": self.name, "size_bytes": self.size_bytes, "sha256": self.sha256}


def hash_folder(folder: Path) -> tuple[ModelFile, ...]:
    """Read and hash every file of a model in *folder*, sorted by name.

    Raises `ModelFolderError` for links, special files, unsafe names, and folders without weights in safetensors.
    """
    names = _list_names(folder)
    if not any(name.endswith(".safetensors") for name in names):
        raise ModelFolderError(f"{folder} holds no .safetensors file; other weight formats are not loaded")
    return tuple(_hash_file(folder, name) for name in sorted(names))


def refuse_changed(folder: Path, files: tuple[ModelFile, ...]) -> None:
    """Raise `ModelFolderError` if a file is no longer the one that was hashed (by inode, size and time of change)."""
    if sorted(_list_names(folder)) != [file.name for file in files]:
        raise ModelFolderError(f"files came to {folder} or left it while the model was loading; start again")
    for file in files:
        status = os.stat(folder / file.name, follow_symlinks=False)
        if (status.st_ino, status.st_size, status.st_ctime_ns) != (file.inode, file.size_bytes, file.changed_ns):
            raise ModelFolderError(f"{file.name} changed while the model was loading; start again")


def _list_names(folder: Path) -> list[str]:
    if folder.is_symlink() or not folder.is_dir():
        raise ModelFolderError(f"{folder} is not a folder; links are not followed")
    names: list[str] = []
    pending = [(folder, "")]
    while pending:
        here, prefix = pending.pop()
        with os.scandir(here) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    raise ModelFolderError(f"{name} in {folder} is a link; copy the file itself there")
                if entry.is_dir(follow_symlinks=False):
                    if name.count("/") + 1 > DEPTH_MAX:
                        raise ModelFolderError(f"{folder} nests deeper than {DEPTH_MAX} folders")
                    pending.append((here / entry.name, name + "/"))
                elif Path(entry.name).suffix in SUFFIXES:
                    names.append(_safe_name(name, folder))
        if len(names) > RESOURCES_MAX:
            raise ModelFolderError(f"{folder} holds more than {RESOURCES_MAX} files")
    return names


def _safe_name(name: str, folder: Path) -> str:
    if not is_resource_name(name):
        raise ModelFolderError(f"{folder} holds a file whose name a manifest cannot carry: {name[:80]!r}")
    return name


def _hash_file(folder: Path, name: str) -> ModelFile:
    # O_NOFOLLOW closes the moment between the listing and the opening; O_NONBLOCK keeps a pipe from holding us up.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(folder / name, flags)
    except OSError as error:
        raise ModelFolderError(f"{name} in {folder} cannot be read: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ModelFolderError(f"{name} in {folder} is not a regular file")
        digest = hashlib.sha256()
        count = 0
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            count += len(block)
    if count != status.st_size:
        raise ModelFolderError(f"{name} in {folder} changed while it was read; start again")
    return ModelFile(name, count, digest.hexdigest(), status.st_ino, status.st_ctime_ns)
