"""Who calls: rows A-01 to A-04."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

import server.api.authentication as authentication
from server.setup import revoke_key, set_status
from server.store.tables import api_keys
from tenants.api_keys import ALPHABET, _checksum, parse_api_key
from tenants.identifiers import KeyId
from tenants.scopes import Scope
from tests.api.in_process import GENEROUS, InProcess, assert_error, in_process, is_within_a_call
from tests.fakes import Options


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process(tmp_path_factory.mktemp("authentication"), Options(tenants=2, quota=GENEROUS)) as found:
        yield found


def with_fitting_checksum(text: str) -> str:
    return text[:-6] + _checksum(text[:-6])


def changed_at(text: str, position: int) -> str:
    """Return *text* with another base62 character at *position*."""
    other = ALPHABET[(ALPHABET.index(text[position]) + 1) % len(ALPHABET)]
    return text[:position] + other + text[position + 1 :]


def get_models(house: InProcess, authorization: str | None, **options: Any) -> Any:
    headers = [] if authorization is None else [("Authorization", authorization)]
    return house.call("GET", options.pop("path", "/v1/models"), key="", headers=headers + options.pop("headers", []))


def count_reads(house: InProcess, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Note the reads that calls make from now on. The house reads its feed now and then, which is no cost of theirs."""
    reads: list[object] = []
    database = house.gateway.gateway.database
    read = database.read

    async def counted(run: Any) -> Any:
        if is_within_a_call():
            reads.append(run)
        return await read(run)

    monkeypatch.setattr(database, "read", counted)
    return reads


#


def test_no_key_is_a_401_that_says_how_to_send_one(house: InProcess) -> None:
    response = get_models(house, None)
    assert_error(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer  ", "Basic dXNlcjpwYXNz", "Token {key}", "{key}", "Bearer {key} {key}",
     "Bearer {key},Bearer {key}", "Bearer {key}x", "Bearer x{key}", "Bearer hp_live_", "Bearer " + "a" * 10_000,
     "Negotiate {key}", "Bearer\t{key}\t{key}"],
)  # fmt: skip
def test_an_authorization_that_is_not_one_bearer_key_is_a_401(house: InProcess, authorization: str) -> None:
    key = house.gateway.tenants[0].key
    assert_error(get_models(house, authorization.format(key=key)), 401)


def test_the_scheme_is_read_in_any_case(house: InProcess) -> None:
    assert get_models(house, f"bEaReR {house.gateway.tenants[0].key}").status_code == 200


def test_two_authorization_headers_are_refused_even_if_both_are_good(house: InProcess) -> None:
    first, second = (f"Bearer {tenant.key}" for tenant in house.gateway.tenants)
    for pair in ((first, first), (first, second), ("Basic x", first), (first, "")):
        assert_error(get_models(house, None, headers=[("Authorization", value) for value in pair]), 401)


@pytest.mark.parametrize("name", ["api_key", "key", "token", "access_token", "Authorization"])
def test_a_key_in_the_query_is_never_read(house: InProcess, name: str) -> None:
    response = get_models(house, None, path=f"/v1/models?{name}={house.gateway.tenants[0].key}")
    assert_error(response, 401)
    assert house.gateway.tenants[0].key not in response.text


@pytest.mark.parametrize("name", ["X-Api-Key", "Api-Key", "Proxy-Authorization", "Cookie"])
def test_a_key_in_another_header_is_never_read(house: InProcess, name: str) -> None:
    key = house.gateway.tenants[0].key
    assert_error(get_models(house, None, headers=[(name, f"Bearer {key}"), (name + "-2", key)]), 401)


#


