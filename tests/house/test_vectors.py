"""The published test vectors: the product still makes them, and a reader written from docs/formats.md agrees."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from crypto.applicability.documents import read_document
from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import find_suite
from crypto.applicability.verifier import load_verifier
from crypto.canonical import parse_json
from crypto.errors import EncodingError
from tenants.api_keys import parse_api_key
from tenants.errors import AuthenticationError
from tests import vector_reader as reader
from tests.vector_maker import FOLDER, MAKERS

IN_TOTO = "application/vnd.in-toto+json"


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_the_product_still_makes_the_published_vectors(name: str) -> None:
    made = json.loads(json.dumps(MAKERS[name]()))
    assert made == load(name), f"the format behind {name}.json changed: that is a new version, not a new vector"


def test_no_vector_file_is_without_its_maker() -> None:
    assert {path.stem for path in Path(FOLDER).glob("*.json")} == set(MAKERS)


def test_canonical_json_is_read_alike() -> None:
    for case in load("canonical_json")["cases"]:
        assert reader.canonical(json.loads(case["json"])).hex() == case["bytes_hex"], case["name"]


def test_texts_that_two_parsers_could_read_differently_are_refused() -> None:
    for case in load("canonical_json")["refused"]:
        with pytest.raises(EncodingError):
            parse_json(bytes.fromhex(case["bytes_hex"]))


def test_fields_and_values_are_encoded_alike() -> None:
    for case in load("encode_fields")["cases"]:
        parts = [bytes.fromhex(field) for field in case["fields_hex"]]
        assert reader.fields(case["domain"], *parts).hex() == case["bytes_hex"]
    for case in load("encode_value")["cases"]:
        assert reader.value_bytes(json.loads(case["json"])).hex() == case["bytes_hex"], case["json"]


def test_a_request_has_the_same_identity() -> None:
    vector = load("identity")
    fingerprint, exact_key = reader.identity(vector)
    assert (fingerprint.hex(), exact_key.hex()) == (vector["fingerprint_hex"], vector["exact_key_hex"])
    data_key = bytes.fromhex(vector["data_key_hex"])
    assert reader.tenant_key(data_key, "lookup", vector["tenant"]).hex() == vector["lookup_key_hex"]
    assert reader.tenant_key(data_key, "upstream-salt", vector["tenant"]).hex() == vector["upstream_salt"]


def test_model_versions_are_the_same() -> None:
    vector = load("model_version")
    found = hashlib.sha256(b"hitproof/model/v1\0" + reader.canonical(vector["manifest"])).hexdigest()
    assert "sha256:" + found == vector["model_version"]
    declared = vector["declared"]
    parts = [declared[name].encode() for name in ("upstream", "base_url", "requested")]
    assert "sha256:" + reader.digest("hitproof/declared-model/v1", *parts).hex() == declared["model_version"]


def test_vectors_are_quantised_and_compared_alike() -> None:
    vector = load("similarity")
    for case in vector["quantised"]:
        value = struct.unpack(">f", bytes.fromhex(case["float32_hex"]))[0]
        assert reader.component(value) == case["component"]
    for case in vector["thresholds"]:
        assert reader.tau(case["cosine_ten_thousandths"], case["query_norm_squared"]) == case["tau"]


def test_identifiers_and_keys_are_written_alike() -> None:
    for case in load("identifiers")["entries"]:
        assert reader.entry_text(int(case["number"])) == case["text"]
    vector = load("api_keys")
    assert reader.key_checksum(vector["api_key"][:-6]) == vector["checksum"]
    message = reader.fields("hitproof/api-key-mac/v1", vector["api_key"].encode())
    assert reader.hmac.digest(bytes.fromhex(vector["pepper_hex"]), message, "sha256").hex() == vector["mac_hex"]
    with pytest.raises(AuthenticationError):
        parse_api_key(vector["checksum_is_wrong"])


def test_sealed_values_and_wrapped_keys_open_alike() -> None:
    vector = load("sealing")
    sealed = bytes.fromhex(vector["sealed"]["sealed_hex"])
    assert reader.unseal(vector["sealed"], sealed).hex() == vector["sealed"]["plaintext_hex"]
    assert reader.salt_of(vector["sealed"]) == sealed[5:37]
    with pytest.raises(ValueError, match="commitment"):
        reader.unseal({**vector["sealed"], "tenant": "ten_other"}, sealed)
    assert reader.unwrap(vector["wrapped"]).hex() == vector["wrapped"]["data_key_hex"]
    assert reader.key_id(bytes.fromhex(vector["wrapped"]["key_encryption_key_hex"])) == vector["wrapped"]["key_id"]


def test_any_two_of_the_shares_make_the_key() -> None:
    vector = load("key_shares")
    for pair in (vector["shares"][:2], vector["shares"][1:], vector["shares"][::2]):
        assert reader.combine(pair).hex() == vector["key_encryption_key_hex"]


def test_policies_audit_rows_and_weights_are_read_alike() -> None:
    policy = load("policy")
    document = policy["document"].encode()
    assert reader.canonical(json.loads(document)) == document
    assert "sha256:" + reader.digest("hitproof/policy/v1", document).hex() == policy["digest"]
    previous = bytes(32)
    for row in load("audit")["rows"]:
        assert bytes.fromhex(row["previous_hash_hex"]) == previous
        previous = reader.audit_hash(row)
        assert previous.hex() == row["hash_hex"]
    weights = load("weights")
    assert reader.read_weights(bytes.fromhex(weights["file_hex"])) == weights["tensors"]


def test_commitments_and_salts_are_made_alike() -> None:
    vector = load("commitments")
    for case in vector["stated"]:
        assert reader.canonical(reader.stated(json.loads(case["json"]))).decode() == case["stated"]
    for case in vector["commitments"]:
        value = reader.opened_bytes(case["kind"], case["value"])
        found = reader.commitment(case["kind"], bytes.fromhex(case["salt_hex"]), value)
        assert found.hex() == case["commitment_hex"], case["kind"]
    salts = vector["hit_salts"]
    for kind in ("query", "query_vector"):
        found = reader.hit_salt(bytes.fromhex(salts["tenant_key_hex"]), salts["hit"], kind)
        assert found.hex() == salts[f"{kind}_hex"]


def test_pseudonyms_are_made_alike() -> None:
    vector = load("pseudonyms")
    for case in vector["names"]:
        assert case["epoch"] == case["at_ms"] // (30 * 86_400_000)
        key = reader.pseudonym_key(bytes.fromhex(vector["tenant_key_hex"]), case["epoch"])
        assert (key.hex(), reader.pseudonym(key, vector["tenant"])) == (case["key_hex"], case["pseudonym"])


def test_receipts_and_embedding_statements_are_read_alike() -> None:
    vector = load("receipts")
    public_key = bytes.fromhex(vector["public_key_hex"])
    runtime = reader.digest("hitproof/runtime/v1", reader.canonical(vector["runtime"]))
    assert "sha256:" + runtime.hex() == vector["runtime_digest"]
    for kind, name in ((1, "receipt"), (7, "embedding")):
        case = vector[name]
        payload, (signature,) = reader.open_envelope(case["envelope"], IN_TOTO, [public_key])
        statement = json.loads(payload)
        assert reader.canonical(statement) == payload == case["payload"].encode()
        assert statement["predicate"]["signer"] == vector["key_id"] == reader.key_identifier(public_key)
        assert "sha256:" + hashlib.sha256(payload).hexdigest() == case["statement_digest"]
        assert reader.leaf(kind, case["time_ms"], public_key, IN_TOTO, payload, signature).hex() == case["leaf_hex"]
    assert vector["receipt"]["receipt_id"] == "rcp_" + vector["receipt"]["statement_digest"][7:39]


def test_bodies_hits_and_status_lists_are_read_alike() -> None:
    vector = load("leaves")
    log_key, runner_key = (bytes.fromhex(vector[f"{name}_public_key_hex"]) for name in ("log", "runner"))
    for case in vector["bodies"]:
        payload = case["payload"].encode()
        assert reader.canonical(json.loads(payload)) == payload
        said = (log_key, "application/vnd.hitproof.log+json", payload, b"")
        if case["envelope"] is not None:
            payload_type = "application/vnd.hitproof.receipt-batch+json"
            found, (signature,) = reader.open_envelope(case["envelope"], payload_type, [runner_key])
            assert found == payload
            said = (runner_key, payload_type, payload, signature)
        made = reader.leaf(case["kind"], json.loads(payload)["at_ms"], *said)
        assert made.hex() == case["leaf_hex"], case["name"]
    hit = load("hits")["payload"].encode()
    assert reader.canonical(json.loads(hit)) == hit
    status = load("status_list")
    assert "sha256:" + reader.digest("hitproof/status-list/v1", status["payload"].encode()).hex() == status["digest"]


def test_a_trust_file_is_read_alike() -> None:
    vector = load("trust")
    trust = json.loads(vector["payload"])
    roots = [bytes.fromhex(key) for key in trust["root"]["keys"]]
    payload, signatures = reader.open_envelope(vector["file"], "application/vnd.hitproof.trust+json", roots)
    assert payload == vector["payload"].encode() == reader.canonical(trust)
    assert len(signatures) == 3 >= trust["root"]["threshold"]
    assert reader.read_vkey(trust["log"]["vkey"])[:2] == (trust["log"]["origin"], 1)
    assert {reader.read_vkey(text)[1] for text in trust["witnesses"]["vkeys"]} == {4}


def test_charges_cost_alike() -> None:
    for case in load("ledger")["charges"]:
        assert reader.charge_cost(case["charge"]) == case["cost"], case["charge"]


def test_zcdp_means_the_least_epsilon_over_all_orders() -> None:
    for case in load("ledger")["conversions"]:
        rho, delta, found = case["rho_nano"] / 1e9, case["delta_atto"] / 1e18, case["epsilon_micro"] / 1e6
        near = math.sqrt(math.log(1 / delta) / rho)
        orders = [1 + near * 1.001**step for step in range(-8_000, 200)]
        least = min(
            rho * order + math.log(1 / (order * delta)) / (order - 1) + math.log1p(-1 / order) for order in orders
        )
        assert least * (1 - 1e-4) - 1e-6 <= found <= least * (1 + 1e-9) + 2e-6, case


def test_spendings_and_releases_are_read_alike() -> None:
    vector = load("ledger")
    named = vector["organisation"]
    key = bytes.fromhex(named["tenant_key_hex"])
    assert reader.organisation_pseudonym(key, named["organisation"]) == named["pseudonym"]
    for name in ("spending", "release"):
        payload = vector[name]["payload"].encode()
        assert reader.canonical(json.loads(payload)) == payload
        assert "sha256:" + reader.digest(f"hitproof/{name}/v1", payload).hex() == vector[name]["digest"]
    spending, release = (json.loads(vector[name]["payload"]) for name in ("spending", "release"))
    costs = [reader.charge_cost(charge) for charge in spending["charges"]]
    for sum_of in ("epsilon_micro", "rho_nano", "delta_atto"):
        assert spending[sum_of] == sum(cost[sum_of] for cost in costs)
    for tree, leaves in (("items", sorted), ("ledger", reader.by_organisation)):
        found = leaves([text.encode() for text in vector["release"]["items" if tree == "items" else "heads"]])
        assert release[tree] == {"count": len(found), "root": reader.merkle_root(found).hex()}


def test_transcripts_and_what_blinds_a_commitment_are_made_alike() -> None:
    vector = load("transcript")
    for case in vector["blinding"]:
        assert reader.domain_generator(case["suite"]).to_bytes(32, "big").hex() == case["generator_hex"]
        found = reader.blinding(case["suite"], bytes.fromhex(case["seed_hex"]))
        assert [scalar.hex() for scalar in found] == case["scalars_hex"]
    case = vector["transcript"]
    state = reader.transcript_start(case["label"], *(bytes.fromhex(field) for field in case["fields_hex"]))
    for step in case["steps"]:
        if "absorb" in step:
            state = reader.transcript_absorb(state, step["absorb"], bytes.fromhex(step["hex"]))
        else:
            drawn, state = reader.transcript_challenge(state, step["challenge"])
            assert drawn.hex() == step["hex"]


def test_applicability_proofs_and_their_documents_are_read_alike() -> None:
    vector = load("applicability")
    for name, mu in (("applicability", reader.applicability_mu), ("well_formedness", reader.well_formedness_mu)):
        case = vector[name]
        payload = case["payload"].encode()
        document = json.loads(payload)
        assert reader.canonical(document) == payload
        assert "sha256:" + reader.digest(document["schema"], payload).hex() == case["digest"]
        assert mu(vector, bytes.fromhex(document["proof"])).hex() == case["mu_hex"]
    products = (one * two for one, two in zip(vector["query"], vector["vector"], strict=True))
    assert sum(products) == vector["tau"]


def test_the_proofs_of_the_vectors_hold() -> None:
    vector = load("applicability")
    suite = find_suite(vector["suite"])
    assert suite is not None
    commitment, query = bytes.fromhex(vector["commitment_hex"]), tuple(vector["query"])
    hit, well_formed = (
        read_document(json.loads(vector[name]["payload"])).proof for name in ("applicability", "well_formedness")
    )
    record, length = vector["record"].encode(), len(query)
    statement = ApplicabilityStatement(suite, vector["embedding"], record, commitment, query, vector["tau"], length)
    verifier = load_verifier()
    verifier.verify_applicability(statement, hit)
    verifier.verify_well_formedness(WellFormednessStatement(suite, commitment), well_formed)


def test_what_a_hit_of_the_pool_matched_is_computed_alike() -> None:
    vector = load("pool_match")
    match, release = json.loads(vector["match"]), json.loads(vector["release"])
    assert reader.canonical(match) == vector["match"].encode()
    assert "sha256:" + hashlib.sha256(match["alias"].encode()).hexdigest() in match["item"]["aliases"]
    path = [bytes.fromhex(sibling) for sibling in match["path"]]
    root = reader.merkle_root_by_path(
        match["position"], release["items"]["count"], reader.canonical(match["item"]), path
    )
    assert root.hex() == release["items"]["root"]
    products = (one * two for one, two in zip(vector["query"], match["vector"], strict=True))
    assert sum(products) == vector["tau"]
