"""How much one bundle holds: counted while rows are read, so that what no verifier takes is refused before it is made."""

from __future__ import annotations

from typing import Final

from server.audit.request import ExportError

#: Half of what an archive may hold, since lines are longer than what they carry; a process needs several times that.
BYTES_MAX: Final = 1 << 29
#: A bundle's own limit, less room for policies and the status list.
LEAVES_MAX: Final = (1 << 20) - 20_000
#: What a row costs beside its body: its line's keys, its leaf, its share of the multiproof.
ROW_BYTES: Final = 512


class Weight:
    """Adds up what goes into one bundle."""

    __slots__ = ("_bytes", "_leaves")

    def __init__(self) -> None:
        self._bytes = 0
        self._leaves = 0

    def add(self, body: bytes | None, *, leaves: int = 0) -> None:
        """Count a row with its body, and *leaves* of the log; raises `ExportError` for more than a bundle takes."""
        self._bytes += len(body or b"") + ROW_BYTES
        self._leaves += leaves
        if self._bytes > BYTES_MAX:
            raise ExportError(
                f"more than {BYTES_MAX} bytes are in scope; export a shorter time, or open fewer receipts"
            )
        if self._leaves > LEAVES_MAX:
            raise ExportError(f"more than {LEAVES_MAX} leaves are in scope; export a shorter time")
