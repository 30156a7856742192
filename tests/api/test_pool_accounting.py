"""What a release counts is what was paid for, and what it counted is nowhere afterwards."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from privacy.terms import pool_terms
from server.pool.release import PoolReleaser
from server.store.votes import VoteRepository
from tests.pool_houses import EPOCH_S, QUESTION, PoolHouse, pool_house

MANUAL = Path(__file__).parents[2] / "docs/how-to/operate.md"
SHARERS = range(11)
SPELLING = "how do i reset the password of my account"
#: Endings that the pool's spelling leaves out, one for each who shares.
MARKS = ("", ".", "..", "?", "??", "?.", ".?", "!", "!!", "?!", "!?")
OTHER = "What is the best way to learn a new language?"


def run(folder: Path, scenario: Callable[[PoolHouse], Awaitable[None]], **options: Any) -> None:
    async def work() -> None:
        async with pool_house(folder, **options) as house:
            await scenario(house)

    asyncio.run(work())


def test_votes_that_were_taken_under_more_places_than_are_paid_for_are_not_counted(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, SHARERS)
        await house.ask(OTHER, SHARERS)
        epoch = house.epoch
        await house.next_epoch()
        # Somebody lowers pool_keys_max before the epoch is released: one place is paid for, so one counts.
        terms = pool_terms(unit="question", keys_max=1, period_epochs=3, organisations_min=3)
        releaser = PoolReleaser(replace(house.parts.rules, terms=terms), house.parts.releaser._parts)
        assert (await releaser.release(epoch)).state == "released"
        assert house.noise.calls == [1]

    run(tmp_path, scenario, pool_keys_max=2)


def test_a_vote_whose_vector_is_of_another_embedder_keeps_no_release_from_coming_out(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, SHARERS)
        epoch = house.epoch
        await house.next_epoch()
        house.noise.value = 9
        # Somebody changes the embedder before the epoch is released: whether a key had a vector must not show.
        parts = replace(house.parts.releaser._parts, dimension=16)
        ended = await PoolReleaser(house.parts.rules, parts).release(epoch)
        assert (ended.state, house.noise.calls) == ("released", [1, 16])

    run(tmp_path, scenario, pool_vector_source="dp_mean")


def test_a_question_votes_once_in_a_period_even_when_the_clock_runs_ahead_and_is_set_back(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, SHARERS)
        house.gateway.clock.advance(3 * EPOCH_S)  # into the next period …
        await house.parts.service.work()
        house.gateway.clock.advance(-2 * EPOCH_S)  # … and back into the second epoch of this one
        await house.parts.service.work()
        house.parts.votes._remembered.clear()  # as another gateway, which took none of these votes
        await house.ask(QUESTION, SHARERS)
        assert house.votes_of(house.epoch) == 0

    run(tmp_path, scenario, pool_period_epochs=3)


def test_what_a_vote_counts_for_is_a_function_of_its_spelling_alone(tmp_path: Path) -> None:
    anchors = tmp_path / "anchors.txt"
    anchors.write_text(QUESTION + "\n")

    async def scenario(house: PoolHouse) -> None:
        plain = house.gateway.embedder.embed

        def embed_as_a_batch_would(texts: Sequence[str]) -> Any:
            # What an embedder computes for a text depends on those beside it; here by much, in life in its last bits.
            return plain([f"{' '.join(texts)} and others" if len(texts) > 1 else texts[0] for _ in texts])

        house.gateway.embedder.embed = embed_as_a_batch_would  # type: ignore[method-assign]
        house.gateway.embedder.embedded.clear()  # the anchor itself was embedded in that spelling
        await asyncio.gather(*(house.gateway.ask(f"{QUESTION} {MARKS[one]}", tenant=one) for one in SHARERS))
        await house.parts.votes.settle()
        assert house.gateway.embedder.embedded.count(SPELLING) == len(SHARERS)
        await house.release_last()
        assert house.noise.calls == [1]

    run(tmp_path / "house", scenario, pool_anchors=anchors)


def test_a_question_that_finds_no_place_is_not_embedded_for_its_vote(tmp_path: Path) -> None:
    anchors = tmp_path / "anchors.txt"
    anchors.write_text(QUESTION + "\n")

    async def scenario(house: PoolHouse) -> None:
        house.gateway.embedder.embedded.clear()  # the anchor itself was embedded in that spelling
        await house.ask(QUESTION, [0])
        await house.ask(OTHER, [0])
        assert house.gateway.embedder.embedded.count(SPELLING) == 1
        assert OTHER.lower().rstrip("?") not in house.gateway.embedder.embedded

    run(tmp_path / "house", scenario, pool_anchors=anchors, pool_keys_max=1)


def test_no_sealed_vote_of_a_released_epoch_is_left_in_the_databases_files(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, SHARERS)
        epoch = house.epoch
        sealed = [vote.sealed for vote in house.database.read_now(lambda c: list(VoteRepository(c).load(epoch)))]
        assert any(vote in files_of(tmp_path) for vote in sealed)
        house.gateway.clock.advance(EPOCH_S)
        await house.parts.service.work()
        assert not any(vote in files_of(tmp_path) for vote in sealed)

    run(tmp_path, scenario)


def test_the_vote_key_of_an_epoch_that_is_over_is_in_no_gateways_memory(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, SHARERS)
        await house.parts.service.work()
        assert list(house.parts.votes._keys) == [house.epoch]
        house.gateway.clock.advance(EPOCH_S)
        await house.parts.service.work()
        assert house.parts.votes._keys == {}

    run(tmp_path, scenario)


def test_a_backup_made_as_the_manual_says_holds_no_vote_and_no_vote_key(tmp_path: Path) -> None:
    block = re.search(r"## Back up and restore\n(?s:.*?)\n((?:    .*\n)+)", MANUAL.read_text(encoding="utf-8"))
    assert block is not None
    steps = re.findall(r'sqlite3 (\S+) "(.*)"', block[1])
    assert [file for file, _ in steps] == ["data/hitproof.db", "backup.db"]
    backup = tmp_path / "backup.db"

    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, SHARERS)
        sealed = [vote.sealed for vote in house.database.read_now(lambda c: list(VoteRepository(c).load(house.epoch)))]
        copying = sqlite3.connect(next(tmp_path.rglob("hitproof.db")))
        copying.execute(steps[0][1].replace("backup.db", str(backup)))
        copying.close()
        assert any(vote in backup.read_bytes() for vote in sealed)
        stripping = sqlite3.connect(backup, isolation_level=None)
        stripping.executescript(steps[1][1])
        for table, count in (("pool_votes", 0), ("vote_keys", 0), ("pool_voted", 11), ("pool_epochs", 1)):
            assert stripping.execute(f"SELECT count(*) FROM {table}").fetchone() == (count,)
        stripping.close()
        assert not any(vote in backup.read_bytes() for vote in sealed)

    run(tmp_path / "house", scenario)


def files_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("hitproof.db*")))
