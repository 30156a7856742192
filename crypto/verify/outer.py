"""The first three checks: is this a bundle, whose keys count, and did a gateway of theirs sign exactly these members?"""

from __future__ import annotations

from collections.abc import Mapping

from ..bundle import (
    MANIFEST_MEMBER,
    Bundle,
    read_members,
    read_parts,
    verify_counts,
    verify_members,
)
from ..bundle_manifest import Scope, parse_manifest
from ..dsse import verify_envelope
from ..errors import VerificationError
from ..report_text import format_time
from ..status import parse_status_list
from ..trust import Trust, TrustedKey, parse_trust, verify_trust
from .findings import Notes
from .options import AuditOptions


def check_archive(notes: Notes, data: bytes) -> dict[str, bytes]:
    """Return the members of the one archive that *data* can be."""
    members = read_members(data)
    notes.detail = f"{len(members)} members in {len(data):,} bytes, every byte where it must be"
    return members


def check_trust(notes: Notes, trust_file: bytes, options: AuditOptions, stated_version: int | None) -> Trust:
    """Return the trust file's contents, signed by enough root keys, in force and not older than one seen before."""
    envelope, trust = parse_trust(trust_file)
    verify_trust(envelope, trust, options.now_ms)
    seen = {
        "the bundle's status list": stated_version,
        "the last-seen file": options.last_seen.trust_version if options.last_seen else None,
    }
    for where, version in seen.items():
        if version is not None and trust.version < version:
            message = (
                f"this trust file has been replaced: {where} knows a later version; if that is so, get it the way you got"
                " this one, never from whoever gave you the bundle"
            )
            raise VerificationError(
                message, reason="trust_rollback", expected=f"version {version} or later", actual=trust.version
            )
    notes.detail = (
        f"version {trust.version}, signed by at least {trust.root_threshold} of {len(trust.root_keys)} root keys"
    )
    return trust


def stated_trust_version(members: Mapping[str, bytes]) -> int | None:
    """Return the trust file's version that the status list was made under, or None where the list is not readable.

    A list that is not readable fails the check of the manifest, and one that is not the log's fails that of the status.
    """
    try:
        return parse_status_list(members["status.json"]).trust_version
    except VerificationError:
        return None


def check_manifest(notes: Notes, members: Mapping[str, bytes], trust: Trust) -> Bundle:
    """Return the bundle, its manifest signed by a gateway of *trust*, every member the one that was signed over."""
    envelope, manifest = parse_manifest(members[MANIFEST_MEMBER])
    gateways = {key.key_id: key for key in trust.gateways}
    if manifest.signer not in gateways:
        raise VerificationError(
            "the bundle is signed by a key that is no gateway's in the trust file",
            reason="signer_unknown",
            actual=manifest.signer,
        )
    verify_envelope(envelope, gateways[manifest.signer].public_key)
    _verify_signer_time(gateways[manifest.signer], manifest.made_at_ms)
    verify_members(manifest, members)
    parts = read_parts(manifest, members)
    verify_counts(manifest, parts)
    counts = parts.counts
    ledger = f", {counts.releases:,} releases of the pool and {counts.spendings:,} spendings" if counts.releases else ""
    notes.detail = (
        f"{counts.receipts:,} receipts, {counts.hits:,} hits, {counts.openings:,} openings and {counts.evidence:,}"
        f" pieces of evidence{ledger} of tenant {manifest.scope.tenant[:128]!r}{_describe_limits(manifest.scope)},"
        f" put together by gateway key {manifest.signer[:16]}…"
    )
    return Bundle(envelope, manifest, parts)


def _describe_limits(scope: Scope) -> str:
    """Say what the bundle leaves out by its own account, or nothing where it leaves out nothing."""
    limits = [f" from {format_time(scope.since_ms)} on"] if scope.since_ms is not None else []
    limits += [f" before {format_time(scope.until_ms)}"] if scope.until_ms is not None else []
    limits += [f" of model {scope.model_version}"] if scope.model_version is not None else []
    return "".join([" ONLY", *limits]) if limits else ""


def _verify_signer_time(key: TrustedKey, made_at_ms: int) -> None:
    if made_at_ms < key.from_ms or (key.until_ms is not None and made_at_ms >= key.until_ms):
        raise VerificationError(
            "the gateway's key was not valid when the bundle was made",
            reason="signer_expired",
            expected=f"from {key.from_ms} to before {key.until_ms}",
            actual=made_at_ms,
        )
