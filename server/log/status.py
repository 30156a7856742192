"""Which keys and model versions still count, said in the log: each change, and now and then that nothing changed.

Every leaf of a change carries the digest of the whole list as it is from then on, so a bundle needs only the newest.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import Connection

from crypto.bodies import KeyEvent, KeyEventName, ModelStatus, ModelStatusName, Role
from crypto.status import ITEMS_MAX, KeyStanding, KeyStatus, ModelStanding, StatusList
from server.log.bodies import append_body
from server.ports import RandomSource
from server.store.log_records import StatusListRow
from server.store.platform import PlatformRepository
from server.store.signers import SignerRepository
from server.store.status import StatusRepository

#: The version of the trust file that was made last on this platform; 0 before there is one.
TRUST_VERSION_META: Final = "trust_version"
NONCE_BYTES: Final = 32
#: A reader takes a text of 10,000 values: the list's own, and those of its items.
VALUES_MAX: Final = 10_000 - 16
VALUES_PER_KEY: Final = 5
VALUES_PER_MODEL: Final = 3


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A signing key came, was retired or was compromised; what it signed counts below *since_index*."""

    key_id: str
    role: Role
    event: KeyEventName
    since_index: int | None = None


@dataclass(frozen=True, slots=True)
class ModelChange:
    """A model version was put in force, superseded or revoked."""

    model_version: str
    status: ModelStatusName


def note_status(
    connection: Connection, change: KeyChange | ModelChange, *, now_ms: int, random: RandomSource
) -> StatusListRow:
    """Log *change*, which the caller has made in this transaction, with the list as it is now."""
    about = change.model_version if isinstance(change, ModelChange) else None
    listed = current_status(connection, now_ms=now_ms, about=about)
    nonce = random.token_bytes(NONCE_BYTES)
    if isinstance(change, ModelChange):
        return _log(
            connection, listed, ModelStatus(now_ms, change.model_version, nonce, change.status, listed.digest())
        )
    event = KeyEvent(now_ms, change.event, change.key_id, nonce, change.role, change.since_index, listed.digest())
    return _log(connection, listed, event)


def restate_status(connection: Connection, *, now_ms: int, random: RandomSource) -> StatusListRow:
    """Log the list as it is now: nothing changed, and that is said as of *now_ms*."""
    listed = current_status(connection, now_ms=now_ms)
    nonce = random.token_bytes(NONCE_BYTES)
    return _log(connection, listed, ModelStatus(now_ms, None, nonce, None, listed.digest()))


def current_status(connection: Connection, *, now_ms: int, about: str | None = None) -> StatusList:
    """Return everything that is not simply in force now.

    Of superseded versions, which no verdict turns on, the ones first seen longest ago are left out where a list would
    become longer than a reader takes, but never the one that the list is *about*.
    """
    keys = [
        KeyStatus(row.key_id, cast(Role, row.role), row.since_index or 0, cast(KeyStanding, row.status))
        for row in SignerRepository(connection).list_all()
        if row.status != "active"
    ]
    platform = PlatformRepository(connection)
    trust_version = int(platform.get_meta(TRUST_VERSION_META) or 0)
    models = _models(platform, about, min(ITEMS_MAX, (VALUES_MAX - VALUES_PER_KEY * len(keys)) // VALUES_PER_MODEL))
    return StatusList(now_ms, tuple(keys), models, trust_version)


def _models(platform: PlatformRepository, about: str | None, length_max: int) -> tuple[ModelStanding, ...]:
    """One upstream may report a version under several names: it is in force while one of them is."""
    found: dict[str, set[str]] = defaultdict(set)
    seen_ms: dict[str, int] = {}
    for row in platform.list_model_versions():
        found[row.model_version].add(row.status)
        seen_ms[row.model_version] = max(row.first_seen_at_ms, seen_ms.get(row.model_version, 0))
    ended = {
        version: ModelStanding(version, "revoked" if "revoked" in statuses else "superseded")
        for version, statuses in found.items()
        if "active" not in statuses
    }

    def matters(version: str) -> tuple[bool, bool, int, str]:
        return version == about, ended[version].status == "revoked", seen_ms[version], version

    kept = sorted(ended, key=matters, reverse=True)[: max(length_max, 0)]
    return tuple(ended[version] for version in sorted(kept))


def _log(connection: Connection, listed: StatusList, body: KeyEvent | ModelStatus) -> StatusListRow:
    seq = append_body(connection, body, tenant=None)
    row = StatusListRow(listed.digest(), listed.to_payload().decode(), seq, listed.at_ms)
    StatusRepository(connection).add(row)
    return row
