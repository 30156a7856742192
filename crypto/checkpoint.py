"""Checkpoints: what a log signs about all its leaves, and what witnesses sign about the checkpoint.

    origin LF size LF base64(root) LF        c2sp.org/tlog-checkpoint, without extension lines

The log signs this text with algorithm 0x01 under the origin as its name. A witness signs `cosignature/v1`, the time and
the text (c2sp.org/tlog-cosignature). That message does not state the witness's name, so a cosignature counts for its
public key, however many names the key has.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .ed25519 import SIGNATURE_BYTES, Signer, verify_signature
from .errors import EncodingError, VerificationError
from .merkle import HASH_BYTES, SIZE_MAX
from .note import (
    LOG_ALGORITHM,
    WITNESS_ALGORITHM,
    Note,
    NoteSignature,
    VerifierKey,
    decode_base64,
    format_note,
    format_signature,
    is_key_name,
    key_hash,
    parse_note,
    parse_signature,
)

#: How far a witness's clock may be ahead of the auditor's.
FUTURE_MS_MAX: Final = 5 * 60 * 1000
TIME_S_MAX: Final = 2**63 - 1

_TIME_BYTES: Final = 8
#: [0-9] and not \\d, which takes the digits of every script.
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How many leaves a log has, and their root."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """The text that is signed, with its last LF."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint as it was read; whether its signatures hold is for `verify_checkpoint` to say."""

    text: str
    checkpoint: Checkpoint
    note: Note


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's signature that was checked: at *time_s* it had seen no other history of the log."""

    name: str
    public_key: bytes
    time_s: int


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> str:
    """Return the signed note; raises `EncodingError` for an origin that is no key name, or a size or root out of form."""
    if not 0 <= checkpoint.size <= SIZE_MAX or len(checkpoint.root) != HASH_BYTES:
        raise EncodingError(f"no tree has {checkpoint.size} leaves and a root of {len(checkpoint.root)} bytes")
    public_key = signer.public_key
    data = signer.sign(checkpoint.body.encode())
    hash_bytes = key_hash(checkpoint.origin, LOG_ALGORITHM, public_key)
    return format_note(checkpoint.body, [NoteSignature(checkpoint.origin, hash_bytes, data)])


def parse_checkpoint(text: str) -> SignedCheckpoint:
    """Read a checkpoint without checking signatures; raises `VerificationError`, reason `checkpoint_malformed`."""
    note = parse_note(text)
    lines = note.body[:-1].split("\n")
    if len(lines) != 3 or not lines[0]:
        raise _refused("its text has not exactly the lines origin, size and root", "checkpoint_malformed")
    size, root = parse_decimal(lines[1], SIZE_MAX), decode_base64(lines[2])
    if size is None:
        raise _refused(f"its size is no plain decimal of at most {SIZE_MAX}", "checkpoint_malformed")
    if root is None or len(root) != HASH_BYTES:
        raise _refused("its root is not 32 bytes in canonical base64", "checkpoint_malformed")
    return SignedCheckpoint(text, Checkpoint(lines[0], size, root), note)


def verify_checkpoint(text: str, log: VerifierKey) -> SignedCheckpoint:
    """Read a checkpoint and check that *log* signed it, exactly once.

    Raises `VerificationError`: `checkpoint_malformed`, `checkpoint_origin` for another log's, `checkpoint_signature`
    for a signature that is missing, repeated or does not fit. Signature lines of other keys are passed over.
    """
    signed = parse_checkpoint(text)
    if signed.checkpoint.origin != log.name:
        raise _refused("it is another log's", "checkpoint_origin", log.name, signed.checkpoint.origin)
    found = _lines_of(signed, log)
    if log.algorithm != LOG_ALGORITHM or len(found) != 1:
        raise _refused(f"the log's signature stands {len(found)} times on it, not once", "checkpoint_signature")
    try:
        verify_signature(log.public_key, signed.note.body.encode(), found[0].data)
    except VerificationError as error:
        raise _refused(str(error), "checkpoint_signature") from None
    return signed


