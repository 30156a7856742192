"""A rotation of the key-encryption key, whole and cut short after every step."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from server.datafolder import DataFolder
from server.key_rotation import Rotation, Step, rotate_key_encryption_key
from server.keys import open_key_provider
from server.settings import Settings, load_settings
from server.setup import create_organisation, create_tenant
from server.store.data_keys import list_wrapping_keys
from server.store.database import Database
from server.store.maintenance import list_audit
from server.store.migrate import upgrade
from server.store.tenancy import DataKeyRepository
from tenants.data_keys import DataKeyRing
from tenants.errors import KeyFormError, SealedError
from tenants.identifiers import TenantId
from tenants.key_files import create_key_file, read_key_file
from tenants.key_providers import KeyProvider
from tenants.quotas import Quota
from tests.fakes import SeededRandom

STEPS: tuple[Step, ...] = ("made", "kept", "switched", "rewrapped")


class Killed(BaseException):
    """Ends a rotation where a kill would."""


@dataclass(slots=True)
class House:
    """A store with three tenants, whose data keys are known."""

    settings: Settings
    folder: DataFolder
    database: Database
    random: SeededRandom
    tenants: dict[TenantId, bytes]

    def provider(self) -> KeyProvider:
        """What a process that starts now would use."""
        names = self.database.read_now(list_wrapping_keys)
        return open_key_provider(self.settings, self.folder, self.random, wrapped_under=names)

    def secret(self, tenant: TenantId) -> bytes:
        """A tenant's data key, opened as a process that starts now would."""
        load = lambda found: self.database.read_now(lambda c: DataKeyRepository(c, found).list_all())  # noqa: E731
        return DataKeyRing(self.provider(), load).current(tenant).secret

    def rotate(self, *, until: Step | None = None) -> Rotation:
        """Rotate, or get killed right after *until*."""

        def on_step(step: Step) -> None:
            if step == until:
                raise Killed

        return rotate_key_encryption_key(
            self.settings, self.folder, self.database, self.random, actor="test", now_ms=1, on_step=on_step
        )

    def add_tenant(self, name: str) -> None:
        """Make a tenant as a gateway that runs now would."""

        def make(connection: Connection) -> TenantId:
            organisation = create_organisation(connection, name, actor="test", now_ms=1, random=self.random)
            return create_tenant(
                connection,
                organisation.id,
                name,
                quota=Quota(),
                provider=self.provider(),
                actor="test",
                now_ms=1,
                random=self.random,
            ).id

        tenant = self.database.write_now(make)
        self.tenants[tenant] = self.secret(tenant)

    def opens(self) -> bool:
        """Whether every tenant's data key is what it was."""
        return {tenant: self.secret(tenant) for tenant in self.tenants} == self.tenants


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    settings = load_settings(environ={}, overrides={"data": tmp_path})
    folder = DataFolder(tmp_path)
    folder.create()
    database = Database(settings.database)
    upgrade(database.engine)
    made = House(settings, folder, database, SeededRandom(3), {})
    for name in ("first", "second", "third"):
        made.add_tenant(name)
    yield made
    database.close()


def test_a_rotation_moves_every_data_key_and_changes_none(house: House) -> None:
    old = house.provider().key_id
    done = house.rotate()
    assert done.key_id != old
    assert done.rewrapped == 3
    assert house.database.read_now(list_wrapping_keys) == {done.key_id}
    assert read_key_file(house.folder.key_file).key_id == done.key_id
    assert house.opens()


def test_the_old_key_is_kept_closed_to_others_until_somebody_deletes_it(house: House) -> None:
    old = read_key_file(house.folder.key_file)
    done = house.rotate()
    kept = house.folder.old_key_file(old.key_id)
    assert done.old_keys == (str(kept),)
    assert read_key_file(kept) == old
    assert stat.S_IMODE(kept.stat().st_mode) == 0o400
    assert not house.folder.new_key_file.exists()
    kept.unlink()
    assert house.opens()


def test_a_rotation_is_written_to_the_audit_log(house: House) -> None:
    old = house.provider().key_id
    new = house.rotate().key_id
    last = house.database.read_now(lambda c: list_audit(c, tenant=None, after=0, limit=100))[-1]
    assert (last.action, last.target) == ("kek.rotate", new)
    assert old in last.detail


