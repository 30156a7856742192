"""The data folder: where each thing lies, who may read it, and that only one process at a time runs on it."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from crypto.errors import Error
from server.ports import RandomSource


class DataFolderError(Error):
    """The data folder cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The paths below one data folder."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "hitproof.db"

    @property
    def key_file(self) -> Path:
        """The key-encryption key."""
        return self.root / "keys" / "kek"

    @property
    def new_key_file(self) -> Path:
        """A key-encryption key that is being made and not yet in use."""
        return self.root / "keys" / "kek.new"

    def old_key_file(self, key_id: str) -> Path:
        """Where a rotation keeps the key-encryption key of that name."""
        return self.root / "keys" / f"kek.{key_id}.old"

    @property
    def pepper_file(self) -> Path:
        """The secret that API keys are hashed under."""
        return self.root / "keys" / "pepper"

    @property
    def runner_token_file(self) -> Path:
        """The secret that gateway and runner share."""
        return self.root / "keys" / "runner-token"

    @property
    def platform_key_file(self) -> Path:
        """The platform operator's API key, as first made."""
        return self.root / "keys" / "platform-api-key"

    @property
    def gateway_signing_key_file(self) -> Path:
        """The key that this gateway signs declared receipts and bundles with."""
        return self.root / "keys" / "gateway-signing-key"

    @property
    def log_signing_key_file(self) -> Path:
        """The key that checkpoints are signed with."""
        return self.root / "keys" / "log-signing-key"

    @property
    def trust_root_key_file(self) -> Path:
        """The root key of the demonstration's trust file; a real one stays offline."""
        return self.root / "keys" / "trust-root-key"

    @property
    def runner_signing_key_file(self) -> Path:
        """Where quickstart's runner keeps its key: made and read by the runner alone."""
        return self.root / "runner" / "signing-key"

    @property
    def trust_file(self) -> Path:
        """What an auditor gets out of band, as quickstart writes it."""
        return self.root / "trust.json"

    @property
    def log(self) -> Path:
        """Tiles, checkpoint and state of the log."""
        return self.root / "log"

    @property
    def erasures_file(self) -> Path:
        """Which tenants were erased: what a restored database is held to."""
        return self.log / "erasures"

    @property
    def exports(self) -> Path:
        """Finished exports, for a day."""
        return self.root / "exports"

    @property
    def quickstart_file(self) -> Path:
        """The demo tenants and their API keys."""
        return self.root / "quickstart.json"

    def create(self) -> None:
        """Make the folder, closed to others; raises `DataFolderError`."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("keys", "log"):
                (self.root / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise DataFolderError(
                f"the data folder {self.root} cannot be made: {error.strerror}; choose another with --data"
            ) from None
        if not os.access(self.root, os.W_OK):
            raise DataFolderError(f"the data folder {self.root} cannot be written; change its owner or choose another")

    def lock(self) -> IO[str]:
        """Take the folder for this process until the returned file is closed; raises `DataFolderError` if it is taken."""
        try:
            handle = (self.root / "lock").open("a+")
        except OSError as error:
            raise DataFolderError(f"the data folder {self.root} cannot be locked: {error.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            raise DataFolderError(
                f"another hitproof runs on {self.root}; stop it or choose another folder with --data"
            ) from None
        return handle


def write_secret(path: Path, text: str) -> None:
    """Write *text* to a new file that only its owner can read, durably."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_or_create_secret(path: Path, random: RandomSource, *, count: int = 32) -> bytes:
    """Return the secret in *path*, made first if there is none; hexadecimal on disk."""
    try:
        found = bytes.fromhex(path.read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        found = random.token_bytes(count)
        write_secret(path, found.hex() + "\n")
    except (OSError, ValueError) as error:
        raise DataFolderError(f"the secret in {path} cannot be read ({type(error).__name__}); restore it") from None
    if len(found) != count:
        raise DataFolderError(f"the secret in {path} has {len(found)} bytes instead of {count}; restore it")
    return found
