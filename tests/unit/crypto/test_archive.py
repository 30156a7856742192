"""The one ZIP form of a bundle."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from crypto import archive
from crypto.archive import read_archive, write_archive
from crypto.errors import EncodingError, VerificationError

MEMBERS = {"b.jsonl": b"two\n", "a": b"one", "c.json": b""}


def refused(data: bytes) -> str:
    with pytest.raises(VerificationError) as caught:
        read_archive(data)
    return caught.value.reason


def test_what_was_written_is_read() -> None:
    assert read_archive(write_archive(MEMBERS)) == MEMBERS


def test_members_stand_in_the_order_of_their_names() -> None:
    assert list(read_archive(write_archive(MEMBERS))) == ["a", "b.jsonl", "c.json"]


def test_a_usual_zip_reader_reads_the_archive_too() -> None:
    with zipfile.ZipFile(io.BytesIO(write_archive(MEMBERS))) as found:
        assert {name: found.read(name) for name in found.namelist()} == MEMBERS
        assert found.testzip() is None


def test_the_bytes_of_an_archive_are_these() -> None:
    crc = zlib.crc32(b"one")
    local = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0x21, crc, 3, 3, 1, 0) + b"a" + b"one"
    central = b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 0x21, crc, 3, 3, 1, 0, 0, 0, 0, 0, 0) + b"a"
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    assert write_archive({"a": b"one"}) == local + central + end


def test_any_flipped_bit_is_refused() -> None:
    data = write_archive(MEMBERS)
    for place in range(len(data) * 8):
        broken = bytearray(data)
        broken[place // 8] ^= 1 << place % 8
        assert refused(bytes(broken)).startswith("archive_")


def test_any_removed_byte_is_refused() -> None:
    data = write_archive(MEMBERS)
    for place in range(len(data)):
        assert refused(data[:place] + data[place + 1 :]).startswith("archive_")


def test_any_added_byte_is_refused() -> None:
    data = write_archive(MEMBERS)
    for place in range(len(data) + 1):
        assert refused(data[:place] + b"\0" + data[place:]).startswith("archive_")


def test_any_truncated_archive_is_refused() -> None:
    data = write_archive(MEMBERS)
    for length in range(len(data)):
        assert refused(data[:length]).startswith("archive_")


def test_what_does_not_begin_as_an_archive_is_unreadable() -> None:
    assert refused(b"") == "archive_unreadable"
    assert refused(b"\0" + write_archive(MEMBERS)) == "archive_unreadable"


def test_what_stands_behind_the_archive_is_refused() -> None:
    assert refused(write_archive(MEMBERS) + b"\0") == "archive_not_canonical"


def test_a_compressed_member_is_refused_without_being_unpacked() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("a", b"\0" * (1 << 20))
    assert refused(buffer.getvalue()) == "archive_not_canonical"


def test_a_member_that_claims_more_than_there_is_is_refused_before_anything_is_made_of_it() -> None:
    data = bytearray(write_archive({"a": b"one"}))
    data[18:26] = struct.pack("<II", 2**32 - 1, 2**32 - 1)
    assert refused(bytes(data)) == "archive_unreadable"


@pytest.mark.parametrize("name", ["../a", "/a", "a/b", "a\\b", "A", ".a", "a.", "", "a" * 65, "a\0", "é"])
def test_an_unsafe_name_is_neither_written_nor_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EncodingError):
        write_archive({name: b""})
    if not name.isascii():
        return
    monkeypatch.setattr(archive, "_is_safe_name", lambda _: True)
    data = write_archive({name: b""})
    monkeypatch.undo()
    assert refused(data) in {"archive_member", "archive_not_canonical"}


def test_a_member_that_stands_twice_is_refused() -> None:
    single = write_archive({"a": b"one"})
    local = single[: single.index(b"PK\1\2")]
    assert refused(local + single) == "archive_not_canonical"


def test_members_out_of_order_are_refused() -> None:
    first, second = (archive._local_header(name, zlib.crc32(b""), 0) for name in (b"b", b"a"))
    assert refused(first + second) == "archive_not_canonical"


def test_more_than_an_archive_may_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_archive(MEMBERS)
    monkeypatch.setattr(archive, "ARCHIVE_BYTES_MAX", 8)
    assert refused(data) == "archive_unreadable"
    with pytest.raises(EncodingError):
        write_archive(MEMBERS | {"d": b"12"})


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_archive(MEMBERS)
    monkeypatch.setattr(archive, "MEMBERS_MAX", 2)
    assert refused(data) == "archive_not_canonical"
    with pytest.raises(EncodingError):
        write_archive(MEMBERS)
