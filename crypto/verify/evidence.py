"""Evidence that came after the signing: whose it is, and that it is about a receipt of this bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..bodies import Evidence, Role
from ..bundle import BundleParts
from ..errors import VerificationError
from ..release import EVIDENCE_TYPE
from ..report import Failure
from .documents import KINDS
from .findings import Notes
from .readings import ReadEmbedding, Readings, ReadReceipt, ReadReceiptBatch, Unreadable
from .standing import Standing, verify_signer
from .tenancy import Principals


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The embedding statements that count, by digest; *declared* are those that are the operator's own word."""

    accepted: Mapping[str, ReadEmbedding]
    declared: frozenset[str]


def check_evidence(
    notes: Notes, parts: BundleParts, readings: Readings, standing: Standing, principals: Principals
) -> Embeddings:
    """Return the embedding statements in which nothing is wrong; note what is wrong with evidence.

    Kinds that this verifier does not know are only said not to be covered; proofs are the business of a later check.
    """
    receipts = {one.digest: one for one in readings.receipts if isinstance(one, ReadReceipt)}
    accepted: dict[str, ReadEmbedding] = {}
    declared: set[str] = set()
    unknown: Counter[str] = Counter()
    for item in readings.evidence:
        if isinstance(item, Unreadable):
            notes.add(Failure.of(item.subject, item.error, "statement_malformed"))
            continue
        with notes.about(item.subject):
            if isinstance(item, ReadEmbedding):
                role = verify_embedding_signer(item, receipts.get(item.statement.statement), standing)
                _verify_subject(item.statement.statement, receipts)
                _verify_side(item, receipts[item.statement.statement], principals)
                accepted[item.digest] = item
                declared.update({item.digest} if role == "gateway" else ())
            else:
                _verify_batch_signer(item, standing)
                unknown["receipt batch"] += 1
    for line in parts.bodies:
        if isinstance(line.body, Evidence):
            with notes.about(f"evidence {line.body.kind}, leaf {line.index}"):
                _verify_subject(line.body.statement, receipts)
                unknown.update(() if line.body.kind in KINDS else (line.body.kind,))
    _describe(notes, len(accepted), len(declared), unknown + _referred(readings))
    return Embeddings(accepted, frozenset(declared))


def _referred(readings: Readings) -> Counter[str]:
    """Count the evidence that receipts name by digest: what it says is in no bundle, releases of the pool aside."""
    receipts = (one.statement for one in readings.receipts if isinstance(one, ReadReceipt))
    types = (reference.type for statement in receipts for reference in statement.evidence)
    return Counter(name for name in types if name != EVIDENCE_TYPE)


def verify_embedding_signer(item: ReadEmbedding, receipt: ReadReceipt | None, standing: Standing) -> Role:
    """Return the role of the one who signed, a runner, or a gateway where the *receipt* is only declared.

    Raises `VerificationError`: `signer_…`, `signature_invalid`.
    """
    role, _ = verify_signer(standing, item.envelope)
    if role != "runner" and (receipt is None or receipt.statement.grade != "declared"):
        message = "a vector is a runner's word, except where the answer itself is only declared"
        raise VerificationError(message, reason="signer_role", expected="a runner's key", actual=f"the {role}'s")
    standing.verify_time(item.statement.signer, item.statement.issued_at_ms, item.index)
    return role


def _verify_batch_signer(item: ReadReceiptBatch, standing: Standing) -> None:
    role, _ = verify_signer(standing, item.envelope)
    if role != "runner":
        message = "a batch of receipts is a runner's word alone"
        raise VerificationError(message, reason="signer_role", expected="a runner's key", actual=f"the {role}'s")
    standing.verify_time(item.statement.signer, item.statement.at_ms, item.index)


def _verify_subject(statement: str, receipts: dict[str, ReadReceipt]) -> None:
    if statement not in receipts:
        message = "the evidence is about a receipt that is not in the bundle"
        raise VerificationError(message, reason="evidence_mismatch", actual=statement)


def _verify_side(item: ReadEmbedding, receipt: ReadReceipt, principals: Principals) -> None:
    """Check that the vector is of the one of both, tenant or pool, whose the receipt is (`tenant_mismatch`)."""
    principals.verify_at(item.statement.tenant, item.statement.issued_at_ms)
    of_pool = principals.pool.is_ours(receipt.statement.tenant)
    if principals.pool.is_ours(item.statement.tenant) != of_pool:
        expected = "the pool's pseudonym" if of_pool else "the tenant's"
        message = "the vector is another's than the receipt that it is about"
        raise VerificationError(message, reason="tenant_mismatch", expected=expected, actual=item.statement.tenant)


def _describe(notes: Notes, vectors: int, declared: int, unknown: Counter[str]) -> None:
    uncovered = ", ".join(f"{count:,} of kind {kind[:64]!r}" for kind, count in sorted(unknown.items())[:16])
    checked = f"{vectors - declared:,} embedding statements are a runner's word about receipts of this bundle"
    checked += f", {declared:,} the operator's own word about answers that are only declared" if declared else ""
    if vectors or notes.failed:
        notes.detail = checked + (f"; not covered: {uncovered}" if unknown else "")
    elif unknown:
        notes.leave_uncovered(f"this verifier cannot check {uncovered}")
    else:
        notes.leave_uncovered("there is no evidence beyond the receipts themselves")
