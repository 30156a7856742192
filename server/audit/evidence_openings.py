"""Open embedding statements: the text and the vector that a runner swore belong together, for whoever may see both.

And the algebraic commitment, whose seed lies sealed beside their salts: it shows that proofs are about that same vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import structlog

from crypto.applicability.opening import CommitmentOpening, OpeningVerifier, load_opening_verifier
from crypto.bundle_lines import OpeningLine, encode_line
from crypto.commitment import text_commitment, vector_commitment
from crypto.embedding_statement import parse_embedding
from crypto.errors import Error, VerificationError
from crypto.in_toto import statement_digest
from server.applicability.subjects import SEED, components, read_stated
from server.audit.keys import KeyOfEpoch
from server.audit.request import ExportRequest
from server.audit.weight import Weight
from server.reuse.evidence_opening import unseal_opening
from server.reuse.payload import unseal_payload, unseal_vector
from server.reuse.request import text_of
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.log_records import StoredEvidence, StoredReceipt
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import sealed_epoch

log = structlog.get_logger()

COMMITMENT: Final = "commitment"
EVIDENCE_KINDS: Final = frozenset({COMMITMENT, "text", "vector"})
EMBEDDING: Final = "embedding"


class EvidenceOpener:
    """Opens embedding statements of one tenant's receipts."""

    def __init__(self, database: Database, tenant: TenantId, key_of_epoch: KeyOfEpoch, weight: Weight) -> None:
        self._database = database
        self._tenant = tenant
        self._key_of_epoch = key_of_epoch
        self._weight = weight
        self._commitments: OpeningVerifier | None = None

    def open(self, row: StoredEvidence, receipt: StoredReceipt, request: ExportRequest) -> Iterator[OpeningLine]:
        """Yield the openings of *row*, evidence about *receipt*, that were asked for, by kind.

        None for an entry that is gone, or was embedded anew. Raises `ExportError` for more than a bundle takes.
        """
        kinds = EVIDENCE_KINDS & set(request.kinds)
        is_wanted = bool(kinds) and row.kind == EMBEDDING and request.opens(receipt.id)
        if not is_wanted or row.opening is None or row.body is None or receipt.entry_id is None:
            return
        try:
            lines = list(self._lines(row, receipt, receipt.entry_id, kinds))
        except Error as error:
            log.warning("evidence_not_opened", evidence=row.id, error=type(error).__name__)
            return  # what does not open stays closed
        for line in lines:
            if line.kind in kinds:
                self._weight.add(encode_line(line.to_json()))
                yield line

    def _lines(
        self, row: StoredEvidence, receipt: StoredReceipt, entry: EntryId, kinds: frozenset[str]
    ) -> Iterator[OpeningLine]:
        """Yield the openings, that of the commitment if it is among *kinds*, each only where it opens what was signed."""
        envelope, statement = parse_embedding(row.body or b"")
        digest, opening = statement_digest(envelope.payload), row.opening or b""
        salts = unseal_opening(self._key_of_epoch(sealed_epoch(opening)), self._tenant, row.id, opening)
        text, vector = self._text(entry, receipt.id), self._vector(entry, statement.embedder)
        if text is not None and text_commitment(salts["text"], text) == statement.text_commitment:
            yield OpeningLine(digest, "text", salts["text"], text)
        if vector is None or vector_commitment(salts["vector"], vector) != statement.vector_commitment:
            return
        yield OpeningLine(digest, "vector", salts["vector"], list(components(vector)))
        # Whether it opens takes a sum over hundreds of points, so that is asked only where it matters.
        if COMMITMENT in kinds and SEED in salts and self._opens(row, components(vector), salts[SEED]):
            yield OpeningLine(digest, COMMITMENT, salts[SEED], list(components(vector)))

    def _opens(self, row: StoredEvidence, vector: tuple[int, ...], seed: bytes) -> bool:
        """Say whether the statement in *row* has an algebraic commitment that *vector* opens under *seed*."""
        stated = read_stated(row)
        if stated is None:
            return False
        if self._commitments is None:
            self._commitments = load_opening_verifier()
        try:
            self._commitments.verify(CommitmentOpening(stated.suite, stated.commitment, vector, seed))
        except VerificationError as error:
            log.warning("commitment_not_opened", evidence=row.id, error=str(error))
            return False
        return True

    def _text(self, entry: EntryId, receipt: str) -> str | None:
        row = self._database.read_now(lambda connection: EntryRepository(connection, self._tenant).get(entry))
        if row is None or row.receipt_id != receipt:
            return None
        key = self._key_of_epoch(sealed_epoch(row.payload))
        payload = unseal_payload(row.payload, key=key, tenant=self._tenant, entry=entry)
        return text_of(payload.messages[-1])

    def _vector(self, entry: EntryId, embedder: str) -> bytes | None:
        rows = self._database.read_now(
            lambda connection: EntryRepository(connection, self._tenant).load_vectors_of([entry], embedder)
        )
        if not rows:
            return None
        key = self._key_of_epoch(sealed_epoch(rows[0][1]))
        return unseal_vector(rows[0][1], key=key, tenant=self._tenant, entry=entry).tobytes()
