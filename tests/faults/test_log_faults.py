"""Power cuts, kills, races and flipped bits round the log: no fork, no lost leaf, one root per size (F-02 to F-05, F-45)."""

from __future__ import annotations

import contextlib
import json
import random as chance
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto.ed25519 import Signer
from server.log.errors import LogRefusal
from server.log.keys import load_signing_key
from server.log.storage import DirectoryStorage
from server.log.tiles import Tile, TileReader
from server.store.errors import StoreBusy
from tests.fakes import FakeClock
from tests.log_worlds import LogWorld, standard_client_root
from tests.reference_tree import tree_hash
from tests.volatile_disk import PowerLoss, VolatileDisk

ROOT = Path(__file__).parents[2]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LogWorld]:
    found = LogWorld(tmp_path / "data")
    yield found
    found.close()


class CheckedSigner:
    """Signs only what would be there after a power cut now, and remembers every root that it signed."""

    def __init__(self, world: LogWorld) -> None:
        self._inner: Signer = load_signing_key(world.key_file, world.random)
        self.disk: VolatileDisk | None = None
        self.signed: dict[int, str] = {}

    @property
    def public_key(self) -> bytes:
        return self._inner.public_key

    @property
    def key_id(self) -> str:
        return self._inner.key_id

    def sign(self, message: bytes) -> bytes:
        _, size, root, _ = message.decode().split("\n")
        assert self.signed.setdefault(int(size), root) == root, "two roots of one size"
        assert self.disk is not None
        survives = self.disk.after_power_loss(None)
        storage = DirectoryStorage(self.disk.root, survives)
        assert storage.read("state") == message, "signed before the state was durable"
        assert standard_client_root(storage, int(size)) == TileReader(storage, int(size)).root()
        return self._inner.sign(message)


@pytest.mark.parametrize("unlucky", [True, False])
def test_the_power_may_go_before_any_operation_of_the_disk(world: LogWorld, unlucky: bool) -> None:
    dice, signer = chance.Random(7), CheckedSigner(world)
    disk = VolatileDisk(Path("/log"))
    published = 0
    for cut in range(60):
        # Each cut a little later than the last, so that every operation of a step is met; some after many steps.
        disk.fuse = cut if cut < 30 else dice.randrange(150)
        signer.disk, sequencer = disk, None
        try:
            while True:
                if sequencer is None:
                    sequencer = world.new_sequencer(storage=DirectoryStorage(disk.root, disk), signer=signer)
                world.add_leaves(dice.choice((1, 3, 70, 300)))
                world.catch_up(sequencer)
        except PowerLoss:
            disk = disk.after_power_loss(None if unlucky else dice.randrange(1 << 30))
            published = check_what_survived(world, disk, published)
    disk.fuse = None
    storage = DirectoryStorage(disk.root, disk)
    signer.disk = disk
    world.catch_up(world.new_sequencer(storage=storage, signer=signer))
    check_what_survived(world, disk, published)
    assert world.newest.size == world.head
    assert standard_client_root(storage, world.head) == tree_hash(world.leaves) == world.newest.root
    assert len(signer.signed) > 20


def check_what_survived(world: LogWorld, disk: VolatileDisk, published: int) -> int:
    """Hold the published checkpoint against the tiles beside it; it never is an older one than was seen before."""
    storage = DirectoryStorage(disk.root, disk)
    found = world.published(storage)
    size = 0 if found is None else found.size
    assert size >= published
    if found is not None:
        assert TileReader(storage, size).root() == found.root
    return size


