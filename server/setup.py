"""Set things up in the store: organisations, tenants, keys, upstreams, models. Used by the command line and the admin API.

Each function runs in the caller's transaction and writes its audit row there, so a change and its record come together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from crypto.canonical import canonical_json
from server.errors import RequestError
from server.identifiers import new_name
from server.ports import RandomSource
from server.reuse.policy import ReusePolicy, policy_digest
from server.store.errors import Conflict, NotFound
from server.store.maintenance import AuditEvent, add_notice, append_audit
from server.store.platform import PlatformRepository
from server.store.pool_items import POOL_TENANT_META
from server.store.records import (
    ApiKeyRecord,
    ModelRecord,
    OrganisationRecord,
    PolicyRecord,
    TenantRecord,
    UpstreamRecord,
)
from server.store.tenancy import DataKeyRepository, KeyRepository, PolicyRepository
from tenants.api_keys import mac_api_key, mint_api_key
from tenants.data_keys import new_wrapped_key
from tenants.identifiers import KeyId, OrganisationId, TenantId
from tenants.key_providers import KeyProvider
from tenants.quotas import Quota
from tenants.scopes import ROLES, Caller, Scope


def create_organisation(
    connection: Connection, name: str, *, actor: str, now_ms: int, random: RandomSource
) -> OrganisationRecord:
    """Create an organisation; `Conflict` if the name is taken."""
    record = OrganisationRecord(OrganisationId(new_name("org_", random)), name, now_ms)
    _audit(connection, actor, None, "organisation.create", record.id, {"name": name}, now_ms)
    PlatformRepository(connection).add_organisation(record)
    return record


def create_tenant(
    connection: Connection,
    organisation: OrganisationId,
    name: str,
    *,
    quota: Quota,
    provider: KeyProvider,
    actor: str,
    now_ms: int,
    random: RandomSource,
) -> TenantRecord:
    """Create a tenant with its first data key; `Conflict` if its organisation has one of that name."""
    platform = PlatformRepository(connection)
    platform.get_organisation(organisation)
    record = TenantRecord(
        id=TenantId(new_name("ten_", random)),
        organisation_id=organisation,
        name=name,
        status="active",
        quota=canonical_json(quota.to_json()).decode(),
        created_at_ms=now_ms,
    )
    _audit(connection, actor, record.id, "tenant.create", record.id, {"name": name}, now_ms)
    platform.add_tenant(record)
    key = new_wrapped_key(provider, record.id, 1, random)
    DataKeyRepository(connection, record.id).add(key, at_ms=now_ms)
    return record


def create_key(
    connection: Connection,
    tenant: TenantId | None,
    *,
    role: str,
    scopes: Iterable[Scope] | None,
    label: str,
    expires_at_ms: int | None,
    pepper: bytes,
    actor: str,
    now_ms: int,
    random: RandomSource,
) -> tuple[ApiKeyRecord, str]:
    """Mint a key for *tenant* (None: for the platform); return its record and, this once, the key itself."""
    if role not in ROLES:
        raise RequestError(f"the role must be one of {', '.join(sorted(ROLES))}", param="role", code="invalid_value")
    granted = ROLES[role] if scopes is None else frozenset(scopes)
    if not granted <= ROLES[role]:
        beyond = ", ".join(sorted(granted - ROLES[role]))
        raise RequestError(f"the role {role} does not include {beyond}", param="scopes", code="invalid_value")
    if (tenant is None) != (Scope.PLATFORM_ADMIN in ROLES[role]):
        raise RequestError("platform-operator keys belong to no tenant, all others to one", param="role")
    minted = mint_api_key(random)
    record = ApiKeyRecord(
        key_id=minted.key_id,
        tenant_id=tenant,
        mac=mac_api_key(pepper, minted.text),
        role=role,
        scopes=json.dumps(sorted(granted)),
        label=label,
        created_at_ms=now_ms,
        created_by=actor,
        expires_at_ms=expires_at_ms,
        revoked_at_ms=None,
        last_used_day=None,
    )
    detail = {"label": label, "role": role, "scopes": sorted(granted)}
    _audit(connection, actor, tenant, "key.create", record.key_id, detail, now_ms)
    if tenant is None:
        PlatformRepository(connection).add_platform_key(record)
    else:
        if PlatformRepository(connection).get_tenant(tenant).status == "erased":
            raise Conflict("the tenant was erased, and a key to it would open nothing; name another tenant")
        if tenant == PlatformRepository(connection).get_meta(POOL_TENANT_META):
            raise Conflict("this tenant is the pool, which nobody asks in the name of; name another tenant")
        KeyRepository(connection, tenant).add(record)
    return record, minted.text


def set_policy(
    connection: Connection,
    tenant: TenantId,
    policy: ReusePolicy,
    *,
    actor: str,
    now_ms: int,
    expected_version: int | None = None,
) -> PolicyRecord:
    """Add the next version of *tenant*'s policy."""
    PlatformRepository(connection).get_tenant(tenant)
    document, digest = canonical_json(policy.to_json()).decode(), policy_digest(policy)
    _audit(connection, actor, tenant, "policy.set", tenant, {"digest": digest}, now_ms)
    add_notice(connection, tenant, "refresh", at_ms=now_ms)
    return PolicyRepository(connection, tenant).add(
        document, digest, at_ms=now_ms, created_by=actor, expected_version=expected_version
    )


