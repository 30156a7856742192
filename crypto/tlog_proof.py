"""Proof files (c2sp.org/tlog-proof@v1): one leaf's inclusion, with the checkpoint it is proved under.

    c2sp.org/tlog-proof@v1
    extra base64            only if there is any
    index decimal
    base64 of a hash        one line each, from the leaf's sibling upwards

    checkpoint, verbatim

`extra` holds what the leaf stands for. Nothing in it is authenticated until the leaf has been made anew from it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .applicability_extra import Shown, read_shown
from .bundle_lines import PATH_HASHES_MAX, JsonObject
from .canonical import INTEGER_MAX, JsonValue, canonical_json, parse_canonical_json
from .checkpoint import parse_decimal
from .errors import EncodingError, VerificationError
from .merkle import HASH_BYTES, SIZE_MAX
from .note import decode_base64

PROOF_BYTES_MAX: Final = 2**21
RECEIPT_SCHEMA: Final = "hitproof/receipt-proof/v1"
HIT_SCHEMA: Final = "hitproof/hit-proof/v1"
APPLICABILITY_SCHEMA: Final = "hitproof/applicability-proof/v1"

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_HASH_HEX: Final = re.compile(r"[0-9a-f]{64}")
_RECEIPT_KEYS: Final = frozenset({"envelope", "schema"})
_HIT_KEYS: Final = frozenset(
    {"batch", "envelope", "path", "position", "receipt_index", "receipt_path", "record", "schema"}
)
_APPLICABILITY_KEYS: Final = _HIT_KEYS | {"applicability"}


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof file as it was read; *checkpoint* is the signed note, and nothing is verified."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None


@dataclass(frozen=True, slots=True)
class ReceiptProofExtra:
    """What a receipt's proof file carries: its envelope, as JSON."""

    envelope: JsonObject

    def to_payload(self) -> bytes:
        """Return the canonical bytes."""
        return _encode({"envelope": self.envelope, "schema": RECEIPT_SCHEMA})


@dataclass(frozen=True, slots=True)
class HitProofExtra:
    """What a hit's proof file carries: record and batch, whose leaf is proved, and the receipt with its own path.

    *batch*, *envelope* and *record* are JSON. *path* leads from the record at *position* to the batch's root,
    *receipt_path* from the receipt's leaf at *receipt_index* to the checkpoint's. *applicability* shows that the hit was
    close, where that was asked for.
    """

    batch: JsonObject
    envelope: JsonObject
    path: tuple[bytes, ...]
    position: int
    receipt_index: int
    receipt_path: tuple[bytes, ...]
    record: JsonObject
    applicability: Shown | None = None

    def to_payload(self) -> bytes:
        """Return the canonical bytes."""
        shown: JsonObject = {} if self.applicability is None else {"applicability": self.applicability.to_json()}
        return _encode(
            {
                **shown,
                "batch": self.batch,
                "envelope": self.envelope,
                "path": [item.hex() for item in self.path],
                "position": self.position,
                "receipt_index": self.receipt_index,
                "receipt_path": [item.hex() for item in self.receipt_path],
                "record": self.record,
                "schema": HIT_SCHEMA if self.applicability is None else APPLICABILITY_SCHEMA,
            }
        )


def format_tlog_proof(proof: TlogProof) -> str:
    """Write a proof file; raises `EncodingError` for what `parse_tlog_proof` would not read back as it was."""
    lines = [_HEADER]
    if proof.extra is not None:
        lines.append("extra " + base64.b64encode(proof.extra).decode())
    lines.append(f"index {proof.index}")
    lines += [base64.b64encode(item).decode() for item in proof.hashes]
    text = "\n".join([*lines, "", proof.checkpoint])
    try:
        same = parse_tlog_proof(text) == proof
    except VerificationError as error:
        raise EncodingError(str(error)) from None
    if not same:
        raise EncodingError("the text would read as another proof")
    return text


