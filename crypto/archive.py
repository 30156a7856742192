"""The one ZIP form of a bundle: stored members in order, every byte determined by names and contents.

A general ZIP reader trusts offsets, lengths and flags that two readers may take differently. This one walks the local
headers from the first byte on, rebuilds every header from what it found, and compares: nothing before, between or
behind the members, no compression, no attribute, no comment. Format: docs/formats.md, "Bundle v1".
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from typing import Final

from .errors import EncodingError, VerificationError

ARCHIVE_BYTES_MAX: Final = 2**30
MEMBERS_MAX: Final = 64
NAME_LENGTH_MAX: Final = 64

_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<4sHHHHIIH")
_LOCAL_MARK: Final = b"PK\x03\x04"
_VERSION: Final = 20
_DATE: Final = 0x0021
_NAME: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of *members*; raises `EncodingError` for an unsafe name, too many members or too many bytes."""
    size_bytes = sum(map(len, members.values()))
    if len(members) > MEMBERS_MAX or size_bytes > ARCHIVE_BYTES_MAX:
        raise EncodingError(f"{len(members)} members of {size_bytes} bytes are more than an archive may hold")
    parts: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name in sorted(members):
        if not _is_safe_name(name):
            raise EncodingError(f"{name[:64]!r} is not the name of an archive's member")
        data = members[name]
        local = _local_header(name.encode(), zlib.crc32(data), len(data))
        directory.append(_central_header(name.encode(), zlib.crc32(data), len(data), offset))
        parts += (local, data)
        offset += len(local) + len(data)
    archive = b"".join([*parts, *directory, _end_record(len(members), sum(map(len, directory)), offset)])
    if len(archive) > ARCHIVE_BYTES_MAX:
        raise EncodingError(f"an archive of {len(archive)} bytes is beyond {ARCHIVE_BYTES_MAX}")
    return archive


def read_archive(data: bytes) -> dict[str, bytes]:
    """Return the members of *data* by name, each exactly what `write_archive` would have written.

    Raises `VerificationError` with the reason `archive_unreadable` where the members cannot be found,
    `archive_not_canonical` where any other byte differs, `archive_member` for a name that none of ours has.
    """
    if len(data) > ARCHIVE_BYTES_MAX:
        raise VerificationError(f"the file is longer than {ARCHIVE_BYTES_MAX} bytes", reason="archive_unreadable")
    if data[:4] != _LOCAL_MARK:
        raise VerificationError("the file does not begin as a bundle does", reason="archive_unreadable")
    members: dict[str, bytes] = {}
    directory: list[bytes] = []
    offset, previous = 0, b""
    while data[offset : offset + 4] == _LOCAL_MARK:
        name, content, header = _read_member(data, offset)
        if name <= previous or len(directory) == MEMBERS_MAX:
            raise VerificationError("members are repeated, out of order or too many", reason="archive_not_canonical")
        directory.append(_central_header(name, zlib.crc32(content), len(content), offset))
        members[name.decode("latin-1")] = content
        offset, previous = offset + len(header) + len(content), name
    tail = b"".join([*directory, _end_record(len(directory), sum(map(len, directory)), offset)])
    if len(data) != offset + len(tail) or data[offset:] != tail:
        raise VerificationError(
            "the archive's directory is not the one that its members give", reason="archive_not_canonical"
        )
    for name_text in members:
        if not _is_safe_name(name_text):
            raise VerificationError(f"a member is called {name_text[:64]!r}", reason="archive_member")
    return members


def _read_member(data: bytes, offset: int) -> tuple[bytes, bytes, bytes]:
    """Return name, content and header of the member at *offset*, having compared the header with the one it must be."""
    if offset + _LOCAL.size > len(data):
        raise VerificationError("the archive ends within a header", reason="archive_unreadable")
    _, *fixed, _, stored_bytes, size_bytes, name_length, extra_bytes = _LOCAL.unpack_from(data, offset)
    if fixed != [_VERSION, 0, 0, 0, _DATE] or stored_bytes != size_bytes or extra_bytes:
        message = "a member is compressed, flagged, dated or extended, and must be none of that"
        raise VerificationError(message, reason="archive_not_canonical")
    begin = offset + _LOCAL.size + name_length
    name = data[offset + _LOCAL.size : begin]
    if begin + size_bytes > len(data):
        raise VerificationError("a member is longer than the archive", reason="archive_unreadable")
    content = data[begin : begin + size_bytes]
    header = _local_header(name, zlib.crc32(content), size_bytes)
    if data[offset:begin] != header:
        raise VerificationError(
            f"the header of {name.decode('latin-1')[:64]!r} is not the one that its content gives",
            reason="archive_not_canonical",
        )
    return name, content, header


def _is_safe_name(name: str) -> bool:
    return len(name) <= NAME_LENGTH_MAX and _NAME.fullmatch(name) is not None


def _local_header(name: bytes, crc: int, size_bytes: int) -> bytes:
    fields = (_LOCAL_MARK, _VERSION, 0, 0, 0, _DATE, crc, size_bytes, size_bytes, len(name), 0)
    return _LOCAL.pack(*fields) + name


def _central_header(name: bytes, crc: int, size_bytes: int, offset: int) -> bytes:
    fields = (b"PK\x01\x02", _VERSION, _VERSION, 0, 0, 0, _DATE, crc, size_bytes, size_bytes, len(name))
    return _CENTRAL.pack(*fields, 0, 0, 0, 0, 0, offset) + name


def _end_record(count: int, directory_bytes: int, offset: int) -> bytes:
    return _END.pack(b"PK\x05\x06", 0, 0, count, count, directory_bytes, offset, 0)
