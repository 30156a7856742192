"""Turn selected rows into the lines of a bundle."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from crypto.bodies import parse_body
from crypto.bundle_lines import BodyLine, EnvelopeLine, HitLine, ModelLine, PolicyLine, PublisherLine
from crypto.canonical import JsonValue, parse_json
from crypto.leaf import LeafKind
from crypto.merkle import MemoryTree, leaf_hash
from crypto.multiproof import make_multiproof
from server.audit.selection import SelectedHit
from server.store.log_records import (
    AnnouncedPolicy,
    StoredApplicability,
    StoredEvidence,
    StoredHit,
    StoredLeaf,
    StoredReceipt,
    StoredWellFormedness,
)
from server.store.pool_records import LoggedRelease, LoggedSpending
from server.store.records import ModelVersionRecord

#: Every row that comes with its leaf and what stands behind it.
LeafRow: TypeAlias = (
    StoredReceipt
    | StoredEvidence
    | StoredWellFormedness
    | StoredApplicability
    | StoredLeaf
    | LoggedSpending
    | LoggedRelease
)


def envelope_line(row: StoredReceipt | StoredEvidence) -> EnvelopeLine:
    """Return the line of a receipt, or of evidence that came in an envelope."""
    return EnvelopeLine(_index(row.leaf_index), stored_object(row.body))


def body_line(row: LeafRow, kind: LeafKind) -> BodyLine:
    """Return the line of a body that the log itself asserts."""
    return BodyLine(_index(row.leaf_index), kind, parse_body(kind, row.body or b""))


def is_envelope(row: StoredEvidence) -> bool:
    """Say whether a piece of evidence was signed, or is a body of the log's own."""
    return "payloadType" in stored_object(row.body)


def hit_line(batch: StoredLeaf, whole: Iterable[StoredHit], chosen: Iterable[SelectedHit]) -> HitLine:
    """Return the line of the *chosen* hits of a batch; *whole* is all of it, by position."""
    tree = MemoryTree()
    tree.extend([leaf_hash(hit.record) for hit in whole])
    ordered = sorted(chosen, key=lambda hit: hit.row.position or 0)
    positions = tuple(hit.row.position or 0 for hit in ordered)
    hashes = tuple(make_multiproof(positions, tree.size, tree.node))
    return HitLine(_index(batch.leaf_index), hashes, positions, tuple(hit.record for hit in ordered))


def policy_line(policy: AnnouncedPolicy) -> PolicyLine:
    """Return the line of a policy's document."""
    return PolicyLine(policy.digest, stored_object(policy.document.encode()))


def model_line(version: ModelVersionRecord) -> ModelLine | None:
    """Return the line of a model's manifest; None for a version that nobody loaded."""
    return (
        None if version.manifest is None else ModelLine(version.model_version, stored_object(version.manifest.encode()))
    )


def publisher_line(version: ModelVersionRecord) -> PublisherLine | None:
    """Return the line of an imported model signature, if there is one."""
    if version.publisher is None:
        return None
    return PublisherLine(version.model_version, version.publisher.encode())


def _index(leaf_index: int | None) -> int:
    if leaf_index is None:
        raise ValueError("a row without its place in the log is never selected")
    return leaf_index


def stored_object(data: bytes | None) -> dict[str, JsonValue]:
    """Return a stored body, envelope or record as the object that it is."""
    value = parse_json(data or b"", nodes_max=1 << 20)
    if not isinstance(value, dict):
        raise ValueError("a stored body is an object")
    return value
