"""The OpenAPI document: which scope each endpoint asks for, what it answers, and every way in which it says no.

The table below is the one place; tests/api/test_openapi.py fails for a route that is not in it, and holds running
endpoints to what it says: scopes, statuses and the form of answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from server.api import admin_answer_schemas as admin
from server.api import admin_schemas, answer_schemas, ledger_schemas, schemas, sharing_schemas, unseal
from tenants.scopes import Scope

REF: Final = "#/components/schemas/{model}"
#: Who may call: a scope, or any of several.
ADMIN: Final = (Scope.TENANT_ADMIN, Scope.PLATFORM_ADMIN)


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint: *scopes* of which a caller needs one (none: open to all), its answer, and refusals of its own.

    *file* is a media type that the answer comes in beside JSON, or instead of it; *pending* is the answer of a 202.
    """

    scopes: tuple[Scope, ...]
    answer: type[BaseModel] | None
    refusals: tuple[int, ...] = ()
    status: int = 200
    file: str | None = None
    pending: type[BaseModel] | None = None


def _tenant(scope: Scope, answer: type[BaseModel], *refusals: int, status: int = 200) -> Operation:
    return Operation((scope,), answer, refusals, status)


def _proof(answer: type[BaseModel], *refusals: int) -> Operation:
    said = (404, *refusals, 429)
    return Operation((Scope.CACHE_READ, Scope.AUDIT), answer, said, file="text/plain", pending=answer)


def _platform(answer: type[BaseModel], *refusals: int, status: int = 200) -> Operation:
    return Operation((Scope.PLATFORM_ADMIN,), answer, refusals, status)


