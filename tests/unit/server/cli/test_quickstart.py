"""The demonstration's tenants, also after a first start that was cut short."""

from __future__ import annotations

from pathlib import Path

from server.cli.context import opened
from server.cli.quickstart import _read_or_create_demo
from server.settings import load_settings
from server.store.platform import PlatformRepository


def test_a_first_start_that_ended_before_it_wrote_its_keys_down_is_finished_by_the_next(tmp_path: Path) -> None:
    with opened(load_settings(environ={}, overrides={"data": tmp_path / "data"})) as store:
        first = _read_or_create_demo(store)
        store.folder.quickstart_file.unlink()
        second = _read_or_create_demo(store)
        assert [tenant["name"] for tenant in second["tenants"]] == [tenant["name"] for tenant in first["tenants"]]
        assert first != second, "with keys of its own, for the first ones are lost"
        assert len(store.database.read_now(lambda c: PlatformRepository(c).list_tenants())) == 2
        assert _read_or_create_demo(store) == second
