"""Receipts of the pool: an attested answer to something released, and the release stood in the log before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..bodies import PolicyEvent
from ..bundle import BundleParts
from ..errors import VerificationError
from ..ledger_lines import ReleaseLine
from ..release import EVIDENCE_TYPE
from ..statement import ReceiptStatement
from .readings import Readings, ReadReceipt
from .tenancy import Tenancy


def verify_opened(parts: BundleParts, readings: Readings, pool: Tenancy) -> None:
    """Check that the scope opens a pool only where a receipt or a policy of it is in the bundle.

    Raises `VerificationError` (`pool_superfluous`).
    """
    if parts.scope.pool is None:
        return
    policies = (line.body.tenant for line in parts.bodies if isinstance(line.body, PolicyEvent))
    receipts = (one.statement.tenant for one in readings.receipts if isinstance(one, ReadReceipt))
    if not any(map(pool.is_ours, policies)) and not any(map(pool.is_ours, receipts)):
        message = "the scope opens a pool of which neither a receipt nor a policy is in the bundle"
        raise VerificationError(message, reason="pool_superfluous", expected="no pool", actual=parts.scope.pool.tenant)


def index_releases(lines: Iterable[ReleaseLine]) -> dict[str, ReleaseLine]:
    """Return the releases by digest, the first where one stands twice."""
    found: dict[str, ReleaseLine] = {}
    for line in lines:
        found.setdefault(line.document.digest(), line)
    return found


def names_release(statement: ReceiptStatement) -> bool:
    """Say whether any evidence of *statement* is a release of the pool."""
    return any(reference.type == EVIDENCE_TYPE for reference in statement.evidence)


def verify_form(statement: ReceiptStatement) -> str:
    """Return the digest of the release that a receipt of the pool names, attested and with no other evidence.

    Raises `VerificationError` (`release_unlogged`).
    """
    if statement.grade != "attested" or len(statement.evidence) != 1 or not names_release(statement):
        raise VerificationError(
            "a receipt of the pool is attested and names exactly one release",
            reason="release_unlogged",
            expected=f"attested, with evidence of type {EVIDENCE_TYPE!r} alone",
            actual=f"{statement.grade}, with {[reference.type[:64] for reference in statement.evidence]}",
        )
    return statement.evidence[0].digest


def verify_release(statement: ReceiptStatement, index: int, releases: Mapping[str, ReleaseLine]) -> None:
    """Check that the pool's receipt at leaf *index* names one of *releases* that came out before it.

    Raises `VerificationError` (`release_unlogged`).
    """
    digest = verify_form(statement)
    found = releases.get(digest)
    if found is None or found.document.state != "released" or found.index >= index:
        if found is None:
            actual = f"{digest}, which is not in the bundle"
        else:
            actual = f"release {found.document.number}, {found.document.state}, at leaf {found.index}"
        raise VerificationError(
            "the pool answered from something that was not released before",
            reason="release_unlogged",
            expected=f"a release that came out below leaf {index}",
            actual=actual,
        )


def refuse_release(statement: ReceiptStatement) -> None:
    """Refuse a receipt of the tenant's own that names a release; raises `VerificationError` (`release_unlogged`)."""
    if names_release(statement):
        message = "a receipt that is not the pool's names a release of it"
        raise VerificationError(message, reason="release_unlogged")