def _either(answer: type[BaseModel], *refusals: int, status: int = 200) -> Operation:
    return Operation(ADMIN, answer, refusals, status)


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/v1/chat/completions"): _tenant(Scope.INFER, answer_schemas.ChatCompletion, 404, 409, 429, 502, 504),
    ("GET", "/v1/models"): _tenant(Scope.INFER, answer_schemas.ModelPage),
    ("GET", "/v1/models/{alias}"): _tenant(Scope.INFER, answer_schemas.Model, 404),
    ("POST", "/v1/embeddings"): _tenant(Scope.INFER, answer_schemas.Embeddings, 429),
    ("POST", "/v1/cache/lookup"): _tenant(Scope.CACHE_READ, answer_schemas.LookupAnswer, 404, 429),
    ("POST", "/v1/cache/entries"): _tenant(Scope.CACHE_ADMIN, answer_schemas.StoredEntry, 404, 409, 429, status=201),
    ("GET", "/v1/cache/entries"): _tenant(Scope.CACHE_READ, answer_schemas.EntryPage, 404),
    ("GET", "/v1/cache/entries/{entry_id}"): _tenant(Scope.CACHE_READ, answer_schemas.Entry, 404),
    ("DELETE", "/v1/cache/entries/{entry_id}"): _tenant(Scope.CACHE_ADMIN, answer_schemas.DeletedEntry, 404),
    ("POST", "/v1/cache/entries/{entry_id}/share"): _tenant(Scope.CACHE_ADMIN, sharing_schemas.CacheShare, 404, 409),
    ("GET", "/v1/cache/entries/{entry_id}/share"): _tenant(Scope.CACHE_READ, sharing_schemas.CacheShare, 404),
    ("DELETE", "/v1/cache/entries/{entry_id}/share"): _tenant(Scope.CACHE_ADMIN, sharing_schemas.CacheShare, 404),
    ("GET", "/v1/cache/shares"): _tenant(Scope.CACHE_READ, sharing_schemas.SharePage, 404),
    ("POST", "/v1/cache/invalidate"): _tenant(Scope.CACHE_ADMIN, answer_schemas.Invalidation, 404),
    ("GET", "/v1/cache/stats"): _tenant(Scope.USAGE, answer_schemas.Stats),
    ("POST", "/v1/cache/feedback"): _tenant(Scope.INFER, answer_schemas.Feedback, 404),
    ("GET", "/v1/receipts/{receipt_id}"): _proof(answer_schemas.ReceiptProof),
    ("GET", "/v1/hits/{hit_id}/proof"): _proof(answer_schemas.HitProof, 409),
    ("GET", "/v1/audit/export"): Operation((Scope.AUDIT,), None, (429,), file="application/zip"),
    ("POST", "/v1/audit/export"): _tenant(Scope.AUDIT, answer_schemas.AuditExport, 429, status=202),
    ("GET", "/v1/audit/export/{export_id}"): _tenant(Scope.AUDIT, answer_schemas.AuditExport, 404, 429),
    ("GET", "/v1/audit/export/{export_id}/bundle"): Operation(
        (Scope.AUDIT,), None, (404, 409, 429), file="application/zip"
    ),
    ("GET", "/admin/v1/organisations"): _platform(admin.OrganisationPage),
    ("POST", "/admin/v1/organisations"): _platform(admin.Organisation, 409, 422, status=201),
    ("GET", "/admin/v1/tenants"): _either(admin.TenantPage),
    ("POST", "/admin/v1/tenants"): _platform(admin.Tenant, 404, 409, 422, status=201),
    ("GET", "/admin/v1/tenants/{tenant_id}"): _either(admin.Tenant, 404),
    ("PATCH", "/admin/v1/tenants/{tenant_id}"): _platform(admin.Tenant, 404, 409),
    ("DELETE", "/admin/v1/tenants/{tenant_id}"): _platform(admin.ErasedTenant, 404),
    ("GET", "/admin/v1/keys"): _either(admin.KeyPage, 404),
    ("POST", "/admin/v1/keys"): _either(admin.NewKey, 404, 409, 422, status=201),
    ("POST", "/admin/v1/keys/{key_id}/rotate"): _either(admin.NewKey, 404, 409, 422, status=201),
    ("DELETE", "/admin/v1/keys/{key_id}"): _either(admin.RevokedKey, 404),
    ("GET", "/admin/v1/policies"): _either(admin.PolicyPage, 404),
    ("POST", "/admin/v1/policies"): _either(admin.Policy, 404, 409, 422, status=201),
    ("GET", "/admin/v1/models"): _either(admin.ModelAliasPage),
    ("PUT", "/admin/v1/models/{alias}"): _platform(admin.ModelAlias, 404),
    ("DELETE", "/admin/v1/models/{alias}"): _platform(admin.ClosedModel, 404),
    ("POST", "/admin/v1/model-versions/{model_version}/supersede"): _platform(admin.EndedVersion, 404, 409, 422),
    ("POST", "/admin/v1/model-versions/{model_version}/revoke"): _platform(admin.EndedVersion, 404, 409, 422),
    ("GET", "/admin/v1/signing-keys"): _platform(admin.SigningKeyPage),
    ("POST", "/admin/v1/signing-keys/{key_id}/revoke"): _platform(admin.SigningKey, 404, 409, 422),
    ("GET", "/admin/v1/upstreams"): _platform(admin.UpstreamPage),
    ("PUT", "/admin/v1/upstreams/{name}"): _platform(admin.Upstream),
    ("GET", "/admin/v1/audit-log"): _either(admin.AuditPage),
    ("GET", "/admin/v1/sharing"): _either(sharing_schemas.Sharing, 404),
    ("GET", "/admin/v1/ledger"): _either(ledger_schemas.Ledger, 404),
    ("POST", "/admin/v1/unseal"): _platform(admin.Unsealing, 409),
    ("GET", "/log/checkpoint"): Operation((), None, (404, 503), file="text/plain"),
    ("GET", "/log/tile/{path}"): Operation((), None, (404, 503), file="application/octet-stream"),
    ("GET", "/healthz"): Operation((), answer_schemas.Health),
    ("GET", "/readyz"): Operation((), answer_schemas.Readiness),
    ("GET", "/metrics"): Operation((), None),
}
#: Bodies that endpoints read themselves (`server.api.body.json_body_schema` names them).
BODIES: Final[tuple[type[BaseModel], ...]] = (
    schemas.ChatBody,
    schemas.EmbeddingsBody,
    schemas.PutEntryBody,
    sharing_schemas.ShareBody,
    schemas.InvalidateBody,
    schemas.FeedbackBody,
    schemas.AuditExportBody,
    admin_schemas.OrganisationBody,
    admin_schemas.TenantBody,
    admin_schemas.TenantPatch,
    admin_schemas.EraseBody,
    admin_schemas.KeyBody,
    admin_schemas.RotateBody,
    admin_schemas.PolicyBody,
    admin_schemas.SigningKeyBody,
    admin_schemas.ModelBody,
    admin_schemas.UpstreamBody,
    unseal.UnsealBody,
)
MEANINGS: Final[Mapping[int, str]] = {
    400: "The request cannot be served as it is; `param` names the field to change.",
    401: "No API key, or one that opens nothing.",
    403: "A good key without the scope, or the right to grant, that this needs.",
    404: "There is no such thing, or it belongs to somebody else.",
    408: "The body did not arrive in time.",
    409: "It exists already, was changed meanwhile, or the same request is still in progress.",
    413: "The body is too large.",
    414: "The URL is too long.",
    415: "The body is not uncompressed JSON in UTF-8.",
    422: "The Idempotency-Key was used with another body.",
    429: "A rate or quota is used up; `Retry-After` says when to come back.",
    431: "Too many or too large headers.",
    502: "The upstream did not answer, or not with a whole answer.",
    503: "Overloaded, shutting down, sealed, or the store does not answer; nothing was done.",
    504: "The upstream was too slow; or nothing is stored, and only-if-cached asks for nothing else.",
}
_CONVERSATION: Final = {
    "model": "hitproof-demo",
    "messages": [{"role": "user", "content": "Where do penguins winter?"}],
}
#: A body of each endpoint that can be tried as it stands.
EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "ChatBody": {**_CONVERSATION, "hitproof": {"tags": ["birds"], "ttl": 86_400}},
    "EmbeddingsBody": {"input": ["Where do penguins winter?"], "model": "any"},
    "PutEntryBody": {**_CONVERSATION, "answer": "On the sea ice.", "tags": ["birds"]},
    "ShareBody": {"aliases": ["Where do penguins winter?"], "epsilon": "4"},
    "InvalidateBody": {"tag": "birds", "dry_run": True},
    "FeedbackBody": {"hit": "hit_aaaaaaaaaaaaaaaaaaaaaaaaaa", "verdict": "good"},
    "AuditExportBody": {"since_ms": 1_790_000_000_000, "open": ["prompt", "output"]},
    "OrganisationBody": {"name": "northwind"},
    "TenantBody": {"organisation": "org_aaaaaaaaaaaaaaaa", "name": "support", "quota": {"entries_max": 10_000}},
    "TenantPatch": {"quota": {"requests_per_minute": 600}},
    "EraseBody": {"confirm": "support"},
    "KeyBody": {"role": "application", "label": "web shop", "expires_in_s": 7_776_000},
    "RotateBody": {"grace_s": 86_400},
    "PolicyBody": {"policy": {"mode": "static", "threshold_ten_thousandths": 9_500}},
    "SigningKeyBody": {"since_index": 4_096},
    "ModelBody": {"upstream": "vendor", "requested": "small-1", "input_price_micro": 150_000},
    "UpstreamBody": {"kind": "openai", "base_url": "https://api.example.com/v1", "key": "env:VENDOR_KEY"},
    "UnsealBody": {"share": "a line that `hitproof kek split` printed"},
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Your name for this request, kept for 24 hours: sent again with it, the request takes effect once and "
    "its first answer is repeated, secrets excepted.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_ALWAYS: Final = (400, 401, 403, 414, 431, 503)
