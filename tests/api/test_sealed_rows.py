"""What the API makes of a database that somebody changed, and of keys that do not open: rows A-10 and A-15."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from server.identifiers import parse_entry_id
from server.store.tables import data_keys, entries
from tenants.key_files import create_key_file
from tenants.key_providers import FileKeyProvider
from tests.api.in_process import GENEROUS, InProcess, assert_error, in_process
from tests.fakes import FakeClock, Options, SeededRandom


@pytest.fixture
def house(tmp_path: Path) -> Iterator[InProcess]:
    with in_process(tmp_path, Options(tenants=2, quota=GENEROUS)) as found:
        yield found


QUESTION = "please tell me how very deep the blue mountain lake really is"
ALIKE = "please tell me how very deep the blue mountain lake is really"


def store(house: InProcess, text: str = QUESTION, *, tenant: int = 0) -> int:
    response = house.chat(text, key=house.gateway.tenants[tenant].key)
    found = parse_entry_id(response.json()["hitproof"]["entry"])
    assert found is not None
    return int(found)


def row(house: InProcess, entry: int) -> Any:
    statement = select(entries).where(entries.c.id == entry)
    return house.gateway.gateway.database.read_now(lambda connection: connection.execute(statement).one())


def change(house: InProcess, entry: int, **values: Any) -> None:
    statement = update(entries).where(entries.c.id == entry).values(**values)
    house.gateway.gateway.database.write_now(lambda connection: connection.execute(statement))


def flip(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


TAMPERINGS: dict[str, Callable[[bytes], bytes]] = {
    "version": lambda sealed: flip(sealed, 0),
    "epoch": lambda sealed: flip(sealed, 4),
    "salt": lambda sealed: flip(sealed, 5),
    "commitment": lambda sealed: flip(sealed, 40),
    "first byte": lambda sealed: flip(sealed, 69),
    "middle": lambda sealed: flip(sealed, len(sealed) // 2),
    "tag": lambda sealed: flip(sealed, len(sealed) - 1),
    "cut by one": lambda sealed: sealed[:-1],
    "cut to its header": lambda sealed: sealed[:69],
    "cut to nothing": lambda sealed: b"",
    "longer by one": lambda sealed: sealed + b"\0",
    "replaced by plaintext": lambda sealed: b'{"version":1,"response":{}}',
}


def assert_missed_and_quarantined(house: InProcess, entry: int, ask: str = QUESTION) -> None:
    calls = len(house.gateway.upstream.requests)
    response = house.chat(ask)
    assert response.status_code == 200
    assert response.json()["hitproof"]["outcome"] == "miss"
    assert response.json()["choices"][0]["message"]["content"] == f"You asked: {ask}"
    assert len(house.gateway.upstream.requests) == calls + 1
    assert row(house, entry).state == "quarantined"
    assert 'hitproof_entries_quarantined_total{reason="' in house.call("GET", "/metrics", key="").text


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_changed_entry_is_a_miss_and_quarantined(house: InProcess, name: str) -> None:
    entry = store(house)
    change(house, entry, payload=TAMPERINGS[name](row(house, entry).payload))
    assert_missed_and_quarantined(house, entry)


@pytest.mark.parametrize("name", ["middle", "tag", "cut to nothing"])
def test_a_changed_entry_is_a_miss_by_meaning_too(house: InProcess, name: str) -> None:
    entry = store(house)
    change(house, entry, payload=TAMPERINGS[name](row(house, entry).payload))
    assert_missed_and_quarantined(house, entry, ALIKE)


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_changed_entry_is_not_shown(house: InProcess, name: str) -> None:
    entry = store(house)
    shown = house.call("GET", "/v1/cache/entries").json()["data"][0]["id"]
    change(house, entry, payload=TAMPERINGS[name](row(house, entry).payload))
    response = house.call("GET", f"/v1/cache/entries/{shown}")
    assert response.status_code in (404, 503), response.text
    assert "You asked" not in response.text


def test_payloads_swapped_between_two_rows_of_one_tenant_answer_neither(house: InProcess) -> None:
    first, second = store(house, "What eats the red fox?"), store(house, "Where sleeps the grey seal?")
    one, other = row(house, first).payload, row(house, second).payload
    change(house, first, payload=other)
    change(house, second, payload=one)
    assert_missed_and_quarantined(house, first, "What eats the red fox?")
    assert_missed_and_quarantined(house, second, "Where sleeps the grey seal?")


def test_a_row_given_to_another_tenant_answers_neither(house: InProcess) -> None:
    entry = store(house, "What is our secret plan?")
    own = row(house, entry)
    other = store(house, "What is our secret plan?", tenant=1)
    change(house, other, payload=own.payload)
    response = house.chat("What is our secret plan?", key=house.gateway.tenants[1].key)
    assert response.json()["hitproof"]["outcome"] == "miss"
    assert row(house, other).state == "quarantined"


def test_a_row_whose_tenant_was_changed_answers_nobody(house: InProcess) -> None:
    entry = store(house, "Whose row is this?")
    change(house, entry, tenant_id=house.gateway.tenants[1].id)
    for tenant in house.gateway.tenants:
        response = house.chat("Whose row is this?", key=tenant.key, headers={"Cache-Control": "no-store"})
        assert response.json()["hitproof"]["outcome"] == "miss"


def test_another_questions_key_on_a_row_is_noticed(house: InProcess) -> None:
    first, second = store(house, "How tall is the tower?"), store(house, "How old is the bridge?")
    stolen = row(house, first).exact_key
    change(house, first, exact_key=b"\0" * 32)
    change(house, second, exact_key=stolen)
    response = house.chat("How tall is the tower?")
    assert response.json()["choices"][0]["message"]["content"] == "You asked: How tall is the tower?"


def test_a_row_moved_under_another_system_prompt_is_never_matched_there(house: InProcess) -> None:
    def ask(system: str, text: str) -> Any:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        return house.call("POST", "/v1/chat/completions", json={"model": "fake-model", "messages": messages}).json()

    pirate = ask("Answer as a pirate.", QUESTION)["hitproof"]["entry"]
    doctor = ask("Answer as a doctor.", "What is a completely different thing about?")["hitproof"]["entry"]
    moved, there = parse_entry_id(pirate), parse_entry_id(doctor)
    assert moved is not None and there is not None
    change(house, moved, fingerprint=row(house, there).fingerprint)
    house.gateway.gateway.partitions.drop_all()
    assert ask("Answer as a doctor.", ALIKE)["hitproof"]["outcome"] == "miss"
    assert row(house, moved).state == "quarantined"


def test_a_payload_in_the_place_of_a_vector_is_never_matched(house: InProcess) -> None:
    entry = store(house)
    change(house, entry, vector=row(house, entry).payload)
    house.gateway.gateway.partitions.drop_all()
    response = house.chat(ALIKE)
    assert response.status_code == 200
    assert response.json()["hitproof"]["outcome"] == "miss"


def test_a_changed_data_key_seals_the_tenant_and_opens_nothing(house: InProcess) -> None:
    store(house)
    wrapped = select(data_keys.c.wrapped).where(data_keys.c.tenant_id == house.gateway.tenants[0].id)
    database = house.gateway.gateway.database
    found = database.read_now(lambda connection: connection.execute(wrapped).scalar_one())
    changed = update(data_keys).where(data_keys.c.tenant_id == house.gateway.tenants[0].id)
    database.write_now(lambda connection: connection.execute(changed.values(wrapped=flip(bytes(found), 20))))
    house.gateway.gateway.tenants.forget_all()
    response = house.chat(QUESTION)
    assert_error(response, 503)
    assert house.chat(QUESTION, key=house.gateway.tenants[1].key).status_code == 200


#


@pytest.mark.parametrize("fault", ["absent", "wrong", "malformed"])
def test_without_the_right_key_the_gateway_is_not_ready_and_serves_no_plaintext(tmp_path: Path, fault: str) -> None:
    clock = FakeClock()
    key_file, other_file = tmp_path / "kek", tmp_path / "other"
    create_key_file(key_file, SeededRandom(1))
    create_key_file(other_file, SeededRandom(2))
    data = tmp_path / "data"
    provider = FileKeyProvider(key_file)
    with in_process(data, Options(provider=provider, clock=clock, quota=GENEROUS)) as house:
        store(house)
        entry = house.call("GET", "/v1/cache/entries").json()["data"][0]["id"]
        provider.seal()
        if fault == "absent":
            key_file.unlink()
        else:
            key_file.write_text(other_file.read_text() if fault == "wrong" else "no key\n")
        house.gateway.gateway.tenants.forget_all()
        assert_error(house.chat(QUESTION), 503)
        assert_error(house.call("GET", f"/v1/cache/entries/{entry}"), 503)
        if fault != "wrong":
            ready = house.call("GET", "/readyz", key="")
            assert (ready.status_code, ready.json()["checks"]["keys"]) == (503, "sealed")
        assert house.call("GET", "/healthz", key="").status_code == 200


@pytest.mark.parametrize(
    ("column", "value"),
    [("expires_at_ms", 4_000_000_000_000), ("created_at_ms", 1_790_000_000_001), ("source", "client")],
)
def test_a_row_whose_terms_were_changed_is_missed_and_quarantined(house: InProcess, column: str, value: object) -> None:
    entry = store(house)
    change(house, entry, **{column: value})
    assert_missed_and_quarantined(house, entry)
    assert row(house, entry).state_reason == "changed_terms"
