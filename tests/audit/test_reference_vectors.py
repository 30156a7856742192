"""The second implementation gives the published vectors, and so meets whatever else was written from the formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.reference import ed25519, json_text, leaves, openings, records
from crypto.reference.applicability import Closeness, Commitment, Transcript, find_invalid, form_equation, hit_equation
from crypto.reference.ceremony import load_ceremony
from crypto.reference.contents import Opening
from crypto.reference.envelope import LOG, is_signed, read_envelope
from crypto.reference.errors import Refused
from crypto.reference.hashing import digest, digest_text, fields, hmac_sha256
from crypto.reference.ledger_documents import MECHANISMS, Charge, read_release, read_spending
from crypto.reference.pairing import SlowCurve
from crypto.reference.privacy_cost import cost
from crypto.reference.proof_documents import read_document
from crypto.reference.statements import read_embedding, read_receipt
from crypto.reference.trust import verify_trust

VECTORS = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def stated(value: Any) -> Any:
    """Leave out what is null, as whoever opens a value has to before."""
    if isinstance(value, dict):
        return {name: stated(item) for name, item in value.items() if item is not None}
    return [stated(item) for item in value] if isinstance(value, list) else value


def test_commitments_that_can_be_opened() -> None:
    checked = set()
    for case in vectors("commitments")["commitments"]:
        kind, value = case["kind"], case["value"]
        if kind.startswith("query"):
            continue
        if kind == "vector":
            opened: Any = [byte - 256 if byte > 127 else byte for byte in bytes.fromhex(value)]
        else:
            opened = stated(json.loads(value))
        opening = Opening("sha256:" + "0" * 64, kind, bytes.fromhex(case["salt_hex"]), opened)
        dimension = len(opened) if kind == "vector" else None
        assert openings.commitment(opening, dimension).hex() == case["commitment_hex"], kind
        checked.add(kind)
    assert checked == {"output", "prompt", "output_tokens", "prompt_tokens", "vector", "text"}


def test_transcripts() -> None:
    found = vectors("transcript")["transcript"]
    transcript = Transcript(found["label"], *(bytes.fromhex(field) for field in found["fields_hex"]))
    drawn = 0
    for step in found["steps"]:
        if "absorb" in step:
            transcript.absorb(step["absorb"], bytes.fromhex(step["hex"]))
        else:
            assert transcript.challenge(step["challenge"]) == int(step["hex"], 16)
            drawn += 1
    assert drawn


def test_proofs_of_closeness_and_their_documents() -> None:
    found = vectors("applicability")
    commitment = Commitment(found["suite"], bytes.fromhex(found["commitment_hex"]), len(found["vector"]))
    documents = {
        name: read_document(json_text.read(found[name]["payload"].encode()))
        for name in ("applicability", "well_formedness")
    }
    for name, document in documents.items():
        assert document.digest == found[name]["digest"]
    statement = Closeness(
        commitment, found["embedding"], found["record"].encode(), tuple(found["query"]), found["tau"]
    )  # fmt: skip
    equations = [
        hit_equation(statement, documents["applicability"].proof),
        form_equation(commitment, documents["well_formedness"].proof),
    ]
    assert find_invalid(equations, SlowCurve(), load_ceremony()) == frozenset()
    missed = hit_equation(replace(statement, tau=found["tau"] - 1), documents["applicability"].proof)
    assert find_invalid([missed, equations[1]], SlowCurve(), load_ceremony()) == {0}


def test_pseudonyms() -> None:
    found = vectors("pseudonyms")
    for name in found["names"]:
        key = bytes.fromhex(name["key_hex"])
        tagged = fields("hitproof/pseudonym/v1", found["tenant"].encode())
        assert hmac_sha256(key, tagged)[:16].hex() == name["pseudonym"]


def test_receipts_their_signatures_and_leaves() -> None:
    found = vectors("receipts")
    public_key = bytes.fromhex(found["public_key_hex"])
    assert ed25519.key_id(public_key) == found["key_id"]
    assert digest_text(digest("hitproof/runtime/v1", json_text.write(found["runtime"]))) == found["runtime_digest"]
    for name, kind, read in (("receipt", 1, read_receipt), ("embedding", 7, read_embedding)):
        case = found[name]
        signed = read_envelope(json_text.read(_bytes(case["envelope"])))
        assert is_signed(signed, public_key)
        assert signed.payload == _bytes(case["payload"])
        statement: Any = read(signed)
        assert statement.statement == case["statement_digest"]
        key = bytes.fromhex(signed.key_id)
        made = leaves.make_leaf(
            kind, statement.issued_at_ms, key, signed.payload_type, signed.payload, signed.signature
        )
        assert made.hex() == case["leaf_hex"]


def test_leaves_that_the_log_asserts() -> None:
    found = vectors("leaves")
    log_key = bytes.fromhex(ed25519.key_id(bytes.fromhex(found["log_public_key_hex"])))
    kinds = set()
    for case in found["bodies"]:
        if case["envelope"] is None:
            payload = _bytes(case["payload"])
            body = records.read_body(json_text.read(payload))
            assert body.kind == case["kind"]
            assert leaves.make_leaf(body.kind, body.at_ms, log_key, LOG, payload, b"").hex() == case["leaf_hex"]
        else:
            signed = read_envelope(json_text.read(_bytes(case["envelope"])))
            at_ms = records.read_receipt_batch(signed)
            made = leaves.make_leaf(
                6, at_ms, bytes.fromhex(signed.key_id), signed.payload_type, signed.payload, signed.signature
            )
            assert made.hex() == case["leaf_hex"]
        kinds.add(case["kind"])
    assert kinds == set(range(2, 11))


def test_hit_records_and_status_lists() -> None:
    payload = _bytes(vectors("hits")["payload"])
    assert records.read_hit(json_text.read(payload)).data == payload
    found = vectors("status_list")
    assert records.read_status(_bytes(found["payload"])).digest == found["digest"]


def test_what_charges_cost() -> None:
    mechanisms = set()
    for case in vectors("ledger")["charges"]:
        name = case["charge"]["mechanism"]
        found = cost(Charge(name, tuple(case["charge"][key] for key in MECHANISMS[name])))
        assert {key: getattr(found, key) for key in case["cost"]} == case["cost"]
        mechanisms.add(name)
    assert mechanisms == set(MECHANISMS)


def test_spendings_releases_and_organisations() -> None:
    found = vectors("ledger")
    assert read_spending(json_text.read(_bytes(found["spending"]["payload"]))).digest == found["spending"]["digest"]
    assert read_release(json_text.read(_bytes(found["release"]["payload"]))).digest == found["release"]["digest"]
    named = found["organisation"]
    tagged = fields("hitproof/organisation-pseudonym/v1", named["organisation"].encode())
    assert hmac_sha256(bytes.fromhex(named["tenant_key_hex"]), tagged)[:16].hex() == named["pseudonym"]


def test_trust_files_until_they_expire() -> None:
    found = vectors("trust")
    expires_at_ms = found["expires_at_ms"]
    assert verify_trust(_bytes(found["file"]), expires_at_ms - 1).version == 3
    with pytest.raises(Refused) as refused:
        verify_trust(_bytes(found["file"]), expires_at_ms)
    assert refused.value.reason == "trust_expired"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8")
