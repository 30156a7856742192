"""Reads what the log's leaves stand for beside statements: bodies, hit records and the status list."""

from __future__ import annotations

from dataclasses import dataclass

from . import json_text, shape
from .envelope import RECEIPT_BATCH, Envelope
from .errors import NotInForm
from .hashing import digest, digest_text
from .json_text import Json

#: Schema and other keys of the bodies that the log asserts, by kind. Every one has `at_ms` and `nonce`.
BODIES: dict[int, tuple[str, tuple[str, ...]]] = {
    2: ("hitproof/hit-batch/v1", ("count", "root", "tenant")),
    3: ("hitproof/key-event/v1", ("event", "key_id", "role", "since_index", "status_list")),
    4: ("hitproof/model-status/v1", ("model_version", "status", "status_list")),
    5: ("hitproof/policy-event/v1", ("policy", "tenant", "version")),
    7: ("hitproof/evidence/v1", ("digest", "kind", "statement")),
    8: ("hitproof/privacy-spending/v1", ("number", "organisation", "spending")),
    9: ("hitproof/pool-release/v1", ("epoch", "number", "release")),
    10: ("hitproof/erasure/v1", ("tenant",)),
}
LISTED_MAX = 4_096
STATUS_BYTES_MAX = 2**20
#: U: no inner product of two vectors that may be matched is larger.
TAU_MAX = 260_100


@dataclass(frozen=True, slots=True)
class Body:
    """A body that the log asserts; *value* has been checked key by key."""

    kind: int
    at_ms: int
    value: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Hit:
    """A hit record, and the bytes that are a leaf of its batch's tree."""

    data: bytes
    hit: str
    at_ms: int
    policy: str
    #: The commitment to the query's vector, and what it had to reach; null in the tier `exact`.
    query_vector: bytes | None
    receipt: str
    receipt_leaf: bytes
    tau: int | None
    tenant: str
    tier: str


@dataclass(frozen=True, slots=True)
class StatusList:
    """Which keys and models are not simply in force."""

    at_ms: int
    digest: str
    trust_version: int
    keys: dict[str, tuple[str, int]]
    models: dict[str, str]


def read_body(value: Json) -> Body:
    """A body of the kinds that stand in leaves without an envelope; raises NotInForm."""
    json_text.check_normal(value)
    schema = value.get("schema") if isinstance(value, dict) else None
    for kind, (name, keys) in BODIES.items():
        if schema == name:
            found = shape.closed(value, "schema", "at_ms", "nonce", *keys)
            shape.unhex(found["nonce"], 32)
            for key in keys:
                _check_key(kind, key, found[key])
            if kind == 4 and (found["model_version"] is None) != (found["status"] is None):
                raise NotInForm("a model and its status come together")
            return Body(kind, shape.integer(found["at_ms"]), found)
    raise NotInForm("a body of no known kind")


def _check_key(kind: int, key: str, value: Json) -> None:
    if key in ("count", "epoch", "number", "version"):
        shape.integer(value)
    elif key == "since_index":
        shape.optional(value, shape.integer)
    elif key in ("tenant", "organisation"):
        shape.unhex(value, 16)
    elif key in ("root", "key_id"):
        shape.unhex(value, 32)
    elif key in ("policy", "status_list", "digest", "statement", "spending", "release"):
        shape.undigest(value)
    elif key == "model_version":
        shape.optional(value, shape.undigest)
    elif key == "event":
        shape.one_of(value, "added", "retired", "compromised")
    elif key == "role":
        shape.one_of(value, "runner", "gateway")
    elif key == "status" and kind == 4:
        if value is not None:
            shape.one_of(value, "active", "superseded", "revoked")
    else:
        shape.text(value)


def read_receipt_batch(envelope: Envelope) -> int:
    """The time in ms of a runner's receipt batch; raises NotInForm."""
    if envelope.payload_type != RECEIPT_BATCH:
        raise NotInForm("not the payload type of a receipt batch")
    value = json_text.read(envelope.payload)
    found = shape.closed(value, "schema", "at_ms", "count", "nonce", "root", "signer")
    shape.one_of(found["schema"], "hitproof/receipt-batch/v1")
    shape.integer(found["count"])
    shape.unhex(found["nonce"], 32)
    shape.unhex(found["root"], 32)
    if shape.unhex(found["signer"], 32).hex() != envelope.key_id:
        raise NotInForm("the batch names another signer than its envelope")
    return shape.integer(found["at_ms"])


def read_hit(value: Json) -> Hit:
    """A hit record; raises NotInForm."""
    json_text.check_normal(value)
    found = shape.closed(
        value, "schema", "at_ms", "derivation", "hit", "policy", "query", "query_vector", "receipt", "receipt_leaf",
        "tau", "tenant", "tier",
    )  # fmt: skip
    shape.one_of(found["schema"], "hitproof/hit/v1")
    shape.one_of(found["derivation"], "none", "adapted", "composed")
    tier = shape.one_of(found["tier"], "exact", "private", "pool")
    shape.unhex(found["query"], 32)
    query_vector = shape.optional(found["query_vector"], lambda text: shape.unhex(text, 32))
    tau = shape.optional(found["tau"], lambda number: shape.integer(number, 0, TAU_MAX))
    if (query_vector is None, tau is None) != (tier == "exact", tier == "exact"):
        raise NotInForm("what was matched by meaning, and nothing else, has a vector and a threshold")
    return Hit(
        data=json_text.write(value),
        hit=shape.matching(found["hit"], "hit_[0-9a-f]{32}"),
        at_ms=shape.integer(found["at_ms"]),
        policy=digest_text(shape.undigest(found["policy"])),
        query_vector=query_vector,
        receipt=digest_text(shape.undigest(found["receipt"])),
        receipt_leaf=shape.unhex(found["receipt_leaf"], 32),
        tau=tau,
        tenant=shape.unhex(found["tenant"], 16).hex(),
        tier=tier,
    )


def read_status(data: bytes) -> StatusList:
    """The status list in these bytes; raises NotInForm."""
    value = json_text.read(shape.short(data, STATUS_BYTES_MAX))
    json_text.check_normal(value)
    found = shape.closed(value, "schema", "at_ms", "keys", "models", "trust_version")
    shape.one_of(found["schema"], "hitproof/status-list/v1")
    keys: list[tuple[str, str, int]] = []
    for item in shape.items(found["keys"], LISTED_MAX):
        key = shape.closed(item, "key_id", "role", "since_index", "status")
        shape.one_of(key["role"], "runner", "gateway")
        status = shape.one_of(key["status"], "retired", "compromised")
        name = shape.unhex(key["key_id"], 32).hex()
        keys.append((name, status, shape.integer(key["since_index"])))
    shape.check_ascending([name for name, _, _ in keys])
    models: list[tuple[str, str]] = []
    for item in shape.items(found["models"], LISTED_MAX):
        model = shape.closed(item, "model_version", "status")
        version = digest_text(shape.undigest(model["model_version"]))
        models.append((version, shape.one_of(model["status"], "superseded", "revoked")))
    shape.check_ascending([version for version, _ in models])
    return StatusList(
        at_ms=shape.integer(found["at_ms"]),
        digest=digest_text(digest("hitproof/status-list/v1", data)),
        trust_version=shape.integer(found["trust_version"]),
        keys={name: (status, since) for name, status, since in keys},
        models=dict(models),
    )