def parse_tlog_proof(text: str) -> TlogProof:
    """Read a proof file of at most `PROOF_BYTES_MAX` bytes; raises `VerificationError`, reason `malformed`.

    The checkpoint is handed on as text, for `verify_checkpoint` to read; an `extra` line without content is refused.
    """
    if len(text) > PROOF_BYTES_MAX or len(text.encode(errors="replace")) > PROOF_BYTES_MAX:
        raise _malformed(f"it has more than {PROOF_BYTES_MAX} bytes")
    head, divider, checkpoint = text.partition("\n\n")
    lines = head.split("\n", 3 + PATH_HASHES_MAX)
    if not divider or lines.pop(0) != _HEADER:
        raise _malformed("it has no header, or no checkpoint")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "))
        if not extra:
            raise _malformed("its extra line is empty or not canonical base64")
    if not lines or not lines[0].startswith("index "):
        raise _malformed("it has no index")
    index = parse_decimal(lines.pop(0).removeprefix("index "), SIZE_MAX - 1)
    if index is None:
        raise _malformed("its index is no plain decimal below 2^63 - 1")
    hashes = [item for line in lines if (item := decode_base64(line)) is not None and len(item) == HASH_BYTES]
    if len(hashes) != len(lines) or len(hashes) > PATH_HASHES_MAX:
        raise _malformed(f"its path is not at most {PATH_HASHES_MAX} hashes in canonical base64")
    return TlogProof(index, tuple(hashes), checkpoint, extra)


def parse_extra(data: bytes) -> ReceiptProofExtra | HitProofExtra:
    """Read the `extra` of a proof file; raises `VerificationError`, reason `malformed`.

    Envelope, batch and record are objects whose inside is for their own readers to check.
    """
    try:
        value = parse_canonical_json(data)
    except EncodingError as error:
        raise _malformed(str(error)) from None
    if not isinstance(value, dict):
        raise _malformed("its extra is no object")
    if value.get("schema") == RECEIPT_SCHEMA and value.keys() == _RECEIPT_KEYS:
        return ReceiptProofExtra(_object(value, "envelope"))
    if value.get("schema") == HIT_SCHEMA and value.keys() == _HIT_KEYS:
        return _hit_extra(value, None)
    if value.get("schema") == APPLICABILITY_SCHEMA and value.keys() == _APPLICABILITY_KEYS:
        try:
            return _hit_extra(value, read_shown(value["applicability"]))
        except EncodingError as error:
            raise _malformed(str(error)) from None
    raise _malformed("its extra has an unknown schema, or other keys than that has")


def _hit_extra(value: JsonObject, shown: Shown | None) -> HitProofExtra:
    return HitProofExtra(
        batch=_object(value, "batch"),
        envelope=_object(value, "envelope"),
        path=_path(value, "path"),
        position=_integer(value, "position"),
        receipt_index=_integer(value, "receipt_index"),
        receipt_path=_path(value, "receipt_path"),
        record=_object(value, "record"),
        applicability=shown,
    )


def _encode(value: Mapping[str, JsonValue]) -> bytes:
    data = canonical_json(value)  # type: ignore[arg-type]  # floats within are refused by canonical_json itself
    try:
        parse_extra(data)
    except VerificationError as error:
        raise EncodingError(str(error)) from None
    return data


def _object(value: JsonObject, key: str) -> JsonObject:
    found = value[key]
    if not isinstance(found, dict):
        raise _malformed(f"{key} is no object")
    return found


def _integer(value: JsonObject, key: str) -> int:
    found = value[key]
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= INTEGER_MAX:
        raise _malformed(f"{key} is no integer from 0 on")
    return found


def _path(value: JsonObject, key: str) -> tuple[bytes, ...]:
    found = value[key]
    if not isinstance(found, list) or len(found) > PATH_HASHES_MAX:
        raise _malformed(f"{key} is no list of at most {PATH_HASHES_MAX} hashes")
    hashes = [bytes.fromhex(item) for item in found if isinstance(item, str) and _HASH_HEX.fullmatch(item)]
    if len(hashes) != len(found):
        raise _malformed(f"{key} is no list of hashes in hexadecimal")
    return tuple(hashes)


def _malformed(detail: str) -> VerificationError:
    return VerificationError(f"this is no proof file: {detail}", reason="malformed")
