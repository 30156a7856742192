"""No receipt, no hit: what must hold of an entry's receipt at the moment the entry is about to answer.

A receipt's envelope is read and its signature checked once per process, then kept; that the stored output is the one
that was signed, and that the signer is still in good standing, is checked at every hit.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from crypto.canonical import JsonValue
from crypto.commitment import output_commitment
from crypto.dsse import verify_envelope
from crypto.errors import EncodingError, VerificationError
from crypto.leaf import LeafKind, envelope_leaf
from crypto.merkle import leaf_hash
from crypto.statement import ReceiptStatement, parse_receipt, receipt_id, statement_digest
from server.ports import JsonObject
from server.reuse.payload import EntryPayload
from server.reuse.pseudonyms import pseudonym_at
from server.reuse.tenant_directory import TenantContext
from server.reuse.verification import NO_RECEIPT, RECEIPT_INVALID, Doubt
from server.store.database import Database
from server.store.log_records import SignerRow, StoredReceipt
from server.store.receipts import ReceiptRepository
from server.store.records import StoredEntry
from server.store.signers import SignerRepository
from tenants.identifiers import TenantId

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is known of the receipt behind an answer; *seq* is its leaf's place in the outbox."""

    id: str
    seq: int
    grade: str
    statement: str
    leaf_hash: bytes


class _Verified:
    """A receipt whose signature, leaf and tenant were found right, and the sealed payload that was last found to fit it.

    The same sealed bytes open to the same output under the same key, so a commitment that they opened is opened by them
    again; comparing them costs a tenth of opening it.
    """

    __slots__ = ("_fits", "digest", "leaf_hash", "statement")

    def __init__(self, statement: ReceiptStatement, digest: str, leaf_hash: bytes) -> None:
        self.statement = statement
        self.digest = digest
        self.leaf_hash = leaf_hash
        self._fits = b""

    def verify_entry(self, row: StoredEntry, payload: EntryPayload) -> None:
        """Hold the entry that *row* seals, opened as *payload*, to this receipt; raises as `_verify_entry` does."""
        sealed = hashlib.sha256(row.payload).digest()
        if sealed != self._fits or row.model_version != self.statement.model_version:
            _verify_entry(row, payload, self.statement)
            self._fits = sealed


class ReceiptChecker:
    """Checks receipts as entries are read; keeps at most *kept_max* verified statements."""

    def __init__(self, database: Database, *, kept_max: int) -> None:
        self._database = database
        self._kept_max = kept_max
        self._kept: OrderedDict[tuple[TenantId, str], _Verified] = OrderedDict()

    async def check(self, tenant: TenantContext, row: StoredEntry, payload: EntryPayload) -> Receipt | Doubt:
        """Return the receipt behind an opened entry, or why it may not answer; raises `StoreError`."""
        if row.receipt_id is None or row.receipt_seq is None or row.receipt_grade is None:
            return Doubt(NO_RECEIPT)
        try:
            verified = await self._verified(tenant, row.receipt_id)
            if verified is None:
                return Doubt(NO_RECEIPT)
            verified.verify_entry(row, payload)
        except (VerificationError, EncodingError) as error:
            # Not the error's own text: it can quote the answer.
            log.warning("receipt_invalid", receipt=row.receipt_id, reason=getattr(error, "reason", "not_statable"))
            return Doubt(RECEIPT_INVALID, quarantine=True)
        return Receipt(row.receipt_id, row.receipt_seq, row.receipt_grade, verified.digest, verified.leaf_hash)

    async def _verified(self, tenant: TenantContext, receipt: str) -> _Verified | None:
        """Return the verified statement, read and checked first if it is not kept; None when there is no such receipt."""
        place = (tenant.id, receipt)
        kept = self._kept.get(place)
        if kept is None:
            found = await self._database.read_by_key(lambda connection: _load(connection, tenant.id, receipt))
            if found is None:
                return None
            kept = _verify_stored(tenant, *found)
            self._kept[place] = kept
            while len(self._kept) > self._kept_max:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(place)
        return kept


def _load(connection: Connection, tenant: TenantId, receipt: str) -> tuple[StoredReceipt, SignerRow] | None:
    """Read one receipt and its signer, by their keys."""
    found = ReceiptRepository(connection, tenant).get(receipt)
    signer = None if found is None else SignerRepository(connection).find(found.key_id)
    return None if found is None or signer is None else (found, signer)


def _verify_stored(tenant: TenantContext, found: StoredReceipt, signer: SignerRow) -> _Verified:
    """Hold a receipt's row, leaf and envelope to each other; raises `VerificationError` or `EncodingError`."""
    if found.body is None:
        raise VerificationError("the receipt's envelope is gone", reason="statement_malformed")
    envelope, statement = parse_receipt(found.body)
    verify_envelope(envelope, signer.public_key)
    digest = statement_digest(envelope.payload)
    leaf = envelope_leaf(LeafKind.RECEIPT, envelope, statement.issued_at_ms).encode()
    if leaf != found.leaf:
        raise VerificationError("the receipt is not what its log leaf stands for", reason="leaf_mismatch")
    if (receipt_id(digest), statement.grade, statement.signer) != (found.id, found.grade, found.key_id):
        raise VerificationError("the receipt stands in another's row", reason="statement_malformed")
    if statement.tenant != pseudonym_at(tenant, statement.issued_at_ms):
        raise VerificationError("the receipt is another tenant's", reason="tenant_mismatch")
    return _Verified(statement, digest, leaf_hash(leaf))


def _verify_entry(row: StoredEntry, payload: EntryPayload, statement: ReceiptStatement) -> None:
    """Hold an opened entry to its receipt: model version, and the output that was signed."""
    if statement.model_version != row.model_version:
        raise VerificationError("the receipt is of another model version", reason="model_not_allowed")
    if output_commitment(salt_of(payload.openings, "output"), choices_of(payload.response)) != (
        statement.output_commitment
    ):
        raise VerificationError("the stored output is not the one that was signed", reason="opening_mismatch")


def salt_of(openings: JsonObject | None, kind: str) -> bytes:
    """Return one salt of *openings*; raises `VerificationError` when it is not there."""
    text = None if openings is None else openings.get(kind)
    try:
        return bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        raise VerificationError(f"the salt of {kind} is not hexadecimal", reason="opening_mismatch") from None


def choices_of(response: JsonObject) -> JsonValue:
    """Return the part of a response that its output commitment is over."""
    choices: JsonValue = response.get("choices")
    return choices
