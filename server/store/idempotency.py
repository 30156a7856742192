"""What was answered to a request that may be repeated, for a day: by API key and the client's own name for the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from server.store.tables import idempotency_keys
from tenants.identifiers import KeyId

KEPT_MS: Final = 24 * 3600 * 1000

_OWN: Final = (
    idempotency_keys.c.key_id == bindparam("own_key"),
    idempotency_keys.c.idempotency_key == bindparam("own_name"),
)
_FIND: Final = select(idempotency_keys.c.request_digest, idempotency_keys.c.status, idempotency_keys.c.response).where(
    *_OWN
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """Nobody asked this before: do it, then `finish` or `release`."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """The same request was begun and has no answer yet, or its process ended before it had one."""


@dataclass(frozen=True, slots=True)
class OtherRequest:
    """The name stands for another request."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The same request was answered with this."""

    status: int
    response: bytes


Claim: TypeAlias = Claimed | InFlight | OtherRequest | Answered


class IdempotencyRepository:
    """The repeatable requests of one API key."""

    def __init__(self, connection: Connection, key: KeyId) -> None:
        self._connection = connection
        self._key = key

    def claim(self, name: str, digest: bytes, *, now_ms: int) -> Claim:
        """Take *name* for the request of *digest* (32 bytes), or say what became of it; forgets what is a day old."""
        self._connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at_ms <= now_ms - KEPT_MS))
        row = self._connection.execute(_FIND, self._own(name)).first()
        if row is None:
            values = {
                "key_id": self._key,
                "idempotency_key": name,
                "request_digest": digest,
                "status": None,
                "response": None,
                "created_at_ms": now_ms,
            }
            self._connection.execute(insert(idempotency_keys), values)
            return Claimed()
        if bytes(row[0]) != digest:
            return OtherRequest()
        return InFlight() if row[1] is None else Answered(row[1], bytes(row[2]))

    def finish(self, name: str, *, status: int, response: bytes) -> None:
        """Keep the answer."""
        statement = update(idempotency_keys).where(*_OWN).values(status=status, response=response)
        self._connection.execute(statement, self._own(name))

    def release(self, name: str) -> None:
        """Give *name* up: the request was refused and did nothing."""
        self._connection.execute(delete(idempotency_keys).where(*_OWN), self._own(name))

    def _own(self, name: str) -> dict[str, str]:
        return {"own_key": self._key, "own_name": name}
