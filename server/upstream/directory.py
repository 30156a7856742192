"""The upstreams of the platform as live adapters, made from their records; only the platform sets them up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from crypto.errors import Error
from server.ports import Upstream
from server.store.records import UpstreamRecord


class KeyReferenceError(Error):
    """A reference to an upstream's key leads nowhere; the message says what would."""


log = structlog.get_logger()

BuildUpstream: TypeAlias = Callable[[UpstreamRecord, str | None], Upstream]


def read_key(reference: str | None, *, environ: Mapping[str, str] = os.environ) -> str | None:
    """Read the key that *reference* (`env:NAME` or `file:PATH`) names; None without a reference."""
    if reference is None:
        return None
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        key = environ.get(name)
        if not key:
            raise KeyReferenceError(f"the environment variable {name} with an upstream's key is not set")
        return key
    if kind == "file" and name:
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise KeyReferenceError(f"the key file {name} cannot be read: {error.strerror}") from None
    raise KeyReferenceError("write an upstream's key as env:NAME or file:PATH, never the key itself")


#: Variables that may be named over the network; all else that this process can read is not for an upstream.
REMOTE_PREFIX: Final = "env:HITPROOF_SECRET_"


def refuse_remote_reference(reference: str | None) -> None:
    """Refuse a key reference from the network that could name one of the house's own secrets.

    Whoever sets an upstream chooses where its key is sent, so a free choice of the file or variable would hand out the
    key-encryption key. Raises `KeyReferenceError`.
    """
    if reference is not None and not reference.startswith(REMOTE_PREFIX):
        raise KeyReferenceError(
            f"over the network an upstream's key is named {REMOTE_PREFIX}…; set any other with `hitproof upstream set`"
        )


class UpstreamDirectory(Mapping[str, Upstream]):
    """Adapters by name; `refresh` makes new ones for records that are new or changed and closes those that went.

    A record that no adapter can be made of, its key missing say, is left out and tried again: the others go on.
    """

    def __init__(self, build: BuildUpstream) -> None:
        self._build = build
        self._adapters: dict[str, tuple[UpstreamRecord, Upstream]] = {}
        self._failed: dict[str, str] = {}

    def __getitem__(self, name: str) -> Upstream:
        return self._adapters[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._adapters)

    def __len__(self) -> int:
        return len(self._adapters)

    async def refresh(self, records: Iterable[UpstreamRecord]) -> None:
        """Hold exactly *records*."""
        wanted = {record.name: record for record in records}
        for name, (record, adapter) in list(self._adapters.items()):
            if wanted.get(name) != record:
                del self._adapters[name]
                await adapter.close()
        for name, record in wanted.items():
            if name not in self._adapters:
                self._add(name, record)

    async def close(self) -> None:
        """Close every adapter."""
        await self.refresh(())

    def _add(self, name: str, record: UpstreamRecord) -> None:
        try:
            self._adapters[name] = (record, self._build(record, read_key(record.key_reference)))
        except Error as error:
            if self._failed.get(name) != str(error):
                log.warning("upstream_not_usable", upstream=name, error=str(error))
            self._failed[name] = str(error)
        else:
            self._failed.pop(name, None)
