"""Adapters for the platform's upstreams: one that cannot be used does not take the others down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.store.records import UpstreamRecord
from server.upstream.directory import KeyReferenceError, UpstreamDirectory, read_key
from tests.fakes import FakeUpstream


def record(name: str, key: str | None = None) -> UpstreamRecord:
    return UpstreamRecord(name, "openai", "https://api.example/v1", key, False, 0)


def test_an_upstream_whose_key_is_missing_leaves_the_others_usable_and_comes_back(tmp_path: Path) -> None:
    key = tmp_path / "key"

    async def play() -> None:
        directory = UpstreamDirectory(lambda made, _key: FakeUpstream(made.name))
        records = [record("broken", f"file:{key}"), record("working")]
        await directory.refresh(records)
        assert set(directory) == {"working"}
        key.write_text("secret\n")
        await directory.refresh(records)
        assert set(directory) == {"broken", "working"}

    asyncio.run(play())


def test_a_reference_reads_a_variable_or_a_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(" from-file \n")
    assert read_key(f"file:{file}") == "from-file"
    assert read_key("env:VENDOR", environ={"VENDOR": "from-variable"}) == "from-variable"
    assert read_key(None) is None
    for reference in ("env:VENDOR", "file:/nowhere/at/all", "the-key-itself", "env:"):
        with pytest.raises(KeyReferenceError):
            read_key(reference, environ={})
