"""Tiles (c2sp.org/tlog-tiles): which file holds which hashes and entries, and reading a tree back from them.

A tile of level L holds up to 256 hashes, number i of them the root of 256^L leaves; an entry bundle holds up to 256
leaves, each behind its length in 2 bytes. A file that is not full says so in its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from crypto.merkle import HASH_BYTES, NodeSource, leaf_hash, node_hash, range_root
from server.log.errors import LogDamaged
from server.log.storage import LogStorage

TILE_WIDTH: Final = 256
TILE_HEIGHT: Final = 8
LEVELS_MAX: Final = 63
#: How many tiles a reader keeps; one proof in a tree of 2^40 leaves needs 10.
KEPT_TILES_MAX: Final = 256

_LEVEL: Final = re.compile(r"0|[1-5]?[0-9]|6[0-3]")
_INDEX: Final = re.compile(r"((?:x[0-9]{3}/){0,5})([0-9]{3})")
_WIDTH: Final = re.compile(r"[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]")
ENTRIES: Final = "entries"


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile's place and width; *level* None stands for an entry bundle."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def folder(self) -> str:
        """Where the partial forms of this tile lie."""
        return f"{self._stem}.p"

    @property
    def name(self) -> str:
        """The path below the log's prefix."""
        return self._stem if self.width == TILE_WIDTH else f"{self.folder}/{self.width}"

    @property
    def _stem(self) -> str:
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[place : place + 3] for place in range(0, len(digits), 3)]
        path = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        return f"tile/{ENTRIES if self.level is None else self.level}/{path}"


def parse_tile_name(name: str) -> Tile | None:
    """Read a path behind `tile/`; None for anything that `Tile.name` does not write."""
    kind, _, rest = name.partition("/")
    if kind != ENTRIES and not _LEVEL.fullmatch(kind):
        return None
    stem, dot, width = rest.partition(".p/")
    found = _INDEX.fullmatch(stem)
    if found is None or (dot and not _WIDTH.fullmatch(width)):
        return None
    index = int((found[1] + found[2]).replace("x", "").replace("/", ""))
    tile = Tile(None if kind == ENTRIES else int(kind), index, int(width) if dot else TILE_WIDTH)
    return tile if tile.name == f"tile/{name}" else None


def width_at(size: int, level: int, index: int) -> int:
    """Return how many hashes tile *index* of *level* has in a tree of *size* leaves; 0 for none."""
    return max(0, min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - index * TILE_WIDTH))


def is_within(tile: Tile, size: int) -> bool:
    """Say whether a tree of *size* leaves fills *tile*."""
    return tile.width <= width_at(size, tile.level or 0, tile.index)


def encode_entries(leaves: Sequence[bytes]) -> bytes:
    """Return an entry bundle."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def parse_entries(data: bytes) -> list[bytes]:
    """Read an entry bundle; raises `LogDamaged`."""
    return list(_entries(data))


def _entries(data: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(data):
        end = place + 2 + int.from_bytes(data[place : place + 2], "big")
        if place + 2 > len(data) or end > len(data):
            raise LogDamaged("an entry bundle is cut short")
        yield data[place + 2 : end]
        place = end


def read_tile(storage: LogStorage, tile: Tile) -> bytes | None:
    """Return exactly the bytes of *tile*, also out of a wider form of it; None where no form is wide enough.

    Raises `LogDamaged` for a file that is shorter than its name says.
    """
    exact = storage.read(tile.name)
    if exact is not None:
        return _cut(exact, tile, tile.width)
    full = Tile(tile.level, tile.index)
    widths = [int(name) for name in storage.list_folder(tile.folder) if _WIDTH.fullmatch(name)]
    wider = [Tile(tile.level, tile.index, width) for width in sorted(widths) if width > tile.width]
    for form in (full, *wider):
        data = storage.read(form.name)
        if data is not None:
            return _cut(data, tile, form.width)
    return None


def _cut(data: bytes, tile: Tile, width: int) -> bytes:
    if tile.level is not None:
        if len(data) != width * HASH_BYTES:
            raise LogDamaged(f"{tile.name} holds {len(data)} bytes, not {width * HASH_BYTES}")
        return data[: tile.width * HASH_BYTES]
    entries = parse_entries(data)
    if len(entries) != width:
        raise LogDamaged(f"{tile.name} holds {len(entries)} entries, not {width}")
    return data if width == tile.width else encode_entries(entries[: tile.width])


class TileReader:
    """A tree of a stated size, read from its tiles as a proof needs them."""

    def __init__(self, storage: LogStorage, size: int) -> None:
        self._storage = storage
        self.size = size
        self._kept: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        """Return a complete subtree's root: this is a `NodeSource`. Raises `LogDamaged` where its tile is missing."""
        tile_level, height = divmod(level, TILE_HEIGHT)
        first = index << height
        tile, offset = divmod(first, TILE_WIDTH)
        hashes = self._hashes(tile_level, tile)
        end = (offset + (1 << height)) * HASH_BYTES
        if len(hashes) < end:
            raise LogDamaged(f"a tree of {self.size} leaves has no complete subtree {index} at level {level}")
        row = hashes[offset * HASH_BYTES : end]
        return range_root(0, 1 << height, _source_of(row)) if height else row

    def root(self) -> bytes:
        """Return the root over all leaves."""
        return range_root(0, self.size, self.node)

    def entries(self, index: int) -> list[bytes]:
        """Return the leaves of one bundle; raises `LogDamaged` where it is missing."""
        width = width_at(self.size, 0, index)
        data = read_tile(self._storage, Tile(None, index, width)) if width else None
        if data is None:
            raise LogDamaged(f"{Tile(None, index, width).name} is missing")
        return parse_entries(data)

    def _hashes(self, level: int, index: int) -> bytes:
        found = self._kept.get((level, index))
        if found is not None:
            return found
        width = width_at(self.size, level, index)
        tile = Tile(level, index, width)
        data = read_tile(self._storage, tile) if width else None
        if data is None:
            raise LogDamaged(f"{tile.name} is missing")
        if len(self._kept) >= KEPT_TILES_MAX:
            self._kept.clear()
        self._kept[level, index] = data
        return data


def _source_of(row: bytes) -> NodeSource:
    """Return the nodes over a row of hashes."""

    def node(level: int, index: int) -> bytes:
        if level == 0:
            return row[index * HASH_BYTES : (index + 1) * HASH_BYTES]
        return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))

    return node


def hashes_of(leaves: Sequence[bytes]) -> bytes:
    """Return the level 0 hashes of *leaves*, one behind another."""
    return b"".join(leaf_hash(leaf) for leaf in leaves)
