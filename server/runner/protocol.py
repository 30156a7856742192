"""The runner protocol, version 1: OpenAI's chat API plus what a runner says about its answers.

* `GET /v1/models`, `POST /v1/chat/completions`: OpenAI's shapes, streamed and not.
* `GET /runner/v1/manifests`: `{"protocol", "models": [{"name", "model_version", "manifest"}], "signing_key"}`; the
  manifest is null where the runner did not load the model itself, and then the version is a declared one.
* Every whole answer, and the last chunk of every stream, carries a top-level `hitproof_runner` object:
  `{"protocol", "model_version", "prompt_token_ids", "output_token_ids", "parameters", "statement", "openings"}`.
* A request's `hitproof_statement` says what to sign; `POST /runner/v1/embedding-statements` has a vector signed,
  `POST /runner/v1/restatements` has a statement of this runner said again for another tenant.

Evolution rule: within v1, fields of these objects are only appended; readers ignore those they do not know. A change
of meaning is `hitproof/runner/v2` under new paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.ports import JsonObject, UpstreamModel

PROTOCOL: Final = "hitproof/runner/v1"
PROVENANCE_FIELD: Final = "hitproof_runner"
STATEMENT_FIELD: Final = "hitproof_statement"
MODELS_PATH: Final = "/v1/models"
COMPLETIONS_PATH: Final = "/v1/chat/completions"
MANIFESTS_PATH: Final = "/runner/v1/manifests"
EMBEDDING_STATEMENTS_PATH: Final = "/runner/v1/embedding-statements"
RESTATEMENTS_PATH: Final = "/runner/v1/restatements"
HEALTH_PATH: Final = "/healthz"


def provenance_object(
    model_version: str,
    *,
    prompt_token_ids: Sequence[int] | None,
    output_token_ids: Sequence[int] | None,
    parameters: Mapping[str, Any],
    statement: JsonObject | None = None,
    openings: JsonObject | None = None,
) -> JsonObject:
    """Return the `hitproof_runner` object of one answer.

    Token ids are null where the runner never saw them, *statement* and *openings* where nothing was signed.
    """
    return {
        "protocol": PROTOCOL,
        "model_version": model_version,
        "prompt_token_ids": None if prompt_token_ids is None else list(prompt_token_ids),
        "output_token_ids": None if output_token_ids is None else list(output_token_ids),
        "parameters": dict(parameters),
        "statement": statement,
        "openings": openings,
    }


def manifests_object(models: Sequence[UpstreamModel], *, signing_key: str | None = None) -> JsonObject:
    """Return the body of `GET /runner/v1/manifests`; *signing_key* is a public key in hexadecimal."""
    listed = [
        {"name": model.name, "model_version": model.model_version, "manifest": model.manifest} for model in models
    ]
    return {"protocol": PROTOCOL, "models": listed, "signing_key": signing_key}


def embedding_statement_object(
    envelope: JsonObject, *, text_salt: bytes, vector_salt: bytes, commitment_seed: bytes | None
) -> JsonObject:
    """Return the answer of `POST /runner/v1/embedding-statements`; the seed is None where nothing was committed to."""
    salts = {
        "commitment": None if commitment_seed is None else commitment_seed.hex(),
        "text": text_salt.hex(),
        "vector": vector_salt.hex(),
    }
    return {"protocol": PROTOCOL, "envelope": envelope, "salts": salts}


def restatement_object(envelope: JsonObject, *, openings: JsonObject) -> JsonObject:
    """Return the answer of `POST /runner/v1/restatements`; *openings* are salts in hexadecimal, by kind."""
    return {"protocol": PROTOCOL, "envelope": envelope, "openings": openings}


def models_object(models: Sequence[UpstreamModel]) -> JsonObject:
    """Return the body of `GET /v1/models`, as OpenAI's clients read it."""
    listed = [{"id": model.name, "object": "model", "created": 0, "owned_by": "hitproof-runner"} for model in models]
    return {"object": "list", "data": listed}
