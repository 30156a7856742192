"""What an entry seals: the request it answered, the facts of its question, the whole response and where it came from.

Format `hitproof/entry-payload/v1` (docs/formats.md). Evolution rule: fields are only appended; a new meaning is a new
version, and a version that a release does not know is an entry it cannot read, and so a miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from crypto.errors import EncodingError, Error
from server.ports import Int8Matrix, JsonObject, Provenance, RandomSource
from server.reuse.guards import facts_of
from server.reuse.quantise import norms_squared
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import DataKey, SealContext, seal, unseal

SCHEMA_VERSION: Final = 1
PAYLOAD_FIELD: Final = "payload"
VECTOR_FIELD: Final = "vector"
#: An entry of the pool is matched against this many questions at most.
ALIASES_MAX: Final = 16


class UnknownPayload(Error):
    """An entry that another release sealed in a form that this one does not know: nothing is wrong with it."""


@dataclass(frozen=True, slots=True)
class EntryTerms:
    """The columns of a row that decide whether it may answer, sealed beside them so that a changed one is noticed."""

    model_version: str
    reported: str
    source: str
    created_at_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Alias:
    """A public question that an entry of the pool answers: its facts, |v|² and quantised vector, a byte per component."""

    text: str
    facts: JsonObject
    norm_squared: int
    vector: bytes

    @classmethod
    def of(cls, text: str, vector: Int8Matrix) -> Alias:
        """Return the alias of *text*, whose quantised *vector* has shape (dimension,)."""
        squared = int(norms_squared(vector[np.newaxis])[0])
        return cls(text, facts_of(text).to_json(), squared, vector.tobytes())

    @property
    def row(self) -> Int8Matrix:
        """The quantised vector, shape (dimension,)."""
        return np.frombuffer(self.vector, dtype=np.int8)

    def to_json(self) -> JsonObject:
        """Return the sealed form."""
        return {
            "facts": self.facts,
            "norm_squared": self.norm_squared,
            "text": self.text,
            "vector": self.vector.hex(),
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> Alias:
        """Read the sealed form."""
        return cls(value["text"], value["facts"], value["norm_squared"], bytes.fromhex(value["vector"]))


@dataclass(frozen=True, slots=True)
class EntryPayload:
    """The sealed content of one entry; *facts* and *norm_squared* are None where nothing may match it by meaning.

    *openings* are the salts of its receipt's commitments, in hexadecimal by kind; None in an entry older than receipts.
    *aliases* are what an entry of the pool is matched against instead of its messages; None in every other entry.
    """

    messages: list[JsonObject]
    parameters: JsonObject
    facts: JsonObject | None
    norm_squared: int | None
    response: JsonObject
    provenance: JsonObject | None
    openings: JsonObject | None
    terms: EntryTerms
    aliases: tuple[Alias, ...] | None = None


def provenance_to_json(provenance: Provenance | None) -> JsonObject | None:
    """Return a runner's word about an answer as JSON."""
    if provenance is None:
        return None
    return {
        "model_version": provenance.model_version,
        "prompt_token_ids": provenance.prompt_token_ids,
        "output_token_ids": provenance.output_token_ids,
        "parameters": dict(provenance.parameters),
    }


def seal_payload(
    payload: EntryPayload, *, key: DataKey, tenant: TenantId, entry: EntryId, random: RandomSource
) -> bytes:
    """Seal *payload* for one entry of one tenant; raises `EncodingError` for more than `ALIASES_MAX` aliases, or none."""
    content: JsonObject = {
        "version": SCHEMA_VERSION,
        "messages": payload.messages,
        "parameters": payload.parameters,
        "facts": payload.facts,
        "norm_squared": payload.norm_squared,
        "response": payload.response,
        "provenance": payload.provenance,
        "openings": payload.openings,
        "terms": payload.terms,
    }
    if payload.aliases is not None:
        if not 1 <= len(payload.aliases) <= ALIASES_MAX:
            raise EncodingError(f"an entry of the pool has 1 to {ALIASES_MAX} aliases")
        content["aliases"] = [alias.to_json() for alias in payload.aliases]
    return seal(key, _context(tenant, entry, PAYLOAD_FIELD), orjson.dumps(content), random=random)


def unseal_payload(sealed: bytes, *, key: DataKey, tenant: TenantId, entry: EntryId) -> EntryPayload:
    """Open what `seal_payload` sealed for this tenant and entry; raises `UnsealError` or `UnknownPayload`."""
    plain: Any = orjson.loads(unseal(key, _context(tenant, entry, PAYLOAD_FIELD), sealed))
    if plain["version"] != SCHEMA_VERSION:
        raise UnknownPayload(f"entry payload version {plain['version']} is not known to this release")
    aliases = plain.get("aliases")
    return EntryPayload(
        plain["messages"],
        plain["parameters"],
        plain["facts"],
        plain["norm_squared"],
        plain["response"],
        plain["provenance"],
        plain.get("openings"),
        EntryTerms(**{name: plain["terms"][name] for name in EntryTerms.__dataclass_fields__}),
        None if aliases is None else tuple(Alias.from_json(alias) for alias in aliases[:ALIASES_MAX]),
    )


def seal_vector(vector: Int8Matrix, *, key: DataKey, tenant: TenantId, entry: EntryId, random: RandomSource) -> bytes:
    """Seal an int8 vector of shape (dimension,)."""
    return seal(key, _context(tenant, entry, VECTOR_FIELD), vector.tobytes(), random=random)


def unseal_vector(sealed: bytes, *, key: DataKey, tenant: TenantId, entry: EntryId) -> Int8Matrix:
    """Open what `seal_vector` sealed; raises `UnsealError`."""
    return np.frombuffer(unseal(key, _context(tenant, entry, VECTOR_FIELD), sealed), dtype=np.int8)


def _context(tenant: TenantId, entry: EntryId, field: str) -> SealContext:
    return SealContext(tenant=tenant, entry=int(entry), field=field, schema_version=SCHEMA_VERSION)
