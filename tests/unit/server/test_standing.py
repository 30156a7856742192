"""Whether keys and model versions still count: each change with its audit row and its leaf."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from crypto.leaf import LeafKind
from server import standing
from server.log.keys import ensure_log_key
from server.store.database import Database, sqlite_url
from server.store.errors import Conflict, NotFound
from server.store.log import LogRepository
from server.store.maintenance import list_audit
from server.store.migrate import upgrade
from server.store.platform import PlatformRepository
from server.store.records import ModelRecord, ModelVersionRecord, UpstreamRecord
from server.store.signers import SignerRepository
from tests.fakes import GATEWAY_KEY, SeededRandom
from tests.signing_runner import RUNNER_KEY

NOW_MS = 1_790_000_000_000
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
Result = TypeVar("Result")


@dataclass(slots=True)
class House:
    database: Database
    random: SeededRandom

    def run(self, work: Callable[[Connection], Result]) -> Result:
        return self.database.write_now(work)

    def call(self, function: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        return self.run(lambda c: function(c, *arguments, now_ms=NOW_MS, random=self.random, **options))

    def activate(self, version: str, *, alias: str = "m", reported: str = "") -> str | None:
        record = ModelVersionRecord(version, reported, "active", None, NOW_MS)
        return self.call(standing.activate_model_version, alias, record)

    def said(self, kind: LeafKind) -> list[dict[str, Any]]:
        rows = self.run(lambda c: LogRepository(c).load_unsequenced(100))
        return [json.loads(row.body or b"{}") for row in rows if row.kind == kind]

    def models(self) -> list[tuple[str, str]]:
        return [(body["model_version"], body["status"]) for body in self.said(LeafKind.MODEL_STATUS)]

    def actions(self) -> list[str]:
        return [row.action for row in self.run(lambda c: list_audit(c, tenant=None, after=0, limit=100))]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    database = Database(sqlite_url(tmp_path / "store.db"))
    upgrade(database.engine)
    made = House(database, SeededRandom(3))
    made.run(lambda c: ensure_log_key(c, tmp_path / "log-key", made.random, origin="test"))

    def fill(connection: Connection) -> None:
        platform = PlatformRepository(connection)
        platform.put_upstream(UpstreamRecord("up", "runner", "https://up.example", None, False, NOW_MS))
        for alias in ("m", "n"):
            platform.put_model(ModelRecord(alias, "up", "real", None, None, 0, 0, NOW_MS))

    made.run(fill)
    yield made
    database.close()


def test_a_version_that_no_alias_answers_with_any_more_is_superseded_in_the_log(house: House) -> None:
    assert house.activate(ONE) is None
    assert house.models() == []
    house.activate(TWO)
    assert house.models() == [(ONE, "superseded")]
    house.activate(ONE)
    assert house.models()[1:] == [(ONE, "active"), (TWO, "superseded")]


def test_a_version_that_another_alias_still_answers_with_stays_in_force(house: House) -> None:
    house.activate(ONE)
    house.activate(ONE, alias="n")
    house.activate(TWO)
    assert house.models() == []


def test_a_version_under_another_reported_name_is_the_same_version(house: House) -> None:
    house.activate(ONE, reported="a")
    house.activate(ONE, reported="b")
    assert house.models() == []


def test_a_revoked_version_stays_revoked(house: House) -> None:
    house.activate(ONE)
    house.call(standing.end_model_version, ONE, "revoked", actor="me")
    with pytest.raises(Conflict):
        house.call(standing.end_model_version, ONE, "superseded", actor="me")
    house.activate(TWO)
    house.activate(ONE)
    assert house.models() == [(ONE, "revoked"), (TWO, "superseded")]
    assert house.actions() == ["model.revoke"]


def test_a_version_that_was_never_seen_is_not_withdrawn_and_not_audited(house: House) -> None:
    with pytest.raises(NotFound):
        house.call(standing.end_model_version, ONE, "revoked", actor="me")
    assert house.actions() == [] and house.models() == []


def test_a_key_is_logged_when_it_comes_and_not_again(house: House) -> None:
    for models in ((), (ONE,), (ONE, TWO)):
        row = house.call(standing.note_signer, RUNNER_KEY.public_key, "runner", "up", models)
    assert row.models == (ONE, TWO)
    assert [(body["event"], body["role"]) for body in house.said(LeafKind.KEY_EVENT)] == [("added", "runner")]


def test_a_key_speaks_in_one_role(house: House) -> None:
    house.call(standing.note_signer, GATEWAY_KEY.public_key, "gateway", "here")
    with pytest.raises(Conflict):
        house.call(standing.note_signer, GATEWAY_KEY.public_key, "runner", "up")


def test_a_key_is_retired_from_its_own_leaf_on(house: House) -> None:
    house.call(standing.note_signer, RUNNER_KEY.public_key, "runner", "up")
    row = house.call(standing.revoke_signer, RUNNER_KEY.key_id, since_index=None, actor="me")
    # One leaf waits in front of it: the one that added the key.
    assert (row.status, row.since_index) == ("retired", 1)
    with pytest.raises(Conflict, match="retired already"):
        house.call(standing.revoke_signer, RUNNER_KEY.key_id, since_index=None, actor="me")
    assert house.actions() == ["signing-key.revoke"]


def test_a_retired_key_can_be_said_to_be_compromised_and_never_counts_for_longer(house: House) -> None:
    house.call(standing.note_signer, RUNNER_KEY.public_key, "runner", "up")
    house.call(standing.revoke_signer, RUNNER_KEY.key_id, since_index=None, actor="me")
    for since_index, expected in ((0, 0), (50, 0)):
        row = house.call(standing.revoke_signer, RUNNER_KEY.key_id, since_index=since_index, actor="me")
        assert (row.status, row.since_index) == ("compromised", expected)


def test_a_key_is_never_compromised_only_from_some_leaf_to_come(house: House) -> None:
    house.call(standing.note_signer, RUNNER_KEY.public_key, "runner", "up")
    row = house.call(standing.revoke_signer, RUNNER_KEY.key_id, since_index=1_000_000, actor="me")
    assert row.since_index == 1


def test_a_key_that_was_never_seen_cannot_be_ended(house: House) -> None:
    with pytest.raises(NotFound):
        house.call(standing.revoke_signer, RUNNER_KEY.key_id, since_index=None, actor="me")
    assert house.run(lambda c: SignerRepository(c).list_all()) == []
