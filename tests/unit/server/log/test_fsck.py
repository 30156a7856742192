"""fsck: a log in order has nothing to say, and each way to break one is named."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.log.fsck import PROBLEMS_MAX, Findings
from server.store.receipts import TenantLeafRepository
from tests.log_worlds import TENANT, LogWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LogWorld]:
    found = LogWorld(tmp_path / "data")
    for count in (3, 300):
        found.add_leaves(count)
        found.catch_up()
    yield found
    found.close()


def run_sql(world: LogWorld, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(world.folder / "store.db")) as connection, connection:
        connection.execute(statement)


def test_a_log_in_order_is_found_in_order(world: LogWorld) -> None:
    found = world.fsck()
    assert found.problems == []
    assert (found.leaves, found.checkpoints) == (303, 2)
    # Two bundles, two tiles of level 0, one of level 1.
    assert found.tiles == 5


def test_an_empty_log_is_in_order(tmp_path: Path) -> None:
    world = LogWorld(tmp_path / "empty")
    assert world.fsck() == Findings()
    world.close()


def test_leaves_that_are_not_signed_yet_are_in_order(world: LogWorld) -> None:
    world.add_leaves(5)
    assert world.fsck().problems == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE log_leaves SET leaf = zeroblob(74) WHERE leaf_index = 1", "leaf 1: "),
        (
            "UPDATE log_leaves SET body = CAST(replace(CAST(body AS TEXT), '0000', '1111') AS BLOB) WHERE leaf_index = 1",
            "leaf 1 is not the leaf",
        ),
        ("UPDATE log_leaves SET kind = 4 WHERE leaf_index = 1", "leaf 1 is of kind 10 and filed as 4"),
        ("DELETE FROM log_leaves WHERE leaf_index = 1", "no leaf 1; the next one is 2"),
        ("DELETE FROM log_leaves WHERE leaf_index > 250", "the database 251: it was restored from before"),
        ("UPDATE log_checkpoints SET root = zeroblob(32) WHERE size = 3", "over 3 leaves in the database is not what"),
        ("UPDATE log_checkpoints SET note = replace(note, 'A', 'B') WHERE size = 3", "over 3 leaves in the database"),
        ("UPDATE log_checkpoints SET size = 4 WHERE size = 3", "over 4 leaves in the database is not what was signed"),
    ],
)
def test_a_changed_database_is_named(world: LogWorld, statement: str, problem: str) -> None:
    run_sql(world, statement)
    assert any(problem in found for found in world.fsck().problems), world.fsck().problems


def test_a_leaf_that_was_swapped_with_its_body_does_not_make_the_signed_root(world: LogWorld) -> None:
    run_sql(world, "UPDATE log_leaves SET leaf_index = NULL, body = NULL WHERE leaf_index IN (1, 2)")
    run_sql(world, "UPDATE log_leaves SET leaf_index = 3 - seq + 1 WHERE leaf_index IS NULL")
    problems = world.fsck().problems
    assert any("another root over 3 leaves" in found for found in problems)
    assert any("written before the one in front of it" in found for found in problems)


def test_missing_tiles_are_named(world: LogWorld) -> None:
    shutil.rmtree(world.folder / "log" / "tile")
    problems = world.fsck().problems
    assert len(problems) == 5
    assert all("is missing" in found for found in problems)


def test_a_state_of_another_log_is_named(world: LogWorld) -> None:
    path = world.folder / "log" / "state"
    path.write_text(path.read_text().replace("log.example/test", "log.example/text"))
    assert world.fsck().problems == ["the state file is of the log 'log.example/text'"]


def test_what_was_erased_is_in_order_without_its_body(world: LogWorld) -> None:
    world.add_leaves(1, tenant=TENANT)
    world.catch_up()
    world.database.write_now(lambda connection: TenantLeafRepository(connection, TENANT).erase())
    assert world.fsck().problems == []


def test_so_many_problems_are_told_and_no_more() -> None:
    found = Findings()
    for number in range(PROBLEMS_MAX + 10):
        found.add(f"problem {number}")
    assert found.problems[PROBLEMS_MAX - 1 :] == [f"problem {PROBLEMS_MAX - 1}", "and more"]
