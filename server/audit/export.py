"""Make a bundle: settle the log, select, open, prove, sign. An audit never calls the server again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sqlalchemy import Connection

from crypto.bundle import BundleParts, build_bundle
from crypto.bundle_lines import BodyLine, CheckpointLine, HitLine, OpeningLine
from crypto.bundle_manifest import Counts, PoolScope, Scope
from crypto.checkpoint import parse_checkpoint
from crypto.errors import EncodingError
from crypto.leaf import LeafKind, parse_leaf
from crypto.merkle import NodeSource, consistency_proof
from crypto.multiproof import make_multiproof
from crypto.status import StatusList, parse_status_list
from server.audit.about_hits import AboutHits, select_about_hits
from server.audit.evidence_openings import EvidenceOpener
from server.audit.keys import ExportKeys
from server.audit.ledger_selection import LedgerSelection, select_ledger
from server.audit.lines import (
    LeafRow,
    body_line,
    envelope_line,
    hit_line,
    is_envelope,
    model_line,
    policy_line,
    publisher_line,
)
from server.audit.openings import Opener
from server.audit.policies import LoggedPolicies, load_policies
from server.audit.pseudonyms import open_pseudonyms
from server.audit.request import ExportError, ExportRequest, ExportUnavailable
from server.audit.selection import Selection, Selector
from server.audit.tree import open_tree
from server.audit.weight import Weight
from server.log.storage import LogStorage
from server.ports import Clock
from server.store.database import Database
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow, StoredLeaf, StoredReceipt
from server.store.platform import PlatformRepository
from server.store.receipts import HitRepository, ReceiptRepository
from server.store.records import ModelVersionRecord
from server.store.status import StatusRepository
from tenants.identifiers import TenantId

#: Earlier checkpoints that every bundle carries, evenly spread: anchors for auditors who keep one.
ANCHORS: Final = 16

#: Hears how many rows of how many were read.
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished bundle and what it counts; *unproved* of its hits by meaning have no applicability proof in it."""

    data: bytes
    counts: Counts
    size: int
    unproved: int


