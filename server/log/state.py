"""What this machine has seen of the log: a size and a root that are on disk before anything is signed over them.

The file is the text of a checkpoint (c2sp.org/tlog-checkpoint) without signatures: origin, size, root. It only ever
grows. A database that was restored from before it is noticed by it, and nothing is signed then.
"""

from __future__ import annotations

from crypto.checkpoint import Checkpoint, parse_decimal
from crypto.merkle import HASH_BYTES, SIZE_MAX
from crypto.note import decode_base64
from server.log.errors import LogRefusal
from server.log.storage import STATE, LogStorage


def load_state(storage: LogStorage) -> Checkpoint | None:
    """Return the largest tree that this machine has written down, None on one that has none yet.

    Raises `LogRefusal` for a file that is not one of ours.
    """
    data = storage.read(STATE)
    if data is None:
        return None
    lines = data.decode("utf-8", "replace").split("\n")
    if len(lines) == 4:
        size, root = parse_decimal(lines[1], SIZE_MAX), decode_base64(lines[2])
        if size is not None and root is not None and len(root) == HASH_BYTES:
            found = Checkpoint(lines[0], size, root)
            if found.body.encode() == data:
                return found
    raise LogRefusal(
        "the log's state file is damaged; restore it, or start with an empty log folder once you know that the "
        "database is no older than the newest checkpoint",
        reason="state_damaged",
    )


def save_state(storage: LogStorage, state: Checkpoint) -> None:
    """Write the state down, durably; raises `LogRefusal` where that would go back or to another log, and `OSError`."""
    before = load_state(storage)
    if before == state:
        return
    if before is not None and (before.origin != state.origin or before.size >= state.size):
        raise LogRefusal(
            f"the state is at {before.size} leaves of {before.origin} and would go to {state.size} of {state.origin}",
            reason="state_back",
        )
    storage.write({STATE: state.body.encode()})
