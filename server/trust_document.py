"""A draft of the trust file from what the platform knows: the log's key, its gateways, runners, models and witnesses.

A draft vouches for nothing. Whoever holds a root key compares it with what they know and signs (`crypto.trust`); keys
that were retired or compromised stay in it, because what they signed before still counts by the status list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from crypto.note import VerifierKey
from crypto.trust import Publisher, Trust, TrustedKey
from server.log.keys import get_log_key, vkey_text
from server.log.status import TRUST_VERSION_META, restate_status
from server.ports import RandomSource
from server.store.errors import Conflict
from server.store.log_records import SignerRow
from server.store.maintenance import AuditEvent, append_audit
from server.store.platform import PlatformRepository
from server.store.signers import SignerRepository

DAY_MS: Final = 24 * 3_600_000
#: How far a runner's clock may be behind ours when its key is first seen.
CLOCK_TOLERANCE_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class TrustTerms:
    """What the store does not know: who signs, whose cosignatures and model signatures count, and for how long."""

    root_keys: tuple[bytes, ...]
    root_threshold: int
    lasts_ms: int
    witnesses: tuple[VerifierKey, ...] = ()
    witness_threshold: int = 0
    publishers: tuple[Publisher, ...] = ()


def get_trust_version(connection: Connection) -> int:
    """Return the version of the trust file in force, 0 before there is one."""
    return int(PlatformRepository(connection).get_meta(TRUST_VERSION_META) or 0)


def publish_trust(connection: Connection, trust: Trust, *, actor: str, now_ms: int, random: RandomSource) -> None:
    """Put *trust*, which the caller has verified, in force; status lists carry its version from now on.

    Raises `Conflict` for another log's file, or a version that is not above the one in force.
    """
    if trust.log != get_log_key(connection):
        raise Conflict(f"this trust file is about the log {trust.log.name}, not about this platform's")
    if trust.version <= get_trust_version(connection):
        raise Conflict(f"version {get_trust_version(connection)} is in force; a new trust file needs a higher one")
    append_audit(connection, AuditEvent(actor, None, "trust.publish", str(trust.version), {}), at_ms=now_ms)
    PlatformRepository(connection).set_meta(TRUST_VERSION_META, str(trust.version))
    restate_status(connection, now_ms=now_ms, random=random)


def draft_trust(connection: Connection, terms: TrustTerms, *, version: int, now_ms: int) -> Trust:
    """Return the draft of *version*; raises `EncodingError` when *terms* do not fit each other."""
    signers = SignerRepository(connection).list_all()
    trust = Trust(
        version=version,
        issued_at_ms=now_ms,
        expires_at_ms=now_ms + terms.lasts_ms,
        root_keys=tuple(sorted(terms.root_keys)),
        root_threshold=terms.root_threshold,
        log=get_log_key(connection),
        witnesses=tuple(sorted(terms.witnesses, key=vkey_text)),
        witness_threshold=terms.witness_threshold,
        runners=_trusted([row for row in signers if row.role == "runner"]),
        gateways=_trusted([row for row in signers if row.role == "gateway"]),
        publishers=tuple(sorted(terms.publishers, key=lambda publisher: publisher.name)),
    )
    trust.to_payload()
    return trust


def says_the_same(old: Trust, new: Trust) -> bool:
    """Say whether two trust files differ in nothing but version and time."""
    times = ("version", "issued_at_ms", "expires_at_ms")
    names = [name for name in Trust.__dataclass_fields__ if name not in times]
    return all(getattr(old, name) == getattr(new, name) for name in names)


def _trusted(rows: Sequence[SignerRow]) -> tuple[TrustedKey, ...]:
    keys = [
        TrustedKey(
            from_ms=max(0, row.first_seen_at_ms - CLOCK_TOLERANCE_MS),
            models=tuple(sorted(row.models)) if row.role == "runner" else (),
            name=row.name,
            public_key=row.public_key,
            until_ms=None,
        )
        for row in rows
    ]
    return tuple(sorted(keys, key=lambda key: key.public_key))
