"""What a verifier keeps between audits, so that a log that goes back or shows two faces is noticed.

Format: docs/formats.md, "Last seen v1". The checkpoint inside is verified anew whenever it is used.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .canonical import INTEGER_MAX, canonical_json, parse_canonical_json
from .errors import EncodingError, VerificationError

SCHEMA: Final = "hitproof/last-seen/v1"
LAST_SEEN_BYTES_MAX: Final = 2**21


@dataclass(frozen=True, slots=True)
class LastSeen:
    """The newest checkpoint (a signed note) and the highest version of the trust file that a verifier accepted."""

    checkpoint: str
    trust_version: int

    def to_payload(self) -> bytes:
        """Return the file's bytes."""
        return canonical_json({"checkpoint": self.checkpoint, "schema": SCHEMA, "trust_version": self.trust_version})


def parse_last_seen(data: bytes) -> LastSeen:
    """Read what `LastSeen.to_payload` wrote; raises `VerificationError` (reason `malformed`) for anything else."""
    try:
        value = parse_canonical_json(data)
    except EncodingError as error:
        raise VerificationError(f"the last-seen file is not readable: {error}", reason="malformed") from None
    if not isinstance(value, dict) or value.keys() != {"checkpoint", "schema", "trust_version"}:
        raise VerificationError("the last-seen file has other keys than it should", reason="malformed")
    checkpoint, version = value["checkpoint"], value["trust_version"]
    if value["schema"] != SCHEMA or not isinstance(checkpoint, str) or type(version) is not int:
        raise VerificationError(f"the last-seen file is not a {SCHEMA}", reason="malformed")
    if not 1 <= version <= INTEGER_MAX:
        raise VerificationError("the last-seen file's trust_version is below 1", reason="malformed")
    return LastSeen(checkpoint, version)


def read_last_seen(path: Path) -> LastSeen | None:
    """Read the file at *path*, or None where there is none; raises `VerificationError` and `OSError`."""
    try:
        with path.open("rb") as file:
            data = file.read(LAST_SEEN_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    if len(data) > LAST_SEEN_BYTES_MAX:
        raise VerificationError(f"the last-seen file is longer than {LAST_SEEN_BYTES_MAX} bytes", reason="malformed")
    return parse_last_seen(data)


def replace_last_seen(path: Path, before: LastSeen | None, seen: LastSeen) -> None:
    """Write *seen* where the file still holds *before*, as it was read when this audit began.

    Raises `VerificationError` where another audit wrote it in between: the two were not held against each other, and
    the older of them could put the memory back. Raises `OSError`.
    """
    import fcntl

    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if read_last_seen(path) != before:
            message = (
                f"{path} was changed by another audit while this one ran, and is left as it is; run this one again"
            )
            raise VerificationError(message)
        write_last_seen(path, seen)
    finally:
        os.close(folder)


def write_last_seen(path: Path, seen: LastSeen) -> None:
    """Replace the file at *path* in one step, durably: a reader finds the old one or the new one; raises `OSError`."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(seen.to_payload())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
