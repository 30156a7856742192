"""Test vectors for every format of docs/formats.md, made by the product's own code from fixed inputs.

    python -m tests.vector_maker        # writes tests/vectors/*.json anew

A vector that changes is a format that changed: that needs a new version of the format, not a new vector.
tests/house/test_vectors.py holds the files to the code, and to a second reader that is written from the page alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from crypto.canonical import JsonValue, canonical_json, encode_fields, parse_json
from crypto.integer.weights import encode_weights
from crypto.manifest import declared_model_version, model_version
from crypto.similarity import quantise_reference, threshold_integer
from server.identifiers import format_entry_id, parse_entry_id
from server.reuse.fingerprint import encode_value, identify
from server.reuse.policy import ReusePolicy, policy_digest
from server.reuse.request import ChatRequest, Steering
from server.store.maintenance import AUDIT_START, AuditEvent, _audit_hash
from tenants.api_keys import mac_api_key, mint_api_key
from tenants.data_keys import derive_tenant_key
from tenants.identifiers import TenantId
from tenants.key_shares import combine_shares, parse_share
from tenants.key_wrapping import KeyEncryptionKey
from tenants.sealing import DataKey, SealContext, seal
from tests.applicability_vectors import APPLICABILITY_MAKERS
from tests.pool_matches import MATCH_MAKERS
from tests.proof_vectors import PROOF_MAKERS

FOLDER = Path(__file__).parent / "vectors"

Vectors = dict[str, Any]

TENANT = TenantId("ten_abcdefghijklmnop")
DATA_KEY = bytes(range(1, 33))
KEK = bytes(range(32))
PEPPER = bytes(range(64, 96))
EMBEDDER = "sha256:" + "ab" * 32
MODEL = "sha256:" + "cd" * 32

CANONICAL: tuple[tuple[str, str], ...] = (
    ("empty_object", "{}"),
    ("keys_are_sorted", '{"b": 1, "a": [true, false, null]}'),
    ("keys_sort_by_utf16_units", '{"\\ufb33": 1, "\\ud83d\\ude00": 2, "\\u20ac": 3}'),
    ("escapes", '"\\u0000\\u001f\\b\\t\\n\\f\\r\\"\\\\/\\u007f\\u2028\\u00e9"'),
    ("largest_integers", "[9007199254740991, -9007199254740991, 0]"),
    ("no_normalisation", '["\\u00e9", "e\\u0301"]'),
)
#: Texts that a reader must refuse.
REFUSED_JSON: tuple[tuple[str, bytes], ...] = (
    ("key_twice", b'{"a":1,"a":1}'),
    ("key_twice_by_escape", b'{"a":1,"\\u0061":2}'),
    ("integer_too_large", b"9007199254740992"),
    ("minus_zero", b"-0"),
    ("not_a_number", b"NaN"),
    ("infinity_by_size", b"1e999"),
    ("lone_surrogate", b'"\\ud800"'),
    ("byte_order_mark", b"\xef\xbb\xbf{}"),
    ("not_utf8", b'"\xff"'),
    ("something_behind", b"{} {}"),
    ("too_deep", b"[" * 33 + b"]" * 33),
)
VALUES = (
    "null", "true", "false", "0", "-0.0", "1", "1.0", "1e3", "-17", "0.1", "0.7", "1.5e-7", "0.000001", "2.5",
    "123456.789", "1e300", '""', '"é€😀"', "[]", '[1,"1",[]]', "{}", '{"b":1,"a":null}', '{"é":1,"z":2}',
)  # fmt: skip
CONVERSATION: JsonValue = {
    "model": "demo",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello\r\n"}], "name": None},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "  How many days has June?  "},
    ],
    "temperature": 0.5,
    "max_tokens": 64,
    "user": "someone",
    "stream": True,
}
MANIFEST: dict[str, Any] = {
    "schema": "hitproof/model-manifest/v1",
    "name": "example",
    "resources": [{"name": "model.safetensors", "size_bytes": 3, "sha256": "0" * 64}],
    "tokenizer": None,
    "chat_template": "plain",
    "config": {"layers": 2},
    "quantisation": "int8",
    "runtime": {"kind": "example", "version": "1"},
    "numerics": None,
    "weight_commitments": [],
    "openssf_digest": None,
}
#: One set, split once: shares are drawn at random, so they are kept and not made again.
SHARES = (
    "hps1_2of3_1_2df20a017e137796_696d95403736b22f_102bd41c280e54c0772fd6e630d0610676b23bbf5a3b0b13f6f3f66119002748_2f1b4193",
    "hps1_2of3_2_2df20a017e137796_696d95403736b22f_2054ae3d5c13a389f644b3d175b7d01ddd57414b88492c1ec5ccc2ef16276cb1_e089ff4d",
    "hps1_2of3_3_2df20a017e137796_696d95403736b22f_307e78227018f14e89626f3c496abf14bbf468e7c667311a2b262e95133a55e6_a5808e9b",
)


class CountingRandom:
    """Gives 0, 1, 2, … so that everybody draws the same."""

    def __init__(self) -> None:
        self._next = 0

    def token_bytes(self, count: int) -> bytes:
        drawn = bytes((self._next + step) % 256 for step in range(count))
        self._next += count
        return drawn


def canonical_json_vectors() -> Vectors:
    """RFC 8785 restricted, and what a reader refuses."""
    cases = [
        {"name": name, "json": text, "bytes_hex": canonical_json(parse_json(text.encode())).hex()}  # type: ignore[arg-type]
        for name, text in CANONICAL
    ]
    return {"cases": cases, "refused": [{"name": name, "bytes_hex": data.hex()} for name, data in REFUSED_JSON]}


def encode_fields_vectors() -> Vectors:
    """A tag and length-prefixed fields."""
    inputs: tuple[tuple[str, tuple[bytes, ...]], ...] = (
        ("hitproof/example/v1", ()),
        ("hitproof/example/v1", (b"",)),
        ("hitproof/example/v1", (b"ab", b"c")),
        ("hitproof/example/v1", (b"a", b"bc")),
    )
    return {
        "cases": [
            {
                "domain": domain,
                "fields_hex": [field.hex() for field in fields],
                "bytes_hex": encode_fields(domain, *fields).hex(),
            }
            for domain, fields in inputs
        ]
    }


def encode_value_vectors() -> Vectors:
    """Any JSON value, floats included, as the fingerprint sees it."""
    return {"cases": [{"json": text, "bytes_hex": encode_value(json.loads(text)).hex()} for text in VALUES]}


def identity_vectors() -> Vectors:
    """From a request to its fingerprint and exact key."""
    lookup_key = derive_tenant_key(DATA_KEY, "lookup", TENANT)
    request = ChatRequest(dict(CONVERSATION), Steering())  # type: ignore[arg-type]
    found = identify(request, model_version=MODEL, embedder_digest=EMBEDDER, lookup_key=lookup_key)
    return {
        "data_key_hex": DATA_KEY.hex(),
        "tenant": TENANT,
        "lookup_key_hex": lookup_key.hex(),
        "upstream_salt": derive_tenant_key(DATA_KEY, "upstream-salt", TENANT).hex(),
        "model_version": MODEL,
        "embedder_digest": EMBEDDER,
        "request": CONVERSATION,
        "fingerprint_hex": found.fingerprint.hex(),
        "exact_key_hex": found.exact_key.hex(),
    }


def model_version_vectors() -> Vectors:
    """The digest of a manifest, and of a model that nobody here loaded."""
    declared = ("vendor", "https://api.example/v1", "model-large")
    return {
        "manifest": MANIFEST,
        "model_version": model_version(MANIFEST),
        "declared": {
            "upstream": declared[0],
            "base_url": declared[1],
            "requested": declared[2],
            "model_version": declared_model_version(*declared),
        },
    }


def similarity_vectors() -> Vectors:
    """Quantised components and the threshold integer."""
    floats = [0.0, 1.0, -1.0, 0.25, 0.2500001, 1.5 / 508, 2.5 / 508, -2.5 / 508, 0.03125, -0.0442]
    exact = [float(np.float32(value)) for value in floats]
    thresholds = [(9500, 258_064), (9500, 258_001), (7460, 260_100), (10_000, 1), (0, 258_064), (9999, 257_000)]
    return {
        "quantised": [
            {"float32_hex": np.float32(value).tobytes()[::-1].hex(), "component": quantise_reference([value])[0]}
            for value in exact
        ],
        "thresholds": [
            {"cosine_ten_thousandths": cosine, "query_norm_squared": norm, "tau": threshold_integer(cosine, norm)}
            for cosine, norm in thresholds
        ],
    }


def identifier_vectors() -> Vectors:
    """Entry ids as numbers and as text, and texts that are none."""
    numbers = (0, 1, 31, 32, 2**63 - 1, (1_790_000_000_000 - 1_577_836_800_000) << 21 | 12345)
    texts = ("ent_", "ent_000000000000", "ent_000000000000i", "ent_zzzzzzzzzzzzz", "hit_0000000000000")
    assert all(parse_entry_id(text) is None for text in texts)
    return {
        "entries": [{"number": str(number), "text": format_entry_id(number)} for number in numbers],  # type: ignore[arg-type]
        "refused": list(texts),
    }


def api_key_vectors() -> Vectors:
    """An API key, its checksum and what is stored of it."""
    minted = mint_api_key(CountingRandom())
    return {
        "api_key": minted.text,
        "key_id": minted.key_id,
        "checksum": minted.text[-6:],
        "pepper_hex": PEPPER.hex(),
        "mac_hex": mac_api_key(PEPPER, minted.text).hex(),
        "checksum_is_wrong": minted.text[:-1] + ("0" if minted.text[-1] != "0" else "1"),
    }


def sealing_vectors() -> Vectors:
    """A sealed value and a wrapped data key."""
    context = SealContext(TENANT, 4242, "payload", 1)
    plaintext = b'{"version":1}'
    kek = KeyEncryptionKey(KEK)
    return {
        "sealed": {
            "data_key_hex": DATA_KEY.hex(),
            "epoch": 3,
            "tenant": TENANT,
            "entry": 4242,
            "field": "payload",
            "schema_version": 1,
            "drawn_hex": CountingRandom().token_bytes(32).hex(),
            "plaintext_hex": plaintext.hex(),
            "sealed_hex": seal(DataKey(3, DATA_KEY), context, plaintext, random=CountingRandom()).hex(),
        },
        "wrapped": {
            "key_encryption_key_hex": KEK.hex(),
            "key_id": kek.key_id,
            "tenant": TENANT,
            "epoch": 3,
            "data_key_hex": DATA_KEY.hex(),
            "wrapped_hex": kek.wrap(DATA_KEY, tenant=TENANT, epoch=3).hex(),
        },
    }


def key_share_vectors() -> Vectors:
    """Three shares of one key, of which any two make it again."""
    combined = combine_shares([parse_share(text) for text in SHARES[:2]])
    return {"shares": list(SHARES), "key_id": combined.key_id, "key_encryption_key_hex": combined.secret.hex()}


def policy_vectors() -> Vectors:
    """A policy document and its digest."""
    document = canonical_json(ReusePolicy().to_json())
    return {"document": document.decode(), "digest": policy_digest(ReusePolicy())}


def audit_vectors() -> Vectors:
    """Two rows of the audit chain."""
    rows: list[Vectors] = []
    previous = AUDIT_START
    for seq, (tenant, action, detail) in enumerate(
        ((None, "organisation.create", {"name": "northwind"}), (TENANT, "tenant.create", {"name": "support"})), 1
    ):
        event = AuditEvent("cli", tenant, action, "target", detail)  # type: ignore[arg-type]
        text = canonical_json(detail)
        digest = _audit_hash(previous, 1_790_000_000_000 + seq, event, text)
        rows.append(
            {
                "seq": seq,
                "at_ms": 1_790_000_000_000 + seq,
                "actor": "cli",
                "tenant": tenant,
                "action": action,
                "target": "target",
                "detail": text.decode(),
                "previous_hash_hex": previous.hex(),
                "hash_hex": digest.hex(),
            }
        )
        previous = digest
    return {"rows": rows}


def weights_vectors() -> Vectors:
    """Two small int8 tensors in the one file that holds them."""
    tensors = {"b": np.array([[1, -2], [3, 127]], np.int8), "a": np.array([-127, 0, 5], np.int8)}
    return {
        "tensors": {name: tensor.tolist() for name, tensor in tensors.items()},
        "file_hex": encode_weights(tensors).hex(),
    }


MAKERS = {
    "canonical_json": canonical_json_vectors,
    "encode_fields": encode_fields_vectors,
    "encode_value": encode_value_vectors,
    "identity": identity_vectors,
    "model_version": model_version_vectors,
    "similarity": similarity_vectors,
    "identifiers": identifier_vectors,
    "api_keys": api_key_vectors,
    "sealing": sealing_vectors,
    "key_shares": key_share_vectors,
    "policy": policy_vectors,
    "audit": audit_vectors,
    "weights": weights_vectors,
    **PROOF_MAKERS,
    **APPLICABILITY_MAKERS,
    **MATCH_MAKERS,
}


def write_all() -> None:
    """Write every file anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in MAKERS.items():
        text = json.dumps(make(), indent=1, ensure_ascii=True)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_all()
