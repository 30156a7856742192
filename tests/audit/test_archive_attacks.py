"""Archives that a general ZIP reader takes, or takes in two ways: both implementations refuse them with exit code 2."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable

import pytest

from crypto.archive import read_archive, write_archive
from crypto.errors import VerificationError
from crypto.reference.archive import SIZE_BYTES_MAX, take_apart
from crypto.reference.errors import Refused
from tests.audit.bundles import HonestBundle
from tests.audit.tampering import attempt, honest
from tests.audit.verifiers import VERIFIERS
from tests.effort import cpu_s

LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")
DATE = 0x0021
#: A reader that unpacks before it looks would take these long, or this much.
REFUSED_WITHIN_S = 1.0

Members = list[tuple[bytes, bytes]]


def members_of(bundle: HonestBundle) -> Members:
    return [(name.encode(), content) for name, content in sorted(read_archive(bundle.data).items())]


def pack(
    members: Iterable[tuple[bytes, bytes]],
    *,
    local: dict[int, int] | None = None,
    central: dict[int, int] | None = None,
    descriptor: bool = False,
    between: bytes = b"",
    comment: bytes = b"",
) -> bytes:
    """Write an archive as the format says, with header fields (by their place) changed in every member."""
    out, directory, count = b"", b"", 0
    for name, content in members:
        offset, crc, size = len(out), zlib.crc32(content), len(content)
        front = [b"PK\x03\x04", 20, 0, 0, 0, DATE, crc, size, size, len(name), 0]
        back = [b"PK\x01\x02", 20, 20, 0, 0, 0, DATE, crc, size, size, len(name), 0, 0, 0, 0, 0, offset]
        for place, value in (local or {}).items():
            front[place] = value
        for place, value in (central or {}).items():
            back[place] = value
        out += LOCAL.pack(*front) + name + content
        if descriptor:
            out += struct.pack("<4sIII", b"PK\x07\x08", crc, size, size)
        out += between
        directory += CENTRAL.pack(*back) + name
        count += 1
    return (
        out + directory + END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), len(out), len(comment)) + comment
    )


def by_zipfile(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    """Write an archive as everybody does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name.decode(), (1980, 1, 1, 0, 0, 0)), content, method)
    return buffer.getvalue()


def with_member(name: bytes, content: bytes = b"x") -> Callable[[Members], bytes]:
    """Add a member in its place."""
    return lambda members: pack(sorted([*members, (name, content)]))


def renamed(old: bytes, new: bytes) -> Callable[[Members], bytes]:
    """Give a member another name, in its place."""
    return lambda members: pack(sorted((new if name == old else name, content) for name, content in members))


def symlink(members: Members) -> bytes:
    """Call one member a symbolic link, in the attributes that Unix readers heed."""
    return pack(members, central={1: 3 << 8 | 20, 15: 0o120777 << 16})


def bomb(members: Members) -> bytes:
    """Hide 256 MiB of zero bytes in a deflated member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name.decode(), bytes(1 << 28) if name == b"leaves" else content)
    return buffer.getvalue()


def claiming(size: int) -> Callable[[Members], bytes]:
    """Claim a size for the first member that the archive does not have."""

    def make(members: Members) -> bytes:
        data = bytearray(pack(members))
        struct.pack_into("<II", data, 18, size, size)
        return bytes(data)

    return make


def zip64(members: Members) -> bytes:
    """Move the sizes of all members to zip64's extra field."""
    out, directory = b"", b""
    for name, content in members:
        crc, size, offset = zlib.crc32(content), len(content), len(out)
        extra = struct.pack("<HHQQ", 1, 16, size, size)
        front = LOCAL.pack(b"PK\x03\x04", 45, 0, 0, 0, DATE, crc, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra))
        out += front + name + extra + content
        directory += CENTRAL.pack(
            b"PK\x01\x02", 45, 45, 0, 0, 0, DATE, crc, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra), 0, 0, 0, 0, offset
        )
        directory += name + extra
    return out + directory + END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(directory), len(out), 0)


def other_directory(members: Members) -> bytes:
    """Let the directory name another order of members than the local headers."""
    data = pack(members)
    swapped = pack([members[1], members[0], *members[2:]])
    begin, other = data.index(b"PK\x01\x02"), swapped.index(b"PK\x01\x02")
    return data[:begin] + swapped[other:]


def other_contents(members: Members) -> bytes:
    """Two archives in one: the local headers have one content, and the directory points behind them to another."""
    evil = [(name, content + b"\n") for name, content in members]
    first, second = pack(members), pack(evil)
    return first + second


def without(name: bytes) -> Callable[[Members], bytes]:
    return lambda members: pack([member for member in members if member[0] != name])


