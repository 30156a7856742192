"""Bodies of `/admin/v1/*`. Tenant, role and the like are fields of their own here and nowhere else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt, StringConstraints

from server.api.schemas import Body, Identifier, Name

Label = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Reference = Annotated[str, StringConstraints(max_length=400, pattern=r"^(env|file):[^\x00-\x1f\x7f]+$")]
Price = Annotated[StrictInt, Field(ge=0, le=10**15)]


class OrganisationBody(Body):
    """A new organisation."""

    name: Name


class TenantBody(Body):
    """A new tenant."""

    organisation: Identifier
    name: Name
    quota: dict[str, Any] = Field(default_factory=dict)


class TenantPatch(Body):
    """What to change of a tenant."""

    status: Literal["active", "suspended"] | None = None
    quota: dict[str, Any] | None = None


class EraseBody(Body):
    """The tenant's name, typed again."""

    confirm: Annotated[str, StringConstraints(max_length=200)] | None = None


class KeyBody(Body):
    """A new API key."""

    role: Annotated[str, StringConstraints(max_length=40)] = "application"
    scopes: list[Annotated[str, StringConstraints(max_length=40)]] | None = Field(None, max_length=16)
    label: Label = ""
    tenant: Identifier | None = None
    expires_in_s: StrictInt | None = Field(None, ge=1, le=315_360_000)


class RotateBody(Body):
    """How long the old key lives on."""

    grace_s: StrictInt = Field(86_400, ge=0, le=2_592_000)


class SigningKeyBody(Body):
    """From which leaf of the log on a signing key counts no more, where it was compromised; left out: it is retired."""

    since_index: StrictInt | None = Field(None, ge=0, le=2**53 - 1)


class PolicyBody(Body):
    """The next version of a policy."""

    policy: dict[str, Any]
    expected_version: StrictInt | None = Field(None, ge=0)
    tenant: Identifier | None = None


class ModelName(Body):
    """A model alias in a path."""

    alias: Name


class ModelBody(Body):
    """Where a model alias leads and what it costs, in millionths of currency per million tokens."""

    upstream: Name
    requested: Name | None = None
    input_price_micro: Price = 0
    output_price_micro: Price = 0


class UpstreamBody(Body):
    """An upstream; its key is a reference such as env:NAME or file:PATH."""

    kind: Literal["openai", "vllm", "runner"]
    base_url: Annotated[str, StringConstraints(min_length=8, max_length=2000)]
    key: Reference | None = None
    allow_private: StrictBool = False
