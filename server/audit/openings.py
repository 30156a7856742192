"""Open commitments of chosen receipts: the salts lie sealed in the entry, beside what they hide, and go with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from crypto.bundle_lines import OpeningLine, encode_line, parse_line
from crypto.canonical import JsonValue, parse_json
from crypto.commitment import stated_json
from crypto.errors import EncodingError, Error, VerificationError
from server.audit.keys import KeyOfEpoch
from server.audit.request import ExportRequest
from server.audit.weight import Weight
from server.reuse.payload import EntryPayload, unseal_payload
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.log_records import StoredReceipt
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import sealed_epoch

#: Values of one opening: an answer with log probabilities is deep, not endless.
NODES_MAX: Final = 2**20


class Opener:
    """Opens commitments of one tenant's receipts."""

    def __init__(self, database: Database, tenant: TenantId, key_of_epoch: KeyOfEpoch, weight: Weight) -> None:
        self._database = database
        self._tenant = tenant
        self._key_of_epoch = key_of_epoch
        self._weight = weight

    def open(self, receipt: StoredReceipt, request: ExportRequest) -> Iterator[OpeningLine]:
        """Yield the openings of *receipt* that were asked for, by kind; none for an entry that is gone or replaced.

        A value that no line of a bundle can hold stays closed. Raises `ExportError` for more than a bundle takes.
        """
        if receipt.entry_id is None or not request.opens(receipt.id):
            return
        payload = self._load(receipt.entry_id, receipt.id)
        if payload is None or payload.openings is None:
            return
        statement = "sha256:" + receipt.statement_digest.hex()
        for kind in sorted(set(request.kinds) & _VALUES.keys()):
            salt = payload.openings.get(kind)
            line = _line(statement, kind, salt, payload) if isinstance(salt, str) else None
            if line is not None:
                self._weight.add(encode_line(line.to_json()))
                yield line

    def _load(self, entry: EntryId, receipt: str) -> EntryPayload | None:
        row = self._database.read_now(lambda connection: EntryRepository(connection, self._tenant).get(entry))
        if row is None or row.receipt_id != receipt:
            return None
        try:
            key = self._key_of_epoch(sealed_epoch(row.payload))
            return unseal_payload(row.payload, key=key, tenant=self._tenant, entry=row.id)
        except Error:
            return None  # what does not open stays closed; the gateway's own reading quarantines it


def _line(statement: str, kind: str, salt: str, payload: EntryPayload) -> OpeningLine | None:
    """Return the line that opens *kind*; None where nothing was kept to open, or a reader would refuse the line."""
    try:
        value = _VALUES[kind](payload)
        line = None if value is None else OpeningLine(statement, kind, bytes.fromhex(salt), value)
        return None if line is None else OpeningLine.read(parse_line(encode_line(line.to_json()).removesuffix(b"\n")))
    except (EncodingError, VerificationError):
        return None


def _ids(payload: EntryPayload, name: str) -> JsonValue:
    value = (payload.provenance or {}).get(name)
    return None if value is None else list(value)


def _stated(value: Any) -> JsonValue:
    return parse_json(stated_json(value), nodes_max=NODES_MAX)


_VALUES: Final[dict[str, Callable[[EntryPayload], JsonValue]]] = {
    "output": lambda payload: _stated(payload.response["choices"]),
    "prompt": lambda payload: _stated(payload.messages),
    "output_tokens": lambda payload: _ids(payload, "output_token_ids"),
    "prompt_tokens": lambda payload: _ids(payload, "prompt_token_ids"),
}
