"""What a lookup needs to know of its tenant: policy, quota, keys; read once and kept for a moment."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from crypto.canonical import parse_json
from server.ports import Clock, RandomSource
from server.reuse.policy import DEFAULT_POLICY, ReusePolicy
from server.store.database import Database
from server.store.platform import PlatformRepository
from server.store.records import TenantRecord
from server.store.tenancy import DataKeyRepository, PolicyRepository
from tenants.data_keys import DataKeyRing, WrappedDataKey, derive_tenant_key, new_wrapped_key
from tenants.errors import AuthenticationError
from tenants.identifiers import TenantId
from tenants.key_providers import KeyProvider
from tenants.quotas import Quota
from tenants.sealing import DataKey

DATA_KEY_DAYS = 90


@dataclass(frozen=True, slots=True)
class TenantContext:
    """One tenant as a lookup sees it. *lookup_key* and *salt* are derived from its first data key."""

    record: TenantRecord
    policy: ReusePolicy
    policy_version: int
    quota: Quota
    data_key: DataKey
    open_with: Callable[[int], DataKey]
    lookup_key: bytes
    salt: str

    @property
    def id(self) -> TenantId:
        """The tenant's identifier."""
        return self.record.id


class TenantDirectory:
    """Loads and keeps `TenantContext`s; `forget` drops one at once."""

    def __init__(
        self,
        database: Database,
        provider: KeyProvider,
        *,
        clock: Clock,
        random: RandomSource,
        keep_s: float,
        tenants_max: int,
    ) -> None:
        self._database = database
        self._provider = provider
        self._clock = clock
        self._random = random
        self._keep_s = keep_s
        self._tenants_max = tenants_max
        self._kept: OrderedDict[TenantId, tuple[float, TenantContext]] = OrderedDict()
        self._loading: dict[TenantId, asyncio.Future[TenantContext]] = {}

    async def get(self, tenant: TenantId) -> TenantContext:
        """Return the context of *tenant*; raises `SealedError` when its keys cannot be opened now."""
        now_s = self._clock.monotonic_s()
        kept = self._kept.get(tenant)
        if kept is not None and now_s - kept[0] < self._keep_s:
            return kept[1]
        loading = self._loading.get(tenant)
        if loading is None:
            loading = self._loading[tenant] = asyncio.ensure_future(self._load(tenant))
            loading.add_done_callback(lambda done: self._end_loading(tenant, now_s, done))
        # Whoever asks at the same time shares one load, and one who leaves does not end it for the others.
        return await asyncio.shield(loading)

    def forget(self, tenant: TenantId) -> None:
        """Drop what is kept of *tenant*, keys included, also what is just being loaded."""
        self._kept.pop(tenant, None)
        self._loading.pop(tenant, None)

    def forget_all(self) -> None:
        """Drop everything that is kept."""
        self._kept.clear()
        self._loading.clear()

    def _end_loading(self, tenant: TenantId, now_s: float, done: asyncio.Future[TenantContext]) -> None:
        failed = done.cancelled() or done.exception() is not None
        if self._loading.get(tenant) is not done:
            return  # forgotten while it was loaded: used by those who waited and not kept
        del self._loading[tenant]
        if failed:
            return
        self._kept[tenant] = (now_s, done.result())
        self._kept.move_to_end(tenant)
        while len(self._kept) > self._tenants_max:
            self._kept.popitem(last=False)

    async def _load(self, tenant: TenantId) -> TenantContext:
        record, policy, wrapped = await self._database.read(
            lambda connection: (
                PlatformRepository(connection).get_tenant(tenant),
                PolicyRepository(connection, tenant).get_active(),
                DataKeyRepository(connection, tenant).list_all(),
            )
        )
        if record.status != "active":
            raise AuthenticationError("this key's tenant is not active")
        if not wrapped:
            wrapped = [await self._make_first_key(tenant)]
        ring = DataKeyRing(self._provider, lambda _tenant: wrapped)
        first = ring.for_epoch(tenant, min(key.epoch for key in wrapped))
        return TenantContext(
            record=record,
            policy=DEFAULT_POLICY if policy is None else ReusePolicy.from_json(parse_json(policy.document.encode())),
            policy_version=0 if policy is None else policy.version,
            quota=Quota.from_json(parse_json(record.quota.encode())),
            data_key=ring.current(tenant),
            open_with=lambda epoch: ring.for_epoch(tenant, epoch),
            lookup_key=derive_tenant_key(first.secret, "lookup", tenant),
            salt=derive_tenant_key(first.secret, "upstream-salt", tenant).hex(),
        )

    async def _make_first_key(self, tenant: TenantId) -> WrappedDataKey:
        key = new_wrapped_key(self._provider, tenant, 1, self._random)
        await self._database.write(
            lambda connection: DataKeyRepository(connection, tenant).add(key, at_ms=self._clock.now_ms())
        )
        return key
