"""Reads C2SP signed notes: checkpoints, the log's signature, and cosignatures of witnesses."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import ed25519, shape
from .errors import NotInForm, Refused
from .hashing import HASH_BYTES, SIZE_MAX, sha256
from .json_text import Json

LOG_ALGORITHM = 1
WITNESS_ALGORITHM = 4
SIGNATURES_MAX = 64
NOTE_BYTES_MAX = 2**20
AHEAD_MS_MAX = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A verifier key: a name, the 4-byte hash that lines carry, and the Ed25519 key."""

    name: str
    key_hash: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint's text above its signatures, what it says, and the signatures as (name, key hash, bytes)."""

    body: str
    origin: str
    size: int
    root: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]


def read_key(value: Json, algorithm: int) -> NoteKey:
    """A verifier key `name+hash+base64(algorithm, key)`; raises NotInForm."""
    parts = shape.text(value).split("+", 2)
    if len(parts) != 3:
        raise NotInForm("not a verifier key")
    name, hashed = _name(parts[0]), shape.unhex(parts[1], 4)
    key = shape.unbase64(parts[2])
    if key[:1] != bytes([algorithm]):
        raise NotInForm("a verifier key of another algorithm")
    ed25519.check_public_key(key[1:])
    if sha256(name.encode() + b"\n" + key)[:4] != hashed:
        raise NotInForm("a verifier key whose hash is not its own")
    return NoteKey(name, hashed, key[1:])


def read_checkpoint(data: bytes) -> Checkpoint:
    """A signed checkpoint without extension lines; raises NotInForm."""
    if len(data) > NOTE_BYTES_MAX:
        raise NotInForm("a checkpoint that is too long")
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise NotInForm("a checkpoint that is not UTF-8") from error
    if any(character < " " and character != "\n" for character in text):
        raise NotInForm("a control character in a checkpoint")
    lines = text.split("\n")
    if len(lines) < 6 or lines[3] != "" or lines[-1] != "":
        raise NotInForm("not three lines, an empty one, and signatures")
    origin, size, root = lines[0], lines[1], shape.unbase64(lines[2])
    if not origin or not re.fullmatch(r"0|[1-9][0-9]{0,18}", size, re.ASCII) or int(size) > SIZE_MAX:
        raise NotInForm("not the origin and size of a checkpoint")
    if len(root) != HASH_BYTES:
        raise NotInForm("a root has 32 bytes")
    signatures = [_signature(line) for line in lines[4:-1]]
    if len(signatures) > SIGNATURES_MAX:
        raise NotInForm("too many signatures")
    return Checkpoint("\n".join(lines[:3]) + "\n", origin, int(size), root, tuple(signatures))


def check_log(checkpoint: Checkpoint, log: NoteKey) -> None:
    """Raise Refused unless this is the log's origin and its one signature."""
    if checkpoint.origin != log.name:
        raise Refused("checkpoint_origin", checkpoint.origin)
    by_log = [data for name, key, data in checkpoint.signatures if name == log.name and key == log.key_hash]
    if len(by_log) != 1:
        raise Refused("checkpoint_signature", f"{len(by_log)} signatures of the log")
    if not ed25519.is_valid(log.public_key, checkpoint.body.encode(), by_log[0]):
        raise Refused("checkpoint_signature", "not the log's signature")


def witnessed_at(checkpoint: Checkpoint, witnesses: tuple[NoteKey, ...], now_ms: int) -> dict[bytes, int]:
    """When each trusted witness saw the checkpoint, in ms, by public key; raises Refused for a bad cosignature."""
    times_ms: dict[bytes, int] = {}
    for name, key_hash, data in checkpoint.signatures:
        for witness in witnesses:
            if (witness.name, witness.key_hash) != (name, key_hash):
                continue
            if witness.public_key in times_ms or len(data) != 8 + ed25519.SIGNATURE_BYTES:
                raise Refused("cosignature_invalid", name)
            time_s = int.from_bytes(data[:8], "big")
            message = f"cosignature/v1\ntime {time_s}\n{checkpoint.body}".encode()
            if not ed25519.is_valid(witness.public_key, message, data[8:]):
                raise Refused("cosignature_invalid", name)
            if time_s * 1000 > now_ms + AHEAD_MS_MAX:
                raise Refused("cosignature_future", name)
            times_ms[witness.public_key] = time_s * 1000
    return times_ms


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014":
        raise NotInForm("not a signature line")
    data = shape.unbase64(parts[2])
    if len(data) <= 4:
        raise NotInForm("a signature line without a signature")
    return _name(parts[1]), data[:4], data[4:]


def _name(name: str) -> str:
    if not name or "+" in name or any(character.isspace() or character < " " for character in name):
        raise NotInForm("not the name of a key")
    return name