def test_a_key_whose_checksum_does_not_fit_is_refused_without_a_read(
    house: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = house.gateway.tenants[0].key
    reads = count_reads(house, monkeypatch)
    for position in range(len("hp_live_"), len(key)):
        if key[position] == "_":
            continue
        assert_error(get_models(house, f"Bearer {changed_at(key, position)}"), 401)
    assert reads == []


def test_a_wrong_secret_is_refused_at_every_character_of_it(house: InProcess) -> None:
    key = house.gateway.tenants[0].key
    assert get_models(house, f"Bearer {key}").status_code == 200
    start = key.rindex("_") + 1
    for position in range(start, len(key) - 6):
        forged = with_fitting_checksum(changed_at(key, position))
        assert parse_api_key(forged).key_id == parse_api_key(key).key_id
        assert_error(get_models(house, f"Bearer {forged}"), 401)


def test_an_unknown_key_costs_as_many_reads_and_comparisons_as_a_wrong_secret(
    house: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = house.gateway.tenants[0].key
    wrong_secret = with_fitting_checksum(changed_at(key, key.rindex("_") + 3))
    unknown = with_fitting_checksum(changed_at(key, len("hp_live_") + 2))
    reads = count_reads(house, monkeypatch)
    compared: list[int] = []
    genuine = authentication.is_api_key_mac

    def spy(pepper: bytes, text: str, expected: bytes) -> bool:
        compared.append(len(expected))
        return genuine(pepper, text, expected)

    monkeypatch.setattr(authentication, "is_api_key_mac", spy)
    costs, answers = [], []
    for text in (wrong_secret, unknown):
        reads.clear()
        compared.clear()
        answers.append(assert_error(get_models(house, f"Bearer {text}"), 401))
        costs.append((len(reads), tuple(compared)))
    assert costs == [(1, (32,)), (1, (32,))]
    assert answers[0] == answers[1]


#


def test_keys_that_begin_alike_never_share_an_identity(house: InProcess) -> None:
    key = house.gateway.tenants[0].key
    assert get_models(house, f"Bearer {key}").status_code == 200
    for shared in range(len("hp_live_") + 1, len(key) - 6):
        if key[shared] == "_":
            continue
        forged = with_fitting_checksum(changed_at(key, shared))
        assert forged[:shared] == key[:shared]
        assert_error(get_models(house, f"Bearer {forged}"), 401)
    assert get_models(house, f"Bearer {key}").status_code == 200


def test_a_key_followed_by_anything_is_another_key(house: InProcess) -> None:
    key = house.gateway.tenants[0].key
    for suffix in ("0", "a" * 200, "\x00", "%00", ".", "="):
        response = house.call("GET", "/v1/models", key="", headers=[("Authorization", f"Bearer {key}{suffix}")])
        assert response.status_code in (400, 401)


#


def revoke_behind_its_back(house: InProcess, key: str) -> None:
    """Revoke in the store as another process would whose notice got lost."""
    statement = (
        update(api_keys)
        .where(api_keys.c.key_id == parse_api_key(key).key_id)
        .values(revoked_at_ms=house.gateway.clock.now_ms())
    )
    house.gateway.gateway.database.write_now(lambda connection: connection.execute(statement))


def test_a_key_revoked_over_the_api_is_refused_at_once(house: InProcess) -> None:
    key = house.key("application")
    assert get_models(house, f"Bearer {key}").status_code == 200
    assert house.call("DELETE", f"/admin/v1/keys/{parse_api_key(key).key_id}").status_code == 200
    assert_error(get_models(house, f"Bearer {key}"), 401)


def test_a_key_revoked_elsewhere_is_refused_as_soon_as_the_feed_is_read(house: InProcess) -> None:
    key = house.key("application")
    assert get_models(house, f"Bearer {key}").status_code == 200
    tenant, now_ms = house.gateway.tenants[0].id, house.gateway.clock.now_ms()
    house.gateway.gateway.database.write_now(
        lambda c: revoke_key(c, tenant, KeyId(parse_api_key(key).key_id), actor="test", now_ms=now_ms)
    )
    house.run(house.gateway.gateway.follower.catch_up())
    assert_error(get_models(house, f"Bearer {key}"), 401)


def test_a_key_revoked_without_any_notice_is_refused_within_30_seconds(house: InProcess) -> None:
    key = house.key("application")
    assert get_models(house, f"Bearer {key}").status_code == 200
    revoke_behind_its_back(house, key)
    house.gateway.clock.advance(30)
    assert_error(get_models(house, f"Bearer {key}"), 401)


def test_use_does_not_prolong_what_is_believed_of_a_key(house: InProcess) -> None:
    key = house.key("application")
    assert get_models(house, f"Bearer {key}").status_code == 200
    revoke_behind_its_back(house, key)
    for _ in range(3):
        house.gateway.clock.advance(9.9)
        get_models(house, f"Bearer {key}")
    house.gateway.clock.advance(0.4)
    assert_error(get_models(house, f"Bearer {key}"), 401)


def test_a_key_ends_at_its_expiry_even_while_it_is_believed(house: InProcess) -> None:
    key = house.key("application", lasts_ms=10_000)
    assert get_models(house, f"Bearer {key}").status_code == 200
    house.gateway.clock.advance(9.9)
    assert get_models(house, f"Bearer {key}").status_code == 200
    house.gateway.clock.advance(0.2)
    assert_error(get_models(house, f"Bearer {key}"), 401)


def test_a_suspended_tenants_keys_open_nothing_until_it_is_active_again(house: InProcess) -> None:
    tenant, platform = house.gateway.tenants[0], house.gateway.platform_key
    assert get_models(house, f"Bearer {tenant.key}").status_code == 200
    for status, expected in (("suspended", 401), ("active", 200)):
        changed = house.call("PATCH", f"/admin/v1/tenants/{tenant.id}", key=platform, json={"status": status})
        assert changed.status_code == 200
        assert get_models(house, f"Bearer {tenant.key}").status_code == expected
    assert get_models(house, f"Bearer {house.gateway.tenants[1].key}").status_code == 200


def test_a_tenant_suspended_elsewhere_is_refused_as_soon_as_the_feed_is_read(house: InProcess) -> None:
    tenant, now_ms = house.gateway.tenants[0], house.gateway.clock.now_ms()
    assert get_models(house, f"Bearer {tenant.key}").status_code == 200
    house.gateway.gateway.database.write_now(
        lambda c: set_status(c, tenant.id, "suspended", actor="test", now_ms=now_ms)
    )
    house.run(house.gateway.gateway.follower.catch_up())
    assert_error(get_models(house, f"Bearer {tenant.key}"), 401)


def test_an_erased_tenants_keys_open_nothing(house: InProcess) -> None:
    assert house.chat("Before the end?").status_code == 200
    house.gateway.erase()
    house.run(house.gateway.gateway.follower.catch_up())
    assert_error(house.chat("Before the end?"), 401)


def test_a_rotated_key_lives_on_for_its_grace_and_no_longer(house: InProcess) -> None:
    key = house.key("application")
    made = house.call("POST", f"/admin/v1/keys/{parse_api_key(key).key_id}/rotate", json={"grace_s": 60})
    assert made.status_code == 201
    for text in (key, made.json()["api_key"]):
        assert get_models(house, f"Bearer {text}").status_code == 200
    house.gateway.clock.advance(61)
    assert_error(get_models(house, f"Bearer {key}"), 401)
    assert get_models(house, f"Bearer {made.json()['api_key']}").status_code == 200


def test_a_key_made_with_fewer_scopes_than_its_role_has_only_those(house: InProcess) -> None:
    key = house.key("application", scopes=[Scope.CACHE_READ])
    assert house.call("GET", "/v1/cache/entries", key=key).status_code == 200
    error = assert_error(house.chat("May I ask?", key=key), 403)
    assert error["code"] == "missing_scope"


def test_when_the_store_does_not_answer_the_caller_is_not_told_its_key_is_wrong(
    house: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.store.errors import StoreUnavailable

    async def broken(_run: Any) -> Any:
        raise StoreUnavailable("the database does not answer; nothing was changed")

    monkeypatch.setattr(house.gateway.gateway.database, "read", broken)
    response = get_models(house, f"Bearer {house.gateway.tenants[0].key}")
    assert_error(response, 503)
    assert int(response.headers["retry-after"]) >= 1
