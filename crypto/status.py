"""Status lists: every key and model version that is not simply in force, as of one moment.

A list is short, so an auditor gets all of it, and its absence of a key says that nothing was revoked. Leaves carry its
digest, so the list in a bundle is the one that the log stood by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from .bodies import Role
from .canonical import JsonValue, digest_fields
from .closed import (
    Reader,
    encode_closed,
    one_of,
    parse_closed,
    read_digest,
    read_integer,
    read_key_id,
    read_list,
    read_record,
    refuse_unsorted,
    refused_as,
    write_record,
)

#: Schema of the list, and domain of its digest.
SCHEMA: Final = "hitproof/status-list/v1"
LIST_BYTES_MAX: Final = 2**20
ITEMS_MAX: Final = 4_096

KeyStanding: TypeAlias = Literal["retired", "compromised"]
ModelStandingName: TypeAlias = Literal["superseded", "revoked"]


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """A key whose receipts count only at indexes below *since_index*."""

    key_id: str
    role: Role
    since_index: int
    status: KeyStanding


@dataclass(frozen=True, slots=True)
class ModelStanding:
    """A model version that is no longer in force."""

    model_version: str
    status: ModelStandingName


@dataclass(frozen=True, slots=True)
class StatusList:
    """All that is not simply in force at *at_ms*, under version *trust_version* of the trust file."""

    at_ms: int
    keys: tuple[KeyStatus, ...]
    models: tuple[ModelStanding, ...]
    trust_version: int

    def to_payload(self) -> bytes:
        """Return the list in canonical JSON; raises `EncodingError` for what `parse_status_list` would refuse."""
        value = write_record(self) | {"schema": SCHEMA}
        _read(value)
        return encode_closed(value)

    def digest(self) -> str:
        """Return `sha256:…`, what the leaves of key events and model statuses carry."""
        return "sha256:" + digest_fields(SCHEMA, self.to_payload()).hex()


@refused_as("malformed")
def parse_status_list(value: JsonValue | bytes) -> StatusList:
    """Read a status list, from canonical JSON where *value* is bytes; raises `VerificationError` (`malformed`)."""
    return _read(parse_closed(value, LIST_BYTES_MAX, "the status list"))


def _read(value: JsonValue) -> StatusList:
    found = read_record(value, "the status list", _LIST)
    del found["schema"]
    return StatusList(**found)


def _read_keys(value: JsonValue, where: str) -> Any:
    items = read_list(value, where, ITEMS_MAX)
    keys = tuple(KeyStatus(**read_record(item, "a key of the status list", _KEY)) for item in items)
    refuse_unsorted([key.key_id for key in keys], where)
    return keys


def _read_models(value: JsonValue, where: str) -> Any:
    items = read_list(value, where, ITEMS_MAX)
    models = tuple(ModelStanding(**read_record(item, "a model of the status list", _MODEL)) for item in items)
    refuse_unsorted([model.model_version for model in models], where)
    return models


_KEY: Final[Mapping[str, Reader]] = {
    "key_id": read_key_id,
    "role": one_of("runner", "gateway"),
    "since_index": read_integer,
    "status": one_of("retired", "compromised"),
}
_MODEL: Final[Mapping[str, Reader]] = {"model_version": read_digest, "status": one_of("superseded", "revoked")}
_LIST: Final[Mapping[str, Reader]] = {
    "schema": one_of(SCHEMA),
    "at_ms": read_integer,
    "keys": _read_keys,
    "models": _read_models,
    "trust_version": read_integer,
}
