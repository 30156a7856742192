"""`/v1/audit/export`: one canonical file with all that an auditor needs, at once or as a job whose progress can be seen."""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, Response

from server.api.body import check, json_body_schema, read_json_object
from server.api.flags import TRUE, Flag
from server.api.schemas import AuditExportBody
from server.api.state import Admitted, AppState, admit, state_of
from server.audit.export import Exported
from server.audit.jobs import Preparation
from server.audit.keys import ExportKeys, PoolKeys
from server.audit.request import ExportRequest
from server.pool.principal import find_pool
from server.ports import JsonObject
from server.store.log_records import AuditJob
from server.store.maintenance import AuditEvent, append_audit
from tenants.scopes import Scope

router = APIRouter(tags=["proofs"])

BUNDLE_TYPE: Final = "application/zip"


@router.get("/v1/audit/export")
async def export_now(
    request: Request,
    since_ms: Annotated[int | None, Query(ge=0)] = None,
    until_ms: Annotated[int | None, Query(ge=0)] = None,
    model_version: Annotated[str | None, Query(max_length=80)] = None,
    from_size: Annotated[int | None, Query(ge=1)] = None,
    applicability: Annotated[Flag, Query()] = "0",
) -> Response:
    """Return a bundle of the caller's tenant. For much work, or openings, POST starts a job.

    With `applicability` the queries of hits by meaning are opened, which also needs the right to read them; else nothing.
    """
    state = state_of(request)
    who = await admit(request, Scope.AUDIT)
    wanted = ExportRequest(
        since_ms,
        until_ms,
        model_version,
        from_sizes=() if from_size is None else (from_size,),
        applicability=applicability in TRUE,
    )
    if wanted.opens_content:
        who.caller.require(Scope.CACHE_READ)
    await _note(state, who, wanted)
    async with state.limits.place(who.tenant, who.caller.key_id, who.quota):
        await state.hit_journal.flush()
        exported = await state.export_jobs.make_now(
            who.tenant, await _keys(state, who), wanted, prepare=_preparation(state, who, wanted)
        )
    headers = {"content-disposition": 'attachment; filename="bundle.zip"', **_counts(exported)}
    return Response(exported.data, 200, headers, BUNDLE_TYPE)


@router.post("/v1/audit/export", openapi_extra=json_body_schema(AuditExportBody), status_code=202)
async def start_export(request: Request) -> Response:
    """Start an export and return its job. Opening prompts, outputs or queries also needs the right to read them."""
    state = state_of(request)
    who = await admit(request, Scope.AUDIT)
    body = check(AuditExportBody, await read_json_object(request, state.settings))
    wanted = ExportRequest(
        since_ms=body.since_ms,
        until_ms=body.until_ms,
        model_version=body.model_version,
        kinds=tuple(body.open),
        opened=None if body.receipts is None else frozenset(body.receipts),
        from_sizes=tuple(body.from_sizes),
        applicability=body.applicability,
    )
    if wanted.opens_content:
        who.caller.require(Scope.CACHE_READ)
    await _note(state, who, wanted)
    await state.hit_journal.flush()
    prepare = _preparation(state, who, wanted)
    job = await state.export_jobs.start(who.tenant, await _keys(state, who), wanted, prepare=prepare)
    return _json(_job(state, job), status=202)


@router.get("/v1/audit/export/{export_id}")
async def get_export(request: Request, export_id: str) -> Response:
    """Say how far an export is."""
    state = state_of(request)
    who = await admit(request, Scope.AUDIT)
    return _json(_job(state, await state.export_jobs.get(who.tenant, export_id)))


@router.get("/v1/audit/export/{export_id}/bundle")
async def get_export_bundle(request: Request, export_id: str) -> Response:
    """Return the bundle of a finished export; it is kept for a day."""
    state = state_of(request)
    who = await admit(request, Scope.AUDIT)
    job = await state.export_jobs.get(who.tenant, export_id)
    if orjson.loads(job.scope)["kinds"]:
        who.caller.require(Scope.CACHE_READ)
    return FileResponse(state.export_jobs.path_of(job), media_type=BUNDLE_TYPE, filename="bundle.zip")


async def _keys(state: AppState, who: Admitted) -> ExportKeys:
    context, pool = who.context, await _pool_keys(state)
    return ExportKeys(context.pseudonym_key, context.open_with, state.gateway_signer, pool, context.hit_salt_key)


def _preparation(state: AppState, who: Admitted, wanted: ExportRequest) -> Preparation | None:
    return (lambda: state.missing_proofs.make(who.tenant, wanted)) if wanted.applicability else None


async def _pool_keys(state: AppState) -> PoolKeys | None:
    pool = await state.database.read(find_pool)
    if pool is None:
        return None
    context = await state.tenants.get(pool)
    return PoolKeys(pool, context.pseudonym_key, context.open_with, context)


async def _note(state: AppState, who: Admitted, wanted: ExportRequest) -> None:
    """Write down who exports what, before anything leaves."""
    event = AuditEvent(who.caller.key_id, who.tenant, "audit.export", who.tenant, wanted.to_json())
    now_ms = state.clock.now_ms()
    await state.database.write(lambda connection: append_audit(connection, event, at_ms=now_ms))


def _counts(exported: Exported) -> dict[str, str]:
    return {
        "x-hitproof-receipts": str(exported.counts.receipts),
        "x-hitproof-hits": str(exported.counts.hits),
        "x-hitproof-log-size": str(exported.size),
        "x-hitproof-unproved": str(exported.unproved),
    }


def _job(state: AppState, job: AuditJob) -> JsonObject:
    return {
        "object": "audit.export",
        "id": job.id,
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "scope": orjson.loads(job.scope),
        "unproved": state.export_jobs.unproved(job.id),
        "error": job.error,
        "created_at_ms": job.created_at_ms,
    }


def _json(value: Any, *, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
