"""Open commitments of chosen receipts: the salts lie sealed in the entry, beside what they hide, and go with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from crypto.bundle_lines import OpeningLine
from crypto.canonical import JsonValue, parse_json
from crypto.commitment import stated_json
from crypto.errors import Error
from server.audit.request import ExportRequest
from server.reuse.payload import EntryPayload, unseal_payload
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.log_records import StoredReceipt
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import DataKey, sealed_epoch

#: Values of one opening: an answer with log probabilities is deep, not endless.
NODES_MAX: Final = 2**20

KeyOfEpoch = Callable[[int], DataKey]


class Opener:
    """Opens commitments of one tenant's receipts."""

    def __init__(self, database: Database, tenant: TenantId, key_of_epoch: KeyOfEpoch) -> None:
        self._database = database
        self._tenant = tenant
        self._key_of_epoch = key_of_epoch

    def open(self, receipt: StoredReceipt, request: ExportRequest) -> Iterator[OpeningLine]:
        """Yield the openings of *receipt* that were asked for, by kind; none for an entry that is gone or replaced."""
        if receipt.entry_id is None or not request.opens(receipt.id):
            return
        payload = self._load(receipt.entry_id, receipt.id)
        if payload is None or payload.openings is None:
            return
        values = _values(payload)
        for kind in sorted(set(request.kinds) & values.keys()):
            salt = payload.openings.get(kind)
            if isinstance(salt, str) and values[kind] is not None:
                statement = "sha256:" + receipt.statement_digest.hex()
                yield OpeningLine(statement, kind, bytes.fromhex(salt), values[kind])

    def _load(self, entry: EntryId, receipt: str) -> EntryPayload | None:
        row = self._database.read_now(lambda connection: EntryRepository(connection, self._tenant).get(entry))
        if row is None or row.receipt_id != receipt:
            return None
        try:
            key = self._key_of_epoch(sealed_epoch(row.payload))
            return unseal_payload(row.payload, key=key, tenant=self._tenant, entry=row.id)
        except Error:
            return None  # what does not open stays closed; the gateway's own reading quarantines it


def _values(payload: EntryPayload) -> dict[str, JsonValue]:
    provenance: dict[str, Any] = payload.provenance or {}
    return {
        "output": _stated(payload.response["choices"]),
        "prompt": _stated(payload.messages),
        "output_tokens": _ids(provenance.get("output_token_ids")),
        "prompt_tokens": _ids(provenance.get("prompt_token_ids")),
    }


def _ids(value: Any) -> JsonValue:
    return None if value is None else list(value)


def _stated(value: Any) -> JsonValue:
    return parse_json(stated_json(value), nodes_max=NODES_MAX)
