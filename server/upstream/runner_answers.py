"""What a runner says, read strictly: manifests, provenance, and signed statements as far as their shape goes.

Nothing here verifies a signature: who keeps a statement holds it against what it was asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import orjson

from crypto.errors import EncodingError
from crypto.manifest import is_model_version, model_version
from server.ports import JsonObject, Provenance, UpstreamModel
from server.runner.protocol import PROTOCOL, PROVENANCE_FIELD
from server.upstream.errors import UpstreamMalformed

STATEMENT_BYTES_MAX: Final = 512 * 1024
_TOKEN_IDS_MAX: Final = 2**20
_TOKEN_ID_MAX: Final = 2**31 - 1
_HEX_32_BYTES: Final = re.compile(r"[0-9a-f]{64}")
_ENVELOPE_KEYS: Final = frozenset({"payload", "payloadType", "signatures"})
_OPENINGS: Final = frozenset({"output", "prompt"})
_TOKEN_OPENINGS: Final = frozenset({"output_tokens", "prompt_tokens"})


@dataclass(frozen=True, slots=True)
class EmbeddingStatementAnswer:
    """A signed embedding statement as it came: a DSSE envelope as JSON, not yet verified, and what opens it.

    *commitment_seed* is None from a runner that commits to nothing.
    """

    envelope: JsonObject
    text_salt: bytes
    vector_salt: bytes
    commitment_seed: bytes | None = None


@dataclass(frozen=True, slots=True)
class RestatementAnswer:
    """A statement said again: a DSSE envelope as JSON, not yet verified, and its salts in hexadecimal, by kind."""

    envelope: JsonObject
    openings: JsonObject


def read_models(answer: JsonObject, upstream: str, *, models_max: int) -> tuple[UpstreamModel, ...]:
    """Read the answer of the manifests' path, every version recomputed. Raises `UpstreamMalformed`."""
    listed, key = answer.get("models"), answer.get("signing_key")
    if answer.get("protocol") != PROTOCOL or not isinstance(listed, list) or len(listed) > models_max:
        raise UpstreamMalformed(f"{upstream!r} does not speak {PROTOCOL}")
    if key is not None and not _is_hex_32_bytes(key):
        raise UpstreamMalformed(f"the signing key of {upstream!r} is not 64 hexadecimal digits")
    return tuple(_read_model(model, key, upstream) for model in listed)


def read_provenance(value: object, upstream: str) -> Provenance:
    """Read the `hitproof_runner` object of an answer. Raises `UpstreamMalformed`."""
    if not isinstance(value, dict) or value.get("protocol") != PROTOCOL:
        raise UpstreamMalformed(f"{upstream!r} answered without a {PROVENANCE_FIELD} object of {PROTOCOL}")
    parameters = value.get("parameters")
    if not is_model_version(value.get("model_version")) or not isinstance(parameters, dict):
        raise UpstreamMalformed(f"{upstream!r} answered without model version or parameters")
    statement, openings = value.get("statement"), value.get("openings")
    if statement is not None or openings is not None:
        _check_statement(statement, openings, upstream)
    return Provenance(
        model_version=value["model_version"],
        prompt_token_ids=_read_token_ids(value.get("prompt_token_ids"), upstream),
        output_token_ids=_read_token_ids(value.get("output_token_ids"), upstream),
        parameters=parameters,
        statement=statement,
        openings=openings,
    )


def read_embedding_statement(answer: JsonObject, upstream: str) -> EmbeddingStatementAnswer:
    """Read the answer of the embedding statements' path. Raises `UpstreamMalformed`."""
    envelope, salts = answer.get("envelope"), answer.get("salts")
    if answer.get("protocol") != PROTOCOL or not _is_envelope(envelope) or not isinstance(salts, dict):
        raise UpstreamMalformed(f"{upstream!r} answered without an embedding statement of {PROTOCOL}")
    if not _is_hex_32_bytes(salts.get("text")) or not _is_hex_32_bytes(salts.get("vector")):
        raise UpstreamMalformed(f"the salts of an embedding statement of {upstream!r} are not 64 hexadecimal digits")
    # Absent from a runner of an older release, which commits to nothing.
    seed = salts.get("commitment")
    if seed is not None and not _is_hex_32_bytes(seed):
        raise UpstreamMalformed(f"the seed of a commitment of {upstream!r} is not 64 hexadecimal digits")
    return EmbeddingStatementAnswer(
        envelope,
        bytes.fromhex(salts["text"]),
        bytes.fromhex(salts["vector"]),
        None if seed is None else bytes.fromhex(seed),
    )


def read_restatement(answer: JsonObject, upstream: str) -> RestatementAnswer:
    """Read the answer of the restatements' path. Raises `UpstreamMalformed`."""
    envelope, openings = answer.get("envelope"), answer.get("openings")
    if answer.get("protocol") != PROTOCOL or not _is_envelope(envelope) or not _is_openings(openings):
        raise UpstreamMalformed(f"{upstream!r} answered without a restatement of {PROTOCOL}")
    return RestatementAnswer(envelope, openings)


def _read_model(value: object, signing_key: str | None, upstream: str) -> UpstreamModel:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not 0 < len(value["name"]) <= 256:
        raise UpstreamMalformed(f"{upstream!r} lists a model without a name")
    name, manifest, version = value["name"], value.get("manifest"), value.get("model_version")
    if not is_model_version(version):
        raise UpstreamMalformed(f"{upstream!r} lists {name!r} without a model version")
    if manifest is None:
        return UpstreamModel(name, version, None, signing_key)
    try:
        computed = model_version(manifest)
    except EncodingError as error:
        raise UpstreamMalformed(f"{upstream!r} lists {name!r} with a manifest that is none: {error}") from None
    if computed != version:
        raise UpstreamMalformed(f"{upstream!r} lists {name!r} under a version that its manifest does not have")
    return UpstreamModel(name, version, manifest, signing_key)


def _read_token_ids(value: object, upstream: str) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > _TOKEN_IDS_MAX:
        raise UpstreamMalformed(f"the token ids of {upstream!r} are not a list")
    if not all(type(token) is int and 0 <= token <= _TOKEN_ID_MAX for token in value):
        raise UpstreamMalformed(f"a token id of {upstream!r} is not one")
    return tuple(value)


def _check_statement(statement: object, openings: object, upstream: str) -> None:
    if not _is_envelope(statement) or not _is_openings(openings):
        raise UpstreamMalformed(f"{upstream!r} answered with a statement or openings in another form than {PROTOCOL}")


def _is_envelope(value: Any) -> TypeGuard[JsonObject]:
    if not isinstance(value, dict) or value.keys() != _ENVELOPE_KEYS or not isinstance(value["signatures"], list):
        return False
    return len(orjson.dumps(value)) <= STATEMENT_BYTES_MAX


def _is_openings(value: Any) -> TypeGuard[JsonObject]:
    if not isinstance(value, dict) or not value.keys() >= _OPENINGS or not value.keys() <= _OPENINGS | _TOKEN_OPENINGS:
        return False
    tokens = [value.get(name) for name in _TOKEN_OPENINGS]
    return all(_is_hex_32_bytes(value[name]) for name in _OPENINGS) and all(
        salt is None or _is_hex_32_bytes(salt) for salt in tokens
    )


def _is_hex_32_bytes(value: object) -> bool:
    return isinstance(value, str) and _HEX_32_BYTES.fullmatch(value) is not None
