"""Databases for contract tests: each test gets an empty, migrated one on SQLite and one on PostgreSQL."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from server.store.database import Database, sqlite_url
from server.store.entries import EntryRepository
from server.store.migrate import upgrade
from server.store.platform import PlatformRepository
from server.store.records import ApiKeyRecord, LookupRecord, NewEntry, OrganisationRecord, TenantRecord, UsageRow
from tenants.identifiers import EntryId, KeyId, LookupId, OrganisationId, TenantId

Result = TypeVar("Result")
NOW_MS = 1_790_000_000_000
A, B = TenantId("ten_a"), TenantId("ten_b")
FINGERPRINT = bytes(32)


@dataclass(slots=True)
class Store:
    """One empty database with two tenants, A and B, and what was opened on it."""

    kind: str
    url: str
    cut: Callable[[], None]
    _stack: ExitStack = field(default_factory=ExitStack)
    _first: Database | None = None

    def open(self, **options: Any) -> Database:
        """Open the database as one more process would."""
        database = Database(self.url, **options)
        self._stack.callback(database.close)
        return database

    @property
    def database(self) -> Database:
        """The database as the first process opened it."""
        if self._first is None:
            self._first = self.open()
        return self._first

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Run *work* in a transaction."""
        return self.database.write_now(work)

    def entries(self, work: Callable[[EntryRepository], Result], *, tenant: TenantId = A) -> Result:
        """Run *work* on the entries of *tenant*."""
        return self.run(lambda connection: work(EntryRepository(connection, tenant)))

    def close(self) -> None:
        """Close everything."""
        self._stack.close()


@contextmanager
def open_store(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    """Yield a `Store` of *kind*."""
    if kind == "sqlite":
        shutil.copy(_template_file(request), folder / "store.db")
        store = Store(kind, sqlite_url(folder / "store.db"), lambda: None)
        try:
            yield store
        finally:
            store.close()
        return
    server = request.getfixturevalue("postgres")
    with server.database(template=_template_database(request)) as name:
        store = Store(kind, server.url(name), lambda: server.end_connections(name))
        try:
            yield store
        finally:
            store.close()


_FILE: pytest.StashKey[Path] = pytest.StashKey()
_DATABASE: pytest.StashKey[str] = pytest.StashKey()


def _template_file(request: pytest.FixtureRequest) -> Path:
    stash = request.session.stash
    if _FILE not in stash:
        path = request.getfixturevalue("tmp_path_factory").mktemp("template") / "store.db"
        _prepare(sqlite_url(path))
        stash[_FILE] = path
    return stash[_FILE]


def _template_database(request: pytest.FixtureRequest) -> str:
    stash = request.session.stash
    if _DATABASE not in stash:
        server = request.getfixturevalue("postgres")
        name = server.make_template()
        _prepare(server.url(name))
        stash[_DATABASE] = name
    return stash[_DATABASE]


def _prepare(url: str) -> None:
    database = Database(url)
    upgrade(database.engine)
    database.write_now(_add_tenants)
    database.close()


def _add_tenants(connection: Connection) -> None:
    platform = PlatformRepository(connection)
    platform.add_organisation(OrganisationRecord(OrganisationId("org_1"), "first", NOW_MS))
    for number, tenant in enumerate((A, B)):
        platform.add_tenant(TenantRecord(tenant, OrganisationId("org_1"), tenant, "active", "{}", NOW_MS + number))


def new_entry(number: int, **changes: Any) -> NewEntry:
    """Return an entry whose every field can be told from its neighbours'."""
    made = NewEntry(
        id=EntryId(number),
        fingerprint=FINGERPRINT,
        exact_key=exact_key(number),
        kind="answer",
        source="upstream",
        derivation="none",
        parents="[]",
        model="model",
        model_version="sha256:version",
        reported="reported",
        embedder="sha256:embedder",
        created_at_ms=NOW_MS + number,
        expires_at_ms=NOW_MS + 1_000_000,
        prompt_tokens=10 + number,
        output_tokens=20 + number,
        cost_micro=30 + number,
        size_bytes=1000 + number,
        payload=b"payload %d" % number,
        vector=b"vector %d" % number,
        tags=(),
    )
    return replace(made, **changes)


def exact_key(number: int) -> bytes:
    """Return the exact key of the entry of that number."""
    return hashlib.sha256(b"%d" % number).digest()


def new_lookup(name: str, **changes: Any) -> LookupRecord:
    """Return a recorded miss."""
    made = LookupRecord(
        id=LookupId(name),
        key_id=KeyId("key"),
        at_ms=NOW_MS,
        expires_at_ms=NOW_MS + 1_000_000,
        model="model",
        outcome="miss",
        tier=None,
        reason="empty",
        entry_id=None,
        policy_version=1,
        detail=b"sealed",
        label=None,
        label_kind=None,
        labelled_at_ms=None,
    )
    return replace(made, **changes)


def new_key(name: str, tenant: TenantId | None = A, **changes: Any) -> ApiKeyRecord:
    """Return a key's record."""
    made = ApiKeyRecord(KeyId(name), tenant, bytes(32), "member", "[]", "label", NOW_MS, "test", None, None, None)
    return replace(made, **changes)


def new_usage(**changes: Any) -> UsageRow:
    """Return usage of one request."""
    return replace(UsageRow("2026-09-21", KeyId("key"), "model", "hit", "exact", 1, 10, 20, 30, 400), **changes)