@pytest.mark.parametrize("step", STEPS)
def test_cut_short_after_any_step_the_store_opens_and_works(house: House, step: Step) -> None:
    with pytest.raises(Killed):
        house.rotate(until=step)
    assert house.opens()
    house.add_tenant("made in between")
    assert house.opens()


@pytest.mark.parametrize("step", STEPS)
def test_cut_short_after_any_step_it_is_finished_by_running_it_again(house: House, step: Step) -> None:
    first = house.provider().key_id
    with pytest.raises(Killed):
        house.rotate(until=step)
    house.add_tenant("made in between")
    done = house.rotate()
    assert house.database.read_now(list_wrapping_keys) == {done.key_id}
    assert done.key_id != first
    assert house.opens()
    for old in house.folder.key_file.parent.glob("kek.*.old"):
        old.unlink()
    assert house.opens()


def test_finishing_makes_no_second_key(house: House) -> None:
    with pytest.raises(Killed):
        house.rotate(until="switched")
    begun = read_key_file(house.folder.key_file).key_id
    assert house.rotate().key_id == begun


@pytest.mark.parametrize("name", ["kek.new", "part"])
def test_half_a_file_left_by_a_kill_is_no_hindrance(house: House, name: str) -> None:
    old = house.provider().key_id
    path = house.folder.new_key_file if name == "kek.new" else house.folder.old_key_file(old).with_suffix(".part")
    path.write_text("1234")
    house.rotate()
    assert house.opens()


def test_a_failing_rewrap_changes_no_data_key(house: House) -> None:
    names = house.database.read_now(list_wrapping_keys)
    tenant = list(house.tenants)[-1]

    def spoil(connection: Connection) -> None:
        repository = DataKeyRepository(connection, tenant)
        (key,) = repository.list_all()
        repository.replace(type(key)(key.tenant, key.epoch, key.wrapped[:-1] + b"\0", key.kek_id))

    house.database.write_now(spoil)
    with pytest.raises(SealedError):
        house.rotate()
    assert house.database.read_now(list_wrapping_keys) == names
    del house.tenants[tenant]
    assert house.opens()


def test_rotating_twice_keeps_both_old_keys(house: House) -> None:
    house.rotate()
    assert len(house.rotate().old_keys) == 2
    assert house.opens()


def test_a_key_in_a_variable_is_rotated_by_whoever_sets_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    old = read_key_file(house.folder.key_file)
    monkeypatch.setenv("HITPROOF_KEK", old.secret.hex())
    house.settings = load_settings(environ={}, overrides={"data": house.folder.root, "key_provider": "env"})
    with pytest.raises(KeyFormError, match="previous_key_file"):
        house.rotate()
    create_key_file(house.folder.root / "next", SeededRandom(99))
    new = read_key_file(house.folder.root / "next")
    monkeypatch.setenv("HITPROOF_KEK", new.secret.hex())
    overrides: dict[str, Any] = {"data": house.folder.root, "key_provider": "env"}
    house.settings = load_settings(environ={}, overrides={**overrides, "previous_key_file": house.folder.key_file})
    assert house.opens()
    assert house.rotate().key_id == new.key_id
    house.settings = load_settings(environ={}, overrides=overrides)
    assert house.opens()


PROGRAM = """
import os, signal, sys
from pathlib import Path
from server.datafolder import DataFolder
from server.key_rotation import rotate_key_encryption_key
from server.settings import load_settings
from server.store.database import Database
from tests.fakes import SeededRandom
settings = load_settings(environ={}, overrides={"data": Path(sys.argv[1])})
def on_step(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
rotate_key_encryption_key(settings, DataFolder(settings.data), Database(settings.database), SeededRandom(5),
                          actor="test", now_ms=1, on_step=on_step)
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_after_any_step_loses_nothing(house: House, step: Step) -> None:
    house.database.close()
    killed = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(house.folder.root), step],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        check=False,
    )
    assert killed.returncode == -9
    house.database = Database(house.settings.database)
    assert house.opens()
    done = house.rotate()
    assert house.database.read_now(list_wrapping_keys) == {done.key_id}
    assert house.opens()
    house.database.close()
