"""Check the log against itself: database, tiles, state, checkpoints, and every leaf against what it stands for."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from crypto.checkpoint import verify_checkpoint
from crypto.dsse import PAYLOAD_IN_TOTO, PAYLOAD_RECEIPT_BATCH, parse_envelope
from crypto.errors import Error, VerificationError
from crypto.leaf import Leaf, LeafKind, body_leaf, envelope_leaf, parse_leaf
from crypto.merkle import leaf_hash
from crypto.note import VerifierKey
from server.log.errors import LogDamaged, LogRefusal
from server.log.state import load_state
from server.log.storage import CHECKPOINT, LogStorage
from server.log.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, read_tile, width_at
from server.log.transactions import Transactions
from server.log.tree import CompactRange
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow, StoredLeaf

PAGE_LEAVES: Final = 5_120
PAGE_CHECKPOINTS: Final = 1_000
PROBLEMS_MAX: Final = 100


@dataclass(slots=True)
class Findings:
    """What is wrong, each in a sentence, and how much was looked at."""

    leaves: int = 0
    checkpoints: int = 0
    tiles: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        """Note a problem; behind the first hundred it is only said that there are more."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)
        elif len(self.problems) == PROBLEMS_MAX:
            self.problems.append("and more")


@dataclass(frozen=True, slots=True)
class _Claim:
    size: int
    root: bytes
    source: str


def check_log(transactions: Transactions, storage: LogStorage, log_key: VerifierKey) -> Findings:
    """Recompute everything and return what does not fit. Reads page by page; changes nothing."""
    found = Findings()
    on_disk = sorted(_claims_on_disk(storage, log_key, found), key=lambda claim: claim.size)
    head, newest = transactions.read(lambda connection: _ends(LogRepository(connection)))
    tiles = _TileCheck(storage, min(head, max([newest, *(claim.size for claim in on_disk)])), found)
    claims = heapq.merge(on_disk, _signed(transactions, newest, log_key, found), key=lambda claim: claim.size)
    waiting = next(claims, None)
    for size, root in _walk(transactions, log_key, head, tiles, found):
        while waiting is not None and waiting.size <= size:
            if waiting.size == size and waiting.root != root():
                found.add(f"{waiting.source} has another root over {size} leaves than the database")
            waiting = next(claims, None)
    while waiting is not None:
        found.add(f"{waiting.source} has {waiting.size} leaves, the database {head}: it was restored from before")
        waiting = next(claims, None)
    tiles.end()
    return found


def _ends(repository: LogRepository) -> tuple[int, int]:
    newest = repository.latest_checkpoint()
    return repository.head(), 0 if newest is None else newest.size


def _claims_on_disk(storage: LogStorage, log_key: VerifierKey, found: Findings) -> list[_Claim]:
    claims: list[_Claim | None] = []
    try:
        state = load_state(storage)
        if state is not None and state.origin != log_key.name:
            found.add(f"the state file is of the log {state.origin!r}")
        elif state is not None:
            claims.append(_Claim(state.size, state.root, "the state file"))
    except LogRefusal as error:
        found.add(str(error))
    published = storage.read(CHECKPOINT)
    if published is not None:
        text = published.decode("utf-8", "replace")
        claims.append(_verified(text, log_key, "the published checkpoint", found))
    return [claim for claim in claims if claim is not None]


def _signed(transactions: Transactions, newest: int, log_key: VerifierKey, found: Findings) -> Iterator[_Claim]:
    """Yield the database's checkpoints up to the *newest* of when the check began: the log goes on meanwhile."""
    after = 0
    while rows := transactions.read(_checkpoints_behind(after)):
        for row in rows:
            if row.size > newest:
                return
            found.checkpoints += 1
            source = f"the checkpoint over {row.size} leaves in the database"
            claim = _verified(row.note, log_key, source, found)
            if claim is not None and (claim.size, claim.root) != (row.size, row.root):
                found.add(f"{source} is not what was signed")
            elif claim is not None:
                yield claim
        after = rows[-1].size


def _checkpoints_behind(after: int) -> Callable[[Connection], list[CheckpointRow]]:
    return lambda found: LogRepository(found).list_checkpoints(after_size=after, limit=PAGE_CHECKPOINTS)


def _verified(text: str, log_key: VerifierKey, source: str, found: Findings) -> _Claim | None:
    try:
        checkpoint = verify_checkpoint(text, log_key).checkpoint
    except VerificationError as error:
        found.add(f"{source}: {error}")
        return None
    return _Claim(checkpoint.size, checkpoint.root, source)


