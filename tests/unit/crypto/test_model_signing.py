from __future__ import annotations

import base64
import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crypto.errors import VerificationError
from crypto.manifest import SCHEMA, openssf_digest
from crypto.model_signing import MEDIA_TYPE, PREDICATE_TYPE, parse_model_signature, verify_publisher
from server.runner.demo.release import TOKENIZER_FILE, TOKENIZER_SHA256, WEIGHTS_FILE, WEIGHTS_SHA256

FOLDER = Path(__file__).parents[2] / "fixtures" / "model_signing"
REAL = (FOLDER / "demo_model.json").read_bytes()
PUBLISHER = (FOLDER / "publisher.pem").read_text()
DEMO = {TOKENIZER_FILE: TOKENIZER_SHA256, WEIGHTS_FILE: WEIGHTS_SHA256}
KEY = ec.derive_private_key(7, ec.SECP256R1())
FILES = {"a/one.bin": "11" * 32, "a-b.bin": "22" * 32, "config.json": "33" * 32}


def manifest(files: dict[str, str], **changes: Any) -> dict[str, Any]:
    resources: list[dict[str, Any]] = [
        {"name": name, "size_bytes": 1, "sha256": digest} for name, digest in sorted(files.items())
    ]
    rest = dict.fromkeys(("tokenizer", "chat_template", "config", "quantisation", "runtime", "numerics"))
    return {
        "schema": SCHEMA,
        "name": "model",
        "resources": resources,
        **rest,
        "weight_commitments": [],
        "openssf_digest": openssf_digest(resources),
    } | changes


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def statement(files: dict[str, str]) -> dict[str, Any]:
    """What model-signing writes for *files*."""
    listed = sorted(files, key=lambda name: name.split("/"))
    root = hashlib.sha256(b"".join(bytes.fromhex(files[name]) for name in listed)).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": root}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "resources": [{"algorithm": "sha256", "digest": files[name], "name": name} for name in listed],
            "serialization": {
                "hash_type": "sha256",
                "ignore_paths": [".git"],
                "method": "files",
                "allow_symlinks": False,
            },
        },
    }


def signed(value: Any, key: Any = KEY, **changes: Any) -> bytes:
    """A bundle around *value* (a statement, or bytes in its place), signed by *key*."""
    payload = value if isinstance(value, bytes) else json.dumps(value).encode()
    pae = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
    made = key.sign(pae) if isinstance(key, ed25519.Ed25519PrivateKey) else key.sign(pae, ec.ECDSA(hashes.SHA256()))
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": hashlib.sha256(pem(key).encode()).hexdigest()},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": base64.b64encode(made).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle | changes, indent=1).encode()


def refused(signature: bytes, over: dict[str, Any], match: str, public_key: str | None = None) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        verify_publisher(signature, over, public_key or pem(KEY))
    assert caught.value.reason == "publisher_invalid"


def test_a_signature_of_the_publishers_own_tool_is_accepted() -> None:
    found = verify_publisher(REAL, manifest(DEMO), PUBLISHER)
    assert found.digests == DEMO
    assert "sha256:" + found.subject_sha256 == openssf_digest(manifest(DEMO)["resources"])


def test_a_real_signature_under_another_key_is_refused() -> None:
    refused(REAL, manifest(DEMO), "another key")


def test_a_real_signature_with_any_flipped_byte_of_what_it_signs_is_refused() -> None:
    bundle = json.loads(REAL)
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    for place in range(0, len(payload), 37):
        changed = bytearray(payload)
        changed[place] ^= 1
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(changed).decode()
        refused(json.dumps(bundle).encode(), manifest(DEMO), ".", PUBLISHER)


@pytest.mark.parametrize("key", [KEY, ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))], ids=["p256", "ed25519"])
def test_both_kinds_of_keys_are_accepted(key: Any) -> None:
    assert verify_publisher(signed(statement(FILES), key), manifest(FILES), pem(key)).digests == FILES


def test_renamed_files_are_refused_though_the_root_digest_is_the_same() -> None:
    renamed = {"b/one.bin": FILES["a/one.bin"], "b-b.bin": FILES["a-b.bin"], "config.json": FILES["config.json"]}
    renamed_manifest = manifest(renamed)
    assert renamed_manifest["openssf_digest"] == manifest(FILES)["openssf_digest"]
    refused(signed(statement(FILES)), renamed_manifest, "other files")


def test_swapped_files_are_refused() -> None:
    swapped = FILES | {"a/one.bin": FILES["a-b.bin"], "a-b.bin": FILES["a/one.bin"]}
    refused(signed(statement(FILES)), manifest(swapped), "other files")


def test_a_listing_in_another_order_is_refused() -> None:
    value = statement(FILES)
    resources = value["predicate"]["resources"]
    resources[0], resources[1] = resources[1], resources[0]
    root = hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources)).hexdigest()
    value["subject"][0]["digest"]["sha256"] = root
    refused(signed(value), manifest(FILES), "order")


def test_a_changed_a_missing_and_an_additional_file_are_refused() -> None:
    for files in (
        FILES | {"config.json": "44" * 32},
        {name: FILES[name] for name in list(FILES)[:2]},
        FILES | {"more.bin": "44" * 32},
    ):
        refused(signed(statement(files)), manifest(FILES), "other files")


