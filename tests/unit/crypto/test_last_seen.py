"""What a verifier keeps between audits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crypto import last_seen
from crypto.errors import VerificationError
from crypto.last_seen import LastSeen, parse_last_seen, read_last_seen, write_last_seen

SEEN = LastSeen("log.example\n1\nAAAA\n", 3)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_last_seen(tmp_path / "seen.json", SEEN)
    assert read_last_seen(tmp_path / "seen.json") == SEEN


def test_a_file_that_is_not_there_is_nothing_seen(tmp_path: Path) -> None:
    assert read_last_seen(tmp_path / "seen.json") is None


def test_a_second_write_replaces_the_first_and_leaves_no_other_file(tmp_path: Path) -> None:
    write_last_seen(tmp_path / "seen.json", SEEN)
    write_last_seen(tmp_path / "seen.json", LastSeen("other", 4))
    assert read_last_seen(tmp_path / "seen.json") == LastSeen("other", 4)
    assert os.listdir(tmp_path) == ["seen.json"]


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_last_seen(tmp_path / "seen.json", SEEN)

    def fail(_: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_last_seen(tmp_path / "seen.json", LastSeen("other", 4))
    assert read_last_seen(tmp_path / "seen.json") == SEEN
    assert os.listdir(tmp_path) == ["seen.json"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"checkpoint":"x","schema":"hitproof/last-seen/v2","trust_version":1}',
        b'{"checkpoint":1,"schema":"hitproof/last-seen/v1","trust_version":1}',
        b'{"checkpoint":"x","schema":"hitproof/last-seen/v1","trust_version":0}',
        b'{"checkpoint":"x","schema":"hitproof/last-seen/v1","trust_version":true}',
        b'{"checkpoint":"x","more":1,"schema":"hitproof/last-seen/v1","trust_version":1}',
        b' {"checkpoint":"x","schema":"hitproof/last-seen/v1","trust_version":1}',
        b'["checkpoint"]',
    ],
)
def test_anything_but_the_one_form_is_refused(data: bytes) -> None:
    with pytest.raises(VerificationError):
        parse_last_seen(data)


def test_a_file_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_last_seen(tmp_path / "seen.json", SEEN)
    monkeypatch.setattr(last_seen, "LAST_SEEN_BYTES_MAX", 10)
    with pytest.raises(VerificationError):
        read_last_seen(tmp_path / "seen.json")
