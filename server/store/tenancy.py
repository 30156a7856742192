"""What belongs to one tenant besides entries: its policies, API keys and data keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from sqlalchemy import bindparam, func

from server.store.errors import Conflict, NotFound
from server.store.records import ApiKeyRecord, PolicyRecord
from server.store.scoped import Prepared, TenantRepository, scoped_delete, scoped_insert, scoped_select, scoped_update
from server.store.tables import api_keys, data_keys, policies
from tenants.data_keys import WrappedDataKey
from tenants.identifiers import KeyId

_POLICY_FIELDS: Final = tuple(PolicyRecord.__dataclass_fields__)
_KEY_FIELDS: Final = tuple(ApiKeyRecord.__dataclass_fields__)
_HAS_EPOCH: Final = Prepared(
    scoped_select(data_keys, data_keys.c.epoch).where(data_keys.c.epoch == bindparam("of_epoch"))
)


class PolicyRepository(TenantRepository):
    """Every version of one tenant's policy; versions are only added."""

    def get_active(self) -> PolicyRecord | None:
        """Return the newest version."""
        statement = (
            scoped_select(policies, *(policies.c[name] for name in _POLICY_FIELDS))
            .order_by(policies.c.version.desc())
            .limit(1)
        )
        row = self._run(statement).first()
        return None if row is None else PolicyRecord(*row)

    def list_versions(self) -> list[PolicyRecord]:
        """Return all versions, newest first."""
        statement = scoped_select(policies, *(policies.c[name] for name in _POLICY_FIELDS)).order_by(
            policies.c.version.desc()
        )
        return [PolicyRecord(*row) for row in self._run(statement)]

    def add(
        self, document: str, digest: str, *, at_ms: int, created_by: str, expected_version: int | None = None
    ) -> PolicyRecord:
        """Add the next version; with *expected_version* only if that is still the newest (else `Conflict`)."""
        newest = self._run(scoped_select(policies, func.coalesce(func.max(policies.c.version), 0))).scalar_one()
        if expected_version is not None and newest != expected_version:
            raise Conflict(
                f"the policy is at version {newest}, not {expected_version}; read it again and repeat the change"
            )
        record = PolicyRecord(newest + 1, document, digest, at_ms, created_by)
        self._run(scoped_insert(policies), asdict(record))
        return record


class KeyRepository(TenantRepository):
    """The API keys of one tenant."""

    def add(self, record: ApiKeyRecord) -> None:
        """Store a new key's record."""
        if record.tenant_id != self._tenant:
            raise ValueError("the key is for another tenant")
        values = asdict(record)
        del values["tenant_id"]
        self._run(scoped_insert(api_keys), values)

    def list_all(self) -> list[ApiKeyRecord]:
        """Return every key, newest first, revoked ones included."""
        statement = scoped_select(api_keys, *(api_keys.c[name] for name in _KEY_FIELDS)).order_by(
            api_keys.c.created_at_ms.desc(), api_keys.c.key_id
        )
        return [ApiKeyRecord(*row) for row in self._run(statement)]

    def get(self, key: KeyId) -> ApiKeyRecord:
        """Return one key; raises `NotFound`."""
        statement = scoped_select(api_keys, *(api_keys.c[name] for name in _KEY_FIELDS)).where(api_keys.c.key_id == key)
        row = self._run(statement).first()
        if row is None:
            raise NotFound("there is no such key")
        return ApiKeyRecord(*row)

    def revoke(self, key: KeyId, *, at_ms: int) -> None:
        """Revoke a key from *at_ms* on; one that is revoked already stays so from its first revocation."""
        statement = (
            scoped_update(api_keys)
            .where(api_keys.c.key_id == bindparam("key"), api_keys.c.revoked_at_ms.is_(None))
            .values(revoked_at_ms=at_ms)
        )
        if self._run(statement, {"key": key}).rowcount == 0:
            self.get(key)

    def note_use(self, keys: Iterable[KeyId], *, day: str) -> None:
        """Write down the day that keys were last used on: coarse on purpose, and written once a day each."""
        for key in keys:
            self._run(
                scoped_update(api_keys)
                .where(
                    api_keys.c.key_id == bindparam("key"), api_keys.c.last_used_day.is_distinct_from(bindparam("day"))
                )
                .values(last_used_day=bindparam("day")),
                {"key": key, "day": day},
            )

    def expire(self, key: KeyId, *, at_ms: int) -> None:
        """Let a key end at *at_ms* at the latest: how a rotated key gets its grace period."""
        self._run(
            scoped_update(api_keys)
            .where(
                api_keys.c.key_id == bindparam("key"),
                api_keys.c.expires_at_ms.is_(None) | (api_keys.c.expires_at_ms > at_ms),
            )
            .values(expires_at_ms=at_ms),
            {"key": key},
        )


class DataKeyRepository(TenantRepository):
    """The wrapped data keys of one tenant."""

    def add(self, key: WrappedDataKey, *, at_ms: int) -> None:
        """Store a new epoch's wrapped key."""
        self._run(
            scoped_insert(data_keys),
            {"epoch": key.epoch, "wrapped": key.wrapped, "kek_id": key.kek_id, "created_at_ms": at_ms},
        )

    def list_all(self) -> list[WrappedDataKey]:
        """Return every epoch's wrapped key, oldest first."""
        statement = scoped_select(data_keys, data_keys.c.epoch, data_keys.c.wrapped, data_keys.c.kek_id).order_by(
            data_keys.c.epoch
        )
        return [WrappedDataKey(self._tenant, *row) for row in self._run(statement)]

    def has(self, epoch: int) -> bool:
        """Tell whether the data key of *epoch* is still there: false once the tenant was erased."""
        return self._one(_HAS_EPOCH, {"of_epoch": epoch}) is not None

    def newest_created_at_ms(self) -> int | None:
        """Return when the newest epoch began."""
        found = self._run(scoped_select(data_keys, func.max(data_keys.c.created_at_ms))).scalar_one()
        return None if found is None else int(found)

    def replace(self, key: WrappedDataKey) -> None:
        """Put a rewrapped key in its epoch's place."""
        self._run(
            scoped_update(data_keys)
            .where(data_keys.c.epoch == bindparam("at_epoch"))
            .values(wrapped=key.wrapped, kek_id=key.kek_id),
            {"at_epoch": key.epoch},
        )

    def destroy_all(self) -> int:
        """Delete every data key: what was sealed under them can never be opened again."""
        return int(self._run(scoped_delete(data_keys)).rowcount)
