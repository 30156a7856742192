"""One honest example of each proof format, from fixed keys, for tests to break and for test vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crypto.bodies import (
    Body,
    Erasure,
    Evidence,
    HitBatch,
    KeyEvent,
    ModelStatus,
    PolicyEvent,
    PoolRelease,
    PrivacySpending,
    ReceiptBatch,
    parse_body,
)
from crypto.dsse import PAYLOAD_IN_TOTO, PAYLOAD_TRUST, Envelope, parse_envelope
from crypto.ed25519 import SigningKey
from crypto.embedding_statement import EmbeddingStatement, parse_embedding_statement
from crypto.hit import HitRecord, parse_hit_record
from crypto.note import LOG_ALGORITHM, WITNESS_ALGORITHM, make_vkey, parse_vkey
from crypto.release import LedgerHead, PoolItem, Release, heads_root, items_root, parse_release
from crypto.spending import (
    Budget,
    GaussianEmbedding,
    GaussianSelection,
    GaussianSum,
    LaplaceSelection,
    Period,
    Spending,
    parse_spending,
    sorted_charges,
)
from crypto.statement import EvidenceReference, Parent, ReceiptStatement, parse_receipt_statement, sign_receipt
from crypto.status import KeyStatus, ModelStanding, StatusList, parse_status_list
from crypto.trust import Publisher, Trust, TrustedKey, parse_trust

RUNNER: Final = SigningKey(bytes([1] * 32))
GATEWAY: Final = SigningKey(bytes([2] * 32))
LOG: Final = SigningKey(bytes([3] * 32))
WITNESSES: Final = (SigningKey(bytes([4] * 32)), SigningKey(bytes([5] * 32)))
ROOTS: Final = tuple(sorted((SigningKey(bytes([seed] * 32)) for seed in (6, 7, 8)), key=lambda key: key.public_key))
AT_MS: Final = 1_790_000_000_000
TENANT: Final = "0f" * 16


def digest(byte: int) -> str:
    """A digest that says which one it is."""
    return "sha256:" + f"{byte:02x}" * 32


STATEMENT: Final = ReceiptStatement(
    derivation="adapted",
    evidence=(EvidenceReference("toploc/v1", digest(0x11)), EvidenceReference("zkml/v1", digest(0x10))),
    grade="attested",
    issued_at_ms=AT_MS,
    model_name="démo",
    openssf_digest="sha256-of-somebody-else",
    model_version=digest(0x12),
    nonce=bytes(range(32)),
    output_commitment=b"\x13" * 32,
    output_tokens_commitment=b"\x14" * 32,
    prompt_tokens_commitment=b"\x15" * 32,
    parameters={"max_tokens": 64, "penalty": -1, "seed": "9007199254740993", "stop": ["é"], "temperature": "0.7"},
    parents=(Parent("adapted-from", digest(0x16)), Parent("composed-of", digest(0x16))),
    policy=digest(0x17),
    prompt_commitment=b"\x18" * 32,
    runtime=digest(0x19),
    signer=RUNNER.key_id,
    tenant=TENANT,
)
EMBEDDING: Final = EmbeddingStatement(
    commitment=None,
    dimension=384,
    embedder=digest(0x21),
    issued_at_ms=AT_MS + 1,
    nonce=bytes(range(1, 33)),
    signer=RUNNER.key_id,
    statement=digest(0x22),
    suite=None,
    tenant=TENANT,
    text_commitment=b"\x23" * 32,
    vector_commitment=b"\x24" * 32,
)
HIT: Final = HitRecord(
    at_ms=AT_MS + 2,
    derivation="none",
    hit="hit_" + "3a" * 16,
    policy=digest(0x31),
    query=b"\x32" * 32,
    query_vector=b"\x33" * 32,
    receipt=digest(0x34),
    receipt_leaf=b"\x35" * 32,
    tau=245_123,
    tenant=TENANT,
    tier="private",
)
STATUS_LIST: Final = StatusList(
    at_ms=AT_MS + 3,
    keys=(KeyStatus("41" * 32, "runner", 7, "compromised"), KeyStatus("42" * 32, "gateway", 0, "retired")),
    models=(ModelStanding(digest(0x43), "superseded"), ModelStanding(digest(0x44), "revoked")),
    trust_version=3,
)
NONCE: Final = bytes(range(2, 34))
BODIES: Final[Mapping[str, Body]] = {
    "hit_batch": HitBatch(AT_MS, 2, NONCE, b"\x51" * 32, TENANT),
    "key_event": KeyEvent(AT_MS, "compromised", RUNNER.key_id, NONCE, "runner", 12, STATUS_LIST.digest()),
    "model_status": ModelStatus(AT_MS, digest(0x52), NONCE, "revoked", STATUS_LIST.digest()),
    "status_list_restated": ModelStatus(AT_MS, None, NONCE, None, STATUS_LIST.digest()),
    "policy_event": PolicyEvent(AT_MS, NONCE, digest(0x53), TENANT, 4),
    "receipt_batch": ReceiptBatch(AT_MS, 9, NONCE, b"\x54" * 32, RUNNER.key_id),
    "evidence": Evidence(AT_MS, digest(0x55), "zkml/v1", NONCE, digest(0x56)),
    "privacy_spending": PrivacySpending(AT_MS, NONCE, 5, "57" * 16, digest(0x58)),
    "pool_release": PoolRelease(AT_MS, 692, NONCE, 6, digest(0x59)),
    "erasure": Erasure(AT_MS, NONCE, TENANT),
}
PUBLISHER_PEM: Final = "\n".join(
    (
        "-----BEGIN PUBLIC KEY-----",
        "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "-----END PUBLIC KEY-----",
        "",
    )
)
TRUST: Final = Trust(
    version=3,
    issued_at_ms=AT_MS,
    expires_at_ms=AT_MS + 1_000,
    root_keys=tuple(key.public_key for key in ROOTS),
    root_threshold=2,
    log=parse_vkey(make_vkey("log.example/one", LOG_ALGORITHM, LOG.public_key)),
    witnesses=tuple(
        parse_vkey(make_vkey(f"witness{number}.example", WITNESS_ALGORITHM, key.public_key))
        for number, key in enumerate(WITNESSES)
    ),
    witness_threshold=1,
    runners=(TrustedKey(AT_MS - 10, (digest(0x12), digest(0x61)), "runner", RUNNER.public_key, AT_MS + 10),),
    gateways=(TrustedKey(0, (), "gateway", GATEWAY.public_key, None),),
    publishers=(Publisher((digest(0x12),), "publisher", PUBLISHER_PEM),),
)


@dataclass(frozen=True)
class Format:
    """One format: its example's bytes, what reads them, what writes them again, and how a refusal is called."""

    payload: bytes
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    reason: str


