"""`/log/…` as anybody reads it: a C2SP client's way from the checkpoint to every leaf, and nothing behind it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from crypto.checkpoint import verify_checkpoint
from server.log.keys import get_log_key
from tests.api.in_process import GENEROUS, InProcess, assert_error, in_process
from tests.fakes import Options
from tests.reference_tree import tree_hash


@pytest.fixture
def house(tmp_path: Path) -> Iterator[InProcess]:
    options = Options(
        quota=GENEROUS, settings={"log_sequencer": True, "log_interval_s": 60, "log_status_interval_s": 0}
    )
    with in_process(tmp_path, options) as found:
        yield found


def get(house: InProcess, path: str) -> httpx2.Response:
    return house.call("GET", path, key="")


def step(house: InProcess) -> int:
    """Let the log move; return the size of the published checkpoint."""
    house.run(house.gateway.gateway.proving.log.step())
    return int(get(house, "/log/checkpoint").text.split("\n")[1])


def read_entries(house: InProcess, size: int) -> list[bytes]:
    """Read every leaf of the log over HTTP, as a client that knows the specification alone."""
    leaves = list[bytes]()
    for index in range(-(-size // 256)):
        width = min(256, size - 256 * index)
        data = get(house, f"/log/tile/entries/{index:03d}" + ("" if width == 256 else f".p/{width}")).content
        while data:
            length = int.from_bytes(data[:2], "big")
            leaves.append(data[2 : 2 + length])
            data = data[2 + length :]
    return leaves


def test_a_standard_client_reads_the_log_and_computes_its_root(house: InProcess) -> None:
    for question in ("How deep is the lake?", "How high is the hill?", "How wide is the moor?"):
        assert house.chat(question).status_code == 200
    size = step(house)
    text = get(house, "/log/checkpoint").text
    key = house.gateway.gateway.database.read_now(get_log_key)
    signed = verify_checkpoint(text, key)
    leaves = read_entries(house, size)
    assert len(leaves) == signed.checkpoint.size >= 4
    assert all(len(leaf) == 74 for leaf in leaves)
    assert tree_hash(leaves) == base64.b64decode(text.split("\n")[2])


def test_tiles_hold_the_hashes_of_the_leaves(house: InProcess) -> None:
    house.chat()
    size = step(house)
    hashes = get(house, f"/log/tile/0/000.p/{size}").content
    assert hashes == b"".join(tree_hash([leaf]) for leaf in read_entries(house, size))


def test_tiles_may_be_kept_for_ever_and_the_checkpoint_for_a_second(house: InProcess) -> None:
    house.chat()
    size = step(house)
    tile = get(house, f"/log/tile/0/000.p/{size}")
    assert tile.headers.get_list("cache-control") == ["public, max-age=31536000, immutable"]
    assert tile.headers["content-type"] == "application/octet-stream"
    checkpoint = get(house, "/log/checkpoint")
    assert checkpoint.headers.get_list("cache-control") == ["public, max-age=1"]
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "0/000",
        "0/000.p/{more}",
        "0/001.p/1",
        "1/000.p/1",
        "entries/000",
        "entries/000.p/{more}",
        "0/000.p/0",
        "0/00.p/1",
        "0/../state",
        "../state",
        "%2e%2e/state",
        "state",
        "64/000",
        "",
    ],
)
def test_what_the_checkpoint_does_not_cover_is_not_there(house: InProcess, path: str) -> None:
    house.chat()
    size = step(house)
    assert_error(get(house, "/log/tile/" + path.format(more=size + 1)), 404)


def test_leaves_that_are_not_signed_yet_are_not_served(house: InProcess) -> None:
    house.chat()
    size = step(house)
    storage = house.gateway.gateway.proving.log.storage
    # The sequencer has written wider tiles and has not signed over them yet.
    data = storage.read(f"tile/0/000.p/{size}")
    assert data is not None
    storage.write({f"tile/0/000.p/{size + 1}": data + bytes(32)})
    assert_error(get(house, f"/log/tile/0/000.p/{size + 1}"), 404)
    assert get(house, f"/log/tile/0/000.p/{size}").content == data


def test_a_tile_that_is_damaged_is_an_error_and_not_a_shorter_tile(house: InProcess) -> None:
    house.chat()
    size = step(house)
    storage = house.gateway.gateway.proving.log.storage
    storage.write({f"tile/0/000.p/{size}": bytes(31)})
    assert_error(get(house, f"/log/tile/0/000.p/{size}"), 503)


def test_an_empty_log_has_no_checkpoint(tmp_path: Path) -> None:
    with in_process(tmp_path, Options(quota=GENEROUS)) as house:
        assert_error(get(house, "/log/checkpoint"), 404)
        assert_error(get(house, "/log/tile/0/000.p/1"), 404)


def test_a_leaf_says_nothing_of_what_was_asked(house: InProcess) -> None:
    """A leaf is kind, time, key and a digest; the same question twice does not make the same leaf twice."""
    for _ in range(2):
        house.chat("the very same question", headers={"Cache-Control": "no-cache"})
    leaves = read_entries(house, step(house))
    receipts = [leaf for leaf in leaves if leaf[1] == 1]
    assert len(receipts) == 2
    assert receipts[0][42:] != receipts[1][42:]
    assert not any(b"question" in leaf for leaf in leaves)
