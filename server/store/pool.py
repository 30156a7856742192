"""Profiles, epochs and releases of the pool: what is paid for, what came out of it, and what never will.

A release is begun with its number, paid for in the same transaction (`server.store.ledger`), and ends once: persisted by
the process that began it, or void. While one is in state `spending` no other begins, so leaves of spendings and releases
stand in the order in which an auditor reads them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update

from server.store.errors import Conflict, LeaseLost, NotFound
from server.store.pool_records import (
    EpochRecord,
    FinishedRelease,
    LoggedRelease,
    NewRelease,
    PoolMode,
    ProfileRecord,
    StoredRelease,
)
from server.store.tables import log_leaves, pool_epochs, pool_profiles, pool_releases

PAGE_MAX: Final = 10_000
PROFILES_MAX: Final = 1_000

_PROFILE: Final = tuple(pool_profiles.c[name] for name in ProfileRecord.__dataclass_fields__)
_EPOCH: Final = tuple(pool_epochs.c[name] for name in EpochRecord.__dataclass_fields__)
_RELEASE: Final = tuple(pool_releases.c[name] for name in StoredRelease.__dataclass_fields__)
_LOGGED: Final = select(
    pool_releases.c.number,
    pool_releases.c.document,
    pool_releases.c.digest,
    pool_releases.c.seq,
    log_leaves.c.leaf,
    log_leaves.c.body,
    log_leaves.c.leaf_index,
).join_from(pool_releases, log_leaves, log_leaves.c.seq == pool_releases.c.seq)


class PoolRepository:
    """Profiles, epochs and releases; they are the pool's own and speak of no tenant."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_profile(self, profile: ProfileRecord) -> None:
        """Store a profile; `Conflict` if the name is taken: what it means never changes."""
        self._connection.execute(insert(pool_profiles), asdict(profile))

    def list_profiles(self) -> list[ProfileRecord]:
        """Return all profiles by name."""
        statement = select(*_PROFILE).order_by(pool_profiles.c.name).limit(PROFILES_MAX)
        return [ProfileRecord(*row) for row in self._connection.execute(statement)]

    def put_epoch(self, record: EpochRecord) -> None:
        """Write down what became of an epoch; raises `Conflict` where it ended already."""
        found = self.find_epoch(record.epoch, record.mode)
        if found is None:
            self._connection.execute(insert(pool_epochs), asdict(record))
            return
        if found.state != "open":
            raise Conflict(f"epoch {record.epoch} ended already: {found.state}")
        of_epoch = (pool_epochs.c.epoch == record.epoch, pool_epochs.c.mode == record.mode)
        self._connection.execute(update(pool_epochs).where(*of_epoch).values(**asdict(record)))

    def find_epoch(self, epoch: int, mode: PoolMode) -> EpochRecord | None:
        """Return what became of *epoch* in *mode*; None where nothing was written down."""
        statement = select(*_EPOCH).where(pool_epochs.c.epoch == epoch, pool_epochs.c.mode == mode)
        row = self._connection.execute(statement).first()
        return None if row is None else EpochRecord(*row)

    def list_epochs(self, mode: PoolMode, *, limit: int = 100) -> list[EpochRecord]:
        """Return the newest epochs of *mode*, newest first."""
        statement = select(*_EPOCH).where(pool_epochs.c.mode == mode).order_by(pool_epochs.c.epoch.desc())
        return [EpochRecord(*row) for row in self._connection.execute(statement.limit(min(limit, PAGE_MAX)))]

    def begin(self, new: NewRelease) -> StoredRelease:
        """Begin the next release in state `spending` and return it; the caller charges for it in this transaction.

        Raises `Conflict` while another is in that state, and where the pooled epoch was released already.
        """
        running = self.find_spending()
        if running is not None:
            raise Conflict(f"release {running.number} is paid for and not out; end it first")
        of_epoch = (pool_releases.c.mode == new.mode, pool_releases.c.epoch == new.epoch)
        tried = self._connection.execute(select(pool_releases.c.state).where(*of_epoch)).scalars().all()
        if new.mode == "pooled" and "released" in tried:
            raise Conflict(f"epoch {new.epoch} was released already")
        newest = self._connection.execute(select(func.max(pool_releases.c.number))).scalar_one()
        made = StoredRelease(
            number=1 if newest is None else int(newest) + 1,
            mode=new.mode,
            epoch=new.epoch,
            attempt=len(tried) + 1,
            state="spending",
            unit=new.unit,
            vector_source=new.vector_source,
            organisations=0,
            reason=None,
            document=None,
            digest=None,
            seq=None,
            holder=new.holder,
            created_at_ms=new.at_ms,
            finished_at_ms=None,
        )
        self._connection.execute(insert(pool_releases), asdict(made))
        return made

    def persist(self, finished: FinishedRelease, *, holder: str) -> None:
        """Write a release down as out; raises `LeaseLost` unless it is in state `spending` and *holder* began it.

        A release that was declared void can therefore never come out after all.
        """
        self._finish(finished, "released", None, pool_releases.c.holder == holder)

    def void(self, finished: FinishedRelease, *, reason: str) -> None:
        """Write a release down as void: paid for, and never to come out. Raises `LeaseLost` unless it is in `spending`."""
        self._finish(finished, "void", reason)

    def find_spending(self) -> StoredRelease | None:
        """Return the release that is paid for and neither out nor void, if there is one."""
        row = self._connection.execute(select(*_RELEASE).where(pool_releases.c.state == "spending")).first()
        return None if row is None else StoredRelease(*row)

    def get(self, number: int) -> StoredRelease:
        """Return one release; raises `NotFound`."""
        row = self._connection.execute(select(*_RELEASE).where(pool_releases.c.number == number)).first()
        if row is None:
            raise NotFound(f"there is no release {number}")
        return StoredRelease(*row)

    def latest(self, mode: PoolMode | None = None, *, state: str | None = None) -> StoredRelease | None:
        """Return the newest release of *mode* and in *state*, or of any."""
        found = self.list_releases(mode=mode, state=state, limit=1)
        return found[0] if found else None

    def list_releases(
        self,
        *,
        mode: PoolMode | None = None,
        state: str | None = None,
        before_number: int | None = None,
        limit: int = 100,
    ) -> list[StoredRelease]:
        """Return releases below *before_number*, newest first."""
        statement = select(*_RELEASE).order_by(pool_releases.c.number.desc()).limit(min(limit, PAGE_MAX))
        if mode is not None:
            statement = statement.where(pool_releases.c.mode == mode)
        if state is not None:
            statement = statement.where(pool_releases.c.state == state)
        if before_number is not None:
            statement = statement.where(pool_releases.c.number < before_number)
        return [StoredRelease(*row) for row in self._connection.execute(statement)]

    def find_by_digest(self, digest: str) -> StoredRelease | None:
        """Return the release whose document has that digest: what a receipt of the pool names."""
        row = self._connection.execute(select(*_RELEASE).where(pool_releases.c.digest == digest)).first()
        return None if row is None else StoredRelease(*row)

    def get_previous_digest(self, number: int) -> str | None:
        """Return the digest that release *number* names as `previous`; None exactly for number 1."""
        return None if number == 1 else self.get(number - 1).digest

    def load_logged(self, *, after_number: int, limit: int) -> list[LoggedRelease]:
        """Return releases behind *after_number* that are out or void, with their leaves, in order."""
        statement = _LOGGED.where(pool_releases.c.number > after_number).order_by(pool_releases.c.number)
        return [_logged(row) for row in self._connection.execute(statement.limit(min(limit, PAGE_MAX)))]

    def _finish(self, finished: FinishedRelease, state: str, reason: str | None, *conditions: Any) -> None:
        statement = update(pool_releases).where(
            pool_releases.c.number == finished.number, pool_releases.c.state == "spending", *conditions
        )
        changed = self._connection.execute(
            statement.values(
                state=state,
                reason=reason,
                document=finished.document,
                digest=finished.digest,
                seq=finished.seq,
                organisations=finished.organisations,
                finished_at_ms=finished.at_ms,
            )
        )
        if changed.rowcount != 1:
            raise LeaseLost(f"release {finished.number} is not this process's to end any more")


def _logged(row: Any) -> LoggedRelease:
    body = None if row[5] is None else bytes(row[5])
    return LoggedRelease(row[0], row[1], row[2], row[3], bytes(row[4]), body, row[6])
