"""What was released, item by item, and what models answered to it; and how any of it leaves the pool again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update

from server.store.entries import EntryRepository, Selection
from server.store.errors import NotFound, StoreError
from server.store.platform import PlatformRepository
from server.store.pool_records import AnswerState, ItemState, NewItem, PoolAnswer, PoolMode, StoredItem
from server.store.tables import pool_answers, pool_items
from tenants.identifiers import EntryId, TenantId

PAGE_MAX: Final = 10_000
#: The row of `meta` that names the tenant whose entries are the pool's.
POOL_TENANT_META: Final = "pool_tenant"

_ITEM: Final = tuple(pool_items.c[name] for name in StoredItem.__dataclass_fields__)
_ANSWER: Final = tuple(pool_answers.c[name] for name in PoolAnswer.__dataclass_fields__)


class PoolItemRepository:
    """Released items and their answers; they are the pool's own and speak of no tenant."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_many(self, items: Iterable[NewItem]) -> None:
        """Store what a release selected, in the release's own transaction."""
        rows = [{**asdict(item), "state": "selected"} for item in items]
        if rows:
            self._connection.execute(insert(pool_items), rows)

    def get(self, item: int) -> StoredItem:
        """Return one item; raises `NotFound`."""
        row = self._connection.execute(select(*_ITEM).where(pool_items.c.id == item)).first()
        if row is None:
            raise NotFound("there is no such item in the pool")
        return _item(row)

    def list_in(
        self, state: ItemState, *, mode: PoolMode | None = None, after: int = -1, limit: int = 100
    ) -> list[StoredItem]:
        """Return items in *state* behind the id *after*, in the order of their ids."""
        statement = select(*_ITEM).where(pool_items.c.state == state, pool_items.c.id > after)
        if mode is not None:
            statement = statement.where(pool_items.c.mode == mode)
        statement = statement.order_by(pool_items.c.id).limit(min(limit, PAGE_MAX))
        return [_item(row) for row in self._connection.execute(statement)]

    def list_of_release(self, release: int, *, after: int = -1, limit: int = PAGE_MAX) -> list[StoredItem]:
        """Return the items of one release behind the id *after*, in the order of their ids."""
        statement = select(*_ITEM).where(pool_items.c.release == release, pool_items.c.id > after)
        statement = statement.order_by(pool_items.c.id).limit(min(limit, PAGE_MAX))
        return [_item(row) for row in self._connection.execute(statement)]

    def count_by_state(self, mode: PoolMode) -> dict[str, int]:
        """Return how many items of *mode* are in each state that has any."""
        statement = select(pool_items.c.state, func.count()).where(pool_items.c.mode == mode)
        return {row[0]: int(row[1]) for row in self._connection.execute(statement.group_by(pool_items.c.state))}

    def set_state(self, item: int, state: ItemState, *, reason: str | None = None, at_ms: int | None = None) -> None:
        """Move an item on; *at_ms* is when it went live. Raises `NotFound` where it is gone, or was withdrawn before."""
        statement = update(pool_items).where(pool_items.c.id == item, pool_items.c.state != "withdrawn")
        changes: dict[str, Any] = {"state": state, "reason": reason}
        if state == "live":
            changes["live_at_ms"] = at_ms
        if self._connection.execute(statement.values(**changes)).rowcount != 1:
            raise NotFound("the item has left the pool")

    def put_answer(self, answer: PoolAnswer) -> None:
        """Store an answer, or what became of it, in the place of the same model's before."""
        of_answer = (pool_answers.c.item_id == answer.item_id, pool_answers.c.model == answer.model)
        changed = self._connection.execute(update(pool_answers).where(*of_answer).values(**asdict(answer)))
        if changed.rowcount == 0:
            self._connection.execute(insert(pool_answers), asdict(answer))

    def list_answers(self, item: int) -> list[PoolAnswer]:
        """Return the answers to one item, by model."""
        statement = select(*_ANSWER).where(pool_answers.c.item_id == item).order_by(pool_answers.c.model)
        return [_answer(row) for row in self._connection.execute(statement.limit(PAGE_MAX))]

    def list_answers_in(self, state: AnswerState, *, limit: int = 100) -> list[PoolAnswer]:
        """Return answers in *state*, oldest item first."""
        statement = select(*_ANSWER).where(pool_answers.c.state == state)
        statement = statement.order_by(pool_answers.c.item_id, pool_answers.c.model).limit(min(limit, PAGE_MAX))
        return [_answer(row) for row in self._connection.execute(statement)]

    def find_answer_of(self, entry: EntryId) -> PoolAnswer | None:
        """Return the answer that became the pool's *entry*."""
        row = self._connection.execute(select(*_ANSWER).where(pool_answers.c.entry_id == entry)).first()
        return None if row is None else _answer(row)

    def withdraw(self, items: Sequence[int], *, reason: str, at_ms: int) -> int:
        """Take items out of the pool, now and with all they left: sealed texts, held answers, entries and feed rows.

        Returns how many entries went. What the log says of their release stays, as do the pool's receipts.
        """
        statement = select(pool_answers.c.entry_id).where(
            pool_answers.c.item_id.in_(items), pool_answers.c.entry_id.is_not(None)
        )
        ids = [EntryId(row[0]) for row in self._connection.execute(statement)]
        gone = self._delete_entries(ids, at_ms) if ids else 0
        self._connection.execute(
            update(pool_answers)
            .where(pool_answers.c.item_id.in_(items))
            .values(state="withdrawn", held=None, entry_id=None, reason=reason)
        )
        self._connection.execute(
            update(pool_items).where(pool_items.c.id.in_(items)).values(state="withdrawn", sealed=None, reason=reason)
        )
        return gone

    def _delete_entries(self, ids: Sequence[EntryId], at_ms: int) -> int:
        pool = PlatformRepository(self._connection).get_meta(POOL_TENANT_META)
        if pool is None:
            raise StoreError("answers of the pool have entries, but there is no pool")
        repository = EntryRepository(self._connection, TenantId(pool))
        # Those that expired or were evicted meanwhile are gone already.
        return sum(repository.delete(Selection(entry=entry), at_ms=at_ms) for entry in ids)


def _item(row: Any) -> StoredItem:
    sealed = None if row[4] is None else bytes(row[4])
    return StoredItem(row[0], row[1], row[2], row[3], sealed, row[5], row[6], row[7], row[8])


def _answer(row: Any) -> PoolAnswer:
    held = None if row[3] is None else bytes(row[3])
    return PoolAnswer(row[0], row[1], row[2], held, None if row[4] is None else EntryId(row[4]), row[5])
