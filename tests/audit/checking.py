"""Running the verifier on honest bundles of which one part was changed, and saying what it found in few words."""

from __future__ import annotations

from typing import Any

from crypto.bundle import BundleParts
from crypto.report import Check
from crypto.trust import Trust
from crypto.verify import AuditOptions, Verification, verify_bundle, verify_proof_file
from tests.audit.bundles import HonestBundle


def verify(
    honest: HonestBundle,
    parts: BundleParts | None = None,
    *,
    data: bytes | None = None,
    trust: Trust | None = None,
    **options: Any,
) -> Verification:
    """Verify *honest*, or *data*, or *parts* sealed anew by its gateway, under its trust file or under *trust*."""
    world = honest.world
    if data is None:
        data = honest.data if parts is None else world.seal(parts)
    trust_file = honest.trust_data if trust is None else world.sign_trust(trust)
    return verify_bundle(data, trust_file, AuditOptions(**{"now_ms": honest.now_ms, **options}))


def verify_proof(honest: HonestBundle, text: str, **options: Any) -> Verification:
    """Verify the proof file *text* under the trust file of *honest*."""
    return verify_proof_file(text.encode(), honest.trust_data, AuditOptions(**{"now_ms": honest.now_ms, **options}))


def reasons(verification: Verification) -> list[tuple[str, str]]:
    """Return check and reason of every failure, in order."""
    return [(check.name, failure.reason) for check in verification.report.checks for failure in check.failures]


def check_of(verification: Verification, name: str) -> Check:
    """Return the check called *name*."""
    return next(check for check in verification.report.checks if check.name == name)
