"""What candidates of the pool are ranked by: exact inner products with aliases, kept within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import numpy as np

from server.ports import Int8Matrix
from server.reuse.alias_book import AliasBook, best_scores, rows_of
from server.reuse.payload import Alias
from server.reuse.tenant_directory import TenantContext
from tenants.identifiers import EntryId


def alias(text: str, *components: int) -> Alias:
    return Alias.of(text, np.array(components, dtype=np.int8))


def vector(*components: int) -> Int8Matrix:
    return np.array(components, dtype=np.int8)


def test_the_best_alias_has_the_largest_exact_inner_product() -> None:
    rows = rows_of([alias("a", 1, 0), alias("b", 0, 127), alias("c", 100, 100)], 2)
    best = rows.best(vector(127, 127))
    assert best is not None
    assert (best.position, best.score, best.norm_squared) == (2, 25_400, 20_000)


def test_of_equal_aliases_the_first_is_the_best() -> None:
    best = rows_of([alias("a", 1, 0), alias("b", 5, 5), alias("c", 5, 5)], 2).best(vector(1, 1))
    assert best is not None and best.position == 1


def test_an_alias_that_may_not_be_matched_keeps_its_place_and_is_passed_over() -> None:
    rows = rows_of([alias("nothing", 0, 0), alias("of another embedder", 1, 1, 1), alias("c", 3, 4)], 2)
    assert rows.positions == (2,)


def test_an_entry_without_an_alias_that_may_be_matched_has_no_best() -> None:
    assert rows_of([alias("nothing", 0, 0)], 2).best(vector(1, 1)) is None


def test_the_scores_of_many_entries_are_those_of_their_best_aliases() -> None:
    source = np.random.default_rng(3)
    query = source.integers(-20, 20, 8, dtype=np.int8)
    found = {
        EntryId(number): rows_of([alias("a", *source.integers(-99, 99, 8)) for _ in range(number % 4)], 8)
        for number in range(12)
    }
    expected = {entry: best.score for entry, rows in found.items() if (best := rows.best(query)) is not None}
    assert len(expected) == 9
    assert best_scores(found, query) == expected
    assert best_scores({}, query) == {}


class Shelf:
    """Entries whose only alias is their number; remembers what was read of it."""

    def __init__(self) -> None:
        self.read_entries: list[int] = []

    async def load(self, _pool: TenantContext, entries: Sequence[EntryId]) -> dict[EntryId, tuple[Alias, ...]]:
        self.read_entries += entries
        return {entry: (alias("a", entry, 1),) for entry in entries}


def test_what_is_kept_goes_in_the_order_in_which_it_came_and_not_by_use() -> None:
    shelf = Shelf()
    book, pool = AliasBook(shelf.load, aliases_max=2), cast("TenantContext", None)

    async def find(*entries: int) -> set[EntryId]:
        return set(await book.find(pool, [EntryId(entry) for entry in entries], 2))

    async def play() -> None:
        assert await find(1, 2) == {1, 2}
        assert await find(1, 1, 1) == {1}
        assert shelf.read_entries == [1, 2]
        await find(3)
        assert await find(2, 3) == {2, 3}
        assert shelf.read_entries == [1, 2, 3]
        await find(1)
        assert shelf.read_entries == [1, 2, 3, 1]

    asyncio.run(play())
