"""Test vectors of the proof formats, made by the product's own code from the examples of tests/proof_examples.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crypto.canonical import JsonValue, parse_json
from crypto.closed import write_record
from crypto.commitment import (
    hit_salt,
    output_commitment,
    output_tokens_commitment,
    prompt_commitment,
    prompt_tokens_commitment,
    query_commitment,
    query_vector_commitment,
    stated_json,
    text_commitment,
    vector_commitment,
)
from crypto.dsse import PAYLOAD_RECEIPT_BATCH, Envelope, sign_envelope
from crypto.embedding_statement import sign_embedding
from crypto.leaf import BODY_KINDS, Leaf, LeafKind, body_leaf, envelope_leaf
from crypto.privacy_arithmetic import epsilon_micro_of_rho
from crypto.pseudonym import epoch_of, organisation_pseudonym, pseudonym, pseudonym_key
from crypto.spending import GaussianEmbedding, GaussianSelection, LaplaceSelection
from crypto.statement import receipt_id, runtime_digest, sign_receipt, statement_digest
from crypto.trust import sign_trust
from tests.proof_examples import (
    AT_MS,
    BODIES,
    EMBEDDING,
    HEADS,
    HIT,
    ITEMS,
    LOG,
    RELEASE,
    ROOTS,
    RUNNER,
    SPENDING,
    STATEMENT,
    STATUS_LIST,
    TRUST,
)

Vectors = dict[str, Any]

SALT = bytes(range(32))
TENANT_KEY = bytes(range(64, 96))
STATED = (
    '[{"index":0,"logprobs":null,"message":{"content":"Hi \\u00e9","refusal":null,"role":"assistant"}}]',
    '{"a":[null,{"b":null}],"c":0.1,"d":-2.0,"e":1e-7,"f":1e22,"g":-0.0,"h":3}',
)
MESSAGES = '[{"content":"Be brief.","role":"system"},{"content":"How many days has June?","name":null,"role":"user"}]'
#: By kind of opening: what commits, and the opened value in JSON, or in hexadecimal for vectors.
COMMITMENTS: tuple[tuple[str, Callable[[bytes, Any], bytes], str], ...] = (
    ("output", output_commitment, STATED[0]),
    ("prompt", prompt_commitment, MESSAGES),
    ("prompt_tokens", prompt_tokens_commitment, "[1,2,2147483647]"),
    ("output_tokens", output_tokens_commitment, "[]"),
    ("query", query_commitment, MESSAGES),
    ("query_vector", query_vector_commitment, "017f8100"),
    ("vector", vector_commitment, "017f8100"),
    ("text", text_commitment, '"How many days has June?"'),
)


def commitment_vectors() -> Vectors:
    """What is stated, what commits to it, and the salts of a hit."""
    return {
        "stated": [{"json": text, "stated": stated_json(parse_json(text.encode())).decode()} for text in STATED],
        "commitments": [
            {"kind": kind, "salt_hex": SALT.hex(), "value": text, "commitment_hex": commit(SALT, _opened(text)).hex()}
            for kind, commit, text in COMMITMENTS
        ],
        "hit_salts": {
            "tenant_key_hex": TENANT_KEY.hex(),
            "hit": HIT.hit,
            "query_hex": hit_salt(TENANT_KEY, HIT.hit, "query").hex(),
            "query_vector_hex": hit_salt(TENANT_KEY, HIT.hit, "query_vector").hex(),
        },
    }


def pseudonym_vectors() -> Vectors:
    """A tenant's name in two epochs."""
    tenant = "ten_abcdefghijklmnop"
    keys = {at_ms: pseudonym_key(TENANT_KEY, epoch_of(at_ms)) for at_ms in (0, 2_591_999_999, AT_MS)}
    return {
        "tenant_key_hex": TENANT_KEY.hex(),
        "tenant": tenant,
        "names": [
            {"at_ms": at_ms, "epoch": epoch_of(at_ms), "key_hex": key.hex(), "pseudonym": pseudonym(key, tenant)}
            for at_ms, key in keys.items()
        ],
    }


