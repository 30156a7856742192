"""A POST that is sent twice takes effect once: row B-28."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.store.errors import StoreUnavailable
from tests.api.in_process import GENEROUS, InProcess, assert_error, calling, in_process, is_within_a_call
from tests.fakes import Options


@pytest.fixture
def house(tmp_path: Path) -> Iterator[InProcess]:
    with in_process(tmp_path, Options(quota=GENEROUS)) as found:
        yield found


BODY = {"label": "once", "role": "application"}


def post(
    house: InProcess, name: str | None, body: Any = BODY, *, key: str | None = None, path: str = "/admin/v1/keys"
) -> Any:
    headers = {} if name is None else {"Idempotency-Key": name}
    return house.call("POST", path, key=key, json=body, headers=headers)


def labels(house: InProcess) -> list[str]:
    return [row["label"] for row in house.call("GET", "/admin/v1/keys").json()["data"]]


def test_a_repeated_request_takes_effect_once_and_gets_the_same_answer_without_the_secret(house: InProcess) -> None:
    first, again = post(house, "make-a-key"), post(house, "make-a-key")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["api_key"].startswith("hp_live_")
    assert again.json() == {**first.json(), "api_key": None}
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert labels(house).count("once") == 1


def test_without_the_header_every_request_takes_effect(house: InProcess) -> None:
    post(house, None)
    post(house, None)
    assert labels(house).count("once") == 2


def test_a_minted_key_is_never_written_down(house: InProcess) -> None:
    secret = post(house, "make-a-key").json()["api_key"].rpartition("_")[2]
    for path in house.gateway.settings.data.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_the_same_key_with_another_body_is_a_422(house: InProcess) -> None:
    post(house, "make-a-key")
    error = assert_error(post(house, "make-a-key", {**BODY, "label": "twice"}), 422)
    assert error["param"] == "Idempotency-Key"
    assert labels(house).count("twice") == 0


def test_the_same_key_at_another_path_is_a_422(house: InProcess) -> None:
    post(house, "make-a-key")
    assert_error(post(house, "make-a-key", {"policy": {}}, path="/admin/v1/policies"), 422)


def test_a_duplicate_while_the_first_is_in_progress_is_a_409(house: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    database = house.gateway.gateway.database
    write, gate = database.write, asyncio.Event()
    writes: list[object] = []

    async def slow(run: Any) -> Any:
        if is_within_a_call():
            writes.append(run)
            if len(writes) == 2:  # the first is the claim
                await gate.wait()
        return await write(run)

    monkeypatch.setattr(database, "write", slow)
    headers = {"Authorization": f"Bearer {house.gateway.tenants[0].key}", "Idempotency-Key": "make-a-key"}

    async def race() -> tuple[Any, Any]:
        client = house.gateway.client
        with calling():
            first = asyncio.create_task(client.post("/admin/v1/keys", json=BODY, headers=headers))
        while len(writes) < 2:
            await asyncio.sleep(0)
        second = await client.post("/admin/v1/keys", json=BODY, headers=headers)
        gate.set()
        return await first, second

    first, second = house.run(race())
    assert first.status_code == 201
    assert_error(second, 409)
    assert labels(house).count("once") == 1


def test_of_many_at_once_exactly_one_takes_effect(house: InProcess) -> None:
    headers = {"Authorization": f"Bearer {house.gateway.tenants[0].key}", "Idempotency-Key": "make-a-key"}

    async def storm() -> list[Any]:
        client = house.gateway.client
        return await asyncio.gather(*(client.post("/admin/v1/keys", json=BODY, headers=headers) for _ in range(30)))

    answers = house.run(storm())
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert sum(answer.status_code == 201 and answer.json()["api_key"] is not None for answer in answers) == 1
    assert labels(house).count("once") == 1


def test_after_a_day_the_key_stands_for_a_new_request(house: InProcess) -> None:
    post(house, "make-a-key")
    house.gateway.clock.advance(24 * 3600 - 1)
    assert post(house, "make-a-key").json()["api_key"] is None
    house.gateway.clock.advance(2)
    assert post(house, "make-a-key").json()["api_key"] is not None
    assert labels(house).count("once") == 2


def test_a_refused_request_leaves_its_key_free(house: InProcess) -> None:
    assert_error(post(house, "make-a-key", {"role": "wizard"}), 400)
    assert post(house, "make-a-key").status_code == 201


def test_when_the_store_failed_the_request_can_be_sent_again(house: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    database = house.gateway.gateway.database
    write, writes = database.write, 0

    async def failing(run: Any) -> Any:
        nonlocal writes
        writes += is_within_a_call()
        if is_within_a_call() and writes == 2:
            raise StoreUnavailable("the database does not answer; nothing was changed")
        return await write(run)

    monkeypatch.setattr(database, "write", failing)
    assert_error(post(house, "make-a-key"), 503)
    assert post(house, "make-a-key").status_code == 201


@pytest.mark.parametrize("name", ["a" * 255, "7f1e0c1a-65b4-4c39-a2fd-3b6c7c6f0a55", "!"])
def test_a_key_of_up_to_255_visible_characters_is_taken(house: InProcess, name: str) -> None:
    assert post(house, name).status_code == 201


@pytest.mark.parametrize("name", ["a" * 256, "", "with space", "tab\there", "caf\u00e9"])
def test_a_key_of_another_form_is_a_400(house: InProcess, name: str) -> None:
    headers = [(b"Authorization", f"Bearer {house.gateway.tenants[0].key}".encode()),
               (b"Idempotency-Key", name.encode("latin-1"))]  # fmt: skip
    response = house.run(house.gateway.client.post("/admin/v1/keys", json=BODY, headers=headers))
    assert_error(response, 400)
    assert labels(house).count("once") == 0


def test_two_callers_keys_never_meet(house: InProcess) -> None:
    other = house.gateway.tenants[1].key
    assert post(house, "make-a-key").json()["api_key"] is not None
    assert post(house, "make-a-key", key=other).json()["api_key"] is not None
    second = house.key("admin")
    assert post(house, "make-a-key", key=second).json()["api_key"] is not None


def test_the_header_gives_nobody_a_right(house: InProcess) -> None:
    made = post(house, "make-a-key")
    assert made.status_code == 201
    assert_error(post(house, "make-a-key", key=house.key("member")), 403)
    assert_error(post(house, "make-a-key", key=""), 401)
