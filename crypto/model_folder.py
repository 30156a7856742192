"""A model's files in a folder, held against its manifest: names, sizes and digests, and no other file is read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .errors import EncodingError, VerificationError
from .manifest import validate_manifest

_BLOCK_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file whose bytes had the manifest's digest, and the marks by which a later change is noticed."""

    name: str
    path: Path
    inode: int
    size_bytes: int
    changed_ns: int


def is_model_folder(manifest: Mapping[str, Any], folder: Path) -> bool:
    """Say whether *folder* holds every file of *manifest*, byte for byte; reads all of them."""
    try:
        verify_model_folder(manifest, folder)
    except VerificationError:
        return False
    return True


def verify_model_folder(manifest: Mapping[str, Any], folder: Path) -> tuple[HashedFile, ...]:
    """Hash every file that *manifest* names, in its order.

    Raises `VerificationError` with reason `replay_failed`, naming the first file that is absent, special, or another.
    """
    return tuple(_hash_file(folder, resource, None) for resource in _resources(manifest))


def read_model_files(manifest: Mapping[str, Any], folder: Path, bytes_max: int) -> dict[str, bytes]:
    """Return the files that *manifest* names, all in all at most *bytes_max* bytes; what was hashed is what is returned.

    Raises `VerificationError` with reason `replay_failed`.
    """
    resources = _resources(manifest)
    if sum(resource["size_bytes"] for resource in resources) > bytes_max:
        raise _failed(f"the manifest's files are larger than {bytes_max} bytes together")
    files: dict[str, bytes] = {}
    for resource in resources:
        kept = bytearray()
        _hash_file(folder, resource, kept)
        files[resource["name"]] = bytes(kept)
    return files


def verify_unchanged(files: tuple[HashedFile, ...]) -> None:
    """Raise `VerificationError` if a file is no longer the one that was hashed (by inode, size and time of change)."""
    for file in files:
        status = os.stat(file.path)
        if (status.st_ino, status.st_size, status.st_ctime_ns) != (file.inode, file.size_bytes, file.changed_ns):
            raise _failed(f"{file.name} changed while the model was loading")


def _resources(manifest: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    try:
        validate_manifest(manifest)  # among other things, no name leads out of the folder
    except EncodingError as error:
        raise _failed(str(error)) from None
    return tuple(manifest["resources"])


def _hash_file(folder: Path, resource: Mapping[str, Any], kept: bytearray | None) -> HashedFile:
    name, size_bytes = resource["name"], resource["size_bytes"]
    path = folder / name
    try:
        # O_NONBLOCK keeps a pipe from holding us up.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise _failed(f"the model's file {name} cannot be read: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _failed(f"the model's file {name} is not a regular file")
        if status.st_size != size_bytes:
            raise _failed(f"the model's file {name} has another size", expected=size_bytes, actual=status.st_size)
        digest, left = hashlib.sha256(), size_bytes
        while block := file.read(min(_BLOCK_BYTES, left)):
            digest.update(block)
            left -= len(block)
            if kept is not None:
                kept += block
    if digest.hexdigest() != resource["sha256"]:
        raise _failed(
            f"the model's file {name} has another digest", expected=resource["sha256"], actual=digest.hexdigest()
        )
    return HashedFile(name, path, status.st_ino, status.st_size, status.st_ctime_ns)


def _failed(message: str, *, expected: object = None, actual: object = None) -> VerificationError:
    return VerificationError(message, reason="replay_failed", expected=expected, actual=actual)
