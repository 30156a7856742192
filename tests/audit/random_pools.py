"""Worlds whose pool keeps random books, honest or not, and whose gateway changes what it shows of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from crypto.archive import read_archive
from crypto.bundle_manifest import PoolScope, Scope
from crypto.charges import Charge, GaussianEmbedding, GaussianSelection, GaussianSum, LaplaceSelection, sorted_charges
from crypto.errors import EncodingError
from crypto.ledger_lines import HeadProof
from crypto.release import Tree, items_root
from crypto.spending import Budget, Cost, Period
from tests.audit.bundles import HonestBundle, World
from tests.audit.ledger_tampering import hide
from tests.audit.mutations import change_line
from tests.audit.pools import PERIOD_MS, POOL_TENANT, PoolSide
from tests.audit.random_worlds import OTHER_MODEL, Chronicle
from tests.audit.tampering import Attempt, Object, lines, reseal

LARGEST: Final = 2**53 - 1
#: Hashes of a path: as a tree has, as the largest tree has, as a reader takes, and more.
PATH_LENGTHS: Final = (0, 1, 52, 53, 54, 63, 64, 128, 129)


def random_charge(chance: random.Random) -> Charge:
    """Return a charge whose numbers lie anywhere, often at their ends."""
    keys, count = chance.choice([1, 2, 20, chance.randrange(1, 1_001), 1_000]), chance.choice([1, 3, 10_000])
    multiplier = chance.choice([1, 10**3, 10**6, 25_000_000, 10**12, int(10 ** chance.uniform(0, 12))])
    threshold = chance.choice([2, 3, 11, chance.randrange(2, 10_001), 10_000])
    epsilon = chance.choice([1, 10**6, 2 * 10**6, int(10 ** chance.uniform(0, 9)), 10**9])
    charges: list[Charge] = [
        LaplaceSelection(epsilon, keys, threshold),
        GaussianSelection(keys, multiplier, threshold),
        GaussianSum(keys, multiplier),
        GaussianEmbedding(count, multiplier),
    ]
    return chance.choice(charges)


@dataclass(slots=True)
class Books:
    """The pool of a chronicle, and the chance by which its books go wrong."""

    chronicle: Chronicle
    #: Some worlds are honest in everything but their pool, so that what is wrong there is what is found first.
    is_honest_elsewhere: bool

    @property
    def chance(self) -> random.Random:
        """Where all randomness comes from."""
        return self.chronicle.chance

    @property
    def pool(self) -> PoolSide:
        """The pool."""
        return self.chronicle.world.pool

    def spending_changes(self) -> dict[str, Any]:
        """Return one lie about a spending."""
        chance, pool, now_ms = self.chance, self.pool, self.chronicle.world.now_ms
        here, number = pool.period_at(now_ms), len(pool.spendings) + 1
        before = Period(here.number - 1, here.from_ms - PERIOD_MS, here.from_ms)
        charges = sorted_charges({random_charge(chance) for _ in range(chance.randrange(1, 5))})
        ends = (0, 40_000_000, 10**12, LARGEST)
        budget = Budget(*(chance.choice(ends) for _ in range(3)))
        odd_periods = [
            before, Period(here.number + 1, here.from_ms, here.until_ms), Period(0, 0, 1), Period(0, 0, LARGEST),
            replace(here, until_ms=here.until_ms + 1), replace(before, until_ms=here.from_ms + 1),
            replace(before, number=0), Period(LARGEST, now_ms, now_ms + 1),
        ]  # fmt: skip
        releases = (1, pool.next_release + 1, max(1, pool.next_release - 1), LARGEST)
        return chance.choice(
            [
                {"budget": budget}, {"charges": charges}, {"charges": charges, "budget": Budget(*[LARGEST] * 3)},
                {"organisation": "f" * 32}, {"period": chance.choice(odd_periods)},
                {"period": chance.choice(odd_periods)}, {"release": chance.choice(releases)},
                {"unit": chance.choice(["question", "organisation", "entry"])},
                {"stated": Cost(*(chance.choice(ends) for _ in range(3)))},
                {"at_ms": chance.choice([here.from_ms, LARGEST])}, {"number": number + 1, "previous": OTHER_MODEL},
                {"number": 1, "previous": None}, {"body": {"number": chance.choice([0, LARGEST])}},
                {"body": {"at_ms": now_ms}}, {"body": {"spending": OTHER_MODEL}}, {"body": {"organisation": "0" * 32}},
            ]
        )  # fmt: skip

    def release_changes(self) -> dict[str, Any]:
        """Return one lie about a release, or another kind of release than was paid for."""
        chance = self.chance
        tree = Tree(chance.choice([0, 1, LARGEST]), bytes(32))
        return chance.choice(
            [
                {"ledger": tree}, {"items": tree}, {"mode": "noised", "unit": "entry", "vector_source": "noised"},
                {"vector_source": "released_text"}, {"unit": "organisation"}, {"organisations": LARGEST},
                {"epoch": LARGEST}, {"at_ms": chance.choice([0, LARGEST])}, {"number": 1, "previous": None},
                {"number": LARGEST, "previous": OTHER_MODEL}, {"body": {"number": 0}}, {"body": {"epoch": LARGEST}},
                {"body": {"release": OTHER_MODEL}}, {"state": "void", "items": items_root([])},
            ]
        )  # fmt: skip

    def odd_head(self) -> HeadProof | None:
        """Return the proof of a head that is not there, not this one, or of another form."""
        found = self.pool.prove_head()
        hashes = (bytes(32),) * self.chance.choice(PATH_LENGTHS)
        heads = [None, HeadProof(0, hashes), HeadProof(LARGEST, hashes)]
        if found is not None:
            heads += [replace(found, position=found.position + 1), replace(found, path=found.path[:-1])]
        return self.chance.choice(heads)

    def keep(self) -> None:
        """Let a few things happen to the pool; lies that no writer has a form for do not."""
        for _ in range(self.chance.randrange(1, 7)):
            with suppress(EncodingError):
                self._keep_once(lies=self.chance.random() < 0.3)

    def _keep_once(self, *, lies: bool) -> None:
        chance, pool = self.chance, self.pool
        match chance.randrange(7):
            case 0:
                pool.add_spending(**(self.spending_changes() if lies else {}))
            case 1:
                pool.add_spending()
                pool.add_release(**(self.release_changes() if lies else {}))
            case 2:
                pool.add_release()
            case 3 if lies:
                pool.log_release(pool.make_release(), self.odd_head())
            case 4 if lies and (pool.spendings or pool.releases):
                hide(self.chronicle.world, chance.choice([*pool.spendings, *pool.releases]).index)
            case 5:
                self.chronicle.pool_answer()
            case 6:
                self.chronicle.live()
            case _:
                pass

    def scoped(self, scope: Scope) -> Scope:
        """Let a scope name another organisation or pool now and then."""
        chance = self.chance
        if chance.random() < 0.1:
            scope = replace(scope, organisation=chance.choice([None, self.pool.organisation, "0" * 32]))
        if chance.random() < 0.07:
            pools = [
                None, PoolScope(POOL_TENANT, ()), PoolScope(POOL_TENANT, scope.pseudonyms),
                PoolScope(scope.tenant, scope.pseudonyms), PoolScope("ten_zzzzzzzzzzzzzzzz", scope.pseudonyms),
            ]  # fmt: skip
            scope = replace(scope, pool=chance.choice(pools))
        return scope

    def change_lines(self, data: bytes) -> bytes:
        """Change what the gateway shows of the books."""
        if not data:
            return data
        return change_line(self.chance, data) if self.chance.random() < 0.6 else lines(self._rearrange)(data)

    def _rearrange(self, found: list[Object]) -> None:
        chance = self.chance
        one, other = chance.randrange(len(found)), chance.randrange(len(found))
        changes: list[Callable[[], object]] = [
            lambda: found.pop(one), lambda: found.insert(one, dict(found[one])), found.reverse,
            lambda: found[one].update(index=chance.choice([0, LARGEST, found[one]["index"] + 1])),
            lambda: found[one].update(document=found[other]["document"]),
        ]  # fmt: skip
        chance.choice(changes)()


def random_pool_attempt(seed: int) -> Attempt:
    """Return a bundle of a random world with a pool; it may be honest, or not."""
    chronicle = Chronicle(seed)
    chance, world = chronicle.chance, chronicle.world
    books = Books(chronicle, chance.random() < 0.6)
    if books.is_honest_elsewhere:
        chronicle.lies = lambda: False  # type: ignore[method-assign]
    books.keep()
    world.add_status()
    parts = chronicle.scoped(world.make_parts())
    try:
        data = world.seal(replace(parts, scope=books.scoped(parts.scope)))
    except EncodingError:
        # Some lies have no form that a writer makes; then the truth is shown.
        data = world.seal(parts)
    tried = Attempt(data, chronicle.trusted(), world.now_ms + 1_000)
    return _shown_otherwise(books, world, tried) if chance.random() < 0.4 else tried


def _shown_otherwise(books: Books, world: World, tried: Attempt) -> Attempt:
    """Let the gateway change a member of the ledger, and mostly the counts with it."""
    bundle = HonestBundle(tried.data, tried.trust, world.make_parts(), world.make_trust(), world, tried.now_ms)
    name = books.chance.choice(["releases", "spendings"])
    changed = reseal(bundle, **{f"{name}_jsonl": books.change_lines})
    if books.chance.random() < 0.1:
        return changed
    count = read_archive(changed.data)[f"{name}.jsonl"].count(b"\n")
    again = replace(bundle, data=changed.data)
    return reseal(again, manifest=lambda value: value["counts"].update({name: count}))
