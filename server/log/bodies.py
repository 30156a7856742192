"""Put bodies and envelopes into the outbox as leaves, in the transaction of what they speak of."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection

from crypto.dsse import Envelope
from crypto.leaf import LeafKind, body_leaf, envelope_leaf
from server.log.keys import get_log_key
from server.store.log import LogRepository
from tenants.identifiers import TenantId


class Body(Protocol):
    """One of the bodies of `crypto.bodies` that the log asserts itself."""

    @property
    def KIND(self) -> LeafKind:  # the class constant of `crypto.bodies`
        """Which kind of leaf it has."""
        ...

    @property
    def at_ms(self) -> int:
        """When it was said."""
        ...

    def to_payload(self) -> bytes:
        """Return its canonical bytes."""
        ...


def append_body(connection: Connection, body: Body, *, tenant: TenantId | None) -> int:
    """Append what the log says in its own name; return the leaf's number. Raises `LogError` before there is a log key."""
    return append_payload(connection, body, body.to_payload(), tenant=tenant)


def append_payload(connection: Connection, body: Body, payload: bytes, *, tenant: TenantId | None) -> int:
    """Append *body*, whose bytes are *payload*."""
    leaf = body_leaf(body.KIND, payload, body.at_ms, get_log_key(connection).public_key)
    return LogRepository(connection).append(
        leaf.encode(), kind=body.KIND, tenant=tenant, body=payload, at_ms=body.at_ms
    )


def append_envelope(
    connection: Connection, kind: LeafKind, envelope: Envelope, *, tenant: TenantId | None, time_ms: int
) -> int:
    """Append what a runner or a gateway signed; *time_ms* is the statement's own. Return the leaf's number."""
    leaf = envelope_leaf(kind, envelope, time_ms)
    return LogRepository(connection).append(
        leaf.encode(), kind=kind, tenant=tenant, body=envelope.encode(), at_ms=time_ms
    )
