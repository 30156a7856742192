"""Scopes and roles: nobody may do what no scope of theirs names."""

from __future__ import annotations

import pytest

from tenants.errors import ScopeError
from tenants.identifiers import KeyId, OrganisationId, TenantId
from tenants.scopes import ROLES, Caller, Scope


def caller(role: str, scopes: frozenset[Scope] | None = None) -> Caller:
    platform = role == "platform-operator"
    return Caller(
        tenant=None if platform else TenantId("ten_a"),
        organisation=None if platform else OrganisationId("org_a"),
        key_id=KeyId("k" * 12),
        role=role,
        scopes=ROLES[role] if scopes is None else scopes,
    )


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_exactly_its_scopes(role: str, scope: Scope) -> None:
    if scope in ROLES[role]:
        caller(role).require(scope)
    else:
        with pytest.raises(ScopeError, match=scope.value):
            caller(role).require(scope)


@pytest.mark.parametrize("role", ["member", "application", "billing", "auditor"])
def test_who_only_works_in_a_tenant_cannot_administer_it(role: str) -> None:
    assert not ROLES[role] & {Scope.TENANT_ADMIN, Scope.CACHE_ADMIN, Scope.PLATFORM_ADMIN}


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"platform-operator"}))
def test_no_role_of_a_tenant_reaches_the_platform(role: str) -> None:
    assert Scope.PLATFORM_ADMIN not in ROLES[role]


@pytest.mark.parametrize("role", ["auditor", "billing", "platform-operator"])
def test_some_roles_never_see_plaintext(role: str) -> None:
    assert not ROLES[role] & {Scope.INFER, Scope.CACHE_READ, Scope.CACHE_ADMIN}


def test_the_roles_cannot_be_changed_at_run_time() -> None:
    with pytest.raises(TypeError):
        ROLES["member"] = frozenset(Scope)  # type: ignore[index]


def test_a_missing_scope_is_named() -> None:
    with pytest.raises(ScopeError) as refusal:
        caller("member").require(Scope.TENANT_ADMIN)
    assert refusal.value.needed == "tenant:admin"


def test_a_key_with_fewer_scopes_than_its_role_has_only_those() -> None:
    with pytest.raises(ScopeError):
        caller("owner", frozenset({Scope.USAGE})).require(Scope.INFER)


@pytest.mark.parametrize(
    ("granter", "role", "may"),
    [
        ("owner", "owner", True),
        ("owner", "admin", True),
        ("admin", "owner", False),
        ("admin", "admin", True),
        ("admin", "application", True),
        ("admin", "platform-operator", False),
        ("member", "member", False),
        ("auditor", "auditor", False),
        ("platform-operator", "owner", True),
        ("platform-operator", "platform-operator", True),
        ("owner", "emperor", False),
    ],
)
def test_who_may_make_keys_of_which_role(granter: str, role: str, may: bool) -> None:
    assert caller(granter).may_grant(role, ROLES.get(role, frozenset({Scope.INFER}))) is may


def test_nobody_gives_away_a_scope_beyond_the_role() -> None:
    assert not caller("owner").may_grant("billing", frozenset({Scope.USAGE, Scope.INFER}))


def test_an_admin_key_without_a_scope_cannot_give_it_away() -> None:
    limited = caller("admin", frozenset({Scope.TENANT_ADMIN, Scope.USAGE}))
    assert limited.may_grant("billing", frozenset({Scope.USAGE}))
    assert not limited.may_grant("application", frozenset({Scope.INFER}))


def test_a_tenant_gives_away_no_role_of_the_platform_not_even_an_empty_one() -> None:
    assert not caller("owner").may_grant("platform-operator", frozenset())
    assert caller("platform-operator").may_grant("platform-operator", frozenset())
