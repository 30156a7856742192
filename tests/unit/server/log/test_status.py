"""Status lists in the log: what they list, what binds them, and that they change with what they list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from crypto.bodies import KeyEvent, ModelStatus, parse_body
from crypto.leaf import LeafKind
from crypto.status import KeyStatus, ModelStanding, parse_status_list
from server.log.status import TRUST_VERSION_META, KeyChange, ModelChange, current_status, note_status, restate_status
from server.store.log_records import StatusListRow
from server.store.platform import PlatformRepository
from server.store.records import ModelRecord, ModelVersionRecord, UpstreamRecord
from server.store.signers import SignerRepository
from server.store.tables import model_versions
from tests.log_worlds import LogWorld

VERSIONS = ["sha256:" + digit * 64 for digit in "123"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LogWorld]:
    found = LogWorld(tmp_path / "data")
    yield found
    found.close()


def activate(world: LogWorld, version: str, reported: str, status: str) -> None:
    def work(connection: Any) -> None:
        platform = PlatformRepository(connection)
        if not platform.list_models():
            platform.put_upstream(UpstreamRecord("up", "openai", "http://up", None, False, 0))
            platform.put_model(ModelRecord("alias", "up", "model", None, None, 0, 0, 0))
        platform.activate_version("alias", ModelVersionRecord(version, reported, status, None, 0))

    world.database.write_now(work)


def test_what_is_in_force_is_not_listed(world: LogWorld) -> None:
    world.database.write_now(lambda c: SignerRepository(c).note(bytes(32), "runner", "demo", at_ms=1))
    activate(world, VERSIONS[0], "a", "active")
    listed = world.database.read_now(lambda c: current_status(c, now_ms=5))
    assert (listed.at_ms, listed.keys, listed.models, listed.trust_version) == (5, (), (), 0)


def test_a_version_is_in_force_while_one_of_its_names_is(world: LogWorld) -> None:
    for version, reported, status in (
        (VERSIONS[2], "a", "revoked"),
        (VERSIONS[2], "b", "superseded"),
        (VERSIONS[1], "a", "superseded"),
        (VERSIONS[1], "b", "active"),
        (VERSIONS[0], "a", "superseded"),
    ):
        activate(world, version, reported, status)
    world.database.write_now(lambda c: PlatformRepository(c).activate_version(
        "alias", ModelVersionRecord(VERSIONS[1], "b", "active", None, 0)
    ))  # fmt: skip
    listed = world.database.read_now(lambda c: current_status(c, now_ms=5))
    assert listed.models == (ModelStanding(VERSIONS[0], "superseded"), ModelStanding(VERSIONS[2], "revoked"))


def test_a_changed_key_is_listed_and_its_leaf_binds_the_list(world: LogWorld) -> None:
    def compromise(connection: Any) -> tuple[str, StatusListRow]:
        signers = SignerRepository(connection)
        key = signers.note(bytes(32), "runner", "demo", at_ms=1).key_id
        signers.set_status(key, "compromised", since_index=7)
        change = KeyChange(key, "runner", "compromised", 7)
        return key, note_status(connection, change, now_ms=9, random=world.random)

    key, row = world.database.write_now(compromise)
    listed = parse_status_list(row.document.encode())
    assert listed.keys == (KeyStatus(key, "runner", 7, "compromised"),)
    assert listed.digest() == row.digest
    (leaf,) = world.read(lambda log: log.load_unsequenced(10))
    body = parse_body(LeafKind.KEY_EVENT, leaf.body)
    assert isinstance(body, KeyEvent)
    assert (body.key_id, body.event, body.since_index, body.status_list) == (key, "compromised", 7, row.digest)
    assert leaf.seq == row.seq


def test_a_changed_model_version_is_said_with_the_list(world: LogWorld) -> None:
    change = ModelChange(VERSIONS[0], "revoked")
    row = world.database.write_now(lambda c: note_status(c, change, now_ms=9, random=world.random))
    (leaf,) = world.read(lambda log: log.load_unsequenced(10))
    body = parse_body(LeafKind.MODEL_STATUS, leaf.body)
    assert isinstance(body, ModelStatus)
    assert (body.model_version, body.status, body.status_list) == (VERSIONS[0], "revoked", row.digest)


def test_a_change_that_is_rolled_back_is_not_in_the_log(world: LogWorld) -> None:
    def fail(connection: Any) -> None:
        note_status(connection, ModelChange(VERSIONS[0], "revoked"), now_ms=9, random=world.random)
        raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed"):
        world.database.write_now(fail)
    assert world.read(lambda log: log.load_unsequenced(10)) == []


def test_a_list_is_said_again_as_of_another_time(world: LogWorld) -> None:
    rows = [
        world.database.write_now(lambda c, at=at: restate_status(c, now_ms=at, random=world.random)) for at in (1, 2)
    ]
    assert rows[0].digest != rows[1].digest
    assert [parse_status_list(row.document.encode()).at_ms for row in rows] == [1, 2]


def test_the_list_says_which_trust_file_is_the_newest(world: LogWorld) -> None:
    world.database.write_now(lambda c: PlatformRepository(c).set_meta(TRUST_VERSION_META, "12"))
    assert world.database.read_now(lambda c: current_status(c, now_ms=5)).trust_version == 12


def test_a_list_never_grows_beyond_what_a_reader_takes_and_keeps_what_verdicts_turn_on(world: LogWorld) -> None:
    versions = [f"sha256:{number:064x}" for number in range(4_200)]
    activate(world, versions[0], "", "active")

    def work(connection: Any) -> None:
        rows = [
            {**asdict(ModelVersionRecord(name, "", "superseded", None, number))} for number, name in enumerate(versions)
        ]
        connection.execute(insert(model_versions), rows[1:])
        PlatformRepository(connection).set_version_status(versions[1], "revoked")
        PlatformRepository(connection).set_version_status(versions[2], "superseded")

    world.database.write_now(work)
    row = world.database.write_now(
        lambda c: note_status(c, ModelChange(versions[2], "superseded"), now_ms=5, random=world.random)
    )
    listed = {one.model_version: one.status for one in parse_status_list(row.document.encode()).models}
    assert listed[versions[1]] == "revoked"
    assert listed[versions[2]] == "superseded" and listed[versions[-1]] == "superseded"
    assert versions[3] not in listed
