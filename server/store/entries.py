"""Entries of one tenant: store, read, list, remove. Every change writes its feed row in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, bindparam, func, literal_column

from server.store.errors import NotFound
from server.store.records import EntrySummary, NewEntry, StoredEntry
from server.store.scoped import Prepared, TenantRepository, scoped_delete, scoped_insert, scoped_select, scoped_update
from server.store.tables import (
    entries,
    entry_tags,
    evidence,
    feed,
    log_leaves,
    model_versions,
    models,
    receipts,
    signers,
)
from tenants.identifiers import EntryId

#: More than a page of the API, which asks for one row more than it shows to know whether there are others.
LIST_MAX: Final = 500
#: Sealed vectors read at a time: 25 MB at 384 components.
VECTORS_MAX: Final = 50_000

#: Written into the SQL: SQLite plans anew at every execution when a partial index hangs on a bound value (20 µs).
_IS_LIVE: Final = entries.c.state == literal_column("'live'")

_STORED: Final = (
    scoped_select(
        entries,
        *(entries.c[name] for name in StoredEntry.__dataclass_fields__ if name in entries.c),
        model_versions.c.status,
        models.c.model_version.label("active_version"),
        models.c.reported.label("active_reported"),
        receipts.c.seq,
        receipts.c.grade,
        log_leaves.c.leaf_index,
        signers.c.status,
        signers.c.since_index,
    )
    .outerjoin_from(
        entries,
        model_versions,
        and_(
            model_versions.c.model_version == entries.c.model_version,
            model_versions.c.reported == entries.c.reported,
        ),
    )
    .outerjoin(models, models.c.alias == entries.c.model)
    .outerjoin(receipts, and_(receipts.c.id == entries.c.receipt_id, receipts.c.tenant_id == entries.c.tenant_id))
    .outerjoin(log_leaves, log_leaves.c.seq == receipts.c.seq)
    .outerjoin(signers, signers.c.key_id == receipts.c.key_id)
)
_BY_EXACT_KEY: Final = Prepared(_STORED.where(entries.c.exact_key == bindparam("exact_key"), _IS_LIVE))
_BY_ID: Final = Prepared(_STORED.where(entries.c.id == bindparam("entry_id")))
_VECTORS: Final = (
    scoped_select(entries, entries.c.id, entries.c.vector)
    .where(
        entries.c.fingerprint == bindparam("fingerprint"),
        entries.c.embedder == bindparam("embedder"),
        _IS_LIVE,
        entries.c.vector.is_not(None),
        entries.c.expires_at_ms > bindparam("now_ms"),
        entries.c.id > bindparam("after"),
    )
    .order_by(entries.c.id)
    .limit(bindparam("at_most"))
)
_SUMMARY_COLUMNS: Final = (
    "id",
    "model",
    "model_version",
    "source",
    "state",
    "state_reason",
    "created_at_ms",
    "expires_at_ms",
    "last_hit_at_ms",
    "hit_count",
    "size_bytes",
)
_NEW_FIELDS: Final = tuple(name for name in NewEntry.__dataclass_fields__ if name != "tags")
_INSERT: Final = Prepared(
    scoped_insert(entries).values(
        **{name: bindparam(name) for name in _NEW_FIELDS},
        state=literal_column("'live'"),
        hit_count=literal_column("0"),
        last_hit_at_ms=bindparam("created_at_ms"),
    )
)
_INSERT_TAG: Final = Prepared(scoped_insert(entry_tags).values(tag=bindparam("tag"), entry_id=bindparam("entry_id")))
_INSERT_FEED: Final = Prepared(
    scoped_insert(feed).values(**{name: bindparam(name) for name in ("operation", "entry_id", "fingerprint", "at_ms")})
)
_LIVE_IDS_OF_KEY: Final = Prepared(
    scoped_select(entries, entries.c.id, entries.c.fingerprint).where(
        entries.c.exact_key == bindparam("exact_key"), _IS_LIVE
    )
)
_DELETE: Final = Prepared(scoped_delete(entries).where(entries.c.id == bindparam("entry_id")))
_FORGET_OPENING: Final = Prepared(
    scoped_update(evidence)
    .where(
        evidence.c.id.in_(
            scoped_select(entries, entries.c.embedding_statement).where(entries.c.id == bindparam("entry_id"))
        )
    )
    .values(opening=literal_column("NULL"))
)
_STATEMENT: Final = scoped_select(entries, entries.c.embedding_statement).where(entries.c.id == bindparam("entry_id"))
_DELETE_TAGS: Final = Prepared(scoped_delete(entry_tags).where(entry_tags.c.entry_id == bindparam("entry_id")))
_TOUCH: Final = Prepared(
    scoped_update(entries)
    .where(entries.c.id == bindparam("entry_id"))
    .values(
        hit_count=entries.c.hit_count + bindparam("hits"),
        last_hit_at_ms=bindparam("at_ms"),
    )
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries an invalidation means; every condition given must hold, and *everything* needs no condition."""

    entry: EntryId | None = None
    tag: str | None = None
    model_version: str | None = None
    created_before_ms: int | None = None
    everything: bool = False


