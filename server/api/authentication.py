"""From an Authorization header to a caller: checksum, one read, constant-time comparison, then believed for a moment.

A cached verdict is found by SHA-256 of the whole key, never by a part of it, and ends with a revocation in this process
at once and elsewhere within `auth_cache_s`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict

from server.ports import Clock
from server.store.database import Database
from server.store.platform import PlatformRepository
from tenants.api_keys import is_api_key_mac, mac_api_key, parse_api_key
from tenants.errors import AuthenticationError
from tenants.identifiers import TenantId
from tenants.scopes import Caller, Scope

REFUSED = "the API key is not valid; send one as 'Authorization: Bearer hp_…'"


class Authenticator:
    """Turns keys into callers."""

    def __init__(self, database: Database, pepper: bytes, clock: Clock, *, keep_s: float, keys_max: int) -> None:
        self._database = database
        self._pepper = pepper
        self._clock = clock
        self._keep_s = keep_s
        self._keys_max = keys_max
        self._kept: OrderedDict[bytes, tuple[float, int | None, Caller]] = OrderedDict()
        self._reading: dict[bytes, asyncio.Future[tuple[Caller, int | None]]] = {}
        self._forgotten = 0
        # What an unknown key is compared with, so that it costs what a known one costs.
        self._nobody = mac_api_key(pepper, "nobody")

    async def caller(self, authorizations: list[str]) -> Caller:
        """Return who calls; raises `AuthenticationError`, or `StoreError` when that cannot be told now."""
        if len(authorizations) != 1:
            raise AuthenticationError(REFUSED)
        scheme, _, text = authorizations[0].partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationError(REFUSED)
        parsed = parse_api_key(text.strip())
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        mark = hashlib.sha256(parsed.text.encode()).digest()
        kept = self._kept.get(mark)
        if kept is not None and now_s - kept[0] < self._keep_s and (kept[1] is None or now_ms < kept[1]):
            return kept[2]
        forgotten = self._forgotten
        caller, expires_at_ms = await self._read_once(mark, parsed.key_id, parsed.text)
        if forgotten != self._forgotten:
            # A key may have been revoked while it was read: believed this once, as if it had come a moment sooner.
            return caller
        self._kept[mark] = (now_s, expires_at_ms, caller)
        self._kept.move_to_end(mark)
        while len(self._kept) > self._keys_max:
            self._kept.popitem(last=False)
        return caller

    def forget_all(self) -> None:
        """Believe nothing that was checked before; called after every change of keys or tenants."""
        self._forgotten += 1
        self._kept.clear()
        self._reading.clear()

    async def _read_once(self, mark: bytes, key_id: str, text: str) -> tuple[Caller, int | None]:
        """Let simultaneous callers with one key share one read, so that a flushed cache is no stampede."""
        waiting = self._reading.get(mark)
        if waiting is not None:
            return await asyncio.shield(waiting)
        future = asyncio.ensure_future(self._read(key_id, text))
        self._reading[mark] = future
        future.add_done_callback(lambda done: self._end_reading(mark, done))
        return await asyncio.shield(future)

    def _end_reading(self, mark: bytes, done: asyncio.Future[tuple[Caller, int | None]]) -> None:
        if self._reading.get(mark) is done:
            del self._reading[mark]
        if not done.cancelled():
            done.exception()  # seen, even if everybody who waited has gone

    async def _read(self, key_id: str, text: str) -> tuple[Caller, int | None]:
        found = await self._database.read(
            lambda connection: PlatformRepository(connection).find_key(key_id)  # type: ignore[arg-type]
        )
        stored = self._nobody if found is None else found[0].mac
        if not is_api_key_mac(self._pepper, text, stored) or found is None:
            raise AuthenticationError(REFUSED)
        record, organisation, status = found
        now_ms = self._clock.now_ms()
        if record.revoked_at_ms is not None and record.revoked_at_ms <= now_ms:
            raise AuthenticationError("the API key was revoked; ask a tenant admin for another")
        if record.expires_at_ms is not None and record.expires_at_ms <= now_ms:
            raise AuthenticationError("the API key has expired; ask a tenant admin for another")
        if record.tenant_id is not None and status != "active":
            raise AuthenticationError("the API key's tenant is not active")
        caller = Caller(
            tenant=record.tenant_id,
            organisation=organisation,
            key_id=record.key_id,
            role=record.role,
            scopes=frozenset(Scope(scope) for scope in json.loads(record.scopes)),
        )
        return caller, record.expires_at_ms


def tenant_of(caller: Caller) -> TenantId:
    """Return the caller's tenant; a platform key has none and cannot act for one."""
    if caller.tenant is None:
        raise AuthenticationError("a platform key acts for no tenant; use a tenant's own key here")
    return caller.tenant
