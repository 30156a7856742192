"""What belongs to the platform: organisations, the list of tenants, upstreams, models, and finding a key's owner."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from server.store.errors import NotFound
from server.store.records import (
    ApiKeyRecord,
    ModelRecord,
    ModelVersionRecord,
    OrganisationRecord,
    TenantRecord,
    UpstreamRecord,
)
from server.store.tables import api_keys, meta, model_versions, models, organisations, tenants, upstreams
from tenants.identifiers import KeyId, OrganisationId, TenantId


def _columns(table: Any, record: type) -> tuple[Any, ...]:
    return tuple(table.c[name] for name in record.__dataclass_fields__)  # type: ignore[attr-defined]


_KEY_WITH_TENANT: Final = (
    select(*_columns(api_keys, ApiKeyRecord), tenants.c.organisation_id, tenants.c.status)
    .outerjoin_from(api_keys, tenants, api_keys.c.tenant_id == tenants.c.id)
    .where(api_keys.c.key_id == bindparam("key"))
)


class PlatformRepository:
    """Rows that are nobody's in particular; only platform code and authentication hold one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_organisation(self, record: OrganisationRecord) -> None:
        """Store an organisation; `Conflict` if the name is taken."""
        self._connection.execute(insert(organisations), asdict(record))

    def list_organisations(self) -> list[OrganisationRecord]:
        """Return all organisations by name."""
        statement = select(*_columns(organisations, OrganisationRecord)).order_by(organisations.c.name)
        return [OrganisationRecord(*row) for row in self._connection.execute(statement)]

    def find_organisation(self, name: str) -> OrganisationRecord | None:
        """Return the organisation called *name*."""
        statement = select(*_columns(organisations, OrganisationRecord)).where(organisations.c.name == name)
        row = self._connection.execute(statement).first()
        return None if row is None else OrganisationRecord(*row)

    def get_organisation(self, organisation: OrganisationId) -> OrganisationRecord:
        """Return one organisation; raises `NotFound`."""
        statement = select(*_columns(organisations, OrganisationRecord)).where(organisations.c.id == organisation)
        row = self._connection.execute(statement).first()
        if row is None:
            raise NotFound("there is no such organisation")
        return OrganisationRecord(*row)

    def add_tenant(self, record: TenantRecord) -> None:
        """Store a tenant; `Conflict` if its organisation has one of that name."""
        self._connection.execute(insert(tenants), asdict(record))

    def list_tenants(self) -> list[TenantRecord]:
        """Return all tenants, oldest first."""
        statement = select(*_columns(tenants, TenantRecord)).order_by(tenants.c.created_at_ms, tenants.c.id)
        return [TenantRecord(*row) for row in self._connection.execute(statement)]

    def list_erased(self) -> list[TenantId]:
        """Return the tenants that were erased."""
        return [row[0] for row in self._connection.execute(select(tenants.c.id).where(tenants.c.status == "erased"))]

    def get_tenant(self, tenant: TenantId) -> TenantRecord:
        """Return one tenant; raises `NotFound`."""
        row = self._connection.execute(select(*_columns(tenants, TenantRecord)).where(tenants.c.id == tenant)).first()
        if row is None:
            raise NotFound("there is no such tenant")
        return TenantRecord(*row)

    def set_tenant_status(self, tenant: TenantId, status: str) -> None:
        """Change a tenant's status; raises `NotFound`."""
        self._update_tenant(tenant, status=status)

    def set_tenant_quota(self, tenant: TenantId, quota: str) -> None:
        """Change a tenant's quota; raises `NotFound`."""
        self._update_tenant(tenant, quota=quota)

    def _update_tenant(self, tenant: TenantId, **values: str) -> None:
        if self._connection.execute(update(tenants).where(tenants.c.id == tenant).values(**values)).rowcount == 0:
            raise NotFound("there is no such tenant")

    def find_key(self, key: KeyId) -> tuple[ApiKeyRecord, OrganisationId | None, str | None] | None:
        """Return a key's record with its tenant's organisation and status: the one read before a tenant is known."""
        row = self._connection.execute(_KEY_WITH_TENANT, {"key": key}).first()
        if row is None:
            return None
        return ApiKeyRecord(*row[:-2]), row[-2], row[-1]

    def add_platform_key(self, record: ApiKeyRecord) -> None:
        """Store a key that belongs to the platform itself."""
        if record.tenant_id is not None:
            raise ValueError("a platform key belongs to no tenant")
        self._connection.execute(insert(api_keys), asdict(record))

    def list_platform_keys(self) -> list[ApiKeyRecord]:
        """Return the platform's own keys."""
        statement = select(*_columns(api_keys, ApiKeyRecord)).where(api_keys.c.tenant_id.is_(None))
        return [ApiKeyRecord(*row) for row in self._connection.execute(statement)]

    def revoke_platform_key(self, key: KeyId, *, at_ms: int) -> None:
        """Revoke one of the platform's own keys from *at_ms* on; raises `NotFound`."""
        if key not in {record.key_id for record in self.list_platform_keys()}:
            raise NotFound("there is no such key")
        own = (api_keys.c.key_id == key, api_keys.c.tenant_id.is_(None), api_keys.c.revoked_at_ms.is_(None))
        self._connection.execute(update(api_keys).where(*own).values(revoked_at_ms=at_ms))

    def put_upstream(self, record: UpstreamRecord) -> None:
        """Store an upstream in the place of one of the same name."""
        changed = self._connection.execute(
            update(upstreams).where(upstreams.c.name == record.name).values(**asdict(record))
        )
        if changed.rowcount == 0:
            self._connection.execute(insert(upstreams), asdict(record))

    def list_upstreams(self) -> list[UpstreamRecord]:
        """Return all upstreams by name."""
        statement = select(*_columns(upstreams, UpstreamRecord)).order_by(upstreams.c.name)
        return [UpstreamRecord(*row) for row in self._connection.execute(statement)]

    def put_model(self, record: ModelRecord) -> None:
        """Store a model alias in the place of one of the same name."""
        changed = self._connection.execute(
            update(models).where(models.c.alias == record.alias).values(**asdict(record))
        )
        if changed.rowcount == 0:
            self._connection.execute(insert(models), asdict(record))

    def delete_model(self, alias: str) -> None:
        """Forget a model alias; raises `NotFound`. Its entries stay until they expire and are not served."""
        if self._connection.execute(delete(models).where(models.c.alias == alias)).rowcount == 0:
            raise NotFound("there is no such model")

    def list_models(self) -> list[ModelRecord]:
        """Return all model aliases by name."""
        statement = select(*_columns(models, ModelRecord)).order_by(models.c.alias)
        return [ModelRecord(*row) for row in self._connection.execute(statement)]

    def list_model_versions(self) -> list[ModelVersionRecord]:
        """Return every model version that was seen, newest first."""
        statement = select(*_columns(model_versions, ModelVersionRecord)).order_by(
            model_versions.c.first_seen_at_ms.desc(), model_versions.c.model_version
        )
        return [ModelVersionRecord(*row) for row in self._connection.execute(statement)]

    def activate_version(self, alias: str, version: ModelVersionRecord) -> str | None:
        """Make *version* what *alias* answers with; return the model version that it supersedes, if any.

        A version that was revoked stays revoked.
        """
        model = self._connection.execute(
            select(models.c.model_version, models.c.reported).where(models.c.alias == alias)
        ).first()
        if model is None:
            raise NotFound("there is no such model")
        found = self._connection.execute(
            select(model_versions.c.status).where(
                model_versions.c.model_version == version.model_version,
                model_versions.c.reported == version.reported,
            )
        ).first()
        if found is None:
            self._connection.execute(insert(model_versions), asdict(version))
        else:
            self._change_version_status(version.model_version, version.reported, before="superseded", after="active")
        self._connection.execute(
            update(models)
            .where(models.c.alias == alias)
            .values(model_version=version.model_version, reported=version.reported)
        )
        if model[0] is None or tuple(model) == (version.model_version, version.reported):
            return None
        self._supersede_if_unused(model[0], model[1])
        return str(model[0])

    def set_version_status(self, model_version: str, status: str) -> int:
        """Change the status of every reported form of *model_version*; return how many rows that were."""
        changed = self._connection.execute(
            update(model_versions).where(model_versions.c.model_version == model_version).values(status=status)
        )
        return changed.rowcount

    def add_manifest(self, model_version: str, manifest: str) -> None:
        """Keep the manifest of *model_version* with every reported form that was seen before the manifest was."""
        self._connection.execute(
            update(model_versions)
            .where(model_versions.c.model_version == model_version, model_versions.c.manifest.is_(None))
            .values(manifest=manifest)
        )

    def set_version_publisher(self, model_version: str, publisher: str) -> None:
        """Keep a publisher's signature, a Sigstore bundle, with every reported form of *model_version*."""
        self._connection.execute(
            update(model_versions).where(model_versions.c.model_version == model_version).values(publisher=publisher)
        )

    def _change_version_status(self, model_version: str, reported: str, *, before: str, after: str) -> None:
        """Change a status that is *before*; what was revoked in the meantime stays revoked."""
        self._connection.execute(
            update(model_versions)
            .where(
                model_versions.c.model_version == model_version,
                model_versions.c.reported == reported,
                model_versions.c.status == before,
            )
            .values(status=after)
        )

    def _supersede_if_unused(self, model_version: str, reported: str) -> None:
        used = self._connection.execute(
            select(models.c.alias).where(models.c.model_version == model_version, models.c.reported == reported)
        ).first()
        if used is None:
            self._change_version_status(model_version, reported, before="active", after="superseded")

    def get_meta(self, name: str) -> str | None:
        """Return what was written down under *name*."""
        row = self._connection.execute(select(meta.c.value).where(meta.c.name == name)).first()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        """Write *value* down under *name*."""
        if self._connection.execute(update(meta).where(meta.c.name == name).values(value=value)).rowcount == 0:
            self._connection.execute(insert(meta), {"name": name, "value": value})
