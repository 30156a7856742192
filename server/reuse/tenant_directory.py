"""What a lookup needs to know of its tenant: policy, quota, keys; read once and kept for a moment."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.canonical import canonical_json, parse_json
from server.ports import Clock, RandomSource
from server.reuse.policy import DEFAULT_POLICY, ReusePolicy, policy_digest
from server.store.database import Database
from server.store.errors import StoreError
from server.store.lookups import LookupRepository
from server.store.maintenance import AuditEvent, add_notice, append_audit
from server.store.platform import PlatformRepository
from server.store.records import TenantRecord
from server.store.tenancy import DataKeyRepository, PolicyRepository
from tenants.data_keys import DataKeyRing, WrappedDataKey, derive_tenant_key, is_rotation_due, new_wrapped_key
from tenants.errors import AuthenticationError, UnsealError
from tenants.identifiers import TenantId
from tenants.key_providers import KeyProvider
from tenants.quotas import Quota
from tenants.sealing import DataKey

#: How often a tenant's newest data key is asked whether it is old or used enough to be followed by another.
ROTATION_CHECK_S: Final = 3_600.0
#: What one request seals at most: an entry's payload and vector, the salts of its vector's statement, the lookup's detail.
SEALED_PER_REQUEST: Final = 4
#: The policy of a tenant that set none, in the form in which policies are stored.
DEFAULT_DOCUMENT: Final = canonical_json(DEFAULT_POLICY.to_json()).decode()
DEFAULT_DIGEST: Final = policy_digest(DEFAULT_POLICY)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TenantContext:
    """One tenant as a lookup sees it.

    *lookup_key*, *salt*, *pseudonym_key* and *hit_salt_key* are derived from its first data key; *policy_document* and
    *policy_digest* are the policy as it was stored, which is what a log entry of it says.
    """

    record: TenantRecord
    policy: ReusePolicy
    policy_version: int
    policy_document: str
    policy_digest: str
    quota: Quota
    data_key: DataKey
    open_with: Callable[[int], DataKey]
    lookup_key: bytes
    salt: str
    pseudonym_key: bytes
    hit_salt_key: bytes

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
        self._checked_s: OrderedDict[TenantId, float] = OrderedDict()

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

    async def key_for(self, context: TenantContext, epoch: int) -> DataKey:
        """Return the data key of *epoch*; one that *context* does not know, another process may just have made.

        Raises `UnsealError` when there is none, `SealedError` when it cannot be opened now.
        """
        try:
            return context.open_with(epoch)
        except UnsealError:
            self.forget(context.id)
            return (await self.get(context.id)).open_with(epoch)

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
            # A tenant is made with its first key, so it was erased a moment ago: no key may be made for it again.
            raise AuthenticationError("this key's tenant is not active")
        if self._is_check_due(tenant):
            wrapped = await self._rotate_if_due(tenant, wrapped)
        ring = DataKeyRing(self._provider, lambda _tenant: wrapped)
        first = ring.for_epoch(tenant, min(key.epoch for key in wrapped))
        return TenantContext(
            record=record,
            policy=DEFAULT_POLICY if policy is None else ReusePolicy.from_json(parse_json(policy.document.encode())),
            policy_version=0 if policy is None else policy.version,
            policy_document=DEFAULT_DOCUMENT if policy is None else policy.document,
            policy_digest=DEFAULT_DIGEST if policy is None else policy.digest,
            quota=Quota.from_json(parse_json(record.quota.encode())),
            data_key=ring.current(tenant),
            open_with=lambda epoch: ring.for_epoch(tenant, epoch),
            lookup_key=derive_tenant_key(first.secret, "lookup", tenant),
            salt=derive_tenant_key(first.secret, "upstream-salt", tenant).hex(),
            pseudonym_key=derive_tenant_key(first.secret, "pseudonym", tenant),
            hit_salt_key=derive_tenant_key(first.secret, "hit-salt", tenant),
        )

    def _is_check_due(self, tenant: TenantId) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s - self._checked_s.get(tenant, -ROTATION_CHECK_S) < ROTATION_CHECK_S:
            return False
        self._checked_s[tenant] = now_s
        self._checked_s.move_to_end(tenant)
        while len(self._checked_s) > self._tenants_max:
            self._checked_s.popitem(last=False)
        return True

    async def _rotate_if_due(self, tenant: TenantId, wrapped: list[WrappedDataKey]) -> list[WrappedDataKey]:
        """Return the tenant's data keys, with a new epoch's in front of what is sealed from now on if it is time."""
        now_ms = self._clock.now_ms()
        try:
            # Read together: another process may have added an epoch since, and one that is not due is then the new one.
            (created_at_ms, sealed_count), wrapped = await self._database.read(
                lambda connection: (_usage_of(connection, tenant), DataKeyRepository(connection, tenant).list_all())
            )
            if not wrapped:
                raise AuthenticationError("this key's tenant is not active")
            if not is_rotation_due(created_at_ms, sealed_count, now_ms):
                return wrapped
            key = new_wrapped_key(self._provider, tenant, wrapped[-1].epoch + 1, self._random)
            return await self._database.write(lambda connection: _add_epoch(connection, key, now_ms))
        except StoreError as error:
            # The key that is there still seals well; the next check is an hour away.
            log.warning("data_key_not_rotated", error=type(error).__name__)
            return wrapped


def _usage_of(connection: Connection, tenant: TenantId) -> tuple[int, int]:
    """Return when the newest epoch began and at most how many values were sealed since."""
    created_at_ms = DataKeyRepository(connection, tenant).newest_created_at_ms() or 0
    day = datetime.fromtimestamp(created_at_ms / 1000, UTC).strftime("%Y-%m-%d")
    requests = LookupRepository(connection, tenant).count_requests(since_day=day)
    return created_at_ms, requests * SEALED_PER_REQUEST


def _add_epoch(connection: Connection, key: WrappedDataKey, now_ms: int) -> list[WrappedDataKey]:
    """Add *key* unless another process was faster; return all keys there are then."""
    if PlatformRepository(connection).get_tenant(key.tenant).status != "active":
        raise AuthenticationError("this key's tenant is not active")
    repository = DataKeyRepository(connection, key.tenant)
    if not repository.has(key.epoch):
        event = AuditEvent("hitproof", key.tenant, "data-key.rotate", key.tenant, {"epoch": key.epoch})
        append_audit(connection, event, at_ms=now_ms)
        add_notice(connection, key.tenant, "refresh", at_ms=now_ms)
        repository.add(key, at_ms=now_ms)
    return repository.list_all()
