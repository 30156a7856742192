"""Model manifests, and the model version that is their digest.

A manifest names everything that decides what a model answers: files, tokenizer, template, configuration, runtime and
numerics. Whoever holds the files can rebuild it, and its digest is the one name a model has in receipts.

    >>> model_version(manifest)
    'sha256:…'

Evolution rule: the keys of `hitproof/model-manifest/v1` are closed. A new key, or a new meaning of an old one, is
`hitproof/model-manifest/v2` under a new digest domain; v1 manifests keep their digests for ever.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeGuard

from .canonical import CanonicalValue, canonical_json, digest_fields
from .errors import EncodingError

SCHEMA: Final = "hitproof/model-manifest/v1"
RESOURCES_MAX: Final = 4_096
NAME_LENGTH_MAX: Final = 200
DESCRIPTION_LENGTH_MAX: Final = 2_000
WEIGHT_COMMITMENTS_MAX: Final = 64
MANIFEST_BYTES_MAX: Final = 2**20

_DIGEST_PREFIX: Final = b"hitproof/model/v1\0"
_DECLARED_DOMAIN: Final = "hitproof/declared-model/v1"
_REQUIRED: Final = frozenset(
    {
        "schema",
        "name",
        "resources",
        "tokenizer",
        "chat_template",
        "config",
        "quantisation",
        "runtime",
        "numerics",
        "weight_commitments",
        "openssf_digest",
    }
)
_OPTIONAL: Final = frozenset({"description"})
_RESOURCE_KEYS: Final = frozenset({"name", "size_bytes", "sha256"})
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@-]*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MODEL_VERSION: Final = re.compile(r"sha256:[0-9a-f]{64}")


def validate_manifest(value: object) -> None:
    """Check that *value* is a v1 manifest in its only accepted form.

    Raises `EncodingError` naming the field for a missing or unknown key, unsorted or repeated resources, a name that
    could leave its folder, a float anywhere, or a manifest above `MANIFEST_BYTES_MAX`.
    """
    if not isinstance(value, Mapping):
        raise EncodingError("the model manifest is not an object")
    _refuse_keys(value, "the model manifest", _REQUIRED, _OPTIONAL)
    if value["schema"] != SCHEMA:
        raise EncodingError(f"the model manifest's schema is not {SCHEMA!r}")
    _text(value["name"], "name", NAME_LENGTH_MAX)
    if "description" in value:
        _text(value["description"], "description", DESCRIPTION_LENGTH_MAX)
    _validate_resources(value["resources"])
    for key in ("tokenizer", "chat_template", "config", "quantisation", "runtime"):
        if not (value[key] is None or isinstance(value[key], str | Mapping)):
            raise EncodingError(f"the model manifest's {key} is neither an object, a string nor null")
    if not (value["numerics"] is None or isinstance(value["numerics"], Mapping)):
        raise EncodingError("the model manifest's numerics is neither an object nor null")
    _validate_commitments(value["weight_commitments"])
    if value["openssf_digest"] is not None:
        _text(value["openssf_digest"], "openssf_digest", NAME_LENGTH_MAX)
    if len(canonical_json(value)) > MANIFEST_BYTES_MAX:
        raise EncodingError(f"the model manifest is longer than {MANIFEST_BYTES_MAX} bytes in canonical form")


def model_version(manifest: Mapping[str, CanonicalValue]) -> str:
    """Return `sha256:…`, the digest of *manifest* in canonical form; raises `EncodingError` as `validate_manifest`."""
    validate_manifest(manifest)
    return "sha256:" + hashlib.sha256(_DIGEST_PREFIX + canonical_json(manifest)).hexdigest()


def declared_model_version(upstream: str, base_url: str, requested: str) -> str:
    """Return `sha256:…` for a model nobody here loaded: digest of the upstream's name, its address and *requested*.

    It names what was asked for, not what answered; grade `declared` is all it can carry.
    """
    fields = (upstream.encode(), base_url.encode(), requested.encode())
    return "sha256:" + digest_fields(_DECLARED_DOMAIN, *fields).hex()


def openssf_digest(resources: Sequence[Mapping[str, CanonicalValue]]) -> str:
    """Return `sha256:…`, the root that an OpenSSF model signature over exactly *resources* has for its subject.

    SHA-256 over the files' raw digests, ordered by the segments of their names. It binds neither names nor sizes, so it
    only refers to a signature and never stands for the model. Source: model-signing 1.1.1, method `files`.
    """
    ordered = sorted(resources, key=lambda resource: str(resource["name"]).split("/"))
    root = hashlib.sha256(b"".join(bytes.fromhex(str(resource["sha256"])) for resource in ordered))
    return "sha256:" + root.hexdigest()


def is_model_version(value: object) -> TypeGuard[str]:
    """Say whether *value* has the form of a model version: `sha256:` and 64 lower-case hexadecimal digits."""
    return isinstance(value, str) and _MODEL_VERSION.fullmatch(value) is not None


def is_resource_name(name: str) -> bool:
    """Say whether *name* is a relative path of plain segments, none hidden and none leading upwards."""
    return 0 < len(name) <= NAME_LENGTH_MAX and all(_SEGMENT.fullmatch(segment) for segment in name.split("/"))


def _refuse_keys(
    value: Mapping[object, object], where: str, required: frozenset[str], optional: frozenset[str]
) -> None:
    missing = sorted(required - set(value))
    if missing:
        raise EncodingError(f"{where} lacks {', '.join(missing)}")
    unknown = sorted(str(key)[:64] for key in set(value) - required - optional)
    if unknown:
        raise EncodingError(f"{where} has unknown keys: {', '.join(unknown[:8])}")


def _text(value: object, key: str, length_max: int) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= length_max:
        raise EncodingError(f"the model manifest's {key} is not a text of 1 to {length_max} characters")


def _validate_resources(resources: object) -> None:
    if not isinstance(resources, list | tuple) or not 0 < len(resources) <= RESOURCES_MAX:
        raise EncodingError(f"the model manifest's resources are not a list of 1 to {RESOURCES_MAX} files")
    previous = ""
    for resource in resources:
        if not isinstance(resource, Mapping):
            raise EncodingError("a resource of the model manifest is not an object")
        _refuse_keys(resource, "a resource of the model manifest", _RESOURCE_KEYS, frozenset())
        name, size_bytes, digest = resource["name"], resource["size_bytes"], resource["sha256"]
        if not isinstance(name, str) or not is_resource_name(name):
            raise EncodingError(f"the resource name {str(name)[:64]!r} is not a safe relative path")
        if name <= previous:
            raise EncodingError(f"the resource {name!r} is out of order or stands twice; sort resources by name")
        if isinstance(size_bytes, bool) or not isinstance(size_bytes, int) or size_bytes < 0:
            raise EncodingError(f"the size_bytes of {name!r} is not a whole number of bytes")
        if not isinstance(digest, str) or _SHA256.fullmatch(digest) is None:
            raise EncodingError(f"the sha256 of {name!r} is not 64 lower-case hexadecimal digits")
        previous = name


def _validate_commitments(commitments: object) -> None:
    if not isinstance(commitments, list | tuple) or len(commitments) > WEIGHT_COMMITMENTS_MAX:
        raise EncodingError(f"weight_commitments is not a list of at most {WEIGHT_COMMITMENTS_MAX} commitments")
    if not all(isinstance(commitment, str | Mapping) for commitment in commitments):
        raise EncodingError("a weight commitment is neither an object nor a string")
