"""A witness (c2sp.org/tlog-witness): it cosigns a checkpoint only where that continues the last one it has seen.

What it has seen is on the disk before anybody has its word for it, one file per log: the checkpoint with the witness's own
cosignature. It never goes back, and never signs two roots of one size. It holds no leaves and needs none.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crypto.checkpoint import (
    SignedCheckpoint,
    append_cosignature,
    cosign_checkpoint,
    parse_checkpoint,
    parse_decimal,
    verify_checkpoint,
    verify_cosignatures,
)
from crypto.ed25519 import Signer
from crypto.errors import VerificationError
from crypto.merkle import SIZE_MAX, verify_consistency
from crypto.note import LOG_ALGORITHM, WITNESS_ALGORITHM, VerifierKey, decode_base64, format_note, make_vkey, parse_vkey
from server.log.errors import LogError
from server.log.storage import LogStorage
from server.ports import Clock

#: A request has at most 63 hashes and a note of 64 signatures.
REQUEST_BYTES_MAX: Final = 1 << 16
PROOF_MAX: Final = 63
SIZE_TYPE: Final = "text/x.tlog.size"
#: Past any time that a cosignature can have.
FAR_MS: Final = 2**63 * 1000
TEXT_TYPE: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answers."""

    status: int
    text: str
    content_type: str = TEXT_TYPE


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request, read: from which size the proof leads, the proof, and the checkpoint, not checked yet."""

    old_size: int
    proof: tuple[bytes, ...]
    signed: SignedCheckpoint


def parse_request(body: bytes) -> AddCheckpoint:
    """Read the body of `add-checkpoint`; raises `VerificationError` (`malformed`)."""
    try:
        head, _, note = body.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8") from None
    first, *lines = head.split("\n")
    old_size = parse_decimal(first.removeprefix("old "), SIZE_MAX) if first.startswith("old ") else None
    proof = [decode_base64(line) for line in lines]
    hashes = tuple(one for one in proof if one is not None and len(one) == 32)
    if old_size is None or len(hashes) != len(proof) or len(proof) > PROOF_MAX:
        raise _malformed("its first lines are not an old size and hashes")
    return AddCheckpoint(old_size, hashes, parse_checkpoint(note))


class Witness:
    """The witness of some logs, under one key."""

    def __init__(
        self, name: str, signer: Signer, logs: Sequence[VerifierKey], storage: LogStorage, clock: Clock
    ) -> None:
        """Raises `LogError` for a key that is no log's, an origin that stands twice, or a memory that is damaged."""
        self.key = parse_vkey(make_vkey(name, WITNESS_ALGORITHM, signer.public_key))
        self._signer = signer
        self._logs = {key.name: key for key in logs}
        if len(self._logs) != len(logs) or any(key.algorithm != LOG_ALGORITHM for key in logs):
            raise LogError("each --log names the verifier key of another log")
        self._storage = storage
        self._clock = clock
        self._turn = threading.Lock()
        for origin in self._logs:
            self._seen(origin)

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer a request as the specification says; raises `OSError` where the disk fails, and then nothing is signed."""
        try:
            asked = parse_request(body)
        except VerificationError as error:
            return Answer(400, f"the request is malformed: {error}\n")
        checkpoint = asked.signed.checkpoint
        key = self._logs.get(checkpoint.origin)
        if key is None:
            return Answer(404, "this witness does not know that log\n")
        try:
            verify_checkpoint(asked.signed.text, key)
        except VerificationError as error:
            return Answer(403, f"{error}\n")
        if asked.old_size > checkpoint.size or checkpoint.size == 0:
            return Answer(400, "the old size is above the checkpoint's, or the log is empty\n")
        with self._turn:
            return self._decide(asked, key)

    def _decide(self, asked: AddCheckpoint, key: VerifierKey) -> Answer:
        """Compare with what was seen, write down, sign: nothing may come in between."""
        checkpoint, seen = asked.signed.checkpoint, self._seen(key.name)
        seen_size = 0 if seen is None else seen.checkpoint.size
        if asked.old_size != seen_size:
            return Answer(409, f"{seen_size}\n", SIZE_TYPE)
        if seen is not None and checkpoint.size == seen_size and checkpoint.root != seen.checkpoint.root:
            return Answer(409, f"{seen_size}\n", SIZE_TYPE)
        try:
            if seen is not None:
                verify_consistency(seen_size, checkpoint.size, seen.checkpoint.root, checkpoint.root, list(asked.proof))
            elif asked.proof:
                return Answer(422, "from nothing, a proof has no hashes\n")
        except VerificationError as error:
            return Answer(422, f"{error}\n")
        line = cosign_checkpoint(asked.signed.text, self.key.name, self._signer, self._time_s(seen))
        # Only the log's own line and ours: what else a request carries is not kept.
        kept = append_cosignature(_with_log_line_alone(asked.signed, key), line)
        self._storage.write({_file_of(key.name): kept.encode()})
        return Answer(200, line)

    def _time_s(self, seen: SignedCheckpoint | None) -> int:
        """Return the time; a clock that was set back does not make a later cosignature look older."""
        now_ms = self._clock.now_ms()
        if seen is None:
            return now_ms // 1000
        last = next((one for one in seen.note.signatures if one.key_hash == self.key.key_hash), None)
        return max(now_ms // 1000, 0 if last is None else int.from_bytes(last.data[:8], "big"))

    def _seen(self, origin: str) -> SignedCheckpoint | None:
        data = self._storage.read(_file_of(origin))
        if data is None:
            return None
        try:
            signed = verify_checkpoint(data.decode(), self._logs[origin])
            # However the clock stands now, our own word of then is looked at, not its age.
            if verify_cosignatures(signed, [self.key], FAR_MS):
                return signed
        except (VerificationError, UnicodeDecodeError):
            pass
        raise LogError(
            f"what this witness has seen of {origin} is damaged; restore it. A witness without its memory must get a "
            "new key, since it could sign a second history"
        )


def _with_log_line_alone(signed: SignedCheckpoint, key: VerifierKey) -> str:
    own = [one for one in signed.note.signatures if (one.name, one.key_hash) == (key.name, key.key_hash)]
    return format_note(signed.note.body, own)


def _file_of(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()


def _malformed(detail: str) -> VerificationError:
    return VerificationError(detail, reason="malformed")
