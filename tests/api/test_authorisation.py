"""Who may do what: every route × every role × whose the object is. Rows A-05, B-30 and B-31; default deny."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import Route

from server.api.contract import OPERATIONS
from server.app import ROUTERS
from server.identifiers import parse_entry_id
from tenants.api_keys import parse_api_key
from tenants.scopes import ROLES, Scope
from tests.api.in_process import GENEROUS, InProcess, assert_error, in_process
from tests.fakes import Options

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/log/checkpoint"),
    ("GET", "/log/tile/{path:path}"),
}
ROUTES = sorted(
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, Route)
    for method in route.methods or ()
)
GUARDED = [route for route in ROUTES if route not in OPEN]
PARAMETERS = {"{alias:path}": "no-such", "{entry_id}": "ent_0000000000000", "{tenant_id}": "ten_none",
              "{key_id}": "nosuchkey000", "{model_version}": "sha256:none", "{receipt_id}": "rcp_none",
              "{hit_id}": "hit_none", "{export_id}": "aud_none", "{name}": "no-such"}  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    # Exports wait for a checkpoint, so there is a log here that moves.
    options = Options(quota=GENEROUS, settings={"log_sequencer": True, "log_interval_s": 0.02})
    with in_process(tmp_path_factory.mktemp("authorisation"), options) as found:
        yield found


@pytest.fixture(scope="module")
def keys(house: InProcess) -> dict[str, str]:
    return {role: house.key(role, tenant=None if role == "platform-operator" else 0) for role in ROLES}


def filled(path: str) -> str:
    for name, value in PARAMETERS.items():
        path = path.replace(name, value)
    assert "{" not in path, "give the new parameter a value in PARAMETERS"
    return path


def scopes_of(method: str, path: str) -> tuple[Scope, ...]:
    return OPERATIONS[(method, path.replace(":path}", "}"))].scopes


def test_the_routes_without_a_key_are_exactly_those_for_machines_that_watch() -> None:
    found = {(method, path) for (method, path), operation in OPERATIONS.items() if not operation.scopes}
    assert found == {(method, path.replace(":path}", "}")) for method, path in OPEN} - {("GET", "/openapi.json")}


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_every_other_route_refuses_a_caller_without_a_key(house: InProcess, method: str, path: str) -> None:
    assert_error(house.call(method, filled(path), key="", json={} if method != "GET" else None), 401)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_role_may_exactly_what_its_scopes_say(
    house: InProcess, keys: dict[str, str], method: str, path: str, role: str
) -> None:
    response = house.call(method, filled(path), key=keys[role], json={} if method != "GET" else None)
    if ROLES[role].isdisjoint(scopes_of(method, path)):
        error = assert_error(response, 403)
        assert error.get("code", error.get("title")) in ("missing_scope", "missing scope")
    else:
        # Two exports run at once and no more; the next role's must find room.
        house.run(house.gateway.gateway.proving.exports.drain())
        assert response.status_code in (200, 201, 202, 400, 404, 409), (response.status_code, response.text[:200])


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize(("method", "path"), [route for route in GUARDED if route[1].startswith("/v1/")])
def test_a_key_with_one_scope_opens_what_that_scope_opens(
    house: InProcess, method: str, path: str, scope: Scope
) -> None:
    role, tenant = ("platform-operator", None) if scope is Scope.PLATFORM_ADMIN else ("owner", 0)
    key = house.key(role, tenant=tenant, scopes=[scope])
    response = house.call(method, filled(path), key=key, json={} if method != "GET" else None)
    assert (response.status_code == 403) == (scope not in scopes_of(method, path))


#


def audit_rows(house: InProcess) -> int:
    return len(house.call("GET", "/admin/v1/audit-log?limit=500").json()["data"])


def test_a_member_cannot_administer(house: InProcess, keys: dict[str, str]) -> None:
    before = audit_rows(house)
    for method, path, body in (
        ("POST", "/admin/v1/keys", {"role": "owner"}),
        ("POST", "/admin/v1/policies", {"policy": {"mode": "off"}}),
        ("POST", "/v1/cache/invalidate", {"all": True, "dry_run": False, "confirm": "remove everything"}),
        ("DELETE", f"/admin/v1/keys/{parse_api_key(house.gateway.tenants[0].key).key_id}", None),
    ):
        assert_error(house.call(method, path, key=keys["member"], json=body), 403)
    assert audit_rows(house) == before


def test_a_tenant_admin_cannot_run_the_platform(house: InProcess, keys: dict[str, str]) -> None:
    own = house.gateway.tenants[0].id
    for method, path, body in (
        ("POST", "/admin/v1/organisations", {"name": "mine"}),
        ("POST", "/admin/v1/tenants", {"organisation": "org_x", "name": "mine"}),
        ("PATCH", f"/admin/v1/tenants/{own}", {"quota": {"requests_per_minute": 10**9}}),
        ("DELETE", f"/admin/v1/tenants/{own}", {"confirm": "tenant-0"}),
        ("PUT", "/admin/v1/models/mine", {"upstream": "fake"}),
        ("PUT", "/admin/v1/upstreams/mine", {"kind": "openai", "base_url": "https://mine.example/v1"}),
        ("GET", "/admin/v1/upstreams", None),
    ):
        for role in ("owner", "admin"):
            assert_error(house.call(method, path, key=keys[role], json=body), 403)


def test_an_auditor_and_the_platform_read_no_plaintext(house: InProcess, keys: dict[str, str]) -> None:
    entry = house.chat("What must no auditor read?").json()["hitproof"]["entry"]
    for role in ("auditor", "billing", "platform-operator"):
        for method, path, body in (
            ("GET", f"/v1/cache/entries/{entry}", None),
            ("GET", "/v1/cache/entries", None),
            ("POST", "/v1/cache/lookup", {"model": "fake-model", "messages": [
                {"role": "user", "content": "What must no auditor read?"}]}),
        ):  # fmt: skip
            response = house.call(method, path, key=keys[role], json=body)
            assert_error(response, 403)
            assert "auditor read" not in response.text


def test_nobody_hands_out_more_than_they_have(house: InProcess, keys: dict[str, str]) -> None:
    for role, body in (
        ("admin", {"role": "owner"}),
        ("admin", {"role": "platform-operator"}),
        ("owner", {"role": "platform-operator"}),
    ):
        assert_error(house.call("POST", "/admin/v1/keys", key=keys[role], json=body), 403)
    narrow = house.key("admin", scopes=[Scope.TENANT_ADMIN])
    assert_error(house.call("POST", "/admin/v1/keys", key=narrow, json={"role": "application"}), 403)
    body = {"role": "member", "scopes": ["platform:admin"]}
    assert house.call("POST", "/admin/v1/keys", key=keys["owner"], json=body).status_code in (400, 403)


def test_a_change_by_an_admin_is_in_its_tenants_audit_log_and_in_no_others(house: InProcess) -> None:
    made = house.call("POST", "/admin/v1/keys", json={"label": "audited"}).json()
    rows = house.call("GET", "/admin/v1/audit-log?limit=500").json()["data"]
    assert made["key_id"] in [row["target"] for row in rows]
    others = house.call("GET", "/admin/v1/audit-log?limit=500", key=house.gateway.tenants[1].key).json()["data"]
    assert made["key_id"] not in [row["target"] for row in others]
    assert all(row["tenant"] == house.gateway.tenants[1].id for row in others)


# B-30: another tenant's object is answered byte for byte as one that never was.


def bytes_of(house: InProcess, method: str, path: str, key: str, body: Any) -> tuple[int, bytes, dict[str, str]]:
    response = house.call(method, path, key=key, json=body)
    content = response.content.replace(response.headers["x-request-id"].encode(), b"*")
    content = content.replace(path.partition("?")[0].encode(), b"PATH")
    headers = {
        name: value for name, value in response.headers.items() if name not in ("x-request-id", "content-length")
    }
    return response.status_code, content, headers


def test_another_tenants_things_are_answered_like_things_that_never_were(house: InProcess) -> None:
    owner, stranger = house.gateway.tenants
    asked = house.chat("please tell me whose lake this very deep blue one is")
    entry = asked.json()["hitproof"]["entry"]
    hit = house.chat("please tell me whose lake this very deep blue one is").json()["hitproof"]["hit"]
    house.run(house.gateway.settle())
    key_id = parse_api_key(house.key("application")).key_id
    never_entry, never_hit = "ent_00000000000zz", "hit_" + "a" * 26
    pairs: list[tuple[str, str, str, Any, Any]] = [
        ("GET", f"/v1/cache/entries/{entry}", f"/v1/cache/entries/{never_entry}", None, None),
        ("DELETE", f"/v1/cache/entries/{entry}", f"/v1/cache/entries/{never_entry}", None, None),
        ("GET", f"/v1/cache/entries?after={entry}", f"/v1/cache/entries?after={never_entry}", None, None),
        ("POST", "/v1/cache/feedback", "/v1/cache/feedback", {"hit": hit, "verdict": "bad"},
         {"hit": never_hit, "verdict": "bad"}),
        ("POST", "/v1/cache/invalidate", "/v1/cache/invalidate", {"entry": entry, "dry_run": False},
         {"entry": never_entry, "dry_run": False}),
        ("DELETE", f"/admin/v1/keys/{key_id}", "/admin/v1/keys/nosuchkey000", None, None),
        ("POST", f"/admin/v1/keys/{key_id}/rotate", "/admin/v1/keys/nosuchkey000/rotate", {}, {}),
        ("GET", f"/admin/v1/tenants/{owner.id}", "/admin/v1/tenants/ten_aaaaaaaaaaaaaaaa", None, None),
        ("GET", f"/admin/v1/keys?tenant={owner.id}", "/admin/v1/keys?tenant=ten_aaaaaaaaaaaaaaaa", None, None),
        ("GET", f"/admin/v1/policies?tenant={owner.id}", "/admin/v1/policies?tenant=ten_aaaaaaaaaaaaaaaa", None, None),
        ("POST", "/admin/v1/policies", "/admin/v1/policies", {"tenant": owner.id, "policy": {}},
         {"tenant": "ten_aaaaaaaaaaaaaaaa", "policy": {}}),
        ("POST", "/admin/v1/keys", "/admin/v1/keys", {"tenant": owner.id}, {"tenant": "ten_aaaaaaaaaaaaaaaa"}),
    ]  # fmt: skip
    for method, theirs, never, their_body, never_body in pairs:
        found = bytes_of(house, method, theirs, stranger.key, their_body)
        assert found == bytes_of(house, method, never, stranger.key, never_body), theirs
        assert found[0] in (404, 200), theirs
    assert house.call("GET", f"/v1/cache/entries/{entry}").status_code == 200, "and nothing was changed by it"
    assert house.call("GET", f"/v1/cache/entries/{entry}").json()["state"] == "live"


def rotate(house: InProcess, key: str, *, by: str) -> Any:
    return house.call("POST", f"/admin/v1/keys/{parse_api_key(key).key_id}/rotate", key=by, json={})


def test_rotating_a_key_is_no_way_to_a_role_or_scope_that_the_caller_may_not_hand_out(house: InProcess) -> None:
    admin = house.key("admin")
    narrow = house.key("admin", scopes=[Scope.TENANT_ADMIN])
    owner, application = house.key("owner"), house.key("application")
    assert_error(rotate(house, owner, by=admin), 403)
    assert_error(rotate(house, application, by=narrow), 403)
    assert house.call("GET", "/v1/models", key=owner).status_code == 200, "and the old key goes on"
    assert rotate(house, application, by=admin).json()["role"] == "application"


def test_the_platform_sees_and_revokes_its_own_keys_and_nobody_else_does(house: InProcess) -> None:
    platform, lost = house.gateway.platform_key, house.key("platform-operator", tenant=None)
    key_id = parse_api_key(lost).key_id
    seen = house.call("GET", "/admin/v1/keys", key=platform).json()["data"]
    assert key_id in [row["key_id"] for row in seen]
    assert {row["tenant"] for row in seen} == {None}
    assert_error(house.call("DELETE", f"/admin/v1/keys/{key_id}"), 404)
    assert house.call("GET", "/admin/v1/tenants", key=lost).status_code == 200
    assert house.call("DELETE", f"/admin/v1/keys/{key_id}", key=platform).status_code == 200
    assert_error(house.call("GET", "/admin/v1/tenants", key=lost), 401)
    of_a_tenant = parse_api_key(house.gateway.tenants[0].key).key_id
    assert_error(house.call("DELETE", f"/admin/v1/keys/{of_a_tenant}", key=platform), 404)


def test_a_key_that_has_ended_has_no_successor(house: InProcess) -> None:
    key = house.key("application")
    assert house.call("DELETE", f"/admin/v1/keys/{parse_api_key(key).key_id}").status_code == 200
    assert_error(rotate(house, key, by=house.gateway.tenants[0].key), 409)


@pytest.mark.parametrize(
    "identifier",
    ["00000000-0000-0000-0000-000000000000", "urn:uuid:00000000-0000-0000-0000-000000000000", "0", "1", "-1",
     "9223372036854775808", "ENT_0000000000000", "ent_000000000000O", "ent_", "ent_" + "z" * 13, "ent_" + "0" * 14],
)  # fmt: skip
def test_an_id_in_another_form_is_a_404(house: InProcess, identifier: str) -> None:
    assert_error(house.call("GET", f"/v1/cache/entries/{identifier}"), 404)


def test_an_id_in_capitals_is_another_id(house: InProcess) -> None:
    entry = house.chat("Which case are ids written in?").json()["hitproof"]["entry"]
    assert house.call("GET", f"/v1/cache/entries/{entry}").status_code == 200
    if entry.upper() != entry:
        assert_error(house.call("GET", f"/v1/cache/entries/{entry.upper()}"), 404)


def test_ids_are_not_counted_up(house: InProcess) -> None:
    first = house.chat("What is the first of two ids?").json()["hitproof"]["entry"]
    second = house.chat("What is the second of two ids?").json()["hitproof"]["entry"]
    assert first[-4:] != second[-4:]
    assert abs((parse_entry_id(first) or 0) - (parse_entry_id(second) or 0)) != 1
