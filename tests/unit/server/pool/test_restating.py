"""From a published item to an entry of the pool: what it holds, what it does not, and how it leaves again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, inspect, text

from privacy.exact_noise import ExactNoise
from server.pool.items import open_item
from server.pool.restating import anonymous
from server.pool.revoking import revoke_share
from server.pool.storing import PoolStorer
from server.ports import JsonObject
from server.reuse.payload import PAYLOAD_FIELD, SCHEMA_VERSION, EntryPayload, unseal_payload, unseal_vector
from server.reuse.pseudonyms import pseudonym_at
from server.reuse.quantise import quantise
from server.reuse.tenant_directory import TenantContext
from server.setup import set_status
from server.standing import end_model_version
from server.store.entries import EntryRepository, Selection
from server.store.pool_items import PoolItemRepository
from server.store.records import StoredEntry
from server.store.shares import ShareRepository
from server.upstream.errors import UpstreamRejected
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import SealContext, sealed_epoch, unseal
from tests.fakes import SeededRandom
from tests.noised_houses import ALIASES, ANSWER, QUESTION, NoisedHouse, entry_of, run
from tests.pool_houses import EPOCH_S, START_MS, KnownNoise
from tests.signing_runner import OTHER_KEY, PROMPT_IDS, unavailable

#: Tables that speak of the pool, or that anybody else may read; `shares` and the tenant's own rows are the tenant's.
OF_POOL = (
    "pool_items", "pool_answers", "pool_releases", "pool_epochs", "pool_profiles", "privacy_spendings", "log_leaves",
)  # fmt: skip
#: Tables in which the pool has rows of its own.
OF_TENANTS = ("entries", "receipts", "feed", "entry_tags", "announced_policies", "hits", "evidence", "usage", "lookups")


class RealNoise(KnownNoise):
    """Noise as it is drawn, from chance that repeats."""

    def __init__(self) -> None:
        super().__init__()
        self._exact = ExactNoise(SeededRandom(5).token_bytes)

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        self.calls.append(count)
        return self._exact.gaussian(count, sigma_squared)


# What leaves


def test_nothing_of_the_pool_holds_the_question_its_tokens_its_vector_or_whose_it_was(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish_and_store()
        tenant = await house.gateway.gateway.tenants.get(house.gateway.tenants[0].id)
        clean = quantise(house.gateway.embedder.embed([QUESTION]))[0].tobytes()
        (own,) = list_rows(house, tenant.id)
        assert open_vector(house, tenant, own.id) == clean
        salts = open_payload(tenant, own).openings
        assert salts is not None and len(salts) == 4
        canaries = {
            "question": QUESTION.encode(),
            "question, folded": QUESTION.lower().encode(),
            "words": b"zebra",
            "tenant": tenant.id.encode(),
            "organisation": house.organisation().encode(),
            "vector": clean,
            "vector, in hexadecimal": clean.hex().encode(),
            "tokens": orjson.dumps(list(PROMPT_IDS)),
            "entry": str(int(own.id)).encode(),
            **{f"pseudonym {name}": name.encode() for name in names_of(tenant, house)},
            **{f"salt of {kind}": str(salt).encode() for kind, salt in salts.items()},
        }
        pool = await house.parts.pool.context()
        seen = list(everything(house, pool))
        assert {"payload", "vector", "item", "receipts.id", "log_leaves.body"} <= {place for place, _ in seen}
        # The canaries would be seen: what was meant to leave is.
        assert any(ANSWER.encode() in found for _, found in seen)
        assert any(ALIASES[0].encode() in found for _, found in seen)
        for name, canary in canaries.items():
            places = [place for place, found in seen if canary in found or canary in found.lower()]
            assert places == [], f"{name} stands in {places}"

    run(tmp_path, scenario, noise=RealNoise())


def test_nothing_of_an_entry_tells_how_long_the_question_was(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish_and_store()
        payload, row = await pool_entry(house)
        assert payload.response["usage"] == {"prompt_tokens": 0, "completion_tokens": 30, "total_tokens": 30}
        assert payload.provenance is None
        # At the prices of the model, 30 tokens of output and nothing else.
        assert (row.prompt_tokens, row.output_tokens, row.cost_micro) == (0, 30, 60)

    run(tmp_path, scenario)


def test_an_entry_opens_its_output_and_can_never_open_its_question(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish_and_store()
        payload, _ = await pool_entry(house)
        assert payload.messages == []
        assert payload.openings is not None
        assert {kind for kind, salt in payload.openings.items() if salt is not None} == {"output", "output_tokens"}

    run(tmp_path, scenario)


def test_no_moment_of_an_entry_tells_when_the_question_was_asked(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        house.gateway.clock.advance(12_345)
        await house.label()
        await house.publish_and_store()
        _, row = await pool_entry(house)
        assert row.created_at_ms % (EPOCH_S * 1000) == 0
        assert row.expires_at_ms % 86_400_000 == 0
        (own,) = list_rows(house, house.gateway.tenants[0].id)
        assert 0 <= own.expires_at_ms - row.expires_at_ms < 86_400_000

    run(tmp_path, scenario)


def test_of_a_response_only_what_is_known_leaves() -> None:
    response = {
        "id": "chatcmpl-1", "created": 17, "object": "chat.completion", "model": "m", "system_fingerprint": "fp",
        "choices": [{"index": 0}], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
        "prompt_token_ids": [1, 2], "prompt": "the question",
    }  # fmt: skip
    assert anonymous(response) == {
        "id": "chatcmpl-pool", "created": 0, "object": "chat.completion", "model": "m", "choices": [{"index": 0}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 4, "total_tokens": 4},
    }  # fmt: skip


def test_two_entries_with_one_alias_stand_side_by_side(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        first, second = await house.label(), await house.label(tenant=1)
        await house.publish_and_store()
        assert house.item(first).state == house.item(second, tenant=1).state == "live"
        pool = house.parts.pool.id
        assert house.read(lambda c: EntryRepository(c, pool).count(Selection(everything=True))) == 2

    run(tmp_path, scenario)


def test_the_receipt_is_the_pools_and_names_the_release_that_was_paid(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish_and_store()
        (release,) = house.house.releases()
        (asked,) = house.runner.restated
        assert asked["evidence"] == [{"digest": release.digest, "type": "pool-release"}]
        tenant, pool = (
            await house.gateway.gateway.tenants.get(house.gateway.tenants[0].id),
            await house.parts.pool.context(),
        )
        assert asked["tenant"] not in names_of(tenant, house)
        assert asked["tenant"] in names_of(pool, house)
        assert asked["messages"] == [{"role": "user", "content": QUESTION}]

    run(tmp_path, scenario)


# What a runner may say again


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda answer: {**answer, "openings": dict.fromkeys(answer["openings"], "00" * 32)}, "receipt_"),
        (lambda answer: {**answer, "envelope": {**answer["envelope"], "payload": "e30="}}, "receipt_"),
    ],
)
def test_a_restatement_that_does_not_hold_is_never_stored_and_ends_the_label(
    tmp_path: Path, change: Any, reason: str
) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        house.runner.change_restated = change
        assert await house.publish_and_store() == 0
        state, why = house.state(entry)
        assert state == "revoked" and str(why).startswith(reason)
        assert (house.item(entry).state, house.item(entry).sealed) == ("withdrawn", None)
        # What was drawn once is not drawn again: the label has ended.
        house.runner.change_restated = lambda answer: answer
        await house.gateway.ask(QUESTION, hitproof={"share": {"aliases": list(ALIASES)}})
        assert await house.publish_and_store() == 0
        assert len(house.noise.calls) == len(house.spendings()) == 1

    run(tmp_path, scenario)


def test_a_restatement_under_another_key_is_never_stored(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish()
        house.runner.key = OTHER_KEY
        assert await house.store() == 0
        assert not await house.is_in_pool()

    run(tmp_path, scenario)


def test_a_runner_whose_clock_is_off_is_asked_again_later(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish()
        clock = house.runner.clock
        house.runner.clock = type(clock)(clock.now_ms() - 3_600_000)
        assert await house.store() == 0
        assert house.state(entry) == ("published", None)
        house.runner.clock = clock
        assert await house.store() == 1

    run(tmp_path, scenario)


# What stops half way


def test_what_was_persisted_and_not_stored_is_stored_later_without_a_draw_or_a_charge(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish()
        for fault in (unavailable(), UpstreamRejected("no", status=409, error={}), OSError("the network is down")):
            house.runner.restating_fault = fault
            assert await house.store() == 0
            assert house.item(entry).state == "selected"
        house.runner.restating_fault = None
        assert await house.store() == 1
        assert await house.is_in_pool()
        assert len(house.noise.calls) == len(house.spendings()) == 1

    run(tmp_path, scenario)


def test_a_restart_between_persisting_and_storing_resumes_with_the_vector_that_was_drawn(tmp_path: Path) -> None:
    drawn: list[bytes] = []

    async def before(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish()
        sealed = house.item(entry).sealed
        assert sealed is not None
        drawn.append(sealed)
        drawn.append(int(entry).to_bytes(8, "big"))

    async def after(house: NoisedHouse) -> None:
        entry = EntryId(int.from_bytes(drawn[1], "big"))
        # A house works once when it opens.
        assert (house.item(entry).state, house.item(entry).sealed) == ("live", drawn[0])
        assert house.noise.calls == []
        assert len(house.spendings()) == 1

    run(tmp_path, before)
    run(tmp_path, after)


def test_an_entry_that_could_not_be_written_is_stored_by_the_next_turn_once(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish()
        seal = PoolStorer._seal

        def fail(*_: object) -> None:
            raise OSError("the disk is full")

        house.parts.storer._seal = fail  # type: ignore[method-assign, assignment]
        assert await house.store() == 0
        house.parts.storer._seal = seal.__get__(house.parts.storer)  # type: ignore[method-assign]
        assert await house.store() == 1
        assert await house.store() == 0
        assert house.item(entry).state == "live"

    run(tmp_path, scenario)


def test_what_cannot_be_stored_stands_in_nobodys_way(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label_many(2)
        await house.publish()
        restate, calls = house.runner.restate, []

        async def first_never(asked: JsonObject) -> Any:
            calls.append(asked["messages"])
            if asked["messages"] == calls[0]:
                raise unavailable()
            return await restate(asked)

        house.runner.restate = first_never  # type: ignore[method-assign]
        assert await house.parts.restater.store_published(1) == 0
        assert await house.parts.restater.store_published(1) == 1

    run(tmp_path, scenario)


# Consent that ends


def revoke(house: NoisedHouse, entry: EntryId) -> None:
    tenant, now_ms = house.gateway.tenants[0].id, house.gateway.clock.now_ms()
    house.write(lambda c: revoke_share(c, tenant, entry, actor="test", now_ms=now_ms))


def test_what_is_revoked_leaves_the_pool_at_once_and_what_was_spent_stays_spent(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish_and_store()
        assert await house.is_in_pool()
        revoke(house, entry)
        assert not await house.is_in_pool()
        assert (house.item(entry).state, house.item(entry).sealed) == ("withdrawn", None)
        assert house.read(lambda c: EntryRepository(c, house.parts.pool.id).count(Selection(everything=True))) == 0
        assert len(house.spendings()) == 1

    run(tmp_path, scenario)


def test_what_is_revoked_between_publishing_and_storing_never_answers(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish()
        revoke(house, entry)
        assert await house.store() == 0
        assert house.state(entry) == ("revoked", None)
        assert not await house.is_in_pool()

    run(tmp_path, scenario)


def test_what_is_revoked_while_its_runner_speaks_never_answers(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish()
        restate = house.runner.restate

        async def revoked_meanwhile(asked: JsonObject) -> Any:
            revoke(house, entry)
            return await restate(asked)

        house.runner.restate = revoked_meanwhile  # type: ignore[method-assign]
        assert await house.store() == 0
        assert house.read(lambda c: EntryRepository(c, house.parts.pool.id).count(Selection(everything=True))) == 0
        assert not await house.is_in_pool()

    run(tmp_path, scenario)


def test_a_policy_that_stops_sharing_keeps_what_is_not_stored_yet_out(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish()
        house.gateway.set_policy(sharing="off")
        assert await house.store() == 0
        assert house.state(entry) == ("revoked", "the_policy_does_not_share")
        assert house.item(entry).state == "withdrawn"

    run(tmp_path, scenario)


def test_what_a_suspended_tenant_published_waits_until_it_is_active_again(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish()
        tenant = house.gateway.tenants[0].id
        for status, stored in (("suspended", 0), ("active", 1)):
            house.write(lambda c, to=status: set_status(c, tenant, to, actor="test", now_ms=0))
            house.gateway.gateway.tenants.forget(tenant)
            assert await house.store() == stored
        assert house.state(entry) == ("published", None)

    run(tmp_path, scenario)


def _invalidate(house: NoisedHouse, connection: Connection) -> None:
    tenant = house.gateway.tenants[0].id
    EntryRepository(connection, tenant).delete(Selection(everything=True), at_ms=house.gateway.clock.now_ms())


def _quarantine(house: NoisedHouse, connection: Connection) -> None:
    tenant = house.gateway.tenants[0].id
    (share,) = ShareRepository(connection, tenant).list_page(limit=1)
    EntryRepository(connection, tenant).quarantine(share.entry_id, reason="feedback", at_ms=0)


def _end_model(house: NoisedHouse, connection: Connection) -> None:
    end_model_version(
        connection, house.runner.version, "revoked", actor="test", now_ms=house.gateway.clock.now_ms(),
        random=house.gateway.gateway.state.random,
    )  # fmt: skip


def _supersede_model(house: NoisedHouse, connection: Connection) -> None:
    end_model_version(
        connection, house.runner.version, "superseded", actor="test", now_ms=house.gateway.clock.now_ms(),
        random=house.gateway.gateway.state.random,
    )  # fmt: skip


@pytest.mark.parametrize("end", [_invalidate, _quarantine, _end_model, _supersede_model])
def test_what_ends_at_its_tenants_leaves_the_pool(tmp_path: Path, end: Any) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish_and_store()
        assert await house.parts.publisher.withdraw_orphans() == 0
        house.write(lambda c: end(house, c))
        assert await house.parts.publisher.withdraw_orphans() == 1
        assert house.state(entry) == ("revoked", "source_gone")
        assert house.item(entry).state == "withdrawn"
        assert house.read(lambda c: EntryRepository(c, house.parts.pool.id).count(Selection(everything=True))) == 0
        assert await house.parts.publisher.withdraw_orphans() == 0

    run(tmp_path, scenario)


def test_a_fresh_answer_in_the_place_of_a_published_one_takes_it_out_of_the_pool(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish_and_store()
        fresh = entry_of(await house.gateway.ask(QUESTION, headers={"cache-control": "no-cache"}))
        await house.parts.publisher.withdraw_orphans()
        assert house.state(entry) == ("revoked", "source_gone")
        assert house.find_share(fresh) is None

    run(tmp_path, scenario)


def test_what_an_erased_tenant_shared_leaves_the_pool_in_the_erasure(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish_and_store()
        house.gateway.erase(tenant=0)
        assert not await house.is_in_pool()
        assert house.read(lambda c: EntryRepository(c, house.parts.pool.id).count(Selection(everything=True))) == 0
        assert await house.parts.publisher.withdraw_orphans() == 0

    run(tmp_path, scenario)


# What stands where


def list_rows(house: NoisedHouse, tenant: TenantId) -> list[StoredEntry]:
    """Return the entries of *tenant* as they are stored."""

    def load(connection: Connection) -> list[StoredEntry | None]:
        entries = EntryRepository(connection, tenant)
        return [entries.get(row.id) for row in entries.list_page(after=None, limit=9, tag=None, model=None)]

    found: list[StoredEntry] = house.read(load)
    return found


def open_vector(house: NoisedHouse, tenant: TenantContext, entry: EntryId) -> bytes:
    """Return the vector of an entry, one signed byte per component."""
    digest = house.gateway.embedder.digest
    ((_, sealed),) = house.read(lambda c: EntryRepository(c, tenant.id).load_vectors_of([entry], digest))
    return unseal_vector(sealed, key=tenant.open_with(sealed_epoch(sealed)), tenant=tenant.id, entry=entry).tobytes()


def open_bytes(tenant: TenantContext, row: StoredEntry) -> bytes:
    """Return what the payload of an entry sealed, as it was before."""
    place = SealContext(tenant=tenant.id, entry=row.id, field=PAYLOAD_FIELD, schema_version=SCHEMA_VERSION)
    return unseal(tenant.open_with(sealed_epoch(row.payload)), place, row.payload)


def open_payload(tenant: TenantContext, row: StoredEntry) -> EntryPayload:
    key = tenant.open_with(sealed_epoch(row.payload))
    return unseal_payload(row.payload, key=key, tenant=tenant.id, entry=row.id)


async def pool_entry(house: NoisedHouse) -> tuple[EntryPayload, StoredEntry]:
    """Return the pool's only entry, opened, and its row."""
    pool = await house.parts.pool.context()
    (row,) = list_rows(house, pool.id)
    return open_payload(pool, row), row


