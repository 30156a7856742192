"""Signed notes and verifier keys (c2sp.org/signed-note): text, an empty line, and one line per signature.

    — name base64(key hash ‖ signature)        a signature line
    name+key hash in hex+base64(algorithm ‖ public key)        a verifier key

A key hash is the first 4 bytes of H(name ‖ LF ‖ algorithm ‖ public key). It finds a key and identifies none: what a
signature is worth is decided with the whole public key. Reading a note says nothing about its signatures.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .ed25519 import PUBLIC_KEY_BYTES, is_valid_public_key
from .errors import EncodingError, VerificationError

LOG_ALGORITHM: Final = 0x01
WITNESS_ALGORITHM: Final = 0x04
KEY_HASH_BYTES: Final = 4
NOTE_BYTES_MAX: Final = 2**20
SIGNATURES_MAX: Final = 64

_LINE_START: Final = "\N{EM DASH} "
_KEY_HASH_HEX: Final = re.compile(r"[0-9a-f]{8}")
#: What a note may not hold: ASCII control characters other than LF.
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name and the algorithm that its signature lines state."""

    name: str
    key_hash: bytes
    algorithm: int
    public_key: bytes


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: whose it claims to be, and what it holds behind the key hash."""

    name: str
    key_hash: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note's text, which ends in LF, and its signature lines in order, none of them checked."""

    body: str
    signatures: tuple[NoteSignature, ...]


def key_hash(name: str, algorithm: int, public_key: bytes) -> bytes:
    """Return the 4 bytes by which a signature line refers to a key."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + public_key).digest()[:KEY_HASH_BYTES]


def make_vkey(name: str, algorithm: int, public_key: bytes) -> str:
    """Write a verifier key; raises `EncodingError` for a name, algorithm or public key that `parse_vkey` would refuse."""
    if not is_key_name(name) or algorithm not in (LOG_ALGORITHM, WITNESS_ALGORITHM):
        raise EncodingError(f"there is no verifier key of name {name!r} and algorithm {algorithm}")
    if not is_valid_public_key(public_key):
        raise EncodingError("the public key is no canonical point of the curve, or of small order")
    key = base64.b64encode(bytes([algorithm]) + public_key).decode()
    return f"{name}+{key_hash(name, algorithm, public_key).hex()}+{key}"


def parse_vkey(text: str) -> VerifierKey:
    """Read a verifier key of a log or an Ed25519 witness.

    Raises `VerificationError`, reason `trust_malformed`, for anything that `make_vkey` does not write, such as a key
    hash that is not the key's.
    """
    parts = text.split("+", 2)  # Base64 may hold a plus sign; names may not.
    if len(parts) != 3 or not is_key_name(parts[0]):
        raise _untrusted("it is not name+hash+key")
    name, hash_hex, key = parts[0], parts[1], decode_base64(parts[2])
    if key is None or len(key) != 1 + PUBLIC_KEY_BYTES or key[0] not in (LOG_ALGORITHM, WITNESS_ALGORITHM):
        raise _untrusted("its key is not an Ed25519 key of a log or a witness in canonical base64")
    algorithm, public_key = key[0], key[1:]
    expected = key_hash(name, algorithm, public_key)
    if not _KEY_HASH_HEX.fullmatch(hash_hex) or bytes.fromhex(hash_hex) != expected:
        raise _untrusted("its hash is not that of its name and key")
    if not is_valid_public_key(public_key):
        raise _untrusted("its key is no canonical point of the curve, or of small order")
    return VerifierKey(name, expected, algorithm, public_key)


def format_note(body: str, signatures: Sequence[NoteSignature]) -> str:
    """Write a note; raises `EncodingError` for what `parse_note` would not read back as it was."""
    note = Note(body, tuple(signatures))
    text = body + "\n" + "".join(map(format_signature, signatures))
    try:
        same = parse_note(text) == note
    except VerificationError as error:
        raise EncodingError(str(error)) from None
    if not same:
        raise EncodingError("the text would read as another note")
    return text


def format_signature(signature: NoteSignature) -> str:
    """Write one signature line, with its LF."""
    return f"{_LINE_START}{signature.name} {base64.b64encode(signature.key_hash + signature.data).decode()}\n"


def parse_note(text: str) -> Note:
    """Read a note of at most `NOTE_BYTES_MAX` bytes and `SIGNATURES_MAX` lines, and at least one.

    Raises `VerificationError`, reason `checkpoint_malformed`: every note here is a checkpoint.
    """
    _refuse_unprintable(text)
    # The last empty line divides; the text's own last LF stands before it.
    before, divider, lines = text.rpartition("\n\n")
    if not divider or not lines.endswith("\n"):
        raise _malformed("it has no text, no signature, or no LF at its end")
    found = lines[:-1].split("\n")
    if len(found) > SIGNATURES_MAX:
        raise _malformed(f"it has more than {SIGNATURES_MAX} signature lines")
    return Note(before + "\n", tuple(map(_parse_line, found)))


def parse_signature(line: str) -> NoteSignature:
    """Read one signature line with its LF; raises `VerificationError`, reason `checkpoint_malformed`."""
    _refuse_unprintable(line)
    if not line.endswith("\n"):
        raise _malformed("a signature line ends in LF")
    return _parse_line(line[:-1])


def is_key_name(name: str) -> bool:
    """Say whether a key may have *name*: not empty, without spaces of any kind, plus signs or control characters."""
    return bool(name) and "+" not in name and not any(map(str.isspace, name)) and not _CONTROL.search(name)


def decode_base64(text: str) -> bytes | None:
    """Decode RFC 4648 §4 base64 with padding, or return None unless encoding again gives the same text."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def _parse_line(line: str) -> NoteSignature:
    if not line.startswith(_LINE_START):
        raise _malformed("a signature line does not begin with an em dash and a space")
    name, _, encoded = line[len(_LINE_START) :].partition(" ")
    data = decode_base64(encoded)
    if not is_key_name(name) or data is None or len(data) <= KEY_HASH_BYTES:
        raise _malformed("a signature line is not a name and canonical base64")
    return NoteSignature(name, data[:KEY_HASH_BYTES], data[KEY_HASH_BYTES:])


def _refuse_unprintable(text: str) -> None:
    if len(text) > NOTE_BYTES_MAX:
        raise _malformed(f"it has more than {NOTE_BYTES_MAX} bytes")
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise _malformed("it has no UTF-8 form") from None
    if size_bytes > NOTE_BYTES_MAX:
        raise _malformed(f"it has more than {NOTE_BYTES_MAX} bytes")
    if _CONTROL.search(text):
        raise _malformed("it holds a control character")


def _malformed(detail: str) -> VerificationError:
    return VerificationError(f"this is no signed note: {detail}", reason="checkpoint_malformed")


def _untrusted(detail: str) -> VerificationError:
    return VerificationError(f"this is no verifier key: {detail}", reason="trust_malformed")