def cosign_checkpoint(text: str, name: str, signer: Signer, time_s: int) -> str:
    """Return a witness's signature line, with its LF, for the checkpoint *text*, which the witness has checked.

    Raises `EncodingError` for a *name* that no key may have or a time below 0 or above 2^63 − 1, and
    `VerificationError`, reason `checkpoint_malformed`.
    """
    if not is_key_name(name) or not 0 <= time_s <= TIME_S_MAX:
        raise EncodingError(f"no witness has the name {name!r} and the time {time_s}")
    body = parse_checkpoint(text).note.body
    data = time_s.to_bytes(_TIME_BYTES, "big") + signer.sign(_cosigned(body, time_s))
    return format_signature(NoteSignature(name, key_hash(name, WITNESS_ALGORITHM, signer.public_key), data))


def append_cosignature(text: str, line: str) -> str:
    """Put a signature line behind the others of a note, or in the place of an earlier one of the same key.

    Nothing is verified here. Raises `VerificationError`, reason `checkpoint_malformed`, for a text or line of bad form,
    and `EncodingError` for a line too many.
    """
    note, added = parse_checkpoint(text).note, parse_signature(line)
    signatures = list(note.signatures)
    places = [place for place, item in enumerate(signatures) if _key_of(item) == _key_of(added)]
    if places:
        signatures[places[0]] = added
    else:
        signatures.append(added)
    return format_note(note.body, signatures)


def verify_cosignatures(
    signed: SignedCheckpoint, witnesses: Sequence[VerifierKey], now_ms: int
) -> tuple[Cosignature, ...]:
    """Check the lines of *witnesses* and return one cosignature per public key, in the order of *witnesses*.

    Raises `VerificationError`: `cosignature_invalid` for a line of a witness that does not fit or stands twice,
    `cosignature_future` for one more than 5 minutes behind *now_ms*. Lines of unknown keys count for nothing.
    """
    found: dict[bytes, Cosignature] = {}
    for witness in witnesses:
        lines = _lines_of(signed, witness)
        if len(lines) > 1:
            raise _refused(f"the witness {witness.name} stands on it twice", "cosignature_invalid")
        for line in lines:
            cosignature = _verify_cosignature(signed, witness, line, now_ms)
            found.setdefault(witness.public_key, cosignature)
    return tuple(found.values())


def parse_decimal(text: str, maximum: int) -> int | None:
    """Read ASCII digits without sign or leading zeros, or return None, also above *maximum*, at most 19 digits."""
    value = int(text) if _DECIMAL.fullmatch(text) else None
    return value if value is not None and value <= maximum else None


def _verify_cosignature(
    signed: SignedCheckpoint, witness: VerifierKey, line: NoteSignature, now_ms: int
) -> Cosignature:
    time_s = int.from_bytes(line.data[:_TIME_BYTES], "big")
    if witness.algorithm != WITNESS_ALGORITHM or len(line.data) != _TIME_BYTES + SIGNATURE_BYTES:
        raise _refused(f"the line of {witness.name} is no Ed25519 cosignature", "cosignature_invalid")
    if time_s > TIME_S_MAX:
        raise _refused(f"the cosignature of {witness.name} has no possible time", "cosignature_invalid")
    try:
        verify_signature(witness.public_key, _cosigned(signed.note.body, time_s), line.data[_TIME_BYTES:])
    except VerificationError as error:
        raise _refused(f"the cosignature of {witness.name}: {error}", "cosignature_invalid") from None
    if time_s * 1000 > now_ms + FUTURE_MS_MAX:
        raise _refused(f"the cosignature of {witness.name} is from the future", "cosignature_future", now_ms, time_s)
    return Cosignature(witness.name, witness.public_key, time_s)


def _cosigned(body: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{body}".encode()


def _key_of(signature: NoteSignature) -> tuple[str, bytes]:
    return signature.name, signature.key_hash


def _lines_of(signed: SignedCheckpoint, key: VerifierKey) -> list[NoteSignature]:
    return [item for item in signed.note.signatures if _key_of(item) == (key.name, key.key_hash)]


def _refused(detail: str, reason: str, expected: object = None, actual: object = None) -> VerificationError:
    return VerificationError(f"the checkpoint is refused: {detail}", reason=reason, expected=expected, actual=actual)
