"""What this machine has seen of the log: a size and a root that are on disk before anything is signed over them.

    {"root": 64 hex, "schema": "hitproof/log-state/v1", "size": integer}        canonical JSON

It only ever grows. A database that was restored from before it is noticed by it, and nothing is signed then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from crypto.canonical import canonical_json, parse_canonical_json
from crypto.errors import EncodingError
from crypto.merkle import HASH_BYTES, SIZE_MAX
from server.log.errors import LogRefusal
from server.log.storage import STATE, LogStorage

SCHEMA: Final = "hitproof/log-state/v1"


@dataclass(frozen=True, slots=True)
class LogState:
    """The largest tree that this machine has written down."""

    size: int
    root: bytes


def load_state(storage: LogStorage) -> LogState | None:
    """Return the state, None on a machine that has none yet; raises `LogRefusal` for a file that is not one of ours."""
    data = storage.read(STATE)
    if data is None:
        return None
    try:
        value = parse_canonical_json(data)
        if isinstance(value, dict) and set(value) == {"root", "schema", "size"} and value["schema"] == SCHEMA:
            size, root = value["size"], value["root"]
            if isinstance(size, int) and not isinstance(size, bool) and isinstance(root, str) and 0 <= size <= SIZE_MAX:
                found = LogState(size, bytes.fromhex(root))
                if len(found.root) == HASH_BYTES and encode_state(found) == data:
                    return found
    except (EncodingError, ValueError):
        pass
    raise LogRefusal(
        "the log's state file is damaged; restore it, or start with an empty log folder once you know that the "
        "database is no older than the newest checkpoint",
        reason="state_damaged",
    )


def save_state(storage: LogStorage, state: LogState) -> None:
    """Write the state down, durably; raises `LogRefusal` where that would go back, `OSError`."""
    before = load_state(storage)
    if before is not None and (before.size > state.size or (before.size == state.size and before.root != state.root)):
        raise LogRefusal(f"the state is at {before.size} leaves and would go back to {state.size}", reason="state_back")
    if before != state:
        storage.write({STATE: encode_state(state)})


def encode_state(state: LogState) -> bytes:
    """Return the state as it is stored."""
    return canonical_json({"root": state.root.hex(), "schema": SCHEMA, "size": state.size})
