"""Whether model versions and signing keys still count: every change with its audit row and its leaf of the log.

Each function runs in the caller's transaction, so a change, its record and its leaf come together or not at all. Hits read
the standing with their row and stop at once, on every process.
"""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import Connection

from server.log.status import KeyChange, ModelChange, note_status
from server.ports import RandomSource
from server.store.errors import Conflict, NotFound
from server.store.log import LogRepository
from server.store.log_records import SignerRole, SignerRow
from server.store.maintenance import AuditEvent, append_audit
from server.store.platform import PlatformRepository
from server.store.records import ModelVersionRecord
from server.store.signers import SignerRepository

#: The first of these that any reported form of a version has is the version's own.
_STANDINGS: Final = ("active", "revoked", "superseded")
_KEY_ID: Final = re.compile(r"[0-9a-f]{64}")


def is_signing_key_id(text: str) -> bool:
    """Tell a signing key's id, 64 hexadecimal digits, from an API key's."""
    return _KEY_ID.fullmatch(text) is not None


def note_signer(
    connection: Connection,
    public_key: bytes,
    role: SignerRole,
    name: str,
    models: tuple[str, ...] = (),
    *,
    now_ms: int,
    random: RandomSource,
) -> SignerRow:
    """Write down a key that signs, and the versions it attests; log it the first time. Raises `Conflict`.

    `Conflict` for a key that is known in another role: one key speaks as one thing.
    """
    repository = SignerRepository(connection)
    known = {row.key_id for row in repository.list_all()}
    row = repository.note(public_key, role, name, models, at_ms=now_ms)
    if row.key_id not in known:
        note_status(connection, KeyChange(row.key_id, role, "added"), now_ms=now_ms, random=random)
    return row


def revoke_signer(
    connection: Connection,
    key_id: str,
    *,
    since_index: int | None,
    actor: str,
    now_ms: int,
    random: RandomSource,
) -> SignerRow:
    """End a signing key: retired from the next leaf on, or compromised from leaf *since_index* on.

    What it signed counts below that index and no further, so entries behind it answer no more. Raises `NotFound`, and
    `Conflict` for a key that is retired already (it can still be said to be compromised).
    """
    repository = SignerRepository(connection)
    row = repository.get(key_id)
    log = LogRepository(connection)
    # Writes take turns, and leaves get their indexes in the order in which they came: the leaf of this very change gets
    # the index behind all that wait now, so everything that was written down before it still counts.
    next_index = log.head() + log.count_unsequenced()[0]
    if since_index is None:
        if row.status != "active":
            raise Conflict(f"the key is {row.status} already; to say that it was compromised, name --since-index")
        changed = repository.set_status(key_id, "retired", since_index=next_index)
    else:
        changed = repository.set_status(key_id, "compromised", since_index=min(since_index, next_index))
    event = "retired" if changed.status == "retired" else "compromised"
    _audit(
        connection, actor, "signing-key.revoke", key_id, {"status": event, "since_index": changed.since_index}, now_ms
    )
    change = KeyChange(key_id, changed.role, event, changed.since_index)  # type: ignore[arg-type]  # what the table holds
    note_status(connection, change, now_ms=now_ms, random=random)
    return changed


def activate_model_version(
    connection: Connection, alias: str, version: ModelVersionRecord, *, now_ms: int, random: RandomSource
) -> str | None:
    """Make *version* what *alias* answers with; return the model version that it supersedes, if any.

    Every model version whose standing changes by that gets its leaf.
    """
    platform = PlatformRepository(connection)
    before = _standings(platform)
    superseded = platform.activate_version(alias, version)
    for name, standing in sorted(_standings(platform).items()):
        if before.get(name, "active") != standing:
            note_status(connection, ModelChange(name, standing), now_ms=now_ms, random=random)  # type: ignore[arg-type]
    return superseded


def end_model_version(
    connection: Connection, model_version: str, status: str, *, actor: str, now_ms: int, random: RandomSource
) -> None:
    """Withdraw a model version: its entries answer no more, on any process. Raises `NotFound`.

    *status* is `superseded`, until an alias turns to it anew, or `revoked`, for good; a revoked one stays so (`Conflict`).
    """
    platform = PlatformRepository(connection)
    standing = _standings(platform).get(model_version)
    if standing is None:
        raise NotFound("there is no such model version; `hitproof model versions` lists them")
    if standing == "revoked" and status != "revoked":
        raise Conflict("a revoked model version stays revoked")
    action = "model.revoke" if status == "revoked" else "model.supersede"
    _audit(connection, actor, action, model_version, {}, now_ms)
    platform.set_version_status(model_version, status)
    note_status(connection, ModelChange(model_version, status), now_ms=now_ms, random=random)  # type: ignore[arg-type]


def _standings(platform: PlatformRepository) -> dict[str, str]:
    """Return each model version's standing: in force while one of the names that it was reported under is."""
    found: dict[str, set[str]] = {}
    for row in platform.list_model_versions():
        found.setdefault(row.model_version, set()).add(row.status)
    return {name: min(statuses, key=_STANDINGS.index) for name, statuses in found.items()}


def _audit(
    connection: Connection, actor: str, action: str, target: str, detail: dict[str, str | int | None], now_ms: int
) -> None:
    append_audit(connection, AuditEvent(actor, None, action, target, dict(detail)), at_ms=now_ms)
