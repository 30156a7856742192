"""The manifest of an integer model: everything that decides its answers, as strings and integers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from ..manifest import openssf_digest
from . import sampling, tokenizer
from .shape import FIELD_PRIME, NUMERICS_KIND, ModelShape
from .tables import Tables
from .template import ChatTemplate

RUNTIME_KIND: Final = "hitproof-integer"
RUNTIME_VERSION: Final = "1"

_SIZES: Final = ("width", "hidden", "layers", "heads", "context", "vocabulary")


def build_manifest(
    name: str,
    description: str,
    *,
    resources: Mapping[str, bytes],
    tokenizer_file: str,
    template: ChatTemplate,
    shape: ModelShape,
    tables: Tables,
) -> dict[str, Any]:
    """Return the `hitproof/model-manifest/v1` object; *resources* are all files by name, with their bytes."""
    integers = shape.as_manifest()
    files: list[dict[str, Any]] = [
        {"name": file, "size_bytes": len(resources[file]), "sha256": _sha256(resources[file])}
        for file in sorted(resources)
    ]
    return {
        "schema": "hitproof/model-manifest/v1",
        "name": name,
        "description": description,
        "resources": files,
        "tokenizer": {
            "kind": tokenizer.TOKENIZER_KIND,
            "sha256": _sha256(resources[tokenizer_file]),
            "first_byte_token": tokenizer.FIRST_BYTE,
            "decoding": "UTF-8; bytes that form no character are left out",
        },
        "chat_template": {**template.as_manifest(), "sha256": _sha256(template.to_bytes())},
        "config": {size: integers.pop(size) for size in _SIZES},
        "quantisation": "int8",
        "runtime": {
            "kind": RUNTIME_KIND,
            "version": RUNTIME_VERSION,
            "flags": {"exact": True, "float32_products": "highest"},
        },
        "numerics": {
            "kind": NUMERICS_KIND,
            **integers,
            "field_prime": FIELD_PRIME,
            "rounding": "add half, then floor",
            "tie": "lowest id",
            "tables": dict(sorted(tables.digests().items())),
            "sampler": {
                "id": sampling.SAMPLER_ID,
                "tokens_max": sampling.SAMPLED_TOKENS_MAX,
                "temperature_units_per_one": sampling.TEMPERATURE_UNIT,
                "top_p_units_per_one": sampling.SHARE_UNIT,
            },
        },
        "weight_commitments": [],
        "openssf_digest": openssf_digest(files),
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
