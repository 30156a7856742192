"""`/admin/v1/ledger`: what an organisation spent of its privacy on the pool, and what is left."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from server.api.admin_views import authenticate_admin, json_response
from server.api.state import state_of
from server.errors import RequestError
from server.pool.ledger_report import LedgerQuestion, report_ledger
from server.pool.terms import rules_of
from server.store.errors import NotFound
from server.store.platform import PlatformRepository
from tenants.identifiers import OrganisationId
from tenants.scopes import Caller

router = APIRouter(prefix="/admin/v1", tags=["admin"])


@router.get("/ledger")
async def get_ledger(
    request: Request,
    organisation: Annotated[str | None, Query(max_length=40, description="the platform names the organisation")] = None,
) -> Response:
    """Return the ledger of the caller's organisation, or of the one that the platform names."""
    state = state_of(request)
    wanted = _organisation_for(await authenticate_admin(request), organisation)
    # The thresholds of some terms take half a second to work out, once in the life of a process.
    rules = await asyncio.to_thread(rules_of, state.settings)
    question = LedgerQuestion(rules, state.clock.now_ms())
    report = await state.database.read(
        lambda c: report_ledger(c, PlatformRepository(c).get_organisation(wanted), question)
    )
    return json_response(report)


def _organisation_for(caller: Caller, named: str | None) -> OrganisationId:
    """Return whose ledger to show: the caller's own, or the one that the platform names. Others do not exist for it."""
    if caller.organisation is not None:
        if named is not None and named != caller.organisation:
            raise NotFound("there is no such organisation")
        return caller.organisation
    if named is None:
        raise RequestError("name the organisation", param="organisation", code="missing_required_parameter")
    return OrganisationId(named)
