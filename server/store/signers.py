"""Signing keys that were seen: whose they are, which model versions they attest, and whether they still count."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from server.store.errors import Conflict, NotFound
from server.store.log_records import SignerRole, SignerRow, SignerStatus
from server.store.tables import signer_models, signers

MODELS_PER_SIGNER_MAX: Final = 10_000

_SIGNER: Final = tuple(signers.c[name] for name in SignerRow.__dataclass_fields__ if name != "models")


class SignerRepository:
    """The signers of the platform; they belong to no tenant."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def note(
        self, public_key: bytes, role: SignerRole, name: str, models: tuple[str, ...] = (), *, at_ms: int
    ) -> SignerRow:
        """Write a signer and the versions it attests down, and return it as it stands; a known one keeps its status.

        Raises `Conflict` for a key that has the other role.
        """
        key_id = hashlib.sha256(public_key).hexdigest()
        found = self.find(key_id)
        if found is None:
            made = SignerRow(key_id, public_key, role, name, "active", None, at_ms, ())
            values = {column.name: getattr(made, column.name) for column in _SIGNER}
            self._connection.execute(insert(signers), values)
            found = made
        elif found.role != role:
            raise Conflict(f"the key {key_id[:16]}… is a {found.role}'s and cannot be a {role}'s as well")
        new = sorted(set(models) - set(found.models))
        if new:
            rows = [{"key_id": key_id, "model_version": version} for version in new]
            self._connection.execute(insert(signer_models), rows)
        return found if not new else self.get(key_id)

    def get(self, key_id: str) -> SignerRow:
        """Return one signer; raises `NotFound`."""
        found = self.find(key_id)
        if found is None:
            raise NotFound("there is no such signing key")
        return found

    def find(self, key_id: str) -> SignerRow | None:
        """Return one signer, or None."""
        row = self._connection.execute(select(*_SIGNER).where(signers.c.key_id == key_id)).first()
        if row is None:
            return None
        return self._filled(row)

    def list_all(self) -> list[SignerRow]:
        """Return every signer, in the order of their key ids."""
        rows = self._connection.execute(select(*_SIGNER).order_by(signers.c.key_id)).all()
        return [self._filled(row) for row in rows]

    def set_status(self, key_id: str, status: SignerStatus, *, since_index: int | None) -> SignerRow:
        """Change a signer's status: what it signed counts below leaf *since_index*. Raises `NotFound`.

        A compromised key stays compromised, and *since_index* only goes down: what once ceased to count never does again.
        """
        found = self.get(key_id)
        if found.status == "compromised" and status != "compromised":
            raise Conflict("a compromised key stays so; make a new one")
        if found.since_index is not None:
            since_index = found.since_index if since_index is None else min(since_index, found.since_index)
        self._connection.execute(
            update(signers).where(signers.c.key_id == key_id).values(status=status, since_index=since_index)
        )
        return self.get(key_id)

    def _filled(self, row: Any) -> SignerRow:
        return SignerRow(row[0], bytes(row[1]), row[2], row[3], row[4], row[5], row[6], self._models_of(row[0]))

    def _models_of(self, key_id: str) -> tuple[str, ...]:
        statement = (
            select(signer_models.c.model_version)
            .where(signer_models.c.key_id == key_id)
            .order_by(signer_models.c.model_version)
            .limit(MODELS_PER_SIGNER_MAX)
        )
        return tuple(row[0] for row in self._connection.execute(statement))
