"""What a key may do: scopes, the roles that bundle them, and the caller that carries them.

| role              | may                                                     | and not                        |
|-------------------|---------------------------------------------------------|--------------------------------|
| owner, admin      | everything in its tenant (only an owner makes an owner) | the platform                   |
| member            | ask, read entries                                       | change anything                |
| billing           | read usage and savings                                  | read any content               |
| auditor           | export proofs                                           | read any plaintext             |
| application       | ask, read entries                                       | change anything but by asking  |
| platform-operator | run the platform                                        | act in a tenant, read content  |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tenants.errors import ScopeError
from tenants.identifiers import KeyId, OrganisationId, TenantId


class Scope(StrEnum):
    """One thing that a key can be allowed; what is not named by any of them is allowed to nobody."""

    INFER = "infer"
    CACHE_READ = "cache:read"
    CACHE_ADMIN = "cache:admin"
    AUDIT = "audit"
    USAGE = "usage"
    TENANT_ADMIN = "tenant:admin"
    PLATFORM_ADMIN = "platform:admin"


_TENANT_SCOPES: Final = frozenset(Scope) - {Scope.PLATFORM_ADMIN}

ROLES: Final[Mapping[str, frozenset[Scope]]] = MappingProxyType(
    {
        "owner": _TENANT_SCOPES,
        "admin": _TENANT_SCOPES,
        "member": frozenset({Scope.INFER, Scope.CACHE_READ}),
        "billing": frozenset({Scope.USAGE}),
        "auditor": frozenset({Scope.AUDIT}),
        "application": frozenset({Scope.INFER, Scope.CACHE_READ}),
        "platform-operator": frozenset({Scope.PLATFORM_ADMIN}),
    }
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who an authenticated key speaks for; *tenant* and *organisation* are None for the platform."""

    tenant: TenantId | None
    organisation: OrganisationId | None
    key_id: KeyId
    role: str
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Raise `ScopeError` unless the caller has *scope*."""
        if scope not in self.scopes:
            raise ScopeError(scope.value)

    def may_grant(self, role: str, scopes: frozenset[Scope]) -> bool:
        """Tell whether the caller may make a key of *role* with *scopes*.

        The platform makes any key. A tenant admin hands out no scope that it lacks, and only an owner makes an owner.
        """
        of_role = ROLES.get(role, frozenset())
        if not scopes <= of_role:
            return False
        if Scope.PLATFORM_ADMIN in self.scopes:
            return True
        if Scope.PLATFORM_ADMIN in of_role:
            # A role of the platform is the platform's to give, even without any of its scopes.
            return False
        if Scope.TENANT_ADMIN not in self.scopes or (role == "owner" and self.role != "owner"):
            return False
        return scopes <= self.scopes