def receipt_vectors() -> Vectors:
    """A receipt and an embedding statement: payload, envelope, digest and leaf."""
    receipt, embedding = sign_receipt(STATEMENT, RUNNER), sign_embedding(EMBEDDING, RUNNER)
    digest = statement_digest(receipt.payload)
    runtime: dict[str, JsonValue] = {"engine": "example", "version": "1"}
    return {
        "public_key_hex": RUNNER.public_key.hex(),
        "key_id": RUNNER.key_id,
        "runtime": runtime,
        "runtime_digest": runtime_digest({"runtime": runtime}),
        "receipt": {
            "payload": receipt.payload.decode(),
            "envelope": receipt.encode().decode(),
            "statement_digest": digest,
            "receipt_id": receipt_id(digest),
            "time_ms": STATEMENT.issued_at_ms,
            "leaf_hex": envelope_leaf(LeafKind.RECEIPT, receipt, STATEMENT.issued_at_ms).encode().hex(),
        },
        "embedding": {
            "payload": embedding.payload.decode(),
            "envelope": embedding.encode().decode(),
            "statement_digest": statement_digest(embedding.payload),
            "time_ms": EMBEDDING.issued_at_ms,
            "leaf_hex": envelope_leaf(LeafKind.EVIDENCE, embedding, EMBEDDING.issued_at_ms).encode().hex(),
        },
    }


def leaf_vectors() -> Vectors:
    """Every body, and its leaf: under the log's key, or under a runner's where it stands in an envelope."""
    return {
        "log_public_key_hex": LOG.public_key.hex(),
        "runner_public_key_hex": RUNNER.public_key.hex(),
        "bodies": [
            {
                "name": name,
                "kind": int(body.KIND),
                "payload": body.to_payload().decode(),
                "envelope": _envelope(body.to_payload()).encode().decode() if body.KIND not in BODY_KINDS else None,
                "leaf_hex": _leaf(body.KIND, body.to_payload()).encode().hex(),
            }
            for name, body in BODIES.items()
        ],
    }


def hit_vectors() -> Vectors:
    """A hit record of the private tier."""
    return {"payload": HIT.to_payload().decode()}


def status_list_vectors() -> Vectors:
    """A status list and its digest."""
    return {"payload": STATUS_LIST.to_payload().decode(), "digest": STATUS_LIST.digest()}


def trust_vectors() -> Vectors:
    """A trust file under all its root keys, and its payload."""
    return {
        "payload": TRUST.to_payload().decode(),
        "file": sign_trust(TRUST.to_payload(), ROOTS).encode().decode(),
        "expires_at_ms": TRUST.expires_at_ms,
    }


def _opened(text: str) -> Any:
    return bytes.fromhex(text) if text[0] == "0" else parse_json(text.encode())


def ledger_vectors() -> Vectors:
    """What charges cost, what ρ means as ε, an organisation's name, and a spending and a release with its trees."""
    charges = (
        *SPENDING.charges,
        LaplaceSelection(1, 1, 2),
        LaplaceSelection(10**9, 1_000, 10_000),
        GaussianSelection(1, 1, 2),
        GaussianSelection(20, 2_500_000, 31),
        GaussianSelection(100, 900_000, 2_000),
        GaussianEmbedding(10_000, 10**12),
    )
    conversions = [(1, 1), (10**6, 10**9), (500_000_000, 10**12), (4_000_000_000, 10**10), (10**12, 10**17)]
    return {
        "charges": [{"charge": charge.to_json(), "cost": write_record(charge.cost())} for charge in charges],
        "conversions": [
            {"rho_nano": rho, "delta_atto": delta, "epsilon_micro": epsilon_micro_of_rho(rho, delta)}
            for rho, delta in conversions
        ],
        "organisation": {
            "tenant_key_hex": TENANT_KEY.hex(),
            "organisation": "org_abcdefghijklmnop",
            "pseudonym": organisation_pseudonym(TENANT_KEY, "org_abcdefghijklmnop"),
        },
        "spending": {"payload": SPENDING.to_payload().decode(), "digest": SPENDING.digest()},
        "release": {
            "payload": RELEASE.to_payload().decode(),
            "digest": RELEASE.digest(),
            "items": [item.to_payload().decode() for item in ITEMS],
            "heads": [head.to_payload().decode() for head in HEADS],
        },
    }


def _leaf(kind: LeafKind, payload: bytes) -> Leaf:
    if kind in BODY_KINDS:
        return body_leaf(kind, payload, AT_MS, LOG.public_key)
    return envelope_leaf(kind, _envelope(payload), AT_MS)


def _envelope(payload: bytes) -> Envelope:
    return sign_envelope(PAYLOAD_RECEIPT_BATCH, payload, RUNNER)


PROOF_MAKERS = {
    "commitments": commitment_vectors,
    "pseudonyms": pseudonym_vectors,
    "receipts": receipt_vectors,
    "leaves": leaf_vectors,
    "ledger": ledger_vectors,
    "hits": hit_vectors,
    "status_list": status_list_vectors,
    "trust": trust_vectors,
}