ATTACKS: dict[str, Callable[[Members], bytes]] = {
    "traversal": with_member(b"../leaves"),
    "traversal-instead": renamed(b"leaves", b"../../etc/passwd"),
    "absolute-name": with_member(b"/leaves"),
    "drive-name": with_member(b"c:\\leaves"),
    "backslashes": with_member(b"..\\leaves"),
    "name-with-a-zero-byte": renamed(b"leaves", b"leaves\x00.txt"),
    "name-not-utf8": renamed(b"leaves", b"leaves\xff"),
    "name-in-upper-case": renamed(b"leaves", b"LEAVES"),
    "empty-name": with_member(b""),
    "very-long-name": with_member(b"z" * 65_000),
    "folder": with_member(b"folder/"),
    "symbolic-link": symlink,
    "member-twice": lambda members: pack([members[0], *members]),
    "member-twice-with-other-content": lambda members: pack([(members[0][0], b""), *members]),
    "extra-member": with_member(b"readme.txt"),
    "extra-empty-member": with_member(b"notes", b""),
    "missing-empty-member": without(b"publishers.jsonl"),
    "missing-member": without(b"receipts.jsonl"),
    "missing-manifest": without(b"bundle.json"),
    "no-member": lambda members: pack([]),
    "members-out-of-order": lambda members: pack(members[::-1]),
    "too-many-members": lambda members: pack(sorted([*members, *((b"m%05d" % n, b"") for n in range(70))])),
    "deflated": lambda members: by_zipfile(members, zipfile.ZIP_DEFLATED),
    "bomb": bomb,
    "written-by-zipfile": by_zipfile,
    "data-descriptors": lambda members: pack(members, local={2: 8, 6: 0, 7: 0, 8: 0}, descriptor=True),
    "data-descriptors-behind-true-sizes": lambda members: pack(members, local={2: 8}, central={3: 8}, descriptor=True),
    "zip64": zip64,
    "encrypted-flag": lambda members: pack(members, local={2: 1}, central={3: 1}),
    "utf8-flag": lambda members: pack(members, local={2: 0x800}, central={3: 0x800}),
    "stored-called-deflated": lambda members: pack(members, local={3: 8}, central={4: 8}),
    "another-date": lambda members: pack(members, local={5: 0x5A21}, central={6: 0x5A21}),
    "another-time": lambda members: pack(members, local={4: 1}, central={5: 1}),
    "another-time-in-local-headers-alone": lambda members: pack(members, local={4: 1}),
    "another-version": lambda members: pack(members, local={1: 10}, central={2: 10}),
    "made-on-unix": lambda members: pack(members, central={1: 3 << 8 | 20}),
    "attributes": lambda members: pack(members, central={15: 0o644 << 16}),
    "wrong-checksum": lambda members: pack(members, local={6: 1}, central={7: 1}),
    "wrong-checksum-in-local-headers-alone": lambda members: pack(members, local={6: 1}),
    "checksums-that-differ": lambda members: pack(members, central={7: 1}),
    "sizes-that-differ": lambda members: pack(members, central={9: 1}),
    "offset-that-is-wrong": lambda members: pack(members, central={16: 1}),
    "directory-in-another-order": other_directory,
    "two-archives": other_contents,
    "bytes-in-front": lambda members: b"#!/bin/sh\n" + pack(members),
    "bytes-between": lambda members: pack(members, between=b"\x00"),
    "bytes-behind": lambda members: pack(members) + b"\x00",
    "comment": lambda members: pack(members, comment=b"hello"),
    "comment-length-alone": lambda members: pack(members)[:-2] + b"\x01\x00",
    "cut-in-half": lambda members: pack(members)[: len(pack(members)) // 2],
    "no-directory": lambda members: pack(members)[: pack(members).index(b"PK\x01\x02")],
    "no-end": lambda members: pack(members)[:-22],
    "directory-alone": lambda members: pack(members)[pack(members).index(b"PK\x01\x02") :],
    "size-beyond-the-file": claiming(1 << 20),
    "size-of-four-gib": claiming(0xFFFFFFFF),
    "size-zero": claiming(0),
    "nothing": lambda members: b"",
    "four-bytes": lambda members: b"PK\x03\x04",
    "zeros": lambda members: bytes(4_096),
    "gzip": lambda members: zlib.compress(pack(members)),
}


@pytest.fixture(scope="module")
def bundle() -> HonestBundle:
    return honest()


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_archive_in_another_form_is_unreadable(bundle: HonestBundle, name: str, verifier: str) -> None:
    data = ATTACKS[name](members_of(bundle))
    found = VERIFIERS[verifier](attempt(bundle, data))
    assert found.exit_code == 2
    assert found.reason in {"archive_unreadable", "archive_not_canonical", "archive_member"}
    assert cpu_s(lambda: VERIFIERS[verifier](attempt(bundle, data)), tries=1) < REFUSED_WITHIN_S


def test_the_archives_here_are_attacks_and_not_garbage(bundle: HonestBundle) -> None:
    """Packed without an attack, the members give the honest bundle, which zipfile reads as well."""
    members = members_of(bundle)
    assert pack(members) == bundle.data == write_archive(read_archive(bundle.data))
    with zipfile.ZipFile(io.BytesIO(bundle.data)) as archive:
        assert archive.testzip() is None
        assert [(name.encode(), archive.read(name)) for name in archive.namelist()] == members


@pytest.mark.parametrize("name", ["deflated", "comment", "symbolic-link", "bytes-in-front", "zip64", "made-on-unix"])
def test_a_general_reader_takes_what_is_refused_here(bundle: HonestBundle, name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(ATTACKS[name](members_of(bundle)))) as archive:
        assert archive.read("bundle.json") == read_archive(bundle.data)["bundle.json"]


class Long(bytes):
    """Says that it is longer than it is, so that no test needs the memory."""

    def __len__(self) -> int:
        return SIZE_BYTES_MAX + 1


def test_a_file_of_more_than_a_gib_is_refused_unread() -> None:
    with pytest.raises(VerificationError) as refused:
        read_archive(Long(b"PK\x03\x04"))
    assert refused.value.reason == "archive_unreadable"
    with pytest.raises(Refused) as refused_too:
        take_apart(Long(b"PK\x03\x04"))
    assert refused_too.value.reason == "archive_unreadable"
