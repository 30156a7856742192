"""The manifest of a Hugging Face model folder: everything that decides its answers, in a form without floats."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from crypto.manifest import SCHEMA, openssf_digest, validate_manifest
from server.ports import JsonObject
from server.runner.errors import ModelFolderError
from server.runner.manifest_files import ModelFile

_CONFIG: Final = "config.json"
_TOKENIZER_PREFIXES: Final = ("tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "spiece")


def build_manifest(
    name: str,
    files: Sequence[ModelFile],
    *,
    config: Any,
    template: object,
    tokenizer_kind: str,
    runtime: JsonObject,
    plain_template: str,
) -> JsonObject:
    """Return the manifest of *files* as loaded; *template* is the tokenizer's own or None for *plain_template*.

    Floats of config.json are bound by the file's digest; numerics is null, because float arithmetic is not exact.
    """
    digests = {file.name: file.sha256 for file in files}
    if _CONFIG not in digests:
        raise ModelFolderError("the model folder has no config.json")
    resources = [file.as_resource() for file in files]
    manifest: JsonObject = {
        "schema": SCHEMA,
        "name": name,
        "resources": resources,
        "tokenizer": {
            "kind": tokenizer_kind,
            "files": [file.name for file in files if file.name.startswith(_TOKENIZER_PREFIXES)],
        },
        "chat_template": _template(template, plain_template),
        "config": {
            "sha256": digests[_CONFIG],
            "model_type": str(config.model_type),
            "architectures": [str(kind) for kind in config.architectures or ()],
        },
        "quantisation": _quantisation(getattr(config, "quantization_config", None)),
        "runtime": runtime,
        "numerics": None,
        "weight_commitments": [],
        "openssf_digest": openssf_digest(resources),
    }
    validate_manifest(manifest)
    return manifest


def _template(template: object, plain_template: str) -> JsonObject:
    if template is None:
        return {"source": plain_template, "sha256": None}
    if not isinstance(template, str):
        raise ModelFolderError("the model has several chat templates; leave one in its tokenizer_config.json")
    return {"source": "model", "sha256": hashlib.sha256(template.encode()).hexdigest()}


def _quantisation(config: object) -> JsonObject:
    method = config.get("quant_method") if isinstance(config, dict) else getattr(config, "quant_method", None)
    return {"method": None if method is None else str(method)}