_WITH_BODY: Final = (408, 413, 415)
_TAGS: Final = (
    ("completions", "Answers, from work already done where that is safe."),
    ("models", "What may be asked."),
    ("embeddings", "The vectors that reuse by meaning goes by."),
    ("cache", "Look at, put, remove and count what is stored for the caller's tenant."),
    ("admin", "Tenants, keys, policies, models and upstreams; every change is audited."),
    ("proofs", "Proof files of receipts and hits, and bundles for auditors."),
    ("log", "The transparency log in C2SP tiles, open to anybody."),
    ("health", "For machines that watch the process."),
)


def set_contract(app: FastAPI) -> None:
    """Let *app* publish the document of this module."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary="A cache for language-model inference whose every hit carries its proof.",
        description="Requests under `/v1` are OpenAI's, and answers add a `hitproof` object. Errors there are OpenAI's "
        "error objects; everywhere else they are RFC 9457 problem details.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    components["schemas"] = _schemas()
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "hp_live_…", "description": "An API key."}
    }
    components["parameters"] = {"IdempotencyKey": _IDEMPOTENCY_KEY}
    components["responses"] = {f"{form}{status}": _refusal(form, status) for form in _FORMS for status in MEANINGS}
    document["tags"] = [{"name": name, "description": description} for name, description in _TAGS]
    for method, path, operation in _operations(document):
        if (method, path) in OPERATIONS:
            _describe(operation, path, OPERATIONS[(method, path)])
    return document


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _describe(operation: dict[str, Any], path: str, entry: Operation) -> None:
    operation["security"] = [{"bearer": [scope.value]} for scope in entry.scopes]
    if entry.scopes:
        needed = " or ".join(f"`{scope.value}`" for scope in entry.scopes)
        operation["description"] = f"{operation.get('description', '')}\n\nNeeds the scope {needed}."
    for media in operation.get("requestBody", {}).get("content", {}).values():
        media["examples"] = {"default": {"value": EXAMPLES[media["schema"]["$ref"].rpartition("/")[2]]}}
    if 422 in entry.refusals:
        operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})
    operation["responses"] = {str(entry.status): _answer(path, entry), **_refusals(operation, path, entry)}
    if entry.pending is not None:
        schema = {"$ref": REF.format(model=entry.pending.__name__)}
        retry = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
        pending = {"description": "Not yet; ask again.", "content": {"application/json": {"schema": schema}}}
        operation["responses"]["202"] = {**pending, "headers": retry}


def _answer(path: str, entry: Operation) -> dict[str, Any]:
    if entry.answer is None and entry.file is not None:
        schema = {"type": "string", "format": "binary"}
        return {"description": "A file.", "content": {entry.file: {"schema": schema}}}
    if entry.answer is None:
        return {"description": "Prometheus' text form.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": REF.format(model=entry.answer.__name__)}}}
    if entry.answer is answer_schemas.ChatCompletion:
        content["text/event-stream"] = {"schema": {"type": "string", "description": "OpenAI's chunks; the last one "
                                        "carries `hitproof`."}}  # fmt: skip
    if entry.file is not None:
        content[entry.file] = {"schema": {"type": "string"}}
    return {"description": str(entry.answer.__doc__).strip(), "content": content}


def _refusals(operation: Mapping[str, Any], path: str, entry: Operation) -> dict[str, Any]:
    if not entry.scopes:
        statuses: Iterable[int] = (400, 414, 431, *entry.refusals)
    else:
        statuses = {*_ALWAYS, *entry.refusals, *(_WITH_BODY if "requestBody" in operation else ())}
    form = "Error" if path.startswith("/v1/") else "Problem"
    found: dict[str, Any] = {
        str(status): {"$ref": f"#/components/responses/{form}{status}"} for status in sorted(statuses)
    }
    if path == "/readyz":
        schema = {"$ref": REF.format(model="Readiness")}
        found["503"] = {"description": "Not ready.", "content": {"application/json": {"schema": schema}}}
    return found


_FORMS: Final[Mapping[str, str]] = {"Error": "application/json", "Problem": "application/problem+json"}


def _refusal(form: str, status: int) -> dict[str, Any]:
    schema = {"$ref": REF.format(model=f"{form}Answer")}
    found: dict[str, Any] = {"description": MEANINGS[status], "content": {_FORMS[form]: {"schema": schema}}}
    if status == 401:
        found["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    if status in (429, 503):
        found["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
    return found


def _schemas() -> dict[str, Any]:
    answers = {entry.answer for entry in OPERATIONS.values() if entry.answer is not None}
    answers |= {answer_schemas.ErrorAnswer, answer_schemas.ProblemAnswer}
    models = [(model, "validation") for model in (*BODIES, *sorted(answers, key=lambda model: model.__name__))]
    _, found = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]  # a list of pairs, as it wants
    return dict(found["$defs"])
