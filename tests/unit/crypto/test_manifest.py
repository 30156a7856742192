from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest

from crypto.canonical import canonical_json
from crypto.errors import EncodingError
from crypto.manifest import declared_model_version, is_model_version, model_version, openssf_digest, validate_manifest

MANIFEST: dict[str, Any] = {
    "schema": "hitproof/model-manifest/v1",
    "name": "small",
    "resources": [
        {"name": "config.json", "size_bytes": 2, "sha256": "11" * 32},
        {"name": "parts/weights.safetensors", "size_bytes": 0, "sha256": "22" * 32},
    ],
    "tokenizer": {"kind": "bytes"},
    "chat_template": None,
    "config": {"layers": 2},
    "quantisation": "int8",
    "runtime": {"engine": "x"},
    "numerics": {"shift": 7},
    "weight_commitments": ["aa"],
    "openssf_digest": None,
}


def changed(**values: Any) -> dict[str, Any]:
    return copy.deepcopy(MANIFEST) | values


def test_the_model_version_is_the_digest_of_the_canonical_manifest_under_its_domain() -> None:
    expected = hashlib.sha256(b"hitproof/model/v1\0" + canonical_json(MANIFEST)).hexdigest()
    assert model_version(MANIFEST) == "sha256:" + expected


def test_the_model_version_of_a_known_manifest_never_changes() -> None:
    assert model_version(MANIFEST) == "sha256:50f586688913a78c959b6ff80dba3ec222e89fd7db7bc06a45effacf9909d0be"


#: What model-signing 1.1.1 gave for a folder with these files, with its default configuration (method "files").
SIGNED = {"a-b/x.json": b"two", "B/y.txt": b"three", "a/x.json": b"one", "model.safetensors": b"w"}
SIGNED_ROOT = "sha256:d77cadce7d65cca1367ec938773685c89fda446bd334d16f14d65dd9e6206137"


def test_the_openssf_digest_is_the_root_that_model_signing_computes() -> None:
    resources = [
        {"name": name, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(SIGNED.items())
    ]
    assert openssf_digest(resources) == SIGNED_ROOT
    assert openssf_digest(resources[::-1]) == SIGNED_ROOT


def test_the_order_of_keys_does_not_matter() -> None:
    assert model_version(dict(reversed(MANIFEST.items()))) == model_version(MANIFEST)


@pytest.mark.parametrize("key", sorted(MANIFEST))
def test_a_missing_key_is_refused(key: str) -> None:
    with pytest.raises(EncodingError, match=key):
        validate_manifest({name: value for name, value in MANIFEST.items() if name != key})


def test_a_description_is_optional_and_changes_the_version() -> None:
    assert model_version(changed(description="a demo")) != model_version(MANIFEST)


CHANGES = [
    {"name": "large"},
    {"tokenizer": {"kind": "words"}},
    {"chat_template": {"source": "x"}},
    {"config": {"layers": 3}},
    {"quantisation": "int4"},
    {"runtime": {"engine": "y"}},
    {"numerics": None},
    {"weight_commitments": []},
    {"openssf_digest": "33" * 32},
    {"resources": [{"name": "config.json", "size_bytes": 2, "sha256": "12" * 32}]},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_every_field_is_bound_by_the_version(change: dict[str, Any]) -> None:
    assert model_version(changed(**change)) != model_version(MANIFEST)


def resource(**values: Any) -> dict[str, Any]:
    return changed(resources=[{"name": "a", "size_bytes": 1, "sha256": "11" * 32} | values])


UNSAFE_NAMES = [
    "", "/etc/passwd", "..", "../a", "a/../b", "a//b", "a/", "./a", ".hidden", "a\\b", "C:a", "a\0b", "a\nb", "ä", "-rf",
    "a/.git/b", "x" * 201,
]  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_a_resource_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(EncodingError, match="safe relative path"):
        validate_manifest(resource(name=name))


REFUSED = {
    "not an object": [],
    "null": None,
    "unknown key": changed(extra=1),
    "other schema": changed(schema="hitproof/model-manifest/v2"),
    "empty name": changed(name=""),
    "name not text": changed(name=7),
    "empty description": changed(description=""),
    "no resources": changed(resources=[]),
    "resources as object": changed(resources={}),
    "resource as text": changed(resources=["a"]),
    "unknown resource key": resource(mode=7),
    "negative size": resource(size_bytes=-1),
    "size as float": resource(size_bytes=1.0),
    "size as bool": resource(size_bytes=True),
    "upper-case digest": resource(sha256="AA" * 32),
    "short digest": resource(sha256="11"),
    "digest with line end": resource(sha256="11" * 32 + "\n"),
    "float in config": changed(config={"rate": 0.5}),
    "float deep inside": changed(numerics={"a": [{"b": 0.5}]}),
    "numerics as text": changed(numerics="exact"),
    "tokenizer as list": changed(tokenizer=[]),
    "commitments as object": changed(weight_commitments={}),
    "commitment as number": changed(weight_commitments=[7]),
    "too many commitments": changed(weight_commitments=["a"] * 65),
    "openssf as number": changed(openssf_digest=1),
    "lone surrogate": changed(description="\ud800"),
    "too large": changed(description="a", config={"text": "x" * 2**20}),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_a_manifest_is_refused(value: object) -> None:
    with pytest.raises(EncodingError):
        validate_manifest(value)


@pytest.mark.parametrize("names", [("b", "a"), ("a", "a")])
def test_resources_out_of_order_or_twice_are_refused(names: tuple[str, str]) -> None:
    files = [{"name": name, "size_bytes": 1, "sha256": "11" * 32} for name in names]
    with pytest.raises(EncodingError, match="out of order or stands twice"):
        validate_manifest(changed(resources=files))


def test_a_declared_version_depends_on_each_part_and_not_on_where_one_ends() -> None:
    versions = {
        declared_model_version("a", "https://b", "c"),
        declared_model_version("ah", "ttps://b", "c"),
        declared_model_version("a", "https://bc", ""),
        declared_model_version("a", "https://b", "d"),
    }
    assert len(versions) == 4
    assert all(is_model_version(version) for version in versions)


@pytest.mark.parametrize("value", [None, 7, "", "sha256:", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "a" * 64 + "\n"])
def test_other_things_are_not_model_versions(value: object) -> None:
    assert not is_model_version(value)
