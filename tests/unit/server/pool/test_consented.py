"""What may be published of what was labelled, and why the rest is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.pool.consented import whole_day
from server.reuse.payload import seal_vector
from server.setup import delete_model
from server.store.entries import EntryRepository, Selection
from server.store.tables import entries
from tests.noised_houses import ALIAS, ALIASES, ANSWER, QUARANTINE_S, QUESTION, NoisedHouse, entry_of, run
from tests.signing_runner import unavailable


async def labelled_and_looked_at(house: NoisedHouse, text: str = QUESTION, **options: Any) -> tuple[str, str | None]:
    """Label an answer, look at it once, and return state and reason."""
    entry = await house.label(text, **options)
    await house.publish()
    return house.state(entry)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("See https://example.com/hours for the hours.", "answer_url"),
        ("Write to desk@example.com for the hours.", "answer_contact"),
        ("<b>Nine</b> in the morning.", "answer_html"),
        (f"You asked: {QUESTION}", "answer_quotes_question"),
        ("you asked WHICH ZEBRA pallet did oswin park behind the turquoise silo, and we do not know.",
         "answer_quotes_question"),
        ("word " * 2_000, "answer_too_long"),
    ],
)  # fmt: skip
def test_an_answer_that_must_not_be_everybodys_is_refused_and_costs_nothing(
    tmp_path: Path, answer: str, reason: str
) -> None:
    async def scenario(house: NoisedHouse) -> None:
        house.runner.answer = lambda _request: answer
        assert await labelled_and_looked_at(house) == ("refused", reason)
        assert house.spendings() == []

    run(tmp_path, scenario)


@pytest.mark.parametrize("extra", [{"reasoning_content": "they ask about a zebra"}, {"annotations": [{"url": "x"}]}])
def test_an_answer_that_holds_more_than_its_text_is_refused(tmp_path: Path, extra: dict[str, Any]) -> None:
    async def scenario(house: NoisedHouse) -> None:
        house.runner.message = extra
        assert await labelled_and_looked_at(house) == ("refused", "answer_not_plain_text")

    run(tmp_path, scenario)


def test_what_is_not_poolable_is_refused(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        wish = {"share": {"aliases": list(ALIASES)}}
        system = {"role": "system", "content": "You are the desk of Northwind."}
        entry = entry_of(await house.gateway.ask([system, {"role": "user", "content": QUESTION}], hitproof=wish))
        await house.publish()
        assert house.state(entry) == ("refused", "not_poolable")

    run(tmp_path, scenario)


def test_what_nobody_attested_is_refused(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        house.runner.manifest = None
        await house.gateway.gateway.models.ask_upstreams()
        assert await labelled_and_looked_at(house) == ("refused", "not_attested")

    run(tmp_path, scenario)


def test_what_was_not_matched_by_meaning_has_no_vector_to_publish(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        house.write(lambda c: c.execute(entries.update().where(entries.c.id == entry).values(vector=None)))
        await house.publish()
        assert house.state(entry) == ("refused", "not_matched_by_meaning")

    run(tmp_path, scenario)


def test_a_vector_beyond_what_its_noise_is_made_for_is_refused_before_it_is_paid_for(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        tenant = await house.gateway.gateway.tenants.get(house.gateway.tenants[0].id)
        random = house.gateway.gateway.state.random
        wide = seal_vector(
            np.full(384, 127, np.int8), key=tenant.data_key, tenant=tenant.id, entry=entry, random=random
        )
        house.write(lambda c: c.execute(entries.update().where(entries.c.id == entry).values(vector=wide)))
        await house.publish()
        assert house.state(entry) == ("refused", "not_matched_by_meaning")
        assert house.spendings() == []

    run(tmp_path, scenario)


def test_an_entry_that_is_gone_when_its_turn_comes_is_refused(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        tenant = house.gateway.tenants[0].id
        house.write(lambda c: EntryRepository(c, tenant).delete(Selection(entry=entry), at_ms=0))
        await house.publish()
        assert house.state(entry) == ("refused", "source_gone")

    run(tmp_path, scenario)


def test_an_entry_that_ends_within_a_day_is_refused(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = entry_of(await house.gateway.ask(QUESTION, hitproof={"ttl": QUARANTINE_S + 60, "share": True}))
        await house.publish()
        assert house.state(entry) == ("refused", "expires_within_a_day")

    run(tmp_path, scenario)


def test_a_policy_that_stopped_sharing_refuses_what_waits(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        house.gateway.set_policy(sharing="pooled")
        await house.publish()
        assert house.state(entry) == ("refused", "the_policy_does_not_share")

    run(tmp_path, scenario)


# Aliases


def test_without_aliases_and_without_a_model_that_writes_some_nothing_is_published(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        assert await labelled_and_looked_at(house, aliases=[]) == ("refused", "no_aliases")

    run(tmp_path, scenario)


def test_aliases_that_do_not_pass_the_gate_are_no_aliases(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        wrong = ["Who is carol@example.com of the office?", "Why?"]
        assert await labelled_and_looked_at(house, aliases=wrong) == ("refused", "no_aliases")

    run(tmp_path, scenario)


def test_aliases_are_derived_by_a_model_that_sees_the_answer_and_never_the_question(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        house.runner.answer = lambda request: ALIAS if ANSWER in str(request["messages"]) else ANSWER
        entry = await house.label(aliases=[])
        before = len(house.runner.requests)
        assert await house.publish_and_store() == 1
        asked = [request["messages"] for request in house.runner.requests[before:]]
        assert len(asked) == 2 and ANSWER in str(asked[0]) and "zebra" not in str(asked).lower()
        assert asked[1] == [{"role": "user", "content": ALIAS}]
        assert house.runner.salts[-1] == (await house.parts.pool.context()).salt
        assert house.state(entry) == ("published", None)
        assert await house.is_in_pool()

    run(tmp_path, scenario, pool_alias_model="fake-model")


def test_an_alias_that_the_model_answers_otherwise_is_dropped(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        poisoned = "How many days of leave does everybody have?"
        house.runner.answer = lambda request: "Twenty-five." if "leave" in str(request["messages"]) else ANSWER
        entry = await house.label(aliases=[poisoned, ALIAS])
        await house.publish_and_store()
        assert (await house.ask(poisoned))["choices"][0]["message"]["content"] == "Twenty-five."
        assert await house.is_in_pool()
        assert house.state(entry) == ("published", None)
        other = await house.label(f"{QUESTION} Pallet 2?", aliases=[poisoned])
        await house.publish()
        assert house.state(other) == ("refused", "aliases_answered_otherwise")

    run(tmp_path, scenario)


def test_an_alias_that_the_model_does_not_answer_at_all_is_dropped(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label(aliases=[ALIAS])
        house.runner.finish_reason = "length"
        await house.publish()
        assert house.state(entry) == ("refused", "aliases_answered_otherwise")
        assert house.spendings() == []

    run(tmp_path, scenario)


def test_a_label_waits_while_the_model_that_writes_questions_does_not_answer(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label(aliases=[])
        house.runner.fault = unavailable()
        assert await house.publish() == 0
        assert house.state(entry) == ("labelled", None)

    run(tmp_path, scenario, pool_alias_model="fake-model")


def test_an_alias_model_that_does_not_exist_derives_nothing(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        assert await labelled_and_looked_at(house, aliases=[]) == ("refused", "no_aliases")

    run(tmp_path, scenario, pool_alias_model="no-such")


def test_what_was_answered_under_an_alias_that_is_closed_is_refused(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        house.write(lambda c: delete_model(c, "fake-model", actor="test", now_ms=0))
        await house.gateway.gateway.models.refresh()
        assert await house.publish() == 0
        assert house.state(entry) == ("refused", "source_gone")
        assert house.spendings() == []

    run(tmp_path, scenario)


def test_a_whole_day_begins_at_midnight() -> None:
    assert whole_day(86_400_000 * 3 + 17) == 86_400_000 * 3
