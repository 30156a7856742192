"""Signing keys of this machine, and which key and origin the log has: written into the database once, then never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from crypto.ed25519 import Signer, SigningKey
from crypto.note import LOG_ALGORITHM, VerifierKey, make_vkey, parse_vkey
from server.datafolder import read_or_create_secret
from server.log.errors import LogError, LogRefusal
from server.ports import RandomSource
from server.store.platform import PlatformRepository

LOG_KEY_META: Final = "log_vkey"
DEFAULT_ORIGIN_PREFIX: Final = "hitproof.local/"
DEFAULT_ORIGIN_DIGITS: Final = 16


def load_signing_key(path: Path, random: RandomSource) -> SigningKey:
    """Return the Ed25519 key whose seed lies in *path*, made first if there is none. Raises `DataFolderError`."""
    return SigningKey(read_or_create_secret(path, random))


def find_log_key(connection: Connection) -> VerifierKey | None:
    """Return the log's public key and origin, None before the first process made them."""
    found = PlatformRepository(connection).get_meta(LOG_KEY_META)
    return None if found is None else parse_vkey(found)


def get_log_key(connection: Connection) -> VerifierKey:
    """Return the log's public key and origin; raises `LogError` before there is one."""
    found = find_log_key(connection)
    if found is None:
        raise LogError("this database has no log yet; start the gateway once, or run any hitproof command on it")
    return found


def ensure_log_key(connection: Connection, path: Path, random: RandomSource, *, origin: str) -> VerifierKey:
    """Return the log's public key; the first process on a database makes the key in *path* and writes it down.

    On another machine than that one nothing is made: it reads the log and does not write it.
    """
    found = find_log_key(connection)
    if found is not None:
        return found
    public_key = load_signing_key(path, random).public_key
    name = origin or default_origin(load_signing_key(path, random))
    vkey = make_vkey(name, LOG_ALGORITHM, public_key)
    PlatformRepository(connection).set_meta(LOG_KEY_META, vkey)
    return parse_vkey(vkey)


def load_log_signer(path: Path, random: RandomSource, log: VerifierKey, *, origin: str) -> SigningKey | None:
    """Return the key that signs checkpoints, None on a machine that does not have it.

    Raises `LogRefusal` for a key or an origin that is not the log's: under another one it would be another log.
    """
    if origin and origin != log.name:
        raise LogRefusal(
            f"log_origin is {origin!r}, but this log has been {log.name!r} from its first checkpoint on; set it back",
            reason="origin_changed",
        )
    if not path.exists():
        return None
    found = load_signing_key(path, random)
    if found.public_key != log.public_key:
        raise LogRefusal(f"the key in {path} is not the key of this database's log; restore it", reason="key_changed")
    return found


def default_origin(signer: Signer) -> str:
    """Return the origin of a log that nobody named."""
    return DEFAULT_ORIGIN_PREFIX + signer.key_id[:DEFAULT_ORIGIN_DIGITS]


def vkey_text(key: VerifierKey) -> str:
    """Write a verifier key as C2SP does."""
    return make_vkey(key.name, key.algorithm, key.public_key)
