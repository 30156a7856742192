"""`/v1/receipts/{id}` and `/v1/hits/{id}/proof`: the proof file of one receipt or hit, for whoever was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from server.api.flags import TRUE, Flag
from server.api.state import Admitted, AppState, admit_any, state_of
from server.applicability.outcomes import Unprovable
from server.audit.proof_files import Pending, Proved
from server.errors import RequestError
from server.ports import JsonObject
from server.store.errors import NotFound
from server.store.log_records import StoredReceipt
from tenants.scopes import Scope

router = APIRouter(tags=["proofs"])

#: An application may prove what it was answered, an auditor what was answered to others.
READERS = (Scope.CACHE_READ, Scope.AUDIT)
PROOF_TYPE = "text/plain; charset=utf-8"
RETRY_AFTER_S = 1


@router.get("/v1/receipts/{receipt_id}")
async def get_receipt(request: Request, receipt_id: str) -> Response:
    """Return the proof file of a receipt; 202 while its leaf is under no checkpoint. As JSON where that is accepted."""
    state = state_of(request)
    who = await admit_any(request, READERS)
    found = await _prove(state, who, lambda: state.proof_files.prove_receipt(who.tenant, receipt_id))
    return _answer(request, state, found, {"object": "receipt"})


@router.get("/v1/hits/{hit_id}/proof")
async def get_hit_proof(request: Request, hit_id: str, applicability: Annotated[Flag, Query()] = "0") -> Response:
    """Return the proof file of a hit, and in it of the receipt that answered; 202 while it is not yet logged.

    With `applicability` also of what makes it a hit: made now, where it is not there yet. That tells what was asked, so
    it is for those alone who may read it.
    """
    state = state_of(request)
    is_wanted = applicability in TRUE
    who = await admit_any(request, (Scope.CACHE_READ,) if is_wanted else READERS)
    await state.hit_journal.flush()
    head: JsonObject = {"object": "hit.proof", "hit": hit_id}
    if not is_wanted:
        found = await _prove(state, who, lambda: state.proof_files.prove_hit(who.tenant, hit_id))
        return _answer(request, state, found, head)
    found = await _prove_applicable(state, who, hit_id)
    shown = {"state": "pending", "reason": "not_logged"} if isinstance(found, Pending) else {"state": "proved"}
    return _answer(request, state, found, head | {"applicability": {"reason": None, **shown}})


async def _prove_applicable(state: AppState, who: Admitted, hit_id: str) -> Pending | Proved:
    """Return the proof file with what makes the hit one, its query opened in it."""
    async with state.limits.place(who.tenant, who.caller.key_id, who.quota):
        outcome = await state.applicability.ensure(who.context, hit_id)
        if isinstance(outcome, Unprovable):
            raise _refused(outcome)
        query = await state.applicability.open_query(who.context, outcome.hit)
        if query is None:
            # Without its query it would show nobody that the hit is one, and let everybody test what was asked.
            raise _refused(Unprovable("query_not_kept"))
        found = await state.applicability_files.prove(who.context, outcome, query)
        if isinstance(found, Unprovable):
            raise _refused(found)
        return found


def _refused(outcome: Unprovable) -> RequestError:
    return RequestError(outcome.message, code=outcome.reason, status=409)


async def _prove(state: AppState, who: Admitted, prove: Callable[[], Pending | Proved]) -> Pending | Proved:
    async with state.limits.place(who.tenant, who.caller.key_id, who.quota):
        return await asyncio.to_thread(prove)


def _answer(request: Request, state: AppState, found: Pending | Proved, head: JsonObject) -> Response:
    described = head | _describe(state, found.receipt)
    if isinstance(found, Pending):
        headers = {"retry-after": str(RETRY_AFTER_S)}
        return Response(
            orjson.dumps({**described, "state": "pending", "proof": None}), 202, headers, "application/json"
        )
    if "application/json" in request.headers.get("accept", ""):
        return Response(orjson.dumps({**described, "proof": found.text}), 200, media_type="application/json")
    return Response(found.text, 200, media_type=PROOF_TYPE)


def _describe(state: AppState, receipt: StoredReceipt) -> JsonObject:
    if receipt.body is None:
        raise NotFound("there is no such receipt")
    return {
        "id": receipt.id,
        "state": state.high_water.state_of(receipt.seq),
        "grade": receipt.grade,
        "model_version": receipt.model_version,
        "statement": "sha256:" + receipt.statement_digest.hex(),
        "issued_at_ms": receipt.issued_at_ms,
        "signer": receipt.key_id,
        "leaf_index": receipt.leaf_index,
    }