class Exporter:
    """Makes bundles of one tenant."""

    def __init__(
        self, database: Database, storage: LogStorage, tenant: TenantId, keys: ExportKeys, clock: Clock
    ) -> None:
        self._database = database
        self._storage = storage
        self._tenant = tenant
        self._keys = keys
        self._clock = clock

    def export(self, request: ExportRequest, checkpoint: CheckpointRow, progress: Progress) -> Exported:
        """Return the bundle of *request* under *checkpoint*; *progress* hears (done, total) in rows.

        Raises `ExportError` for a scope that is too large or a log that does not fit its checkpoint.
        """
        pool = self._keys.pool
        if pool is not None and pool.tenant == self._tenant:
            raise ExportError("the pool is nobody's tenant: its receipts are in the bundles of those they answered")
        tree = open_tree(self._database, self._storage, checkpoint)
        total, done = self._database.read_now(self._count), 0

        def on_read(rows: int) -> None:
            nonlocal done
            done += rows
            progress(min(done, total), total)

        weight = Weight()
        selector = Selector(
            self._database,
            self._tenant,
            request,
            weight,
            size=checkpoint.size,
            pool=None if pool is None else pool.tenant,
        )
        selection = selector.select(on_read)
        about = select_about_hits(
            self._database, self._tenant, self._keys, request, selection, weight, size=checkpoint.size
        )
        parts = self._parts(request, checkpoint, selection, about, tree, weight)
        try:
            data = build_bundle(parts, self._keys.signer)
        except EncodingError:
            # Not the error's own text: it can quote what was to be opened.
            raise ExportError("what is in scope makes no bundle that a verifier takes; export a shorter time") from None
        progress(total, total)
        return Exported(data, parts.counts, checkpoint.size, about.proofs.unproved)

    def _count(self, connection: Connection) -> int:
        return ReceiptRepository(connection, self._tenant).count() + HitRepository(connection, self._tenant).count()

    def _parts(
        self,
        request: ExportRequest,
        checkpoint: CheckpointRow,
        selection: Selection,
        about: AboutHits,
        tree: NodeSource,
        weight: Weight,
    ) -> BundleParts:
        own, of_pool = self._load_policies(checkpoint.size, selection)
        status, status_leaf = self._database.read_now(lambda c: _load_status(c, checkpoint))
        if any(key.key_id == self._keys.signer.key_id and key.status == "compromised" for key in status.keys):
            raise ExportUnavailable(
                "this gateway's key was compromised, and no verifier takes what it signs; make another"
            )
        ledger = select_ledger(
            self._database,
            self._tenant,
            weight,
            size=checkpoint.size,
            has_pool_receipts=bool(selection.of_pool),
        )
        receipts = sorted(selection.receipts.values(), key=lambda row: row.leaf_index or 0)
        signed = [envelope_line(row) for row in selection.evidence if is_envelope(row)]
        asserted = [*own.leaves, *of_pool.leaves, status_leaf, *selection.batches.values()]
        proofs = about.proofs.documents
        evidence = [*(row for row in selection.evidence if not is_envelope(row)), *proofs]
        leaves = _leaves_of(receipts, selection.evidence, proofs, asserted, ledger.spendings, ledger.releases)
        policies = {row.digest: policy_line(row) for row in (*own.rows, *of_pool.rows)}
        versions = self._attested_versions(receipts)
        return BundleParts(
            checkpoint=checkpoint.note,
            leaves=leaves,
            multiproof=tuple(make_multiproof(sorted(leaves), checkpoint.size, tree)),
            status=status,
            scope=self._scope(request, selection, own, of_pool, ledger.organisation),
            made_at_ms=self._clock.now_ms(),
            receipts=tuple(envelope_line(row) for row in receipts),
            hits=tuple(self._hit_lines(selection)),
            bodies=_bodies(evidence, asserted, ledger),
            evidence=tuple(sorted(signed, key=lambda line: line.index)),
            openings=tuple(self._openings(request, receipts, selection, weight)),
            policies=tuple(sorted(policies.values(), key=lambda line: line.policy)),
            models=tuple(line for version in versions if (line := model_line(version)) is not None),
            publishers=tuple(found for version in versions if (found := publisher_line(version)) is not None),
            checkpoints=tuple(self._anchors(request, checkpoint, tree)),
            releases=ledger.release_lines(),
            spendings=ledger.spending_lines(),
            proofs=about.proofs.lines(),
            queries=about.queries,
            matches=about.matches,
        )

    def _load_policies(self, size: int, selection: Selection) -> tuple[LoggedPolicies, LoggedPolicies]:
        """Return the tenant's policies, and the pool's where a receipt of it is in the bundle."""
        own = self._database.read_now(lambda c: load_policies(c, self._tenant, size=size))
        pool = self._keys.pool
        if pool is None or not selection.of_pool:
            return own, LoggedPolicies()
        return own, self._database.read_now(lambda c: load_policies(c, pool.tenant, size=size))

    def _openings(
        self, request: ExportRequest, receipts: Sequence[StoredReceipt], selection: Selection, weight: Weight
    ) -> list[OpeningLine]:
        """Return what was asked to be opened; of the pool's receipts too, which answered this tenant."""
        own = Opener(self._database, self._tenant, self._keys.key_of_epoch, weight)
        pool = self._keys.pool
        of_pool = own if pool is None else Opener(self._database, pool.tenant, pool.key_of_epoch, weight)
        lines = [
            line for row in receipts for line in (of_pool if row.id in selection.of_pool else own).open(row, request)
        ]
        evidence = EvidenceOpener(self._database, self._tenant, self._keys.key_of_epoch, weight)
        # Nobody states a vector of the pool: what its entries are found by is public.
        mine = [row for row in selection.evidence if row.receipt_id not in selection.of_pool]
        lines += [line for row in mine for line in evidence.open(row, selection.receipts[row.receipt_id], request)]
        return sorted(lines, key=lambda line: (line.statement, line.kind))

    def _attested_versions(self, receipts: Sequence[StoredReceipt]) -> list[ModelVersionRecord]:
        """Return one record per attested version, by version: the one with a manifest, where several were reported."""
        wanted = {row.model_version for row in receipts if row.grade == "attested"}
        found: dict[str, ModelVersionRecord] = {}
        for version in self._database.read_now(lambda c: PlatformRepository(c).list_model_versions()):
            if version.model_version in wanted and (version.model_version not in found or version.manifest is not None):
                found[version.model_version] = version
        return [found[name] for name in sorted(found)]

    def _scope(
        self,
        request: ExportRequest,
        selection: Selection,
        own: LoggedPolicies,
        of_pool: LoggedPolicies,
        organisation: str | None,
    ) -> Scope:
        """Return the scope, which opens the pseudonyms of those epochs alone in which something of theirs lies."""
        receipts, evidence = selection.receipts.values(), selection.evidence
        own_ms = _times_ms(
            [row for row in receipts if row.id not in selection.of_pool],
            [row for row in evidence if row.receipt_id not in selection.of_pool],
            [*own.leaves, *selection.batches.values()],
        )
        own_ms += [hit.record.at_ms for group in selection.hits.values() for hit in group]
        return Scope(
            tenant=self._tenant,
            pseudonyms=open_pseudonyms(self._keys.pseudonym_key, own_ms),
            since_ms=request.since_ms,
            until_ms=request.until_ms,
            model_version=request.model_version,
            organisation=organisation,
            pool=self._pool_scope(selection, of_pool),
        )

    def _pool_scope(self, selection: Selection, policies: LoggedPolicies) -> PoolScope | None:
        pool = self._keys.pool
        if pool is None or not selection.of_pool:
            return None
        times_ms = _times_ms(
            [row for row in selection.receipts.values() if row.id in selection.of_pool],
            [row for row in selection.evidence if row.receipt_id in selection.of_pool],
            policies.leaves,
        )
        return PoolScope(pool.tenant, open_pseudonyms(pool.pseudonym_key, times_ms))

    def _hit_lines(self, selection: Selection) -> list[HitLine]:
        lines = []
        for seq, chosen in selection.hits.items():
            whole = self._database.read_now(lambda c, seq=seq: HitRepository(c, self._tenant).list_batch(seq))  # type: ignore[misc]
            lines.append(hit_line(selection.batches[seq], whole, chosen))
        return sorted(lines, key=lambda line: line.batch)

    def _anchors(self, request: ExportRequest, checkpoint: CheckpointRow, tree: NodeSource) -> list[CheckpointLine]:
        """Return earlier checkpoints, each proved continued: those asked for, and some spread over the log's life."""
        rows = self._database.read_now(lambda c: _load_checkpoints(c, checkpoint.size, request.from_sizes))
        return [
            CheckpointLine(parse_checkpoint(row.note), tuple(consistency_proof(row.size, checkpoint.size, tree)))
            for row in rows
        ]