def _walk(
    transactions: Transactions, log_key: VerifierKey, head: int, tiles: _TileCheck, found: Findings
) -> Iterator[tuple[int, Callable[[], bytes]]]:
    """Check the database's leaves one by one; yield the size and what computes the root behind each."""
    tree, last_seq = CompactRange(), 0
    while tree.size < head and (page := transactions.read(_page_from(tree.size))):
        rows, digests = page
        for row in rows:
            if row.leaf_index != tree.size:
                found.add(f"the database has no leaf {tree.size}; the next one is {row.leaf_index}")
                return
            if row.seq <= last_seq:
                found.add(f"leaf {tree.size} was written before the one in front of it")
            last_seq = row.seq
            _check_leaf(row, digests.get(row.seq), log_key, found)
            hashed = leaf_hash(row.leaf)
            tree.append(hashed)
            tiles.take(row.leaf, hashed)
            found.leaves += 1
            yield tree.size, tree.root
        if not rows:
            return


def _page_from(start: int) -> Callable[[Connection], tuple[list[StoredLeaf], dict[int, bytes]]]:
    def load(connection: Connection) -> tuple[list[StoredLeaf], dict[int, bytes]]:
        repository = LogRepository(connection)
        rows = repository.load_sequenced(start, PAGE_LEAVES)
        return rows, repository.load_statement_digests([row.seq for row in rows if row.kind == LeafKind.RECEIPT])

    return load


def _check_leaf(row: StoredLeaf, digest: bytes | None, log_key: VerifierKey, found: Findings) -> None:
    """Make the leaf anew from its body, and hold a receipt's row against it; what was erased has neither any more."""
    try:
        leaf = parse_leaf(row.leaf)
        if leaf.kind != row.kind:
            found.add(f"leaf {row.leaf_index} is of kind {leaf.kind:d} and filed as {row.kind}")
        if row.body is not None and _made_anew(leaf, row.body, log_key) != leaf:
            found.add(f"leaf {row.leaf_index} is not the leaf of its body")
        if row.body is not None and row.kind == LeafKind.RECEIPT and digest != _statement_digest(row.body):
            found.add(f"the receipt of leaf {row.leaf_index} is missing or has another statement")
    except Error as error:
        found.add(f"leaf {row.leaf_index}: {error}")


def _made_anew(leaf: Leaf, body: bytes, log_key: VerifierKey) -> Leaf:
    payload_type = _ENVELOPES.get(leaf.kind)
    if payload_type is not None and body.startswith(b'{"payload":'):
        return envelope_leaf(leaf.kind, parse_envelope(body, payload_type=payload_type), leaf.time_ms)
    return body_leaf(leaf.kind, body, leaf.time_ms, log_key.public_key)


def _statement_digest(body: bytes) -> bytes:
    return hashlib.sha256(parse_envelope(body, payload_type=PAYLOAD_IN_TOTO).payload).digest()


_ENVELOPES: Final = {
    LeafKind.RECEIPT: PAYLOAD_IN_TOTO,
    LeafKind.RECEIPT_BATCH: PAYLOAD_RECEIPT_BATCH,
    LeafKind.EVIDENCE: PAYLOAD_IN_TOTO,
}


class _TileCheck:
    """Compares every tile of a tree of *size* leaves with the leaves, as they come."""

    def __init__(self, storage: LogStorage, size: int, found: Findings) -> None:
        self._storage = storage
        self._size = size
        self._found = found
        self._taken = 0
        self._entries: list[bytes] = []
        self._rows: list[list[bytes]] = []

    def take(self, leaf: bytes, hashed: bytes) -> None:
        """Take the next leaf."""
        if self._taken == self._size:
            return
        self._taken += 1
        self._entries.append(len(leaf).to_bytes(2, "big") + leaf)
        if len(self._entries) == TILE_WIDTH:
            self._compare_entries()
        level = 0
        while True:
            if level == len(self._rows):
                self._rows.append([])
            row = self._rows[level]
            row.append(hashed)
            if len(row) < TILE_WIDTH:
                return
            self._compare(level)
            hashed = _root_of(row)
            row.clear()
            level += 1

    def end(self) -> None:
        """Compare the tiles that are not full."""
        if self._entries:
            self._compare_entries()
        for level, row in enumerate(self._rows):
            if row:
                self._compare(level)

    def _compare_entries(self) -> None:
        index = (self._taken - 1) // TILE_WIDTH
        self._hold(Tile(None, index, len(self._entries)), b"".join(self._entries))
        self._entries.clear()

    def _compare(self, level: int) -> None:
        row = self._rows[level]
        index = ((self._taken >> TILE_HEIGHT * level) - 1) // TILE_WIDTH
        assert len(row) == width_at(self._taken, level, index)
        self._hold(Tile(level, index, len(row)), b"".join(row))

    def _hold(self, tile: Tile, expected: bytes) -> None:
        self._found.tiles += 1
        try:
            data = read_tile(self._storage, tile)
        except (LogDamaged, OSError) as error:
            self._found.add(f"{tile.name}: {error}")
            return
        if data is None:
            self._found.add(f"{tile.name} is missing; the next start of the gateway makes the tiles anew")
        elif data != expected:
            self._found.add(f"{tile.name} is not what the database's leaves make")


def _root_of(row: list[bytes]) -> bytes:
    tree = CompactRange()
    tree.extend(row)
    return tree.root()
