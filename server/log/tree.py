"""The growing tree: tiles written behind the last ones, and the root kept beside them in a second way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from crypto.merkle import EMPTY_ROOT, HASH_BYTES, NodeSource, leaf_hash, node_hash
from server.log.errors import LogDamaged
from server.log.storage import LogStorage
from server.log.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, TileReader, encode_entries, hashes_of, width_at


class CompactRange:
    """The roots of the complete subtrees that a tree falls into, largest first: enough to append and to have the root."""

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, node: NodeSource | None = None) -> None:
        """Start empty, or over the first *size* leaves of the tree that *node* reads."""
        self.size = size
        self._roots: list[bytes] = []
        if node is not None:
            low = 0
            for level in reversed(range(size.bit_length())):
                if size >> level & 1:
                    self._roots.append(node(level, low >> level))
                    low += 1 << level

    def append(self, leaf: bytes) -> None:
        """Append a leaf by its hash."""
        size = self.size
        while size & 1:
            leaf = node_hash(self._roots.pop(), leaf)
            size >>= 1
        self._roots.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaves by their hashes."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._roots:
            return EMPTY_ROOT
        root = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            root = node_hash(left, root)
        return root


class TileTree:
    """Tiles up to a size; grows by whole batches, each durable before it counts."""

    def __init__(self, storage: LogStorage) -> None:
        """Start an empty tree; its first write replaces whatever lies there."""
        self._storage = storage
        self._entries: list[bytes] = []
        #: The hashes of the last tile of each level, which is never full.
        self._open: list[bytes] = []
        self._range = CompactRange()

    @classmethod
    def load(cls, storage: LogStorage, size: int) -> TileTree:
        """Return the tree of *size* leaves that the tiles hold; raises `LogDamaged` where one is missing or short."""
        tree, reader = cls(storage), TileReader(storage, size)
        tree._entries = reader.entries(size // TILE_WIDTH) if size % TILE_WIDTH else []
        if hashes_of(tree._entries) != _open_row(reader, 0):
            raise LogDamaged("the last entries are not those of the last tile")
        level = 0
        while size >> TILE_HEIGHT * level:
            tree._open.append(_open_row(reader, level))
            level += 1
        tree._range = CompactRange(size, reader.node)
        return tree

    @property
    def size(self) -> int:
        """How many leaves are durable."""
        return self._range.size

    def root(self) -> bytes:
        """Return the root, as it was added up leaf by leaf."""
        return self._range.root()

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Append *leaves*: write their tiles, durably. Raises `OSError`; then this object is of no use any more."""
        files: dict[str, bytes] = {}
        filled: list[Tile] = []
        self._extend_entries(leaves, files, filled)
        row = hashes_of(leaves)
        level = 0
        while row:
            row = self._extend_level(level, row, files, filled)
            level += 1
        self._range.extend(leaf_hash(leaf) for leaf in leaves)
        self._storage.write(files)
        for tile in filled:
            self._storage.remove_folder(tile.folder)

    def verify(self) -> None:
        """Compute the root anew from what lies on the disk; raises `LogDamaged` where it is not the one kept."""
        if TileReader(self._storage, self.size).root() != self.root():
            raise LogDamaged(f"the tiles of {self.size} leaves were written and read back differently")

    def _extend_entries(self, leaves: Sequence[bytes], files: dict[str, bytes], filled: list[Tile]) -> None:
        first = self.size // TILE_WIDTH
        entries = [*self._entries, *leaves]
        for place in range(0, len(entries), TILE_WIDTH):
            part = entries[place : place + TILE_WIDTH]
            tile = Tile(None, first + place // TILE_WIDTH, len(part))
            files[tile.name] = encode_entries(part)
            if len(part) == TILE_WIDTH:
                filled.append(tile)
        self._entries = entries[len(entries) - len(entries) % TILE_WIDTH :]

    def _extend_level(self, level: int, added: bytes, files: dict[str, bytes], filled: list[Tile]) -> bytes:
        """Put hashes behind those of *level*; return the hashes of the tiles that this filled."""
        if level == len(self._open):
            self._open.append(b"")
        first = (self.size >> TILE_HEIGHT * level) // TILE_WIDTH
        row, full = self._open[level] + added, []
        for place in range(0, len(row), _TILE_BYTES):
            part = row[place : place + _TILE_BYTES]
            tile = Tile(level, first + place // _TILE_BYTES, len(part) // HASH_BYTES)
            files[tile.name] = part
            if len(part) == _TILE_BYTES:
                filled.append(tile)
                full.append(_root_of(part))
        self._open[level] = row[len(row) - len(row) % _TILE_BYTES :]
        return b"".join(full)


_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES


def _open_row(reader: TileReader, level: int) -> bytes:
    index = (reader.size >> TILE_HEIGHT * level) // TILE_WIDTH
    width = width_at(reader.size, level, index)
    first = index * TILE_WIDTH
    return b"".join(reader.node(level * TILE_HEIGHT, first + place) for place in range(width))


def _root_of(row: bytes) -> bytes:
    hashes = [row[place : place + HASH_BYTES] for place in range(0, len(row), HASH_BYTES)]
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
