"""The sequencer: order of its steps, one root per size, one writer, and no step back."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crypto.bodies import HitBatch, ModelStatus, parse_body
from crypto.checkpoint import Checkpoint, parse_checkpoint
from crypto.leaf import LeafKind
from crypto.merkle import verify_consistency
from server.log.errors import LogRefusal
from server.log.sequencer import SequencerLimits
from server.log.state import load_state
from server.log.storage import CHECKPOINT, DirectoryStorage
from server.log.tiles import TileReader
from server.store.errors import LeaseLost
from server.store.log import LogRepository
from server.store.receipts import HitRepository
from tests.log_worlds import OTHER, TENANT, LogWorld, Recorder, standard_client_root
from tests.reference_tree import consistency, tree_hash


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LogWorld]:
    found = LogWorld(tmp_path / "data")
    yield found
    found.close()


def test_what_is_in_the_outbox_gets_indexes_in_its_order_and_a_signed_checkpoint(world: LogWorld) -> None:
    world.add_leaves(3)
    waiting = [leaf.leaf for leaf in world.read(lambda log: log.load_unsequenced(10))]
    step = world.sequencer.step()
    assert (step.leads, step.size, step.has_more) == (True, 3, False)
    assert world.leaves == waiting
    assert world.published() == Checkpoint("log.example/test", 3, tree_hash(waiting))
    assert (world.newest.size, world.newest.root, world.newest.through_seq) == (3, tree_hash(waiting), 3)


def test_an_interval_without_leaves_makes_no_checkpoint(world: LogWorld) -> None:
    world.sequencer.step()
    assert world.published() is None
    world.add_leaves(1)
    world.sequencer.step()
    before = world.newest
    world.clock.advance(60)
    world.sequencer.step()
    assert world.newest == before


def test_a_standard_client_finds_in_the_tiles_what_was_signed(world: LogWorld) -> None:
    for count in (1, 254, 1, 1, 300, 511):
        world.add_leaves(count)
        world.catch_up()
        published = world.published()
        assert published is not None
        assert published.root == standard_client_root(world.storage, published.size)
        assert published.root == TileReader(world.storage, published.size).root()
    assert world.fsck().problems == []


def test_each_checkpoint_continues_every_earlier_one(world: LogWorld) -> None:
    signed = []
    for count in (3, 1, 7, 256):
        world.add_leaves(count)
        world.catch_up()
        signed.append(world.newest)
    last = signed[-1]
    for row in signed:
        proof = consistency(row.size, world.leaves) if row.size < last.size else []
        verify_consistency(row.size, last.size, row.root, last.root, proof)


def test_a_backlog_is_caught_up_in_bounded_batches(world: LogWorld) -> None:
    world.limits = SequencerLimits(batch_max=100, status_interval_ms=0)
    sequencer = world.new_sequencer()
    world.add_leaves(250)
    steps = [sequencer.step() for _ in range(3)]
    assert [(step.size, step.has_more) for step in steps] == [(100, True), (200, True), (250, False)]


def test_tiles_are_durable_before_the_state_and_the_state_before_the_checkpoint(world: LogWorld) -> None:
    recorder = Recorder(world.storage)
    world.add_leaves(2)
    world.new_sequencer(storage=recorder).step()
    assert recorder.writes == [["tile/0/000.p/2", "tile/entries/000.p/2"], ["state"], ["checkpoint"]]


@pytest.mark.parametrize("fail_at", [0, 1, 2])
def test_a_write_that_fails_signs_nothing_twice_and_is_made_good(world: LogWorld, fail_at: int) -> None:
    world.add_leaves(2)
    with pytest.raises(OSError, match="space"):
        world.new_sequencer(storage=Recorder(world.storage, fail_at=fail_at)).step()
    assert world.published() is None
    world.add_leaves(2)
    world.catch_up(world.new_sequencer())
    assert world.published() == Checkpoint("log.example/test", 4, tree_hash(world.leaves))
    assert world.fsck().problems == []


def test_the_time_of_a_checkpoint_never_goes_back(world: LogWorld) -> None:
    world.add_leaves(1)
    world.sequencer.step()
    first = world.newest.signed_at_ms
    world.clock.jump(-86_400)
    world.add_leaves(1)
    world.sequencer.step()
    assert (world.newest.size, world.newest.signed_at_ms) == (2, first)


# Hits.


def test_hits_become_one_leaf_per_tenant_and_pseudonym(world: LogWorld) -> None:
    world.add_hits("a", "b", "c")
    world.add_hits("d", tenant=OTHER)
    world.add_hits("e", pseudonym="b" * 32)
    world.sequencer.step()
    rows = world.read(lambda log: log.load_sequenced(0, 10))
    bodies = [parse_body(LeafKind.HIT_BATCH, row.body) for row in rows]
    assert [body.count for body in bodies if isinstance(body, HitBatch)] == [3, 1, 1]
    assert [row.tenant_id for row in rows] == [TENANT, TENANT, OTHER]


def test_a_batchs_root_is_over_its_records_by_position(world: LogWorld) -> None:
    world.add_hits(*"abcdefg")
    world.sequencer.step()
    (row,) = world.read(lambda log: log.load_sequenced(0, 10))
    hits = world.database.read_now(lambda c: HitRepository(c, TENANT).list_batch(row.seq))
    body = parse_body(LeafKind.HIT_BATCH, row.body)
    assert isinstance(body, HitBatch)
    assert [hit.position for hit in hits] == list(range(7))
    assert body.root == tree_hash([hit.record for hit in hits])


def test_a_hit_is_batched_once(world: LogWorld) -> None:
    world.add_hits("a")
    world.sequencer.step()
    world.add_hits("b")
    world.sequencer.step()
    world.sequencer.step()
    assert world.head == 2


# The status list.


def test_the_status_list_is_said_again_after_its_interval_and_not_before(world: LogWorld) -> None:
    world.limits = SequencerLimits(status_interval_ms=3_600_000)
    sequencer = world.new_sequencer()
    sizes = []
    for seconds in (0, 1, 3_600):
        world.clock.advance(seconds)
        sizes.append(sequencer.step().size)
    assert sizes == [1, 1, 2]
    row = world.read(lambda log: log.load_sequenced(1, 1))[0]
    body = parse_body(LeafKind.MODEL_STATUS, row.body)
    assert isinstance(body, ModelStatus)
    assert (body.model_version, body.status) == (None, None)


# One writer.


def test_a_second_process_waits_until_the_lease_is_over(world: LogWorld) -> None:
    world.add_leaves(1)
    world.sequencer.step()
    second = world.new_sequencer(holder="two")
    assert not second.step().leads
    world.clock.advance(16)
    assert second.step().leads


def test_a_released_lease_is_taken_at_once(world: LogWorld) -> None:
    world.sequencer.step()
    world.sequencer.release()
    assert world.new_sequencer(holder="two").step().leads


def test_a_process_that_slept_past_its_lease_writes_nothing_more(world: LogWorld) -> None:
    world.add_leaves(1)
    world.sequencer.step()
    world.clock.advance(20)
    second = world.new_sequencer(holder="two")
    second.step()
    # The first one's clock stood still while it slept: it believes that the lease is its own.
    world.clock.jump(-20)
    world.add_leaves(1)
    head = world.head
    assert not world.sequencer.step().leads
    assert world.head == head


def test_every_write_of_the_log_names_the_lease(world: LogWorld) -> None:
    world.add_leaves(1)
    world.sequencer.step()
    lease = world.read(lambda log: log.get_lease())
    old = lease.token - 1
    writes = (
        lambda log: log.assign(old, limit=1),
        lambda log: log.put_into_batch(old, TENANT, 1, []),
        lambda log: log.add_checkpoint(old, replace(world.newest, size=9)),
        lambda log: log.set_cosigned(old, 1, note="", witnesses=1),
        lambda log: log.renew_lease(old, now_ms=0, lasts_ms=1),
    )
    for write in writes:
        with pytest.raises(LeaseLost):
            world.database.write_now(lambda connection, write=write: write(LogRepository(connection)))


def test_a_lease_from_a_clock_that_ran_a_year_ahead_does_not_stop_the_log(world: LogWorld) -> None:
    world.clock.jump(365 * 86_400)
    world.sequencer.step()
    world.clock.jump(-365 * 86_400)
    assert world.new_sequencer(holder="two").step().leads


def test_another_machine_goes_on_with_the_log_from_the_database(world: LogWorld, tmp_path: Path) -> None:
    world.add_leaves(300)
    world.catch_up()
    world.sequencer.release()
    world.add_leaves(5)
    elsewhere = LogWorldOnOtherMachine(world, tmp_path / "other")
    elsewhere.step()
    assert elsewhere.published() == Checkpoint("log.example/test", 305, tree_hash(world.leaves))


class LogWorldOnOtherMachine:
    """The same database, an empty log folder."""

    def __init__(self, world: LogWorld, folder: Path) -> None:
        folder.mkdir()
        self._world = world
        self._storage = DirectoryStorage(folder)
        self._sequencer = world.new_sequencer(holder="other", storage=self._storage)

    def step(self) -> None:
        self._world.catch_up(self._sequencer)

    def published(self) -> Checkpoint | None:
        return self._world.published(self._storage)


# No step back.


def restore(world: LogWorld, backup: Path) -> LogWorld:
    """Put the database of *backup* back, beside the log folder as it is now."""
    world.close()
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (world.folder / name).unlink(missing_ok=True)
    shutil.copy(backup, world.folder / "store.db")
    return LogWorld(world.folder, clock=world.clock, random=world.random)


def back_up(world: LogWorld, to: Path) -> Path:
    source, copy = sqlite3.connect(world.folder / "store.db"), sqlite3.connect(to)
    with copy:
        source.backup(copy)
    source.close()
    copy.close()
    return to


def test_a_restored_older_database_signs_nothing(world: LogWorld, tmp_path: Path) -> None:
    world.add_leaves(2)
    world.catch_up()
    backup = back_up(world, tmp_path / "backup.db")
    world.add_leaves(3)
    world.catch_up()
    published = world.published()
    restored = restore(world, backup)
    restored.add_leaves(9)  # more than were lost, and other ones
    restored.clock.advance(60)
    for _ in range(2):
        with pytest.raises(LogRefusal) as refusal:
            restored.new_sequencer().step()
        assert refusal.value.reason == "database_older"
    assert restored.head == 2
    assert restored.published() == published
    restored.close()


def test_a_restored_database_that_grew_past_the_state_elsewhere_is_still_another_history(
    world: LogWorld, tmp_path: Path
) -> None:
    world.add_leaves(2)
    world.catch_up()
    backup = back_up(world, tmp_path / "backup.db")
    world.add_leaves(3)
    world.catch_up()
    restored = restore(world, backup)
    restored.add_leaves(9)
    restored.clock.advance(60)
    LogWorldOnOtherMachine(restored, tmp_path / "other").step()  # without a memory, it cannot know
    restored.clock.advance(60)
    with pytest.raises(LogRefusal) as refusal:
        restored.new_sequencer().step()
    assert refusal.value.reason == "history_differs"
    restored.close()


def test_an_older_log_folder_beside_a_newer_database_is_brought_up_to_date(world: LogWorld, tmp_path: Path) -> None:
    world.add_leaves(2)
    world.catch_up()
    shutil.copytree(world.folder / "log", tmp_path / "old")
    world.add_leaves(300)
    world.catch_up()
    shutil.rmtree(world.folder / "log")
    shutil.copytree(tmp_path / "old", world.folder / "log")
    world.add_leaves(1)
    world.catch_up(world.new_sequencer())
    assert world.published() == Checkpoint("log.example/test", 303, tree_hash(world.leaves))
    assert world.fsck().problems == []


def test_lost_tiles_are_made_anew(world: LogWorld) -> None:
    world.add_leaves(600)
    world.catch_up()
    shutil.rmtree(world.folder / "log" / "tile")
    world.add_leaves(1)
    world.catch_up(world.new_sequencer())
    assert world.fsck().problems == []


def test_a_lost_log_folder_is_made_anew_from_the_database(world: LogWorld) -> None:
    world.add_leaves(3)
    world.catch_up()
    shutil.rmtree(world.folder / "log")
    world.catch_up(world.new_sequencer())
    assert world.published() == Checkpoint("log.example/test", 3, tree_hash(world.leaves))
    assert load_state(world.storage) == world.published()


def test_a_changed_leaf_in_the_database_is_not_signed_over(world: LogWorld) -> None:
    world.add_leaves(3)
    world.catch_up()
    change_leaf(world, 1)
    shutil.rmtree(world.folder / "log")
    world.add_leaves(1)
    with pytest.raises(LogRefusal) as refusal:
        world.catch_up(world.new_sequencer())
    assert refusal.value.reason == "history_differs"


def test_a_leaf_changed_behind_the_last_checkpoint_is_not_signed_over(world: LogWorld) -> None:
    world.add_leaves(3)
    with pytest.raises(OSError, match="space"):  # the state is written down, the checkpoint is not
        world.new_sequencer(storage=Recorder(world.storage, fail_at=2)).step()
    remove_checkpoints(world)
    change_leaf(world, 1)
    with pytest.raises(LogRefusal) as refusal:
        world.catch_up(world.new_sequencer())
    assert refusal.value.reason == "history_differs"


def change_leaf(world: LogWorld, index: int) -> None:
    run_sql(world, f"UPDATE log_leaves SET leaf = zeroblob(74) WHERE leaf_index = {index}")


def remove_checkpoints(world: LogWorld) -> None:
    run_sql(world, "DELETE FROM log_checkpoints")


def run_sql(world: LogWorld, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(world.folder / "store.db")) as connection, connection:
        connection.execute(statement)


def test_a_damaged_published_checkpoint_stops_signing(world: LogWorld) -> None:
    world.add_leaves(1)
    world.catch_up()
    path = world.folder / "log" / CHECKPOINT
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    with pytest.raises(LogRefusal) as refusal:
        world.new_sequencer().step()
    assert refusal.value.reason == "checkpoint_damaged"


def test_a_damaged_state_stops_signing(world: LogWorld) -> None:
    world.add_leaves(1)
    world.catch_up()
    path = world.folder / "log" / "state"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LogRefusal) as refusal:
        world.new_sequencer().step()
    assert refusal.value.reason == "state_damaged"


def test_a_checkpoint_row_that_nobody_signed_stops_signing(world: LogWorld) -> None:
    world.add_leaves(2)
    world.catch_up()
    run_sql(world, "UPDATE log_checkpoints SET root = zeroblob(32)")
    with pytest.raises(LogRefusal) as refusal:
        world.new_sequencer().step()
    assert refusal.value.reason == "database_damaged"


def test_a_checkpoint_lost_between_row_and_file_is_published_by_the_next_start(world: LogWorld) -> None:
    world.add_leaves(1)
    world.catch_up()
    (world.folder / "log" / CHECKPOINT).unlink()
    world.new_sequencer().step()
    published = world.published()
    assert published is not None
    assert published.size == parse_checkpoint(world.newest.note).checkpoint.size == 1
