"""`/v1/models` and `/v1/embeddings`: the rest of what an OpenAI client expects to find."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from server.api.body import check, json_body_schema, read_json_object
from server.api.schemas import EmbeddingsBody
from server.api.state import admit, state_of
from server.embedding.errors import EmbeddingError
from server.errors import Overloaded, RequestError
from server.ports import JsonObject
from server.reuse.models import UnknownModel
from server.store.records import ModelRecord
from tenants.scopes import Scope

router = APIRouter()

EMBEDDING_MODEL = "hitproof-embedder"
TEXT_CHARACTERS_MAX = 65_536


def _model_object(record: ModelRecord) -> JsonObject:
    return {
        "id": record.alias,
        "object": "model",
        "created": record.created_at_ms // 1000,
        "owned_by": record.upstream,
        "hitproof": {"model_version": record.model_version},
    }


@router.get("/v1/models", tags=["models"])
async def list_models(request: Request) -> JsonObject:
    """List the models that the caller may ask."""
    await admit(request, Scope.INFER)
    return {"object": "list", "data": [_model_object(record) for record in state_of(request).models.list_aliases()]}


@router.get("/v1/models/{alias:path}", tags=["models"])
async def get_model(request: Request, alias: str) -> JsonObject:
    """Return one model."""
    await admit(request, Scope.INFER)
    for record in state_of(request).models.list_aliases():
        if record.alias == alias:
            return _model_object(record)
    raise UnknownModel(f"the model {alias[:80]!r} does not exist or is not open to you")


@router.post("/v1/embeddings", openapi_extra=json_body_schema(EmbeddingsBody), tags=["embeddings"])
async def create_embeddings(request: Request) -> Response:
    """Embed texts with the gateway's own embedder: the vectors that reuse by meaning goes by."""
    state = state_of(request)
    who = await admit(request, Scope.INFER)
    body = check(EmbeddingsBody, await read_json_object(request, state.settings))
    texts = [body.input] if isinstance(body.input, str) else body.input
    if any(not text or len(text) > TEXT_CHARACTERS_MAX for text in texts):
        raise RequestError(f"each text needs 1 to {TEXT_CHARACTERS_MAX} characters", param="input")
    if body.dimensions is not None and body.dimensions != state.embedder.dimension:
        raise RequestError(f"this embedder has {state.embedder.dimension} dimensions", param="dimensions")
    async with state.limits.place(who.tenant, who.caller.key_id, who.quota):
        try:
            vectors = await asyncio.gather(*(state.embedder.embed(text) for text in texts))
        except EmbeddingError:
            raise Overloaded("the embedder cannot answer now; try again in a moment") from None
    data: list[Any] = [
        {
            "object": "embedding",
            "index": position,
            "embedding": base64.b64encode(vector.tobytes()).decode()
            if body.encoding_format == "base64"
            else vector.tolist(),
        }
        for position, vector in enumerate(vectors)
    ]
    found = {
        "object": "list",
        "model": EMBEDDING_MODEL,
        "data": data,
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
        "hitproof": {"embedder": state.embedder.digest},
    }
    return Response(orjson.dumps(found), media_type="application/json")