class Sequencers:
    """The process of tests/faults/log_process.py."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder, self._log = folder, log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.log_process"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def run(self, steps: int, crash: str = "never", passing: int = 0, *, now_ms: int) -> tuple[int, list[str]]:
        """Let one live and perhaps die; return its exit code and every body that it was about to sign."""
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {"folder": str(self._folder), "steps": steps, "crash": crash, "passing": passing, "now_ms": now_ms}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        signed: list[str] = []
        while "code" not in (told := json.loads(self._process.stdout.readline())):
            signed.append(told["signed"])
        assert told["code"] in (0, -9), self._log.read_text()[-2000:]
        return told["code"], signed

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture
def sequencers(tmp_path: Path) -> Iterator[Sequencers]:
    found = Sequencers(tmp_path / "data", tmp_path / "errors")
    yield found
    found.close()


CRASHES = (
    ("transaction", 1),
    ("commit", 2),
    ("committed", 2),
    ("write", 9),
    ("written", 10),
    ("sync", 11),
    ("rename", 9),
    ("renamed", 11),
    ("sync folder", 8),
    ("sign", 1),
    ("remove", 3),
)


def test_a_killed_sequencer_goes_on_where_it_was_and_forks_nothing(tmp_path: Path, sequencers: Sequencers) -> None:
    """One log through all crash points, each met by a real kill -9 at another moment of its life."""
    roots, kills, now_ms = dict[str, str](), 0, FakeClock().now_ms()
    for crash, passing in CRASHES:
        now_ms += 60_000  # the lease of the one that was killed is over
        code, signed = sequencers.run(4, crash, passing, now_ms=now_ms)
        kills += code == -9
        for body in signed:
            _, size, root, _ = body.split("\n")
            assert roots.setdefault(size, root) == root, f"two roots of {size} leaves"
    assert kills == len(CRASHES)
    code, signed = sequencers.run(1, now_ms=now_ms + 60_000)
    assert code == 0
    world = LogWorld(tmp_path / "data")
    assert world.fsck().problems == []
    assert world.newest.size == world.head
    assert world.read(lambda log: log.count_unsequenced())[0] == 0
    assert world.newest.root == standard_client_root(world.storage, world.head)
    for size, root in roots.items():
        row = world.read(lambda log, size=size: log.checkpoint_at(int(size)))
        assert row is None or f"\n{root}\n" in row.note
    world.close()


def test_two_sequencers_that_race_make_one_log(world: LogWorld, tmp_path: Path) -> None:
    """Both believe at every moment that the other's lease is over; the token lets one of them write at a time."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    failures: list[BaseException] = []

    def work(holder: str, folder: Path) -> None:
        clock = FakeClock()
        sequencer = world.new_sequencer(holder=holder, storage=DirectoryStorage(folder), clock=clock)
        for _ in range(25):
            try:
                world.add_leaves(3)
                sequencer.step()
            except StoreBusy:
                continue
            except BaseException as error:  # told by the test's own thread
                failures.append(error)
                return
            clock.advance(10)

    threads = [threading.Thread(target=work, args=(folder.name, folder)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    world.clock.advance(3600)
    for folder in folders:
        storage = DirectoryStorage(folder)
        world.catch_up(world.new_sequencer(holder=folder.name, storage=storage))
        published = world.published(storage)
        assert published is not None
        assert published.root == tree_hash(world.leaves[: published.size])
        world.clock.advance(3600)
    assert world.read(lambda log: log.count_unsequenced())[0] == 0


def test_a_backup_taken_under_load_is_whole(world: LogWorld, tmp_path: Path) -> None:
    """The log folder first, the database behind it, both while the log is written; restored elsewhere it goes on."""
    stop, signed = threading.Event(), dict[int, bytes]()

    def write() -> None:
        while not stop.is_set():
            world.add_leaves(40)
            world.sequencer.step()
            signed[world.newest.size] = world.newest.root

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            while len(signed) < 5 * (number + 1):
                time.sleep(0.01)
            folder = tmp_path / f"restored {number}"
            (folder / "log").mkdir(parents=True)
            copy_folder(world.folder / "log", folder / "log")
            with (
                contextlib.closing(sqlite3.connect(world.folder / "store.db")) as source,
                contextlib.closing(sqlite3.connect(folder / "store.db")) as copy,
            ):
                source.backup(copy)
            shutil.copytree(world.folder / "keys", folder / "keys")
            check_backup(folder, signed)
    finally:
        stop.set()
        writer.join(60)


def check_backup(folder: Path, signed: dict[int, bytes]) -> None:
    restored = LogWorld(folder)
    restored.clock.advance(60)
    restored.catch_up()
    assert restored.fsck().problems == []
    assert restored.newest.root == tree_hash(restored.leaves)
    known = {row.size: row.root for row in restored.read(lambda log: log.list_checkpoints(after_size=0, limit=1000))}
    assert known
    assert all(known[size] == root for size, root in dict(signed).items() if size in known)
    restored.close()


def copy_folder(source: Path, target: Path) -> None:
    """Copy what is there, as tar does of a folder that changes meanwhile."""
    for path in sorted(source.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_dir():
                (target / path.relative_to(source)).mkdir(exist_ok=True)
            else:
                shutil.copy(path, target / path.relative_to(source))


# Flipped bits.


@pytest.fixture
def settled(world: LogWorld) -> LogWorld:
    world.add_leaves(300)
    world.catch_up()
    assert world.fsck().problems == []
    return world


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name",
    [
        Tile(0, 0).name,
        Tile(0, 1, 44).name,
        Tile(1, 0, 1).name,
        Tile(None, 0).name,
        Tile(None, 1, 44).name,
        "state",
        "checkpoint",
    ],
)
@pytest.mark.parametrize("place", [0, 5, 25, -1])
def test_fsck_names_a_file_in_which_a_bit_was_flipped(settled: LogWorld, name: str, place: int) -> None:
    flip(settled.folder / "log" / name, place)
    problems = settled.fsck().problems
    assert len(problems) == 1
    assert (name if name.startswith("tile/") else name.split("/")[0]) in problems[0]


@pytest.mark.parametrize("name", [Tile(0, 1, 44).name, Tile(1, 0, 1).name, Tile(None, 1, 44).name])
def test_nothing_is_signed_over_a_damaged_tile_it_is_made_anew(settled: LogWorld, name: str) -> None:
    flip(settled.folder / "log" / name, 5)
    settled.add_leaves(1)
    settled.catch_up(settled.new_sequencer())
    assert settled.newest.root == tree_hash(settled.leaves)
    assert [problem for problem in settled.fsck().problems if name not in problem] == []


@pytest.mark.parametrize("name", ["state", "checkpoint"])
@pytest.mark.parametrize("cut", [0, 1, 30])
def test_a_torn_state_or_checkpoint_is_refused(settled: LogWorld, name: str, cut: int) -> None:
    path = settled.folder / "log" / name
    path.write_bytes(path.read_bytes()[:cut])
    settled.add_leaves(1)
    with pytest.raises(LogRefusal, match="damaged"):
        settled.new_sequencer().step()
    assert settled.newest.size == 300