def test_a_subject_digest_that_is_not_that_of_the_files_is_refused() -> None:
    value = statement(FILES)
    value["subject"][0]["digest"]["sha256"] = "00" * 32
    refused(signed(value), manifest(FILES), "subject")


def test_a_manifest_that_refers_to_another_signature_is_refused() -> None:
    refused(signed(statement(FILES)), manifest(FILES, openssf_digest="sha256:" + "00" * 32), "another model signature")


def test_a_manifest_that_refers_to_no_signature_is_accepted() -> None:
    assert verify_publisher(signed(statement(FILES)), manifest(FILES, openssf_digest=None), pem(KEY)).digests == FILES


def test_a_signature_of_another_key_is_refused_whatever_its_hint_says() -> None:
    other = ec.derive_private_key(8, ec.SECP256R1())
    for material in ({"publicKey": {"hint": ""}}, {"publicKey": {}}, {"publicKey": {"hint": hint_of(KEY)}}):
        bundle = signed(statement(FILES), other, verificationMaterial=material)
        refused(bundle, manifest(FILES), "is not the publisher's")


def hint_of(key: Any) -> str:
    return hashlib.sha256(pem(key).encode()).hexdigest()


def test_a_key_of_another_kind_is_refused() -> None:
    other = ec.derive_private_key(8, ec.SECP384R1())
    refused(signed(statement(FILES), other), manifest(FILES), "neither P-256 nor Ed25519", pem(other))
    for text in ("", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "x" * 2_000):
        refused(signed(statement(FILES)), manifest(FILES), "key", text or " ")


def test_null_in_any_place_is_refused() -> None:
    bundle, value = json.loads(signed(statement(FILES))), statement(FILES)
    for whole, wrap in ((bundle, lambda changed: json.dumps(changed).encode()), (value, signed)):
        for path in paths(whole):
            changed = copy.deepcopy(whole)
            here = changed
            for key in path[:-1]:
                here = here[key]
            here[path[-1]] = None
            refused(wrap(changed), manifest(FILES), ".")


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place below *value*."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in ((*path, key), *paths(item, (*path, key)))]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "shards"),
        ("hash_type", "blake2b"),
        ("allow_symlinks", "no"),
        ("ignore_paths", ".git"),
        ("shard_size", 1_000),
    ],
)
def test_another_serialization_is_refused(key: str, value: Any) -> None:
    claim = statement(FILES)
    claim["predicate"]["serialization"][key] = value
    refused(signed(claim), manifest(FILES), "serialization|SHA-256")


def test_a_name_listed_twice_is_refused() -> None:
    value = statement(FILES)
    value["predicate"]["resources"].append(value["predicate"]["resources"][0])
    refused(signed(value), manifest(FILES), "twice")


@pytest.mark.parametrize("algorithm", ["sha512", "SHA256", ""])
def test_another_algorithm_is_refused(algorithm: str) -> None:
    value = statement(FILES)
    value["predicate"]["resources"][0]["algorithm"] = algorithm
    refused(signed(value), manifest(FILES), "under SHA-256")


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"\xff", b'{"mediaType": 1, "mediaType": 1}', b"[" * 100, signed(b"[]"), signed(b"{")],
)
def test_what_is_no_model_signature_is_refused(data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_model_signature(data)
    assert caught.value.reason == "publisher_invalid"


def test_other_types_of_bundle_payload_and_predicate_are_refused() -> None:
    refused(signed(statement(FILES), mediaType=MEDIA_TYPE.replace("0.3", "0.2")), manifest(FILES), "media type")
    refused(signed(statement(FILES) | {"predicateType": "https://model_signing/Digests/v0.1"}), manifest(FILES), "form")
    refused(signed(statement(FILES) | {"_type": "https://in-toto.io/Statement/v0.1"}), manifest(FILES), "form")
    bundle = json.loads(signed(statement(FILES)))
    bundle["dsseEnvelope"]["payloadType"] = "application/json"
    refused(json.dumps(bundle).encode(), manifest(FILES), "payload")


def test_a_signature_under_a_certificate_or_in_a_public_log_is_refused() -> None:
    for material in (
        {"publicKey": {"hint": hint_of(KEY)}, "tlogEntries": [{"logIndex": "1"}]},
        {"certificate": {"rawBytes": "AA=="}, "tlogEntries": []},
    ):
        refused(signed(statement(FILES), verificationMaterial=material), manifest(FILES), "log|fields")


def test_two_signatures_or_none_are_refused() -> None:
    bundle = json.loads(signed(statement(FILES)))
    one = bundle["dsseEnvelope"]["signatures"]
    for signatures in ([], one * 2):
        bundle["dsseEnvelope"]["signatures"] = signatures
        refused(json.dumps(bundle).encode(), manifest(FILES), "exactly one")


def test_more_bytes_than_any_signature_has_are_not_read() -> None:
    with pytest.raises(VerificationError, match="at most"):
        parse_model_signature(b" " * (2 * 2**20 + 1))
