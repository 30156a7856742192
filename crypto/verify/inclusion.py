"""Is every leaf of the bundle in the log, and is every leaf made of exactly the body that is shown for it?"""

from __future__ import annotations

from collections.abc import Iterator

from ..bundle import BundleParts
from ..checkpoint import Checkpoint
from ..errors import VerificationError
from ..leaf import Leaf, LeafKind, body_leaf
from ..merkle import leaf_hash
from ..multiproof import root_from_multiproof
from ..trust import Trust
from .findings import Notes
from .readings import Readings, Unreadable


def check_inclusion(notes: Notes, parts: BundleParts, readings: Readings, checkpoint: Checkpoint, trust: Trust) -> None:
    """Note failures where the multiproof does not lead to the checkpoint's root, or a leaf is not its body's."""
    _verify_multiproof(parts, checkpoint)
    explained: set[int] = set()
    for index, subject, made, kinds in _expected(parts, readings, trust):
        if index in explained or index not in parts.leaves:
            detail = "two bodies stand for one leaf" if index in explained else "there is no leaf for this body"
            notes.fail("leaf_unexplained", subject, detail)
            continue
        explained.add(index)
        with notes.about(subject):
            _verify_leaf(parts.leaves[index], made, kinds)
    for index in parts.leaves:
        if index not in explained:
            notes.fail("leaf_unexplained", f"leaf {index}", "no body in the bundle says what this leaf stands for")
    notes.detail = (
        f"{len(parts.leaves):,} leaves lead to the log's root over {len(parts.multiproof):,} shared hashes"
        f" ({len(parts.multiproof) * 32:,} bytes), each made anew from what it stands for"
    )


def _verify_multiproof(parts: BundleParts, checkpoint: Checkpoint) -> None:
    if not parts.leaves:
        if parts.multiproof:
            raise VerificationError("there are hashes that prove nothing", reason="inclusion_invalid")
        return
    hashed = [(index, leaf_hash(leaf)) for index, leaf in parts.leaves.items()]
    root = root_from_multiproof(hashed, checkpoint.size, parts.multiproof)
    if root != checkpoint.root:
        raise VerificationError(
            "the leaves are not in the tree that the log signed",
            reason="inclusion_invalid",
            expected=checkpoint.root.hex(),
            actual=root.hex(),
        )


def _expected(
    parts: BundleParts, readings: Readings, trust: Trust
) -> Iterator[tuple[int, str, Leaf | None, frozenset[LeafKind]]]:
    """Yield for each body its index, its name, its leaf (None where it cannot be read) and the kinds it may be of."""
    for receipt in readings.receipts:
        made = None if isinstance(receipt, Unreadable) else receipt.to_leaf()
        yield receipt.index, receipt.subject, made, frozenset({LeafKind.RECEIPT})
    for item in readings.evidence:
        leaf = None if isinstance(item, Unreadable) else item.to_leaf()
        kinds = {LeafKind.EVIDENCE, LeafKind.RECEIPT_BATCH} if leaf is None else {leaf.kind}
        yield item.index, item.subject, leaf, frozenset(kinds)
    for line in parts.bodies:
        payload = line.body.to_payload()
        leaf = body_leaf(line.kind, payload, line.body.at_ms, trust.log.public_key)
        yield line.index, f"body of leaf {line.index}", leaf, frozenset({line.kind})


def _verify_leaf(found: bytes, made: Leaf | None, kinds: frozenset[LeafKind]) -> None:
    """Compare a leaf with the one that its body gives; a body that cannot be read has only a kind, and fails later."""
    kind = found[1]
    if kind not in kinds:
        expected = " or ".join(str(int(one)) for one in sorted(kinds))
        raise VerificationError(
            "the leaf is of another kind than its body", reason="leaf_kind", expected=expected, actual=kind
        )
    if made is not None and made.encode() != found:
        raise VerificationError(
            "the leaf was made of something else than this body",
            reason="leaf_mismatch",
            expected=made.encode().hex(),
            actual=found.hex(),
        )
