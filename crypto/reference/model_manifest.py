"""Checks the form of a model manifest, whose digest is the model version."""

from __future__ import annotations

from . import json_text, shape
from .errors import NotInForm
from .hashing import digest_text, sha256
from .json_text import Json

REQUIRED = (
    "schema", "name", "resources", "tokenizer", "chat_template", "config", "quantisation", "runtime", "numerics",
    "weight_commitments", "openssf_digest",
)  # fmt: skip
MANIFEST_BYTES_MAX = 2**20
RESOURCES_MAX = 4_096
SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._+@-]*"


def model_version(manifest: dict[str, Json]) -> str:
    """The version that a manifest stands for; raises NotInForm for one out of form."""
    _check(manifest)
    written = json_text.write(manifest)
    if len(written) > MANIFEST_BYTES_MAX:
        raise NotInForm("a manifest of more than 2^20 bytes")
    return digest_text(sha256(b"hitproof/model/v1\x00" + written))


def _check(value: dict[str, Json]) -> None:
    has_description = "description" in value
    found = shape.closed(value, *REQUIRED, *(("description",) if has_description else ()))
    shape.one_of(found["schema"], "hitproof/model-manifest/v1")
    _check_filled(found["name"], 200)
    if has_description:
        _check_filled(found["description"], 2_000)
    names = [_resource_name(item) for item in shape.items(found["resources"], RESOURCES_MAX)]
    if not names:
        raise NotInForm("a model without files")
    shape.check_ascending(names)
    for key in ("tokenizer", "chat_template", "config", "quantisation", "runtime"):
        if not isinstance(found[key], dict | str | None):
            raise NotInForm(f"{key} is an object, a text or null")
    if not isinstance(found["numerics"], dict | None):
        raise NotInForm("numerics are an object or null")
    for item in shape.items(found["weight_commitments"], 64):
        if not isinstance(item, dict | str):
            raise NotInForm("a weight commitment is an object or a text")
    if found["openssf_digest"] is not None:
        _check_filled(found["openssf_digest"], 200)


def _resource_name(value: Json) -> str:
    found = shape.closed(value, "name", "size_bytes", "sha256")
    shape.integer(found["size_bytes"])
    shape.unhex(found["sha256"], 32)
    return shape.text(shape.matching(found["name"], f"{SEGMENT}(?:/{SEGMENT})*"), 200)


def _check_filled(value: Json, characters_max: int) -> None:
    if not shape.text(value, characters_max):
        raise NotInForm("an empty text")