def names_of(tenant: TenantContext, house: NoisedHouse) -> set[str]:
    """Return what the log called *tenant* since the house was opened."""
    return {pseudonym_at(tenant, at_ms) for at_ms in (START_MS, house.gateway.clock.now_ms())}


def everything(house: NoisedHouse, pool: TenantContext) -> Iterator[tuple[str, bytes]]:
    """Return every value of every row of the pool, and what is sealed in them, by place."""

    def load(connection: Connection) -> list[tuple[str, bytes]]:
        found = []
        for table in (*OF_POOL, *OF_TENANTS):
            columns = [column["name"] for column in inspect(connection).get_columns(table)]
            own = " WHERE tenant_id = :pool OR tenant_id IS NULL" if "tenant_id" in columns else ""
            for row in connection.execute(text(f"SELECT * FROM {table}{own}"), {"pool": pool.id} if own else {}):
                found += [
                    (f"{table}.{name}", value if isinstance(value, bytes) else str(value).encode())
                    for name, value in zip(columns, row, strict=True)
                    # Who paid is the ledger's to know.
                    if name != "organisation_id"
                ]
        return found

    yield from house.read(load)
    for row in list_rows(house, pool.id):
        yield "payload", open_bytes(pool, row)
        yield "vector", open_vector(house, pool, row.id)
    for item in house.read(lambda c: PoolItemRepository(c).list_in("live")):
        released = open_item(pool, item)
        yield "item", " ".join(released.texts).encode()
        yield "item's vector", released.vector