def revoke_key(connection: Connection, tenant: TenantId | None, key: KeyId, *, actor: str, now_ms: int) -> None:
    """Revoke one of *tenant*'s keys (None: of the platform's own) at once; raises `NotFound`."""
    _audit(connection, actor, tenant, "key.revoke", key, {}, now_ms)
    if tenant is None:
        PlatformRepository(connection).revoke_platform_key(key, at_ms=now_ms)
        return
    add_notice(connection, tenant, "refresh", at_ms=now_ms)
    KeyRepository(connection, tenant).revoke(key, at_ms=now_ms)


def refuse_grant(caller: Caller, role: str, scopes: frozenset[Scope]) -> None:
    """Raise `RequestError` unless *caller* may hand out a key of *role* with *scopes*."""
    if not caller.may_grant(role, scopes):
        raise RequestError(
            "this key may not hand out that role or those scopes", param="role", code="not_yours_to_grant", status=403
        )


def rotate_key(
    connection: Connection,
    tenant: TenantId,
    key: KeyId,
    *,
    caller: Caller,
    grace_s: int,
    pepper: bytes,
    now_ms: int,
    random: RandomSource,
) -> tuple[ApiKeyRecord, str]:
    """Mint a key like *key* and let the old one end after *grace_s* seconds; raises `NotFound`.

    Raises `Conflict` for a key that has ended, which has no successor, and `RequestError` when *caller* may not hand out
    what it may do: whoever rotates a key gets to hold its successor.
    """
    old = KeyRepository(connection, tenant).get(key)
    if old.revoked_at_ms is not None or (old.expires_at_ms is not None and old.expires_at_ms <= now_ms):
        raise Conflict("this key was revoked or has expired; make a new one instead")
    scopes = frozenset(Scope(scope) for scope in json.loads(old.scopes))
    refuse_grant(caller, old.role, scopes)
    made = create_key(
        connection,
        tenant,
        role=old.role,
        scopes=scopes,
        label=old.label,
        expires_at_ms=None,
        pepper=pepper,
        actor=caller.key_id,
        now_ms=now_ms,
        random=random,
    )
    _audit(connection, caller.key_id, tenant, "key.rotate", key, {"replaced_by": made[0].key_id}, now_ms)
    add_notice(connection, tenant, "refresh", at_ms=now_ms)
    KeyRepository(connection, tenant).expire(key, at_ms=now_ms + grace_s * 1000)
    return made


def set_quota(connection: Connection, tenant: TenantId, quota: Quota, *, actor: str, now_ms: int) -> None:
    """Change what *tenant* may use."""
    _audit(connection, actor, tenant, "tenant.quota", tenant, {"quota": quota.to_json()}, now_ms)
    add_notice(connection, tenant, "refresh", at_ms=now_ms)
    PlatformRepository(connection).set_tenant_quota(tenant, canonical_json(quota.to_json()).decode())


def set_status(connection: Connection, tenant: TenantId, status: str, *, actor: str, now_ms: int) -> None:
    """Suspend or reactivate *tenant*; a suspended one's keys open nothing. An erased one stays erased."""
    platform = PlatformRepository(connection)
    if platform.get_tenant(tenant).status == "erased":
        raise Conflict("an erased tenant stays erased: its data keys are destroyed")
    _audit(connection, actor, tenant, "tenant.status", tenant, {"status": status}, now_ms)
    add_notice(connection, tenant, "refresh", at_ms=now_ms)
    platform.set_tenant_status(tenant, status)


def put_upstream(connection: Connection, record: UpstreamRecord, *, actor: str, now_ms: int) -> None:
    """Set up an upstream, in the place of one of the same name."""
    detail = {"kind": record.kind, "base_url": record.base_url, "allow_private": record.allow_private}
    _audit(connection, actor, None, "upstream.put", record.name, detail, now_ms)
    PlatformRepository(connection).put_upstream(record)


def put_model(connection: Connection, record: ModelRecord, *, actor: str, now_ms: int) -> None:
    """Open a model alias, in the place of one of the same name; its known version is kept."""
    platform = PlatformRepository(connection)
    if record.upstream not in {upstream.name for upstream in platform.list_upstreams()}:
        raise NotFound(f"there is no upstream {record.upstream!r}; set it up first")
    detail = {"upstream": record.upstream, "requested": record.requested}
    _audit(connection, actor, None, "model.put", record.alias, detail, now_ms)
    known = {model.alias: model for model in platform.list_models()}.get(record.alias)
    if known is not None and (known.upstream, known.requested) == (record.upstream, record.requested):
        record = replace(record, model_version=known.model_version, reported=known.reported)
    platform.put_model(record)


def delete_model(connection: Connection, alias: str, *, actor: str, now_ms: int) -> None:
    """Close a model alias; raises `NotFound`."""
    _audit(connection, actor, None, "model.delete", alias, {}, now_ms)
    PlatformRepository(connection).delete_model(alias)


def _audit(
    connection: Connection,
    actor: str,
    tenant: TenantId | None,
    action: str,
    target: str,
    detail: Mapping[str, object],
    now_ms: int,
) -> None:
    append_audit(connection, AuditEvent(actor, tenant, action, target, detail), at_ms=now_ms)  # type: ignore[arg-type]
