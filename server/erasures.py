"""Which tenants were erased, written beside the database: a restored backup must not bring one back.

One line per erasure, `<tenant> <at_ms>`, durable before the database commits. Whoever opens the data folder erases again
what a restored database still holds of these tenants, before anything is served from it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.datafolder import DataFolderError, sync_folder
from tenants.identifiers import TenantId

_LINE: Final = re.compile(r"(ten_[a-z2-7]{16}) ([0-9]{1,16})")
#: What a crash leaves of a line: its beginning.
_CUT_SHORT: Final = re.compile(r"t?e?n?_?|ten_[a-z2-7]{0,16} ?")
#: More erasures than a platform has tenants; a longer file is none of ours.
FILE_BYTES_MAX: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class Erasure:
    """One tenant that was erased, and when."""

    tenant: TenantId
    at_ms: int


class Erasures:
    """The tombstones of one data folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, erasure: Erasure) -> None:
        """Write a tombstone, durably; raises `DataFolderError`, and then the erasure must not go on."""
        line = f"{erasure.tenant} {erasure.at_ms}\n".encode()
        try:
            is_new = not self._path.exists()
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, self._missing_newline(descriptor) + line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                sync_folder(self._path.parent)
        except OSError as error:
            raise DataFolderError(f"the erasure cannot be noted in {self._path}: {error.strerror}") from None

    def list_all(self) -> list[Erasure]:
        """Return every tombstone; a line that a crash cut short was of an erasure that never happened.

        Raises `DataFolderError` for a file that cannot be read, or that holds anything else.
        """
        try:
            if self._path.stat().st_size > FILE_BYTES_MAX:
                raise DataFolderError(f"{self._path} is larger than any list of erasures; restore it")
            text = self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise DataFolderError(f"the erasures in {self._path} cannot be read ({type(error).__name__})") from None
        return [_read(line, self._path) for line in text.split("\n") if _CUT_SHORT.fullmatch(line) is None]

    def _missing_newline(self, descriptor: int) -> bytes:
        """Return what ends a line that a crash cut short, so that the next one stands by itself."""
        size = os.fstat(descriptor).st_size
        return b"" if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n" else b"\n"


def _read(line: str, path: Path) -> Erasure:
    found = _LINE.fullmatch(line)
    if found is None:
        raise DataFolderError(f"{path} holds a line that is no erasure; restore it, for what it says must be kept")
    return Erasure(TenantId(found[1]), int(found[2]))
