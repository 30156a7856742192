"""Makes every leaf of a bundle anew, and proves them all under the checkpoint."""

from __future__ import annotations

from . import ed25519, json_text
from .contents import Contents
from .envelope import IN_TOTO, LOG, RECEIPT_BATCH, Envelope
from .errors import NotInForm, Refused, named
from .hashing import digest, leaf_hash, multiproof_root
from .json_text import Json
from .notes import Checkpoint
from .records import Body
from .statements import EMBEDDING, INFERENCE
from .trust import Trust

VERSION = 1
RECEIPT, BATCH, EVIDENCE = 1, 6, 7


def check_inclusion(held: Contents, trust: Trust, checkpoint: Checkpoint) -> None:
    """Raise Refused unless all leaves are in the tree and each is that of its line."""
    hashes = [(index, leaf_hash(leaf)) for index, leaf in held.leaves.items()]
    if hashes or held.multiproof:
        with named("inclusion_invalid"):
            if multiproof_root(hashes, checkpoint.size, held.multiproof) != checkpoint.root:
                raise NotInForm("the multiproof leads to another root")
    log_key = bytes.fromhex(ed25519.key_id(trust.log.public_key))
    for index, body in held.bodies.items():
        _check_body(held.leaves.get(index), body, log_key)
    for index, signed in held.evidence.items():
        _check_envelope(held.leaves.get(index), signed, (BATCH, EVIDENCE))
    for index, signed in held.receipts.items():
        _check_envelope(held.leaves.get(index), signed, (RECEIPT,))
    if sorted(held.explained) != list(held.leaves):
        raise Refused("leaf_unexplained", "not one line for every leaf")


def make_leaf(kind: int, time_ms: int, key: bytes, payload_type: str, payload: bytes, signature: bytes) -> bytes:
    """The 74 bytes of a leaf."""
    body = digest("hitproof/leaf-body/v1", payload_type.encode("utf-8"), payload, signature)
    return bytes([VERSION, kind]) + time_ms.to_bytes(8, "big") + key + body


def _check_body(leaf: bytes | None, body: Body, log_key: bytes) -> None:
    if leaf is None:
        raise Refused("leaf_unexplained", "a body without a leaf")
    payload = json_text.write(body.value)
    if make_leaf(leaf[1], body.at_ms, log_key, LOG, payload, b"") != leaf:
        raise Refused("leaf_mismatch", "a body that is not its leaf's")
    if leaf[1] != body.kind:
        raise Refused("leaf_kind", f"kind {leaf[1]} over a body of kind {body.kind}")


def _check_envelope(leaf: bytes | None, signed: Envelope | None, kinds: tuple[int, ...]) -> None:
    if leaf is None:
        raise Refused("leaf_unexplained", "an envelope without a leaf")
    if signed is None:
        if leaf[1] not in kinds:
            raise Refused("leaf_kind", f"kind {leaf[1]}")
        return
    time_ms = _time_ms(signed)
    if time_ms is None:
        # The statement is not in form, which is said where statements are checked; the rest of the leaf must fit.
        time_ms = int.from_bytes(leaf[2:10], "big")
    key = bytes.fromhex(signed.key_id)
    if make_leaf(leaf[1], time_ms, key, signed.payload_type, signed.payload, signed.signature) != leaf:
        raise Refused("leaf_mismatch", "an envelope that is not its leaf's")
    kind = _kind(signed)
    if leaf[1] not in kinds or (kind is not None and leaf[1] != kind):
        raise Refused("leaf_kind", f"kind {leaf[1]}")


def _payload(signed: Envelope) -> dict[str, Json]:
    try:
        value = json_text.read(signed.payload)
    except NotInForm:
        return {}
    return value if isinstance(value, dict) else {}


def _time_ms(signed: Envelope) -> int | None:
    value = _payload(signed)
    predicate = value.get("predicate")
    time_ms = predicate.get("issued_at_ms") if isinstance(predicate, dict) else value.get("at_ms")
    is_time = isinstance(time_ms, int) and not isinstance(time_ms, bool) and time_ms >= 0
    return time_ms if is_time and isinstance(time_ms, int) else None


def _kind(signed: Envelope) -> int | None:
    """The kind of leaf that an envelope's content belongs into, or None where its content says nothing of that sort."""
    if signed.payload_type == RECEIPT_BATCH:
        return BATCH
    if signed.payload_type != IN_TOTO:
        return None
    predicate_type = _payload(signed).get("predicateType")
    return {INFERENCE: RECEIPT, EMBEDDING: EVIDENCE}.get(predicate_type) if isinstance(predicate_type, str) else None