def _leaves_of(*groups: Sequence[LeafRow]) -> dict[int, bytes]:
    return {row.leaf_index: row.leaf for group in groups for row in group if row.leaf_index is not None}


def _times_ms(*groups: Sequence[LeafRow]) -> list[int]:
    return [parse_leaf(row.leaf).time_ms for group in groups for row in group]


def _bodies(evidence: Sequence[LeafRow], leaves: Sequence[StoredLeaf], ledger: LedgerSelection) -> tuple[BodyLine, ...]:
    found = [body_line(leaf, LeafKind(leaf.kind)) for leaf in leaves]
    found += [body_line(row, LeafKind.EVIDENCE) for row in evidence]
    found += [body_line(row, LeafKind.PRIVACY_SPENDING) for row in ledger.spendings]
    found += [body_line(row, LeafKind.POOL_RELEASE) for row in ledger.releases]
    return tuple(sorted(found, key=lambda line: line.index))


def _load_status(connection: Connection, checkpoint: CheckpointRow) -> tuple[StatusList, StoredLeaf]:
    """Return the list in force at *checkpoint*: what was said behind it is another bundle's."""
    row = StatusRepository(connection).latest(through_seq=checkpoint.through_seq)
    leaf = None if row is None else LogRepository(connection).get_leaf(row.seq)
    if row is None or leaf is None or leaf.leaf_index is None or leaf.leaf_index >= checkpoint.size:
        raise ExportUnavailable("no status list stands under this checkpoint; `hitproof log fsck` says what is wrong")
    return parse_status_list(row.document.encode()), leaf


def _load_checkpoints(connection: Connection, size: int, asked: Sequence[int]) -> list[CheckpointRow]:
    repository = LogRepository(connection)
    missing = [earlier for earlier in asked if earlier > size]
    if missing:
        raise ExportError(f"the log has {size} leaves and never had {missing[0]}: somebody showed you another one")
    rows = {row.size: row for row in repository.sample_checkpoints(below_size=size, count=ANCHORS)}
    for earlier in asked:
        found = repository.checkpoint_at(earlier)
        if found is None:
            raise ExportError(f"no checkpoint over {earlier} leaves was ever signed here")
        if earlier < size:
            rows[earlier] = found
    return [rows[name] for name in sorted(rows)]
