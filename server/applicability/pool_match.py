"""What a hit of the pool matched, found again: the released item behind its entry, and the alias that decided.

Nothing of a match is kept anywhere: entry, item and release are the pool's, and of several aliases the nearest to the
query decides, by the rule that the tier itself goes by. What is made here is checked as an auditor will check it, and
what does not stand is not shown.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Connection

from crypto.applicability.match import PoolMatch, verify_match, verify_query
from crypto.errors import EncodingError, VerificationError
from crypto.hit import HitRecord
from crypto.release import EVIDENCE_TYPE, Release, item_paths, parse_release
from crypto.statement import parse_receipt
from server.pool.items import Place, Released, open_item, open_place
from server.ports import Int8Matrix
from server.reuse.alias_book import rows_of
from server.reuse.payload import Alias, UnknownPayload, unseal_payload
from server.reuse.tenant_directory import TenantContext
from server.store.entries import EntryRepository
from server.store.errors import NotFound
from server.store.log_records import StoredReceipt
from server.store.pool import PoolRepository
from server.store.pool_items import PAGE_MAX, PoolItemRepository
from server.store.pool_records import StoredItem
from tenants.errors import TenantError
from tenants.identifiers import EntryId
from tenants.sealing import sealed_epoch

log = structlog.get_logger()


def find_release(connection: Connection, receipt: StoredReceipt) -> Release | None:
    """Return the release that the pool's *receipt* names; None where it names none, or is erased."""
    if receipt.body is None:
        return None
    try:
        _, statement = parse_receipt(receipt.body)
        named = [reference.digest for reference in statement.evidence if reference.type == EVIDENCE_TYPE]
        found = PoolRepository(connection).find_by_digest(named[0]) if named else None
        return None if found is None or found.document is None else parse_release(found.document.encode())
    except VerificationError as error:
        log.error("pool_release_not_in_form", receipt=receipt.id, error=str(error))
        return None


def make_match(
    connection: Connection,
    pool: TenantContext,
    record: HitRecord,
    receipt: StoredReceipt,
    query: Int8Matrix | None,
) -> PoolMatch | None:
    """Return what the hit *record* matched, answered with the pool's *receipt*; *query* is the vector it was found by.

    None where the pool no longer has the entry or what it was released as, and where *query*, shape (dimension,), is
    forgotten and one of several aliases decided. A match tells what the hit's question was about: it is for those who
    may read the query.
    """
    if receipt.entry_id is None or record.tau is None:
        return None
    try:
        release = find_release(connection, receipt)
        alias = _find_alias(_load_aliases(connection, pool, receipt.entry_id), query)
        item = _find_item(connection, receipt.entry_id)
        if release is None or alias is None or item is None:
            return None
        released, place = _locate(connection, pool, item)
        if place is None:
            return None
        vector = tuple(alias.row.tolist())
        match = PoolMatch(alias.text, released.item, place.path, place.position, vector)
        verify_match(match, release)
        if query is not None:
            verify_query(match, query.tolist(), record.tau)
    except (TenantError, UnknownPayload):
        # Withdrawn, or sealed under a key that is gone: there is nothing to show any more.
        return None
    except (VerificationError, EncodingError) as error:
        log.error("pool_match_does_not_stand", hit=record.hit, error=str(error))
        return None
    return match


def _load_aliases(connection: Connection, pool: TenantContext, entry: EntryId) -> tuple[Alias, ...]:
    row = EntryRepository(connection, pool.id).get(entry)
    if row is None:
        return ()
    key = pool.open_with(sealed_epoch(row.payload))
    return unseal_payload(row.payload, key=key, tenant=pool.id, entry=row.id).aliases or ()


def _find_alias(aliases: tuple[Alias, ...], query: Int8Matrix | None) -> Alias | None:
    """Return the alias that decided; where the query is not known, the only one that may be matched at all."""
    if not aliases:
        return None
    rows = rows_of(aliases, len(aliases[0].vector) if query is None else len(query))
    if query is None:
        return aliases[rows.positions[0]] if len(rows.positions) == 1 else None
    best = rows.best(query)
    return None if best is None else aliases[best.position]


def _find_item(connection: Connection, entry: EntryId) -> StoredItem | None:
    items = PoolItemRepository(connection)
    answer = items.find_answer_of(entry)
    try:
        return None if answer is None else items.get(answer.item_id)
    except NotFound:
        return None


def _locate(connection: Connection, pool: TenantContext, row: StoredItem) -> tuple[Released, Place | None]:
    """Open an item and say where it stands in its release; raises `UnsealError` where it was withdrawn.

    Items from before places were kept stand where the release is whole: the place is None where a sibling was withdrawn.
    """
    released, place = open_place(pool, row)
    if place is not None:
        return released, place
    rows = PoolItemRepository(connection).list_of_release(row.release, limit=PAGE_MAX)
    ids = [one.id for one in rows]
    if row.id not in ids or any(one.sealed is None for one in rows):
        return released, None
    return released, Place(*item_paths([open_item(pool, one).item for one in rows])[ids.index(row.id)])
