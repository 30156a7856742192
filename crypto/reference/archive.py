"""Takes a bundle's archive apart header by header, and accepts it only if putting it together gives the same bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from .errors import Refused

SIZE_BYTES_MAX = 2**30
MEMBERS = (
    "bodies.jsonl", "bundle.json", "checkpoint", "checkpoints.jsonl", "evidence.jsonl", "hits.jsonl", "leaves",
    "matches.jsonl", "models.jsonl", "multiproof", "openings.jsonl", "policies.jsonl", "proofs.jsonl",
    "publishers.jsonl", "queries.jsonl", "receipts.jsonl", "releases.jsonl", "spendings.jsonl", "status.json",
)  # fmt: skip
#: More headers than this are not walked through.
HEADERS_MAX = 64
#: 1980-01-01, the first day that the format knows.
DATE = 0x0021

LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")


def take_apart(data: bytes) -> dict[str, bytes]:
    """The members by name; raises Refused with the archive reasons."""
    if len(data) > SIZE_BYTES_MAX:
        raise Refused("archive_unreadable", "larger than 2^30 bytes")
    found = list(_walk(data))
    if put_together(found) != data:
        raise Refused("archive_not_canonical", "another archive of the same members")
    if [name for name, _ in found] != [name.encode("ascii") for name in MEMBERS]:
        raise Refused("archive_member", "not exactly the members of a bundle in their order")
    return {name.decode("ascii"): content for name, content in found}


def put_together(members: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The one archive of these members in this order."""
    front, directory, count = b"", b"", 0
    pieces: list[bytes] = []
    offset = 0
    for name, content in members:
        checksum = zlib.crc32(content)
        size = len(content)
        front = LOCAL.pack(b"PK\x03\x04", 20, 0, 0, 0, DATE, checksum, size, size, len(name), 0) + name
        directory += CENTRAL.pack(
            b"PK\x01\x02", 20, 20, 0, 0, 0, DATE, checksum, size, size, len(name), 0, 0, 0, 0, 0, offset
        )
        directory += name
        pieces += [front, content]
        offset += len(front) + size
        count += 1
    end = END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), offset, 0)
    return b"".join([*pieces, directory, end])


def _walk(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    """Every member that a local header stands in front of, from the first byte on."""
    at = 0
    for _ in range(HEADERS_MAX):
        if len(data) < at + LOCAL.size:
            break
        if data[at : at + 4] != b"PK\x03\x04":
            break
        _, _, flags, method, _, _, _, packed, size, name_length, extra_length = LOCAL.unpack_from(data, at)
        name_at = at + LOCAL.size
        content_at = name_at + name_length + extra_length
        if method != 0 or flags != 0 or packed != size:
            raise Refused("archive_not_canonical", "a member that is not simply stored")
        if content_at + size > len(data):
            raise Refused("archive_unreadable", "cut off within a member")
        yield data[name_at : name_at + name_length], data[content_at : content_at + size]
        at = content_at + size
    if at == 0:
        raise Refused("archive_unreadable", "no archive begins here")
