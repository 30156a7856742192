"""What `/admin/v1/*` answers, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from server.api.answer_schemas import Shape


class Organisation(Shape):
    """A billing unit."""

    id: str
    name: str
    created_at_ms: int


class OrganisationPage(Shape):
    """All organisations."""

    object: Literal["list"]
    data: list[Organisation]


class Tenant(Shape):
    """An isolated customer."""

    id: str
    organisation: str
    name: str
    status: Literal["active", "suspended", "erased"]
    quota: dict[str, int]
    created_at_ms: int


class TenantPage(Shape):
    """The tenants that the caller may see."""

    object: Literal["list"]
    data: list[Tenant]


class ErasedTenant(Shape):
    """A tenant whose keys and data are destroyed."""

    id: str
    status: Literal["erased"]


class Key(Shape):
    """What is kept of an API key: never the key."""

    key_id: str
    tenant: str | None
    role: str
    scopes: list[str]
    label: str
    created_at_ms: int
    created_by: str
    expires_at_ms: int | None
    revoked_at_ms: int | None
    last_used_day: str | None


class NewKey(Key):
    """A new API key; `api_key` is shown this once, and is null in a repeated answer."""

    api_key: str | None


class KeyPage(Shape):
    """A tenant's keys."""

    object: Literal["list"]
    data: list[Key]


class RevokedKey(Shape):
    """A key that opens nothing any more."""

    key_id: str
    revoked: bool


class Policy(Shape):
    """One version of a tenant's policy; version 0 is the default of a tenant that set none."""

    version: int
    digest: str
    certified: bool
    obfuscation: bool
    policy: dict[str, Any]
    created_at_ms: int | None
    created_by: str | None


class PolicyPage(Shape):
    """The policy in force and all before it, newest first."""

    object: Literal["list"]
    active: Policy
    data: list[Policy]


class ModelAlias(Shape):
    """Where a model alias leads and what it costs."""

    alias: str
    upstream: str
    requested: str
    model_version: str | None
    reported: str | None
    input_price_micro: int
    output_price_micro: int


class SeenVersion(Shape):
    """A model version that was seen."""

    model_version: str
    reported: str | None
    status: Literal["active", "superseded", "revoked"]
    first_seen_at_ms: int
    manifest: dict[str, Any] | None


class ModelAliasPage(Shape):
    """All aliases and versions."""

    object: Literal["list"]
    data: list[ModelAlias]
    versions: list[SeenVersion]


class EndedVersion(Shape):
    """A model version whose answers are reused no more."""

    model_version: str
    status: Literal["superseded", "revoked"]


class SigningKey(Shape):
    """A key that signs receipts: what it signed counts below leaf `since_index` of the log, or all of it."""

    key_id: str
    public_key: str
    role: Literal["runner", "gateway"]
    name: str
    status: Literal["active", "retired", "compromised"]
    since_index: int | None
    first_seen_at_ms: int
    models: list[str]


class SigningKeyPage(Shape):
    """All keys that were seen to sign."""

    object: Literal["list"]
    data: list[SigningKey]


class ClosedModel(Shape):
    """An alias that is closed."""

    alias: str
    deleted: bool


class Upstream(Shape):
    """An upstream; `key` names where its key is read from."""

    name: str
    kind: Literal["openai", "vllm", "runner"]
    base_url: str
    key: str | None
    allow_private: bool


class UpstreamPage(Shape):
    """All upstreams."""

    object: Literal["list"]
    data: list[Upstream]


class AuditEntry(Shape):
    """One administrative change, chained to the one before it by `hash`."""

    seq: int
    at_ms: int
    actor: str
    tenant: str | None
    action: str
    target: str
    detail: Any
    hash: str


class AuditPage(Shape):
    """Changes in order."""

    object: Literal["list"]
    data: list[AuditEntry]


class Unsealing(Shape):
    """How many shares were given and are needed, and whether the store is open now."""

    given: int
    needed: int
    is_open: bool
