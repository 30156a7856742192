"""From questions of many organisations to an answer of the pool, through the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.release import parse_release
from crypto.spending import parse_spending
from server.pool import release
from server.pool.errors import EpochOpen, ReleaseRunning
from server.pool.status import pool_status
from server.store.ledger import LedgerRepository
from server.store.platform import PlatformRepository
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import EpochRecord
from tenants.errors import SealedError
from tests.pool_houses import EPOCH_S, QUESTION, START_MS, PoolHouse, pool_house
from tests.signing_runner import unavailable

ALL = range(12)
START_PERIOD = START_MS // (EPOCH_S * 1000) // 3


def run(folder: Path, scenario: Callable[[PoolHouse], Awaitable[None]], **options: Any) -> None:
    async def work() -> None:
        async with pool_house(folder, **options) as house:
            await scenario(house)

    asyncio.run(work())


def test_a_question_that_enough_organisations_ask_comes_out_and_is_answered_for_another(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        ended = await house.release_last()
        assert (ended.state, ended.reason) == ("released", None)
        await house.until_live()
        # The twelfth never asked, and none of its own entries is near.
        body = await house.gateway.ask(QUESTION, tenant=11)
        assert body["hitproof"]["tier"] == "pool"
        assert body["hitproof"]["receipt"]["grade"] == "attested"
        assert "how do i reset the password of my account" in body["choices"][0]["message"]["content"].lower()

    run(tmp_path, scenario)


def test_one_organisation_less_than_the_threshold_publishes_nothing(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:10])
        ended = await house.release_last()
        assert (ended.state, ended.reason) == ("released", "nothing_reached_the_threshold")
        assert items_in(house) == {}

    run(tmp_path, scenario)


def test_a_question_votes_once_per_period_however_often_and_in_whatever_spelling_it_is_asked(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, [0, 0, 0])
        await house.ask("  how do I reset the PASSWORD of my account  ", [0])
        assert house.votes_of(house.epoch) == 1
        await house.next_epoch()
        await house.ask(QUESTION, [0])
        assert house.votes_of(house.epoch) == 0
        assert house.parts.rules.calendar.period_number(house.epoch) == START_PERIOD
        await house.next_epoch()
        await house.next_epoch()
        await house.ask(QUESTION, [0])
        assert house.votes_of(house.epoch) == 1

    run(tmp_path, scenario, pool_period_epochs=3)


def test_an_organisation_has_no_more_places_than_the_terms_say(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        for topic in ("bicycles", "kitchens", "gardens", "violins"):
            await house.ask(f"What should I know about {topic} in general?", [0])
        assert house.votes_of(house.epoch) == 2

    run(tmp_path, scenario, pool_keys_max=2)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Cache-Control": "no-store"}},
        {"temperature": 0.3},
        {"seed": 1},
    ],
)
def test_a_request_that_is_the_callers_own_does_not_vote(tmp_path: Path, options: dict[str, Any]) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, [0], **options)
        assert house.votes_of(house.epoch) == 0

    run(tmp_path, scenario)


def test_an_organisation_that_does_not_share_does_not_vote_and_does_not_pay(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        house.gateway.set_policy(tenant=0, threshold_ten_thousandths=9_000, pool_read=True)
        await house.ask(QUESTION, ALL)
        assert house.votes_of(house.epoch) == 11
        await house.release_last()
        assert len(spendings(house)) == 11

    run(tmp_path, scenario)


def test_an_organisation_that_stopped_sharing_before_the_close_is_not_counted(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        house.gateway.set_policy(tenant=0, threshold_ten_thousandths=9_000)
        ended = await house.release_last()
        assert ended.reason == "nothing_reached_the_threshold"

    run(tmp_path, scenario)


def test_what_the_gate_refuses_is_never_a_vote(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask("Who is behind the address jane.doe@company.example please?", [0])
        assert house.votes_of(house.epoch) == 0

    run(tmp_path, scenario)


def test_below_the_useful_number_nothing_is_released_and_nothing_is_charged(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        epoch = house.epoch
        await house.ask(QUESTION, ALL)
        ended = await house.release_last()
        assert (ended.state, ended.reason) == ("empty", "too_few_organisations")
        assert house.releases() == [] and spendings(house) == [] and house.noise.calls == []
        assert house.votes_of(epoch) == 0

    run(tmp_path, scenario, pool_organisations_min=13)


def test_every_organisation_that_shares_pays_in_full_whether_it_asked_or_not(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:3])
        await house.release_last()
        paid = [parse_spending(document.encode()) for document in spendings(house)]
        assert len(paid) == 12
        assert {spending.charges for spending in paid} == {house.parts.rules.terms.charges()}

    run(tmp_path, scenario)


def test_a_finished_epoch_changes_no_more_and_draws_nothing(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        epoch = house.epoch
        first = await house.release_last()
        drawn = list(house.noise.calls)
        assert drawn == [1]
        assert await house.parts.releaser.release(epoch) == first
        await house.parts.service.work()
        assert house.noise.calls == drawn and len(house.releases()) == 1 and len(spendings(house)) == 12

    run(tmp_path, scenario)


def test_an_epoch_that_still_takes_votes_is_not_released(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        with pytest.raises(EpochOpen):
            await house.parts.releaser.release(house.epoch)
        assert house.releases() == []

    run(tmp_path, scenario)


def test_of_two_releasers_one_wins_and_the_other_does_nothing(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        epoch = house.epoch
        await house.next_epoch()
        found = await asyncio.gather(
            *(releaser.release(epoch) for releaser in (house.parts.releaser, house.another_releaser())),
            return_exceptions=True,
        )
        assert sum(isinstance(one, EpochRecord) for one in found) >= 1
        assert all(isinstance(one, EpochRecord | ReleaseRunning) for one in found)
        assert [row.state for row in house.releases()] == ["released"]
        assert house.noise.calls == [1] and len(spendings(house)) == 12

    run(tmp_path, scenario)


def test_an_attempt_that_failed_is_void_and_the_next_one_is_paid_for_anew(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        house.noise.fault = RuntimeError("no noise")
        epoch = house.epoch
        with pytest.raises(RuntimeError, match="no noise"):
            await house.release_last()
        house.noise.fault = None
        ended = await house.parts.releaser.release(epoch)
        assert ended.state == "released"
        assert [(row.state, row.attempt) for row in house.releases()] == [("void", 1), ("released", 2)]
        assert len(spendings(house)) == 24
        void, out = (parse_release(row.document.encode()) for row in house.releases())
        assert (void.state, void.items.count, void.organisations) == ("void", 0, 12)
        assert (out.state, out.items.count, out.previous) == ("released", 1, void.digest())

    run(tmp_path, scenario)


def test_nothing_is_paid_for_where_the_votes_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sealed(*_: object) -> None:
        raise SealedError("the key-encryption key is not here")

    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        epoch = house.epoch
        with monkeypatch.context() as patched:
            patched.setattr(release, "open_vote_key", sealed)
            with pytest.raises(SealedError):
                await house.release_last()
        assert house.releases() == [] and spendings(house) == []
        assert (await house.parts.releaser.release(epoch)).state == "released"

    run(tmp_path, scenario)


def test_what_fails_twice_is_left_to_a_person(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        house.noise.fault = RuntimeError("no noise")
        await house.next_epoch()
        for _ in range(4):
            await house.parts.service.work()
        assert [row.state for row in house.releases()] == ["void", "void"]

    run(tmp_path, scenario)


def test_a_release_whose_process_died_is_void_after_a_while_and_not_before(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        epoch = house.epoch
        await house.next_epoch()
        await house.begin_and_die(epoch)
        with pytest.raises(ReleaseRunning, match="declared void in 900 seconds"):
            await house.parts.releaser.release(epoch)
        house.gateway.clock.advance(900)
        assert (await house.parts.releaser.release(epoch)).state == "released"
        assert [row.state for row in house.releases()] == ["void", "released"]
        # What was drawn for the first attempt, if anything was, is nowhere: this one drew its own, and paid for it.
        assert house.noise.calls == [1] and len(spendings(house)) == 24

    run(tmp_path, scenario)


def test_a_budget_that_is_spent_ends_publishing_and_not_reading(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        assert (await house.release_last()).state == "released"
        await house.until_live()
        await house.ask("What is the best way to learn a new language?", ALL[:11])
        ended = await house.release_last()
        assert (ended.state, ended.reason) == ("exhausted", "budgets_exhausted")
        assert len(house.releases()) == 1 and len(spendings(house)) == 12
        assert (await house.gateway.ask(QUESTION, tenant=11))["hitproof"]["tier"] == "pool"

    one_release = 2_000_000 * 20
    run(tmp_path, scenario, pool_keys_max=20, pool_budget_epsilon_micro=one_release)


def test_votes_and_their_key_are_gone_once_the_epoch_is_released(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        epoch = house.epoch
        await house.ask(QUESTION, ALL[:11])
        assert house.votes_of(epoch) == 11 and house.has_vote_key(epoch)
        await house.release_last()
        assert house.votes_of(epoch) == 0 and not house.has_vote_key(epoch)

    run(tmp_path, scenario)


def test_votes_of_an_epoch_that_was_never_written_down_are_destroyed_and_nobody_pays(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        house.gateway.clock.advance(EPOCH_S)  # and no turn of the service in this epoch
        epoch = house.epoch
        await house.ask(QUESTION, ALL[:11])
        assert house.votes_of(epoch) == 11
        house.gateway.clock.advance(EPOCH_S)
        await house.parts.service.work()
        assert house.votes_of(epoch) == 0 and not house.has_vote_key(epoch)
        assert {row.epoch for row in house.releases()} == {epoch - 1}

    run(tmp_path, scenario)


def test_the_pools_receipt_names_the_release_and_nobody_who_voted(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        await house.until_live()
        asked = [wanted for wanted in house.runner.asked if wanted.get("evidence")]
        digest = house.releases()[0].digest
        assert len(asked) == 2
        assert all(wanted["evidence"] == [{"type": "pool-release", "digest": digest}] for wanted in asked)
        pool = await house.parts.pool.context()
        assert len({wanted["tenant"] for wanted in asked}) == 1
        tenants = {tenant.id for tenant in house.gateway.tenants}
        requests = [json.dumps(request) for request in house.runner.requests[-2:]]
        assert not any(tenant in request for tenant in tenants for request in requests)
        assert house.runner.salts[-1] == pool.salt

    run(tmp_path, scenario)


def test_questions_near_a_public_anchor_are_counted_as_it_and_only_it_comes_out(tmp_path: Path) -> None:
    anchors = tmp_path / "anchors.txt"
    anchors.write_text("How do I reset the password of my account?\nWhat is the height of Mount Everest?\n")

    async def scenario(house: PoolHouse) -> None:
        for tenant in ALL[:11]:
            word = ("now", "quickly", "myself")[tenant % 3]
            await house.ask(f"How do I reset the password of my account {word}?", [tenant])
        await house.release_last()
        await house.until_live()
        assert items_in(house) == {"live": 1}
        assert house.runner.requests[-1]["messages"][-1]["content"] == "How do I reset the password of my account?"

    run(tmp_path / "house", scenario, pool_anchors=anchors)


def test_a_released_text_is_an_anchor_of_later_epochs(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        await house.parts.service.work()
        assert len(house.parts.anchors) == 1

    run(tmp_path, scenario)


def test_noised_means_are_made_only_where_the_noisy_count_reaches_twenty(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        assert house.noise.calls == [1]  # 11 + 0 < 20: the counts alone
        house.noise.value = 9
        await house.ask("What is the best way to learn a new language?", ALL[:11])
        await house.release_last()
        assert house.noise.calls == [1, 1, 384]
        assert {row.vector_source for row in house.releases()} == {"dp_mean"}

    run(tmp_path, scenario, pool_vector_source="dp_mean")


def test_an_answer_that_differs_the_second_time_is_refused(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        house.runner.answer = lambda request: f"It is {len(house.runner.requests)} steps and not one more than that."
        await house.until_live()
        assert items_in(house) == {"refused": 1}
        assert answers_of(house) == [("refused", "another_answer_the_second_time")]

    run(tmp_path, scenario)


def test_an_answer_with_an_address_in_it_is_refused(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        house.runner.answer = lambda request: "Read all about it at https://evil.example/login and come back."
        await house.until_live()
        assert items_in(house) == {"refused": 1}
        assert answers_of(house) == [("refused", "answer_url")]

    run(tmp_path, scenario)


def test_an_answer_is_held_until_its_quarantine_is_over(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        await house.parts.service.work()
        house.gateway.clock.advance(EPOCH_S // 4 - 1)
        await house.parts.service.work()
        assert items_in(house) == {"answered": 1}
        house.gateway.clock.advance(1)
        await house.parts.service.work()
        assert items_in(house) == {"live": 1}

    run(tmp_path, scenario)


def test_a_runner_that_cannot_be_reached_is_asked_again_later(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        house.runner.fault = unavailable()
        await house.parts.service.work()
        assert items_in(house) == {"selected": 1} and answers_of(house) == []
        house.runner.fault = None
        await house.until_live()
        assert items_in(house) == {"live": 1}

    run(tmp_path, scenario)


def test_a_model_that_no_runner_attests_is_never_pooled(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        house.runner.change = lambda statement: replace(statement, evidence=())
        await house.until_live()
        assert answers_of(house) == [("refused", "receipt_evidence_mismatch")]

    run(tmp_path, scenario)


def test_the_oldest_entries_go_where_the_pool_is_full(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        for text in (QUESTION, "What is the best way to learn a new language?"):
            await house.ask(text, ALL[:11])
            await house.release_last()
            await house.until_live()
        found = await house.gateway.ask("What is the best way to learn a new language?", tenant=11)
        assert found["hitproof"]["tier"] == "pool"
        assert (await house.gateway.ask(QUESTION, tenant=11))["hitproof"]["tier"] is None

    run(tmp_path, scenario, pool_entries_max=1)


def test_nobody_is_asked_to_state_what_an_entry_of_the_pool_is_found_by(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        await house.until_live()
        assert items_in(house) == {"live": 1}
        await house.gateway.gateway.embedding_statements.step()
        assert len(house.runner.embeddings) == 11  # the tenants' own entries

    run(tmp_path, scenario, embedding_statement_batch_max=100)


def test_votes_that_find_the_queue_full_are_dropped_counted_and_cost_no_answer(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.stop_taking_votes()
        for topic in ("bicycles", "kitchens", "gardens"):
            await house.gateway.ask(f"What should I know about {topic} in general?", tenant=0)
        text = house.gateway.gateway.state.telemetry.render().decode()
        assert "hitproof_pool_votes_dropped_total 2.0" in text

    run(tmp_path, scenario, pool_vote_queue_max=1)


def test_nobody_gets_a_key_to_the_pool_and_no_list_shows_it(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        pool = house.parts.pool.id
        made = await house.gateway.call(
            "POST", "/admin/v1/keys", tenant=None, json={"tenant": pool, "role": "owner", "label": "mine"}
        )
        assert made.status_code == 409 and "is the pool" in made.text
        listed = await house.gateway.call("GET", "/admin/v1/tenants", tenant=None)
        assert pool not in listed.text and house.gateway.tenants[0].id in listed.text
        organisations = await house.gateway.call("GET", "/admin/v1/organisations", tenant=None)
        assert "hitproof pool" not in organisations.text
        assert pool in {row.id for row in house.database.read_now(lambda c: PlatformRepository(c).list_tenants())}

    run(tmp_path, scenario)


def items_in(house: PoolHouse) -> dict[str, int]:
    return house.database.read_now(lambda connection: PoolItemRepository(connection).count_by_state("pooled"))


def answers_of(house: PoolHouse) -> list[tuple[str, str | None]]:
    def load(connection: Any) -> list[tuple[str, str | None]]:
        items = PoolItemRepository(connection)
        states = ("selected", "answered", "live", "refused")
        ids = [item.id for state in states for item in items.list_in(state)]  # type: ignore[arg-type]
        return [(answer.state, answer.reason) for item in ids for answer in items.list_answers(item)]

    return house.database.read_now(load)


def spendings(house: PoolHouse) -> list[str]:
    def load(connection: Any) -> list[str]:
        ledger = LedgerRepository(connection)
        organisations = PlatformRepository(connection).list_organisations()
        return [row.document for one in organisations for row in ledger.list_spendings(one.id)]

    return house.database.read_now(load)


def test_the_status_says_in_words_why_the_pool_is_empty(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        assert "no epoch has ended yet" in why(house)
        await house.release_last()
        assert "nothing was asked by enough organisations" in why(house)
        await house.ask(QUESTION, ALL[:11])
        await house.release_last()
        assert "has not been answered yet" in why(house)
        await house.parts.service.work()
        assert "answers are in quarantine" in why(house)
        house.gateway.clock.advance(EPOCH_S // 4)
        await house.parts.service.work()
        status = status_of(house)
        assert (status["is_empty"], status["why"], status["entries"]) == (False, None, {"fake-model": 1})
        assert status["items"]["pooled"] == {"live": 1}
        assert status["organisations"] == {"sharing": 12, "needed": 3, "exhausted": 0}
        assert "votes" not in json.dumps(status)

    run(tmp_path, scenario)


def test_the_status_says_how_many_organisations_are_missing(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        assert "12 organisations share and 13 are needed" in why(house)

    run(tmp_path, scenario, pool_organisations_min=13)


def status_of(house: PoolHouse) -> dict[str, Any]:
    now_ms = house.gateway.clock.now_ms()
    return house.database.read_now(lambda connection: pool_status(connection, house.parts.rules, now_ms=now_ms))


def why(house: PoolHouse) -> str:
    found = status_of(house)
    assert found["is_empty"]
    return str(found["why"])
