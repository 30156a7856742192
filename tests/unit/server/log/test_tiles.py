"""Tiles: names, widths, and trees read back from them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from crypto.merkle import inclusion_proof, verify_inclusion
from server.log.errors import LogDamaged
from server.log.storage import DirectoryStorage
from server.log.tiles import (
    Tile,
    TileReader,
    encode_entries,
    is_within,
    parse_entries,
    parse_tile_name,
    read_tile,
    width_at,
)
from server.log.tree import CompactRange, TileTree
from tests.log_worlds import standard_client_root
from tests.reference_tree import tree_hash


def leaf(number: int) -> bytes:
    return hashlib.sha512(b"%d" % number).digest() + bytes(10)


LEAVES = [leaf(number) for number in range(700)]


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path)


@pytest.mark.parametrize(
    ("tile", "name"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(63, 999), "tile/63/999"),
        (Tile(1, 1000, 17), "tile/1/x001/000.p/17"),
        (Tile(None, 5), "tile/entries/005"),
        (Tile(None, 5, 255), "tile/entries/005.p/255"),
    ],
)
def test_a_tile_is_named_as_c2sp_names_it(tile: Tile, name: str) -> None:
    assert tile.name == name
    assert parse_tile_name(name.removeprefix("tile/")) == tile


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0",
        "0/",
        "0/0",
        "0/00",
        "0/0000",
        "0/x000/000",
        "0/001/000",
        "0/x001/x000",
        "00/000",
        "64/000",
        "-1/000",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/000.p/",
        "0/000.p",
        "0/../000",
        "0/٠٠٠",
        "entries/000.new",
        "entries/",
        "0/x001/x001/x001/x001/x001/x001/001",
        "0/000\n",
    ],
)
def test_no_other_name_is_a_tile(name: str) -> None:
    assert parse_tile_name(name) is None


def test_the_specifications_example_has_its_widths() -> None:
    """70,000 leaves: 273 full tiles and one of 112; one full and one of 17; one of 1."""
    assert [width_at(70_000, 0, index) for index in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [width_at(70_000, 1, index) for index in (0, 1, 2)] == [256, 17, 0]
    assert [width_at(70_000, 2, index) for index in (0, 1)] == [1, 0]
    assert width_at(256, 0, 0) == 256
    assert width_at(256, 1, 0) == 1


def test_a_tile_counts_only_as_far_as_the_tree_fills_it() -> None:
    assert is_within(Tile(0, 273, 112), 70_000)
    assert not is_within(Tile(0, 273, 113), 70_000)
    assert not is_within(Tile(0, 273), 70_000)
    assert is_within(Tile(None, 273, 112), 70_000)


def test_entries_are_read_back_and_a_cut_bundle_is_not() -> None:
    data = encode_entries(LEAVES[:3])
    assert parse_entries(data) == LEAVES[:3]
    for cut in range(1, len(data)):
        if cut % 76:
            with pytest.raises(LogDamaged):
                parse_entries(data[:cut])


def test_a_tree_that_grew_in_any_steps_is_the_reference_tree(storage: DirectoryStorage) -> None:
    dice = random.Random(1)
    tree = TileTree(storage)
    while tree.size < len(LEAVES):
        if dice.random() < 0.2:
            tree = TileTree.load(storage, tree.size)
        tree.extend(LEAVES[tree.size : tree.size + dice.randrange(1, 150)])
        tree.verify()
        assert tree.root() == tree_hash(LEAVES[: tree.size]) == standard_client_root(storage, tree.size)


def test_every_earlier_tree_can_still_be_read(storage: DirectoryStorage) -> None:
    TileTree(storage).extend(LEAVES)
    for size in (1, 2, 255, 256, 257, 511, 512, 513, 699, 700):
        assert TileReader(storage, size).root() == tree_hash(LEAVES[:size])


def test_proofs_made_from_tiles_hold(storage: DirectoryStorage) -> None:
    TileTree(storage).extend(LEAVES)
    reader = TileReader(storage, 700)
    for index in (0, 255, 256, 511, 512, 699):
        proof = inclusion_proof(index, 700, reader.node)
        verify_inclusion(index, 700, reader.node(0, index), proof, reader.root())


def test_a_second_level_of_tiles_is_made(storage: DirectoryStorage) -> None:
    many = [leaf(number) for number in range(66_000)]
    tree = TileTree(storage)
    for place in range(0, len(many), 10_000):
        tree.extend(many[place : place + 10_000])
    tree.verify()
    full = storage.read("tile/1/000")
    assert full is not None
    assert len(full) == 8192
    assert storage.read("tile/2/000.p/1") is not None
    assert TileTree.load(storage, 66_000).root() == tree.root() == standard_client_root(storage, 66_000)


def test_a_partial_tile_is_served_out_of_a_wider_one(storage: DirectoryStorage) -> None:
    tree = TileTree(storage)
    tree.extend(LEAVES[:100])
    narrow = read_tile(storage, Tile(0, 0, 100))
    for count in (101, 300):
        tree.extend(LEAVES[tree.size : count])
        assert read_tile(storage, Tile(0, 0, 100)) == narrow
        assert read_tile(storage, Tile(None, 0, 100)) == encode_entries(LEAVES[:100])
    assert storage.list_folder(Tile(0, 0).folder) == [], "the partial forms of a full tile are gone"


def test_a_tile_that_nobody_has_is_none(storage: DirectoryStorage) -> None:
    TileTree(storage).extend(LEAVES[:100])
    assert read_tile(storage, Tile(0, 0, 101)) is None
    assert read_tile(storage, Tile(0, 1)) is None


@pytest.mark.parametrize("is_short", [True, False])
@pytest.mark.parametrize("name", ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"])
def test_a_tree_whose_last_tile_is_missing_or_short_cannot_be_continued(
    storage: DirectoryStorage, tmp_path: Path, name: str, is_short: bool
) -> None:
    TileTree(storage).extend(LEAVES[:300])
    damage(tmp_path / name, is_short=is_short)
    with pytest.raises(LogDamaged):
        TileTree.load(storage, 300)


@pytest.mark.parametrize("is_short", [True, False])
def test_a_proof_through_a_tile_that_is_missing_or_short_cannot_be_made(
    storage: DirectoryStorage, tmp_path: Path, is_short: bool
) -> None:
    TileTree(storage).extend(LEAVES[:300])
    damage(tmp_path / "tile/0/000", is_short=is_short)
    with pytest.raises(LogDamaged):
        TileReader(storage, 300).node(0, 0)


def damage(path: Path, *, is_short: bool) -> None:
    data = path.read_bytes()
    path.unlink()
    if is_short:
        path.write_bytes(data[:-1])


def test_a_compact_range_has_the_reference_root_at_every_size() -> None:
    tree = CompactRange()
    for size in range(130):
        assert tree.root() == tree_hash(LEAVES[:size])
        tree.append(tree_hash(LEAVES[size : size + 1]))