class EntryRepository(TenantRepository):
    """The entries of one tenant."""

    def get_live(self, exact_key: bytes) -> StoredEntry | None:
        """Return the live entry under *exact_key*, expired or not."""
        row = self._one(_BY_EXACT_KEY, {"exact_key": exact_key})
        return None if row is None else StoredEntry(*row)

    def get(self, entry: EntryId) -> StoredEntry | None:
        """Return one entry of this tenant."""
        row = self._one(_BY_ID, {"entry_id": entry})
        return None if row is None else StoredEntry(*row)

    def load_vectors(
        self, fingerprint: bytes, embedder: str, *, now_ms: int, after: int = -1, limit: int = VECTORS_MAX
    ) -> list[tuple[EntryId, bytes]]:
        """Return ids and sealed vectors of one partition, in id order: at most *limit*, with ids above *after*."""
        place = {"fingerprint": fingerprint, "embedder": embedder, "now_ms": now_ms}
        rows = self._run(_VECTORS, {**place, "after": after, "at_most": min(limit, VECTORS_MAX)})
        return [(EntryId(row[0]), row[1]) for row in rows]

    def load_vectors_of(self, ids: Sequence[EntryId], embedder: str) -> list[tuple[EntryId, bytes]]:
        """Return ids and sealed vectors of those of *ids* that are live and were embedded by *embedder*."""
        statement = scoped_select(entries, entries.c.id, entries.c.vector).where(
            entries.c.id.in_(ids),
            entries.c.embedder == embedder,
            _IS_LIVE,
            entries.c.vector.is_not(None),
        )
        return [(EntryId(row[0]), row[1]) for row in self._run(statement)]

    def add(self, entry: NewEntry) -> None:
        """Store *entry* and take the place of a live one under the same exact key."""
        for old, fingerprint in self._all(_LIVE_IDS_OF_KEY, {"exact_key": entry.exact_key}):
            self._remove(old, fingerprint, entry.created_at_ms)
        self._do(_INSERT, {name: getattr(entry, name) for name in _NEW_FIELDS})
        self._do_many(_INSERT_TAG, [{"tag": tag, "entry_id": entry.id} for tag in sorted(set(entry.tags))])
        self._feed("add", entry.id, entry.fingerprint, entry.created_at_ms)

    def quarantine(self, entry: EntryId, *, reason: str, at_ms: int) -> bool:
        """Take a live entry out of service and keep it for inspection; False when there was none."""
        row = self._run(
            scoped_update(entries)
            .where(entries.c.id == bindparam("entry_id"), _IS_LIVE)
            .values(state="quarantined", state_reason=reason[:200])
            .returning(entries.c.fingerprint),
            {"entry_id": entry},
        ).first()
        if row is None:
            return False
        self._feed("remove", entry, row[0], at_ms)
        return True

    def count(self, selection: Selection) -> int:
        """Count what *selection* means."""
        statement = scoped_select(entries, func.count()).where(*_conditions(selection))
        return int(self._run(statement).scalar_one())

    def delete(self, selection: Selection, *, at_ms: int) -> int:
        """Remove what *selection* means, rows and sealed bytes and all; return how many."""
        statement = scoped_select(entries, entries.c.id, entries.c.fingerprint).where(*_conditions(selection))
        rows = self._run(statement).all()
        for entry, fingerprint in rows:
            self._remove(entry, fingerprint, at_ms)
        return len(rows)

    def delete_one(self, entry: EntryId, *, at_ms: int) -> None:
        """Remove one entry; raises `NotFound`."""
        if self.delete(Selection(entry=entry), at_ms=at_ms) == 0:
            raise NotFound("there is no such entry")

    def get_embedding_statement(self, entry: EntryId) -> str | None:
        """Return which evidence states this entry's vector; None where none does, or the entry is gone."""
        found: str | None = self._run(_STATEMENT, {"entry_id": entry}).scalar()
        return found

    def set_embedding_statement(self, entry: EntryId, statement: str, *, instead_of: str | None = None) -> None:
        """Note which evidence states this entry's vector, and forget what opens the evidence that did so before.

        Raises `NotFound` for an entry that is gone, or is stated by other evidence than *instead_of*.
        """
        before = entries.c.embedding_statement
        is_as_before = before.is_(None) if instead_of is None else before == instead_of
        self._do(_FORGET_OPENING, {"entry_id": entry})
        changed = self._run(
            scoped_update(entries)
            .where(entries.c.id == bindparam("entry_id"), is_as_before)
            .values(embedding_statement=statement),
            {"entry_id": entry},
        )
        if changed.rowcount == 0:
            raise NotFound("there is no such entry, or another statement is of it by now")

    def touch(self, hits: Iterable[tuple[EntryId, int, int]]) -> None:
        """Add up (entry, hits, last at_ms): what eviction goes by. Expiry is absolute and stays where it is."""
        self._do_many(_TOUCH, [{"entry_id": entry, "hits": count, "at_ms": at} for entry, count, at in hits])

    def list_page(self, *, after: EntryId | None, limit: int, tag: str | None, model: str | None) -> list[EntrySummary]:
        """Return a page of summaries, newest first, that begins behind *after*."""
        statement = scoped_select(
            entries, *(entries.c[name] for name in _SUMMARY_COLUMNS), entries.c.vector.is_not(None)
        ).order_by(entries.c.id.desc())
        if after is not None:
            statement = statement.where(entries.c.id < after)
        if model is not None:
            statement = statement.where(entries.c.model == model)
        if tag is not None:
            statement = statement.where(entries.c.id.in_(_tagged(tag)))
        rows = self._run(statement.limit(min(limit, LIST_MAX))).all()
        tags = self._tags([row[0] for row in rows])
        return [_summary(row, tags.get(row[0], ())) for row in rows]

    def get_summary(self, entry: EntryId) -> EntrySummary | None:
        """Return one entry's summary."""
        statement = scoped_select(
            entries, *(entries.c[name] for name in _SUMMARY_COLUMNS), entries.c.vector.is_not(None)
        ).where(entries.c.id == entry)
        row = self._run(statement).first()
        return None if row is None else _summary(row, self._tags([entry]).get(entry, ()))

    def totals(self) -> tuple[int, int]:
        """Return how many entries the tenant holds and their bytes."""
        row = self._run(scoped_select(entries, func.count(), func.coalesce(func.sum(entries.c.size_bytes), 0))).one()
        return int(row[0]), int(row[1])

    def load_eviction_candidates(self, limit: int) -> list[tuple[EntryId, int, int, int, int, int]]:
        """Return (id, last hit ms, hits, created ms, cost micro, bytes) of the entries least recently hit."""
        statement = (
            scoped_select(
                entries,
                entries.c.id,
                entries.c.last_hit_at_ms,
                entries.c.hit_count,
                entries.c.created_at_ms,
                entries.c.cost_micro,
                entries.c.size_bytes,
            )
            .order_by(entries.c.last_hit_at_ms)
            .limit(limit)
        )
        return [(EntryId(row[0]), row[1], row[2], row[3], row[4], row[5]) for row in self._run(statement)]

    def _remove(self, entry: EntryId, fingerprint: bytes, at_ms: int) -> None:
        # With the salts goes the last way to test a guess at the question against what is in the log.
        self._do(_FORGET_OPENING, {"entry_id": entry})
        self._do(_DELETE_TAGS, {"entry_id": entry})
        self._do(_DELETE, {"entry_id": entry})
        self._feed("remove", entry, fingerprint, at_ms)

    def _feed(self, operation: str, entry: EntryId, fingerprint: bytes, at_ms: int) -> None:
        self._do(
            _INSERT_FEED,
            {"operation": operation, "entry_id": entry, "fingerprint": fingerprint, "at_ms": at_ms},
        )

    def _tags(self, ids: Sequence[EntryId]) -> dict[EntryId, tuple[str, ...]]:
        if not ids:
            return {}
        statement = (
            scoped_select(entry_tags, entry_tags.c.entry_id, entry_tags.c.tag)
            .where(entry_tags.c.entry_id.in_(ids))
            .order_by(entry_tags.c.tag)
        )
        found: dict[EntryId, tuple[str, ...]] = {}
        for entry, tag in self._run(statement):
            found[entry] = (*found.get(entry, ()), tag)
        return found


def _summary(row: Any, tags: tuple[str, ...]) -> EntrySummary:
    values = [*row, tags]
    return EntrySummary(*values)


def _tagged(tag: str) -> Any:
    return scoped_select(entry_tags, entry_tags.c.entry_id).where(entry_tags.c.tag == tag)


def _conditions(selection: Selection) -> list[Any]:
    conditions: list[Any] = []
    if selection.entry is not None:
        conditions.append(entries.c.id == selection.entry)
    if selection.tag is not None:
        conditions.append(entries.c.id.in_(_tagged(selection.tag)))
    if selection.model_version is not None:
        conditions.append(entries.c.model_version == selection.model_version)
    if selection.created_before_ms is not None:
        conditions.append(entries.c.created_at_ms < selection.created_before_ms)
    if not conditions and not selection.everything:
        raise ValueError("a selection without any condition means nothing; ask for everything by name")
    return conditions or [literal_column("1") == literal_column("1")]
