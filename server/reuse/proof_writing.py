"""Write down what is proved, in the transaction of what it speaks of: receipts, hits, and the policy that they name.

A policy is announced before it is used: its leaf stands in the outbox in front of the first receipt or hit under it, once
for every pseudonym that the tenant has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from crypto.bodies import PolicyEvent
from crypto.leaf import LeafKind
from crypto.pseudonym import EPOCH_MS, epoch_of
from server.log.bodies import append_body
from server.ports import Clock, RandomSource
from server.reuse.pseudonyms import pseudonym_at
from server.reuse.receipt_making import MadeReceipt
from server.reuse.tenant_directory import TenantContext
from server.store.announcements import PolicyAnnouncements, is_active_signer
from server.store.errors import StoreError
from server.store.log import LogRepository
from server.store.log_records import AnnouncedPolicy, NewHit, NewReceipt
from server.store.receipts import HitRepository, ReceiptRepository
from server.store.status import AnnouncementRepository
from tenants.identifiers import EntryId

NONCE_BYTES: Final = 32


class SignerRevoked(StoreError):
    """The key that signed a receipt counts no more; nothing may be stored under it."""


class ProofWriter:
    """Writes proofs of any tenant; every method runs in the caller's transaction."""

    def __init__(self, clock: Clock, random: RandomSource) -> None:
        self._clock = clock
        self._random = random

    def add_receipt(
        self, connection: Connection, tenant: TenantContext, made: MadeReceipt, entry: EntryId | None
    ) -> int:
        """Store a receipt behind its policy and its leaf; return the leaf's number. Raises `SignerRevoked`."""
        statement = made.statement
        if not is_active_signer(connection, statement.signer):
            raise SignerRevoked("the key that signed this receipt is not in use")
        self.announce_policy(connection, tenant, at_ms=statement.issued_at_ms)
        seq = LogRepository(connection).append(
            made.leaf, kind=LeafKind.RECEIPT, tenant=tenant.id, body=made.envelope, at_ms=statement.issued_at_ms
        )
        ReceiptRepository(connection, tenant.id).add(
            NewReceipt(
                id=made.id,
                seq=seq,
                statement_digest=bytes.fromhex(made.digest.removeprefix("sha256:")),
                entry_id=entry,
                grade=statement.grade,
                model_version=statement.model_version,
                key_id=statement.signer,
                issued_at_ms=statement.issued_at_ms,
            )
        )
        return seq

    def add_hits(self, connection: Connection, tenant: TenantContext, hits: Sequence[NewHit]) -> None:
        """Store hits that *tenant*'s policy of that context decided; the sequencer puts them into a batch."""
        for epoch in sorted({epoch_of(hit.at_ms) for hit in hits}):
            self.announce_policy(connection, tenant, at_ms=epoch * EPOCH_MS)
        HitRepository(connection, tenant.id).add_many(hits)

    def announce_policy(self, connection: Connection, tenant: TenantContext, *, at_ms: int) -> None:
        """Put the policy of *tenant*'s context into the log, under its pseudonym at that time, unless it is there.

        A process that still goes by an older version may come late. The newest version is then announced once more, so
        that the last word of the log is the policy in force.
        """
        announced, epoch = PolicyAnnouncements(connection, tenant.id), epoch_of(at_ms)
        version, digest = tenant.policy_version, tenant.policy_digest
        if announced.has(epoch=epoch, version=version):
            return
        newest, pseudonym = announced.newest(epoch=epoch), pseudonym_at(tenant, at_ms)
        seq = self._append(connection, tenant, pseudonym, digest, version)
        policy = AnnouncedPolicy(epoch, version, digest, tenant.policy_document, seq)
        AnnouncementRepository(connection, tenant.id).add(policy)
        if newest is not None and newest[0] > version:
            self._append(connection, tenant, pseudonym, newest[1], newest[0])

    def _append(self, connection: Connection, tenant: TenantContext, pseudonym: str, policy: str, version: int) -> int:
        nonce, now_ms = self._random.token_bytes(NONCE_BYTES), self._clock.now_ms()
        body = PolicyEvent(at_ms=now_ms, nonce=nonce, policy=policy, tenant=pseudonym, version=version)
        return append_body(connection, body, tenant=tenant.id)
