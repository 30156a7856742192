"""Votes that wait for the end of their epoch, and what was voted for in a budget period, both under keyed tags.

A vote takes one of its organisation's places in an epoch, for good: what it was for is decided when the epoch is over.
Votes of an epoch that was paid for, or that is closed, are refused, so none can come behind the count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, and_, bindparam, delete, exists, func, insert, or_, select

from server.store.erasure import overwrite_freed_space
from server.store.pool_records import StoredVote
from server.store.scoped import Prepared
from server.store.tables import pool_epochs, pool_releases, pool_voted, pool_votes

PAGE: Final = 10_000
TAG_BYTES: Final = 16

_EPOCH: Final = bindparam("epoch", type_=BigInteger)
# Asked of every vote, so compiled once and handed to the driver as they are.
_IS_CLOSED: Final = Prepared(
    select(
        or_(
            exists().where(pool_releases.c.mode == "pooled", pool_releases.c.epoch == _EPOCH),
            exists().where(
                pool_epochs.c.mode == "pooled", pool_epochs.c.epoch == _EPOCH, pool_epochs.c.state != "open"
            ),
        )
    )
)
_WAS_VOTED: Final = Prepared(
    select(pool_voted.c.period).where(pool_voted.c.period == bindparam("period"), pool_voted.c.tag == bindparam("tag"))
)
_LAST_PLACE: Final = Prepared(
    select(func.max(pool_votes.c.place)).where(
        pool_votes.c.epoch == bindparam("epoch"), pool_votes.c.voter == bindparam("voter")
    )
)
_ADD_VOTED: Final = Prepared(insert(pool_voted).values(period=bindparam("period"), tag=bindparam("tag")))
_ADD_VOTE: Final = Prepared(
    insert(pool_votes).values(**{name: bindparam(name) for name in ("epoch", "voter", "place", "sealed")})
)


class VoteRepository:
    """The votes of all organisations; none of them can be told from another without the pool's key."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take_place(
        self, epoch: int, period: int, *, voter: bytes, tag: bytes, sealed: bytes, keys_max: int
    ) -> int | None:
        """Put a vote into *voter*'s next place of *epoch* and return that place, 0 to *keys_max* - 1.

        None where nothing was stored: *tag* (organisation and text) was voted for in *period*, no place is left, or the
        epoch takes no votes any more. A tag that found no place is not remembered: it may vote in a later epoch. Runs in
        a write, which are one at a time.
        """
        if len(voter) != TAG_BYTES or len(tag) != TAG_BYTES:
            raise ValueError(f"voters and tags have {TAG_BYTES} bytes")
        place = self.find_place(epoch, period, voter=voter, tag=tag, keys_max=keys_max)
        if place is None:
            return None
        _ADD_VOTED.run(self._connection, {"period": period, "tag": tag}).close()
        vote = {"epoch": epoch, "voter": voter, "place": place, "sealed": sealed}
        _ADD_VOTE.run(self._connection, vote).close()
        return place

    def find_place(self, epoch: int, period: int, *, voter: bytes, tag: bytes, keys_max: int) -> int | None:
        """Return the place that `take_place` would take now; None where it would store nothing."""
        if self._first(_WAS_VOTED, {"period": period, "tag": tag}) is not None or self.is_closed(epoch):
            return None
        last = self._first(_LAST_PLACE, {"epoch": epoch, "voter": voter})
        place = 0 if last is None or last[0] is None else int(last[0]) + 1
        return place if place < keys_max else None

    def is_closed(self, epoch: int) -> bool:
        """Say whether *epoch* takes no votes any more: it was paid for once, or ended without a release."""
        row = self._first(_IS_CLOSED, {"epoch": epoch})
        return row is not None and bool(row[0])

    def load(self, epoch: int) -> Iterator[StoredVote]:
        """Yield the votes of *epoch*, voter by voter, each voter's in the order of its places; read page by page."""
        columns = (pool_votes.c.voter, pool_votes.c.place, pool_votes.c.sealed)
        after: tuple[bytes, int] | None = None
        while True:
            statement = select(*columns).where(pool_votes.c.epoch == epoch)
            if after is not None:
                later = and_(pool_votes.c.voter == after[0], pool_votes.c.place > after[1])
                statement = statement.where(or_(pool_votes.c.voter > after[0], later))
            statement = statement.order_by(pool_votes.c.voter, pool_votes.c.place).limit(PAGE)
            page = [StoredVote(bytes(row[0]), row[1], bytes(row[2])) for row in self._connection.execute(statement)]
            yield from page
            if len(page) < PAGE:
                return
            after = (page[-1].voter, page[-1].place)

    def count(self, epoch: int) -> int:
        """Return how many votes *epoch* holds."""
        statement = select(func.count()).select_from(pool_votes).where(pool_votes.c.epoch == epoch)
        return int(self._connection.execute(statement).scalar_one())

    def count_voters(self, epoch: int) -> int:
        """Return how many organisations have a vote in *epoch*: for the operator, and never published."""
        statement = select(func.count(pool_votes.c.voter.distinct())).where(pool_votes.c.epoch == epoch)
        return int(self._connection.execute(statement).scalar_one())

    def list_epochs(self) -> list[int]:
        """Return the epochs that hold votes, oldest first."""
        statement = select(pool_votes.c.epoch).distinct().order_by(pool_votes.c.epoch)
        return [int(row[0]) for row in self._connection.execute(statement)]

    def delete(self, epoch: int) -> int:
        """Delete the votes of *epoch*, overwriting them where the database can; return how many those were."""
        overwrite_freed_space(self._connection)
        return self._connection.execute(delete(pool_votes).where(pool_votes.c.epoch == epoch)).rowcount

    def forget_voted(self, *, before_period: int) -> int:
        """Forget what was voted for in periods before *before_period*; return how many tags those were."""
        return self._connection.execute(delete(pool_voted).where(pool_voted.c.period < before_period)).rowcount

    def _first(self, statement: Prepared, values: Mapping[str, Any]) -> Any:
        cursor = statement.run(self._connection, values)
        row = cursor.fetchone()
        cursor.close()
        return row
