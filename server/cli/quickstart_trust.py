"""The demonstration's trust file: one root key that lies beside everything else, which a real one never does."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from crypto.errors import Error, VerificationError
from crypto.trust import Trust, parse_trust, sign_trust, verify_trust
from server.cli.context import ACTOR, Opened
from server.datafolder import sync_folder
from server.log.keys import load_signing_key
from server.store.signers import SignerRepository
from server.trust_document import DAY_MS, TrustTerms, draft_trust, get_trust_version, publish_trust, says_the_same

LASTS_MS: Final = 365 * DAY_MS
#: How long the gateway may take to learn its runner's key: it asks again every ten seconds.
RUNNER_KNOWN_S: Final = 30.0
_POLL_S: Final = 0.1


class DemoTrustError(Error):
    """The demonstration's trust file could not be made; the message says why."""


def make_demo_trust(store: Opened) -> Path:
    """Write the trust file of a demonstration whose gateway runs, and return where it is.

    One that says the same already stays; else its version rises. Raises `DemoTrustError`.
    """
    _wait_for_runner(store)
    root, path = load_signing_key(store.folder.trust_root_key_file, store.random), store.folder.trust_file
    terms = TrustTerms(root_keys=(root.public_key,), root_threshold=1, lasts_ms=LASTS_MS)
    known, now_ms = _known(path, store.clock.now_ms()), store.clock.now_ms()

    def publish(connection: Connection) -> Trust | None:
        version = get_trust_version(connection)
        trust = draft_trust(connection, terms, version=version + 1, now_ms=now_ms)
        if known is not None and known.version == version and says_the_same(known, trust):
            return None
        publish_trust(connection, trust, actor=ACTOR, now_ms=now_ms, random=store.random)
        return trust

    trust = store.database.write_now(publish)
    if trust is not None:
        _replace(path, sign_trust(trust.to_payload(), [root]).encode())
    return path


def _wait_for_runner(store: Opened) -> None:
    until_s = time.monotonic() + RUNNER_KNOWN_S
    while time.monotonic() < until_s:
        rows = store.database.read_now(lambda connection: SignerRepository(connection).list_all())
        if any(row.role == "runner" and row.models for row in rows):
            return
        time.sleep(_POLL_S)
    raise DemoTrustError("the gateway did not learn its runner's key in time; the log above says why")


def _known(path: Path, now_ms: int) -> Trust | None:
    """Return the trust file that is there, if it is still good."""
    try:
        envelope, trust = parse_trust(path.read_bytes())
        verify_trust(envelope, trust, now_ms)
    except (FileNotFoundError, VerificationError):
        return None
    return trust


def _replace(path: Path, data: bytes) -> None:
    """Put *data* at *path*, whole or not at all, durably."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    beside.replace(path)
    sync_folder(path.parent)
