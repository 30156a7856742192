"""Reads receipt statements and embedding statements: in-toto Statement v1 with the house's predicates."""

from __future__ import annotations

from dataclasses import dataclass

from . import json_text, shape
from .envelope import IN_TOTO, Envelope
from .errors import NotInForm
from .hashing import digest_text, sha256
from .json_text import Json
from .polynomials import SUITES, suite_for

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
INFERENCE = "https://hitproof.dev/inference/v1"
EMBEDDING = "https://hitproof.dev/embedding/v1"
PAYLOAD_BYTES_MAX = 256 * 1024
DERIVATIONS = ("none", "adapted", "composed")
DIMENSION_MAX = 65_536
COMMITMENT_BYTES = 48


@dataclass(frozen=True, slots=True)
class Receipt:
    """The parts of a receipt statement that something else must agree with."""

    statement: str
    grade: str
    issued_at_ms: int
    model_version: str
    openssf_digest: str | None
    runtime: str | None
    policy: str | None
    tenant: str
    signer: str
    #: Type and digest of what existed at signing.
    evidence: tuple[tuple[str, str], ...]
    commitments: dict[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Embedding:
    """The parts of an embedding statement that something else must agree with."""

    statement: str
    issued_at_ms: int
    of: str
    tenant: str
    signer: str
    dimension: int
    embedder: str
    #: The algebraic commitment in its suite, if the statement has one; whether it is a point, is asked with a proof.
    algebraic: tuple[str, bytes] | None
    commitments: dict[str, bytes | None]


def read_receipt(envelope: Envelope) -> Receipt:
    """The receipt statement in an envelope; raises NotInForm."""
    output, predicate = _in_toto(envelope, INFERENCE, "output")
    found = shape.closed(
        predicate, "derivation", "evidence", "grade", "issued_at_ms", "model", "nonce", "output_tokens_commitment",
        "parameters", "parents", "policy", "prompt_commitment", "prompt_tokens_commitment", "runtime", "signer",
        "tenant",
    )  # fmt: skip
    shape.one_of(found["derivation"], *DERIVATIONS)
    _pairs(found["parents"], 64, "relation", "statement")
    shape.unhex(found["nonce"], 32)
    if not isinstance(found["parameters"], dict):
        raise NotInForm("parameters are an object")
    model = shape.closed(found["model"], "name", "openssf_digest", "version")
    shape.text(model["name"])
    grade = shape.one_of(found["grade"], "declared", "attested")
    commitments = {
        "output": output,
        "prompt": shape.unhex(found["prompt_commitment"], 32),
        "output_tokens": shape.optional(found["output_tokens_commitment"], _hash),
        "prompt_tokens": shape.optional(found["prompt_tokens_commitment"], _hash),
    }
    runtime = shape.optional(found["runtime"], _digest)
    if (runtime is None) != (grade == "declared"):
        raise NotInForm("a runtime stands in attested statements, and in no other")
    if grade == "attested" and None in commitments.values():
        raise NotInForm("an attested statement commits to all tokens")
    return Receipt(
        statement=digest_text(sha256(envelope.payload)),
        grade=grade,
        issued_at_ms=shape.integer(found["issued_at_ms"]),
        model_version=_digest(model["version"]),
        openssf_digest=shape.optional(model["openssf_digest"], shape.text),
        runtime=runtime,
        policy=shape.optional(found["policy"], _digest),
        tenant=shape.unhex(found["tenant"], 16).hex(),
        signer=_signer(found["signer"], envelope),
        evidence=_pairs(found["evidence"], 16, "type", "digest"),
        commitments=commitments,
    )


def read_embedding(envelope: Envelope) -> Embedding:
    """The embedding statement in an envelope; raises NotInForm."""
    vector, predicate = _in_toto(envelope, EMBEDDING, "vector")
    found = shape.closed(
        predicate, "commitment", "dimension", "embedder", "issued_at_ms", "nonce", "norm_bound", "scale", "signer",
        "statement", "suite", "tenant", "text_commitment",
    )  # fmt: skip
    dimension = shape.integer(found["dimension"], 1, DIMENSION_MAX)
    shape.integer(found["norm_bound"], 260_100, 260_100)
    shape.integer(found["scale"], 508, 508)
    shape.unhex(found["nonce"], 32)
    return Embedding(
        statement=digest_text(sha256(envelope.payload)),
        issued_at_ms=shape.integer(found["issued_at_ms"]),
        of=_digest(found["statement"]),
        tenant=shape.unhex(found["tenant"], 16).hex(),
        signer=_signer(found["signer"], envelope),
        dimension=dimension,
        embedder=_digest(found["embedder"]),
        algebraic=_algebraic(found["suite"], found["commitment"], dimension),
        commitments={"vector": vector, "text": shape.unhex(found["text_commitment"], 32)},
    )


def _algebraic(suite: Json, commitment: Json, dimension: int) -> tuple[str, bytes] | None:
    """A suite and the commitment in it, or None where both are null; a suite of ours is the one of the dimension."""
    if suite is None and commitment is None:
        return None
    name = shape.text(suite)
    if name in SUITES and name != suite_for(dimension):
        raise NotInForm("a suite that is not that of the dimension")
    return name, shape.unhex(commitment, COMMITMENT_BYTES)


def _in_toto(envelope: Envelope, predicate_type: str, subject: str) -> tuple[bytes, Json]:
    """The subject's digest and the predicate of a statement of this type."""
    if envelope.payload_type != IN_TOTO or len(envelope.payload) > PAYLOAD_BYTES_MAX:
        raise NotInForm("not the payload of an in-toto statement")
    value = json_text.read(envelope.payload)
    json_text.check_normal(value)
    _check_texts(value)
    found = shape.closed(value, "_type", "subject", "predicateType", "predicate")
    shape.one_of(found["_type"], STATEMENT_TYPE)
    shape.one_of(found["predicateType"], predicate_type)
    subjects = shape.items(found["subject"], 1)
    if len(subjects) != 1:
        raise NotInForm("a statement has exactly one subject")
    only = shape.closed(subjects[0], "name", "digest")
    shape.one_of(only["name"], subject)
    return _hash(shape.closed(only["digest"], "sha256")["sha256"]), found["predicate"]


def _pairs(value: Json, count_max: int, kind: str, digest: str) -> tuple[tuple[str, str], ...]:
    """A sorted list of a word and a digest each."""
    pairs = []
    for item in shape.items(value, count_max):
        found = shape.closed(item, kind, digest)
        if kind == "relation":
            shape.one_of(found[kind], "adapted-from", "composed-of")
        pairs.append((shape.text(found[kind]), _digest(found[digest])))
    shape.check_ascending(pairs)
    return tuple(pairs)


def _check_texts(value: Json) -> None:
    """No text of a statement, at any depth, is longer than 1,024 characters."""
    if isinstance(value, str):
        shape.text(value)
    if isinstance(value, dict):
        for name in value:
            shape.text(name)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_texts(item)


def _signer(value: Json, envelope: Envelope) -> str:
    signer = shape.unhex(value, 32).hex()
    if signer != envelope.key_id:
        raise NotInForm("the statement names another signer than its envelope")
    return signer


def _hash(value: Json) -> bytes:
    return shape.unhex(value, 32)


def _digest(value: Json) -> str:
    return digest_text(shape.undigest(value))
