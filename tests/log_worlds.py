"""A log of its own in a folder: database, tiles, keys, and a sequencer that moves when it is told to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from crypto.bodies import Erasure
from crypto.checkpoint import Checkpoint, verify_checkpoint
from crypto.ed25519 import Signer, SigningKey
from crypto.hit import HitRecord
from crypto.note import WITNESS_ALGORITHM, VerifierKey, make_vkey, parse_vkey
from server.datafolder import DataFolder
from server.log.bodies import append_body
from server.log.disk import Disk
from server.log.fsck import Findings, check_log
from server.log.keys import ensure_log_key, load_signing_key
from server.log.sequencer import Sequencer, SequencerLimits
from server.log.storage import DirectoryStorage, LogStorage
from server.log.tiles import TILE_WIDTH, TileReader
from server.log.transactions import DirectTransactions, Transactions
from server.log.witness import Witness
from server.log.witnesses import WitnessAddress, WitnessAnswer, Witnesses
from server.ports import Clock, RandomSource
from server.store.database import Database, sqlite_url
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow, NewHit
from server.store.migrate import upgrade
from server.store.platform import PlatformRepository
from server.store.receipts import HitRepository
from server.store.records import OrganisationRecord, TenantRecord
from tenants.identifiers import OrganisationId, TenantId
from tests.fakes import FakeClock, SeededRandom
from tests.reference_tree import tree_hash

TENANT = TenantId("ten_a")
OTHER = TenantId("ten_b")
ORIGIN = "log.example/test"
#: The status list is not said again by itself, so that a test counts its own leaves alone.
QUIET = SequencerLimits(batch_max=1000, status_interval_ms=0)


@dataclass(slots=True)
class LogWorld:
    """One log; everything of it lies below *folder*."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    random: RandomSource = field(default_factory=SeededRandom)
    disk: Disk | None = None
    limits: SequencerLimits = QUIET
    database: Database = field(init=False)
    log_key: VerifierKey = field(init=False)
    sequencer: Sequencer = field(init=False)

    def __post_init__(self) -> None:
        DataFolder(self.folder).create()
        self.database = Database(sqlite_url(self.folder / "store.db"))
        upgrade(self.database.engine)
        self.log_key = self.database.write_now(self._prepare)
        self.sequencer = self.new_sequencer()

    def _prepare(self, connection: Connection) -> VerifierKey:
        platform = PlatformRepository(connection)
        if platform.find_organisation("first") is None:
            platform.add_organisation(OrganisationRecord(OrganisationId("org_1"), "first", 0))
            for tenant in (TENANT, OTHER):
                platform.add_tenant(TenantRecord(tenant, OrganisationId("org_1"), tenant, "active", "{}", 0))
        return ensure_log_key(connection, self.key_file, self.random, origin=ORIGIN)

    @property
    def key_file(self) -> Path:
        return DataFolder(self.folder).log_signing_key_file

    @property
    def storage(self) -> LogStorage:
        return DirectoryStorage(DataFolder(self.folder).log, self.disk)

    @property
    def transactions(self) -> DirectTransactions:
        return DirectTransactions(self.database)

    def new_sequencer(
        self,
        *,
        holder: str = "one",
        storage: LogStorage | None = None,
        witnesses: Witnesses | None = None,
        signer: Signer | None = None,
        transactions: Transactions | None = None,
        clock: Clock | None = None,
    ) -> Sequencer:
        """Return a sequencer as a process that starts now has it."""
        return Sequencer(
            transactions or self.transactions,
            storage or self.storage,
            signer=signer or load_signing_key(self.key_file, self.random),
            log_key=self.log_key,
            witnesses=witnesses or Witnesses((), no_post, self.clock),
            clock=clock or self.clock,
            random=self.random,
            holder=holder,
            limits=self.limits,
        )

    def add_leaves(self, count: int, *, tenant: TenantId | None = None) -> None:
        """Put *count* leaves into the outbox."""

        def add(connection: Connection) -> None:
            for _ in range(count):
                body = Erasure(at_ms=self.clock.now_ms(), nonce=self.random.token_bytes(32), tenant="0" * 32)
                append_body(connection, body, tenant=tenant)

        self.database.write_now(add)

    def add_hits(self, *names: str, tenant: TenantId = TENANT, pseudonym: str = "a" * 32) -> None:
        """Store hits."""
        records = [hit_record(name, pseudonym=pseudonym, at_ms=self.clock.now_ms()) for name in names]
        rows = [NewHit(found.hit, found.at_ms, "rcp_1", found.tier, found.to_payload()) for found in records]
        self.database.write_now(lambda connection: HitRepository(connection, tenant).add_many(rows))

    def read(self, work: Callable[[LogRepository], Any]) -> Any:
        """Read something of the log's rows."""
        return self.database.read_now(lambda connection: work(LogRepository(connection)))

    @property
    def head(self) -> int:
        return int(self.read(lambda log: log.head()))

    @property
    def newest(self) -> CheckpointRow:
        found = self.read(lambda log: log.latest_checkpoint())
        assert isinstance(found, CheckpointRow)
        return found

    @property
    def leaves(self) -> list[bytes]:
        """The leaves that have an index, in order."""
        return list(self.read(lambda log: log.load_leaves(0, 100_000)))

    def catch_up(self, sequencer: Sequencer | None = None) -> None:
        """Step until there is nothing to do."""
        while (sequencer or self.sequencer).step().has_more:
            pass

    def fsck(self) -> Findings:
        """Check the log."""
        return check_log(self.transactions, self.storage, self.log_key)

    def published(self, storage: LogStorage | None = None) -> Checkpoint | None:
        """Return the published checkpoint, its signature checked."""
        text = (storage or self.storage).read("checkpoint")
        return None if text is None else verify_checkpoint(text.decode(), self.log_key).checkpoint

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def standard_client_root(storage: LogStorage, size: int) -> bytes:
    """Compute a tree's root as a client that knows nothing of us: from the entries alone, straight from the RFC."""
    entries: list[bytes] = []
    reader = TileReader(storage, size)
    for index in range(-(-size // TILE_WIDTH)):
        entries += reader.entries(index)
    return tree_hash(entries)


def hit_record(name: str, *, pseudonym: str = "a" * 32, at_ms: int = 1) -> HitRecord:
    """Return a hit whose id comes from *name*."""
    return HitRecord(
        at_ms=at_ms,
        derivation="none",
        hit="hit_" + hashlib.sha256(name.encode()).hexdigest()[:32],
        policy="sha256:" + "1" * 64,
        query=bytes(32),
        query_vector=None,
        receipt="sha256:" + "2" * 64,
        receipt_leaf=bytes(32),
        tau=None,
        tenant=pseudonym,
        tier="exact",
    )


def no_post(url: str, body: bytes) -> WitnessAnswer:
    raise AssertionError(f"nobody was to be asked at {url} ({len(body)} bytes)")


@dataclass(slots=True)
class WitnessWorld:
    """Witnesses of one log in this process, each in a folder of its own; `post` reaches them by name."""

    folder: Path
    log_key: VerifierKey
    clock: FakeClock
    witnesses: dict[str, Witness] = field(default_factory=dict)
    #: What answers in the place of a witness of that name.
    instead: dict[str, Callable[[bytes], WitnessAnswer]] = field(default_factory=dict)

    def add(self, name: str, *, folder: str | None = None) -> Witness:
        """Start a witness; one of the same *folder* and name goes on where that one stopped."""
        signer = SigningKey(hashlib.sha256(name.encode()).digest())
        storage = DirectoryStorage(self.folder / (folder or name))
        (self.folder / (folder or name)).mkdir(parents=True, exist_ok=True)
        self.witnesses[name] = Witness(name, signer, [self.log_key], storage, self.clock)
        return self.witnesses[name]

    def post(self, url: str, body: bytes) -> WitnessAnswer:
        name = url.removeprefix("http://").partition("/")[0]
        assert url == f"http://{name}/add-checkpoint"
        if name in self.instead:
            return self.instead[name](body)
        found = self.witnesses[name].add_checkpoint(body)
        return WitnessAnswer(found.status, found.content_type, found.text.encode())

    @property
    def addresses(self) -> list[WitnessAddress]:
        return [WitnessAddress(f"http://{name}", found.key) for name, found in self.witnesses.items()]

    def client(self, addresses: Sequence[WitnessAddress] | None = None) -> Witnesses:
        """Return the log's side, as a process that starts now has it."""
        return Witnesses(self.addresses if addresses is None else addresses, self.post, self.clock)


def witness_vkey(name: str) -> VerifierKey:
    signer = SigningKey(hashlib.sha256(name.encode()).digest())
    return parse_vkey(make_vkey(name, WITNESS_ALGORITHM, signer.public_key))


class Recorder:
    """A `LogStorage` that counts its writes and may fail before one of them."""

    def __init__(self, inner: LogStorage, *, fail_at: int | None = None) -> None:
        self._inner = inner
        self._fail_at = fail_at
        self.writes: list[list[str]] = []

    def read(self, name: str) -> bytes | None:
        return self._inner.read(name)

    def list_folder(self, name: str) -> list[str]:
        return self._inner.list_folder(name)

    def write(self, files: Mapping[str, bytes]) -> None:
        if self._fail_at is not None and len(self.writes) == self._fail_at:
            raise OSError(28, "no space left on device")
        self.writes.append(sorted(files))
        self._inner.write(files)

    def remove_folder(self, name: str) -> None:
        self._inner.remove_folder(name)