def _body_format(body: Body) -> Format:
    return Format(
        body.to_payload(), lambda data: parse_body(body.KIND, data), lambda read: read.to_payload(), "malformed"
    )


def _read_trust_payload(data: bytes) -> Trust:
    """Read *data* as the payload of a trust file without signatures."""
    return parse_trust(Envelope(PAYLOAD_TRUST, data, ()).encode())[1]


SPENDING: Final = Spending(
    at_ms=AT_MS,
    budget=Budget(120_000_000, 4_000_000_000, 10**15),
    charges=sorted_charges(
        (
            LaplaceSelection(2_000_000, 20, 11),
            GaussianSelection(5, 1_788_000, 18),
            GaussianSum(20, 25_000_000),
            GaussianEmbedding(3, 25_000_000),
        )
    ),
    number=2,
    organisation=TENANT,
    period=Period(230, AT_MS - 1, AT_MS + 1),
    previous=digest(0x30),
    release=3,
    unit="question",
)
ITEMS: Final = (PoolItem.of(["e\u0301", "a"], "plain", b"\x00\x7f\x81"), PoolItem.of(["b"], "démo", b""))
HEADS: Final = tuple(LedgerHead(number, f"{number:032x}", digest(number)) for number in (3, 1, 2))
RELEASE: Final = Release(
    at_ms=AT_MS,
    epoch=690,
    items=items_root(ITEMS),
    ledger=heads_root(HEADS),
    mode="pooled",
    number=3,
    organisations=50,
    previous=digest(0x31),
    state="released",
    unit="question",
    vector_source="dp_mean",
)

FORMATS: Final[Mapping[str, Format]] = {
    "receipt_statement": Format(
        STATEMENT.to_payload(), parse_receipt_statement, lambda read: read.to_payload(), "statement_malformed"
    ),
    "embedding_statement": Format(
        EMBEDDING.to_payload(), parse_embedding_statement, lambda read: read.to_payload(), "statement_malformed"
    ),
    "hit": Format(HIT.to_payload(), parse_hit_record, lambda read: read.to_payload(), "malformed"),
    "spending": Format(SPENDING.to_payload(), parse_spending, lambda read: read.to_payload(), "malformed"),
    "release": Format(RELEASE.to_payload(), parse_release, lambda read: read.to_payload(), "malformed"),
    "status_list": Format(STATUS_LIST.to_payload(), parse_status_list, lambda read: read.to_payload(), "malformed"),
    "trust": Format(TRUST.to_payload(), _read_trust_payload, lambda read: read.to_payload(), "trust_malformed"),
    "envelope": Format(
        sign_receipt(STATEMENT, RUNNER).encode(),
        lambda data: parse_envelope(data, payload_type=PAYLOAD_IN_TOTO, reason="malformed"),
        lambda read: read.encode(),
        "malformed",
    ),
    **{name: _body_format(body) for name, body in BODIES.items()},
}


def changed_values(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield *value* with one thing changed at a time, anywhere inside, and words for the change."""
    if isinstance(value, dict):
        yield "an unknown key", {**value, "unknown": 1}
        for name, item in value.items():
            yield f"without {name}", {key: kept for key, kept in value.items() if key != name}
            for words, changed in changed_values(item):
                yield f"{name}: {words}", {**value, name: changed}
    elif isinstance(value, list):
        if value:
            yield "first item twice", [value[0], *value]
            yield "first item last", [*value[1:], value[0]] if len(value) > 1 else []
            yield "last item lost", value[:-1]
        for place, item in enumerate(value):
            for words, changed in changed_values(item):
                yield f"[{place}] {words}", [*value[:place], changed, *value[place + 1 :]]
    yield from _other_values(value)


def _other_values(value: Any) -> Iterator[tuple[str, Any]]:
    others = (None, True, 0, 1, -1, 2**53 - 1, 0.5, 1.0, "", "x", "e\u0301", "sha256:" + "00" * 32, "00" * 32, [], {})
    if isinstance(value, str):
        others += (value + "x", value + "\n", value[:-1], value.upper(), f" {value}", value[1:] + value[:1])
    if isinstance(value, int):
        others += (value + 1, str(value))
    for other in others:
        if type(other) is not type(value) or other != value:
            yield f"{other!r} for {value!r}"[:120], other
