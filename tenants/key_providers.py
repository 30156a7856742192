"""Where the key-encryption key comes from: a file, an environment variable, or shares that people bring.

A provider without its key is *sealed*: `is_available` is false and everything else raises `SealedError` with the mend.
There is no fallback. A key once read is kept in memory until the process ends or `seal` is called.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tenants.errors import KeyFormError, SealedError
from tenants.identifiers import TenantId
from tenants.key_files import read_key_file
from tenants.key_shares import Share, combine_shares, parse_share
from tenants.key_wrapping import KeyEncryptionKey, parse_kek_hex


class KeyProvider(Protocol):
    """Wraps and unwraps data keys without giving the key-encryption key away; a KMS fits behind it."""

    @property
    def key_id(self) -> str:
        """Name of the key that wraps now, at most 80 characters; raises `SealedError` while there is none."""
        ...

    def wrap(self, secret: bytes, *, tenant: TenantId, epoch: int) -> bytes:
        """Encrypt a 32-byte data key, bound to *tenant* and *epoch*; raises `SealedError`."""
        ...

    def unwrap(self, wrapped: bytes, *, tenant: TenantId, epoch: int) -> bytes:
        """Return the data key; raises `SealedError` when the key is absent or wrong or *wrapped* was changed."""
        ...

    def is_available(self) -> bool:
        """Whether data keys can be opened now."""
        ...


class LocalKeyProvider(ABC):
    """What all providers share that hold the key in this process; a subclass says how to get it."""

    _held: KeyEncryptionKey | None = None

    @property
    def key_id(self) -> str:
        """Name of the key: `kek-` and 16 hexadecimal digits. Raises `SealedError` while there is none."""
        return self._key().key_id

    def wrap(self, secret: bytes, *, tenant: TenantId, epoch: int) -> bytes:
        """Encrypt a data key for its *tenant* and *epoch*; raises `SealedError`."""
        return self._key().wrap(secret, tenant=tenant, epoch=epoch)

    def unwrap(self, wrapped: bytes, *, tenant: TenantId, epoch: int) -> bytes:
        """Return the data key; raises `SealedError`."""
        return self._key().unwrap(wrapped, tenant=tenant, epoch=epoch)

    def is_available(self) -> bool:
        """Whether the key is there; `key_id` raises the reason when it is not."""
        try:
            self._key()
        except SealedError:
            return False
        return True

    def seal(self) -> None:
        """Forget the key; it is fetched again at the next use, where it can be."""
        self._held = None

    def _key(self) -> KeyEncryptionKey:
        if self._held is None:
            try:
                self._held = self._fetch()
            except KeyFormError as error:
                raise SealedError(str(error)) from None
        return self._held

    @abstractmethod
    def _fetch(self) -> KeyEncryptionKey:
        """Get the key anew; raises `SealedError` or `KeyFormError`."""


class FileKeyProvider(LocalKeyProvider):
    """The key stands in a file of 64 hexadecimal digits that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _fetch(self) -> KeyEncryptionKey:
        return read_key_file(self._path)


class EnvironmentKeyProvider(LocalKeyProvider):
    """The key stands in the variable *name* of *environ* as 64 hexadecimal digits."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self._name = name
        self._environ = environ

    def _fetch(self) -> KeyEncryptionKey:
        text = self._environ.get(self._name)
        if not text:
            raise SealedError(f"the variable {self._name} holds no key-encryption key; set it to 64 hexadecimal digits")
        return parse_kek_hex(text, where=f"the variable {self._name}")


@dataclass(frozen=True, slots=True)
class UnsealProgress:
    """How many shares were given and are needed; *needed* is None before the first one tells."""

    given: int
    needed: int | None
    is_open: bool


class ShamirKeyProvider(LocalKeyProvider):
    """The key is in nobody's hands: it is put together in memory from any k of n shares, and sealed until then.

    *expected_key_id* is the key that the stored data keys name, so that the shares of another key are refused at once.
    """

    def __init__(self, *, expected_key_id: str | None = None) -> None:
        self._expected_key_id = expected_key_id
        self._given: dict[int, Share] = {}
        self._lock = threading.RLock()

    @property
    def progress(self) -> UnsealProgress:
        """What was given so far."""
        with self._lock:
            first = next(iter(self._given.values()), None)
            return UnsealProgress(len(self._given), None if first is None else first.threshold, self._held is not None)

    def give(self, text: str) -> UnsealProgress:
        """Take one share; with the last one needed, open. A share given once more after that changes nothing.

        Raises `KeyFormError` for a mistyped share, one of another set or another key, and one that was given before; if
        the shares together make another key than they say, all of them are dropped.
        """
        share = parse_share(text)
        with self._lock:
            if self._held is not None:
                return UnsealProgress(share.threshold, share.threshold, True)
            self._refuse_unfitting(share)
            self._given[share.number] = share
            if len(self._given) < share.threshold:
                return self.progress
            shares = tuple(self._given.values())
            self._given = {}
            self._held = combine_shares(shares)
            return UnsealProgress(share.threshold, share.threshold, True)

    def seal(self) -> None:
        """Forget the key and every share that was given."""
        with self._lock:
            self._held = None
            self._given = {}

    def _refuse_unfitting(self, share: Share) -> None:
        if self._expected_key_id not in (None, share.key_id):
            raise KeyFormError(
                f"this share is of {share.key_id}; the store needs {self._expected_key_id}: bring its shares"
            )
        for other in self._given.values():
            if share.set_mark != other.set_mark:
                raise KeyFormError(
                    "this share is of another set than those given before; bring shares of one set, or seal and restart"
                )
        if share.number in self._given:
            raise KeyFormError(f"share {share.number} was given already; bring another one")

    def _fetch(self) -> KeyEncryptionKey:
        progress = self.progress
        missing = "enough" if progress.needed is None else f"{progress.needed - progress.given} more"
        raise SealedError(f"the store is sealed; give {missing} of its key's shares to open it")


class RotatingKeyProvider:
    """Wraps under *current* and still opens what *previous* wrapped, until every data key is rewrapped."""

    def __init__(self, current: KeyProvider, previous: KeyProvider) -> None:
        self._current = current
        self._previous = previous

    @property
    def current(self) -> KeyProvider:
        """The provider that wraps."""
        return self._current

    @property
    def key_id(self) -> str:
        """Name of the current key."""
        return self._current.key_id

    def wrap(self, secret: bytes, *, tenant: TenantId, epoch: int) -> bytes:
        """Encrypt a data key under the current key."""
        return self._current.wrap(secret, tenant=tenant, epoch=epoch)

    def unwrap(self, wrapped: bytes, *, tenant: TenantId, epoch: int) -> bytes:
        """Return a data key that either key wrapped; raises the current key's `SealedError` when neither did."""
        try:
            return self._current.unwrap(wrapped, tenant=tenant, epoch=epoch)
        except SealedError as refused:
            try:
                return self._previous.unwrap(wrapped, tenant=tenant, epoch=epoch)
            except SealedError:
                raise refused from None

    def is_available(self) -> bool:
        """Whether the current key is there; without it nothing new can be sealed."""
        return self._current.is_available()


def rewrap(old: KeyProvider, new: KeyProvider, wrapped: bytes, *, tenant: TenantId, epoch: int) -> bytes:
    """Return *wrapped* under the *new* key-encryption key; the data key, and so all that it sealed, stays the same."""
    return new.wrap(old.unwrap(wrapped, tenant=tenant, epoch=epoch), tenant=tenant, epoch=epoch)
