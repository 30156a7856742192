"""Hit records: what is said of one answer that was reused, and what a batch's tree is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from .canonical import JsonValue
from .closed import (
    Reader,
    encode_closed,
    one_of,
    or_null,
    parse_closed,
    read_digest,
    read_hex_32,
    read_integer,
    read_pseudonym,
    read_record,
    refused_as,
)
from .errors import EncodingError
from .similarity import NORM_BOUND_SQUARED
from .statement import DERIVATIONS, Derivation

SCHEMA: Final = "hitproof/hit/v1"
RECORD_BYTES_MAX: Final = 4_096

Tier: TypeAlias = Literal["exact", "private", "pool"]

_HIT: Final = re.compile(r"hit_[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class HitRecord:
    """One hit; *query* and *query_vector* are commitments, *tau* the threshold that the vector passed."""

    at_ms: int
    derivation: Derivation
    hit: str
    policy: str
    query: bytes
    query_vector: bytes | None
    receipt: str
    receipt_leaf: bytes
    tau: int | None
    tenant: str
    tier: Tier

    def to_json(self) -> dict[str, JsonValue]:
        """Return the record as a JSON object; raises `EncodingError` for what `parse_hit_record` would refuse."""
        value: dict[str, JsonValue] = {
            "at_ms": self.at_ms,
            "derivation": self.derivation,
            "hit": self.hit,
            "policy": self.policy,
            "query": self.query.hex(),
            "query_vector": None if self.query_vector is None else self.query_vector.hex(),
            "receipt": self.receipt,
            "receipt_leaf": self.receipt_leaf.hex(),
            "schema": SCHEMA,
            "tau": self.tau,
            "tenant": self.tenant,
            "tier": self.tier,
        }
        _read(value)
        return value

    def to_payload(self) -> bytes:
        """Return the record in canonical JSON, which is the data of its leaf in the batch's tree."""
        return encode_closed(self.to_json())


@refused_as("malformed")
def parse_hit_record(value: JsonValue | bytes) -> HitRecord:
    """Read a hit record, from canonical JSON where *value* is bytes; raises `VerificationError` (`malformed`)."""
    return _read(parse_closed(value, RECORD_BYTES_MAX, "the hit record"))


def _read(value: JsonValue) -> HitRecord:
    found = read_record(value, "the hit record", _READERS)
    del found["schema"]
    record = HitRecord(**found)
    by_meaning = record.tier != "exact"
    if (record.query_vector is not None) != by_meaning or (record.tau is not None) != by_meaning:
        raise EncodingError("a hit record states query_vector and tau unless its tier is exact, and never then")
    return record


def read_hit_id(value: JsonValue, where: str) -> Any:
    """Read the id of a hit; raises `EncodingError`."""
    if not isinstance(value, str) or _HIT.fullmatch(value) is None:
        raise EncodingError(f"{where} is not hit_ and 32 lower-case hexadecimal digits")
    return value


_READERS: Final[Mapping[str, Reader]] = {
    "schema": one_of(SCHEMA),
    "at_ms": read_integer,
    "derivation": one_of(*DERIVATIONS),
    "hit": read_hit_id,
    "policy": read_digest,
    "query": read_hex_32,
    "query_vector": or_null(read_hex_32),
    "receipt": read_digest,
    "receipt_leaf": read_hex_32,
    "tau": or_null(partial(read_integer, most=NORM_BOUND_SQUARED)),
    "tenant": read_pseudonym,
    "tier": one_of("exact", "private", "pool"),
}
