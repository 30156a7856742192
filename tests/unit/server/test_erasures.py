"""Tombstones: durable before anything is committed, readable whatever a crash left of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.datafolder import DataFolderError
from server.erasures import Erasure, Erasures
from tenants.identifiers import TenantId

ONE, TWO = Erasure(TenantId("ten_aaaaaaaaaaaaaaaa"), 1), Erasure(TenantId("ten_bbbbbbbbbbbbbbb7"), 1_790_000_000_000)


def test_tombstones_are_read_back_in_order(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path / "erasures")
    assert erasures.list_all() == []
    for erasure in (ONE, TWO):
        erasures.add(erasure)
    assert Erasures(tmp_path / "erasures").list_all() == [ONE, TWO]


@pytest.mark.parametrize("kept", range(1, len("ten_aaaaaaaaaaaaaaaa 1")))
def test_a_line_that_a_crash_cut_short_neither_counts_nor_spoils_the_next(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "erasures"
    path.write_text("ten_aaaaaaaaaaaaaaaa 1"[:kept])
    assert Erasures(path).list_all() == []
    Erasures(path).add(TWO)
    assert Erasures(path).list_all() == [TWO]


@pytest.mark.parametrize("line", ["ten_AAAAAAAAAAAAAAAA 1", "org_aaaaaaaaaaaaaaaa 1", "ten_aaaaaaaaaaaaaaaa -1", "?"])
def test_a_file_that_says_anything_else_stops_the_start(tmp_path: Path, line: str) -> None:
    (tmp_path / "erasures").write_text(line + "\n")
    with pytest.raises(DataFolderError, match="no erasure"):
        Erasures(tmp_path / "erasures").list_all()


def test_a_tombstone_that_cannot_be_written_stops_the_erasure(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="cannot be noted"):
        Erasures(tmp_path / "no folder" / "erasures").add(ONE)
