"""What a gateway asks to have signed, read strictly and taken out before a model or another server sees the request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from crypto.canonical import JsonValue
from crypto.closed import (
    Reader,
    one_of,
    or_null,
    read_digest,
    read_integer,
    read_list,
    read_pseudonym,
    read_record,
    read_text,
    refuse_unsorted,
)
from crypto.errors import EncodingError
from crypto.similarity import COMPONENT_MAX, DIMENSION_MAX
from crypto.statement import DERIVATIONS, EVIDENCE_MAX, PARENTS_MAX, Derivation, EvidenceReference, Parent
from server.embedding.texts import TEXT_CHARACTERS_MAX
from server.ports import JsonObject
from server.runner.errors import RequestInvalid
from server.runner.protocol import STATEMENT_FIELD


@dataclass(frozen=True, slots=True)
class StatementRequest:
    """The fields of a receipt statement that only the gateway knows; *tenant* is a pseudonym."""

    derivation: Derivation
    parents: tuple[Parent, ...]
    policy: str | None
    tenant: str
    evidence: tuple[EvidenceReference, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A vector to recompute from *text* and to sign; *embedder* and *statement* are digests."""

    embedder: str
    statement: str
    tenant: str
    text: str
    vector: tuple[int, ...]


def take_statement_request(body: JsonObject) -> tuple[StatementRequest | None, JsonObject]:
    """Return what *body* asks to have signed, None where nothing, and the body without it.

    Raises `RequestInvalid` for anything but the one form, whether or not this runner signs.
    """
    if STATEMENT_FIELD not in body:
        return None, body
    rest = {key: value for key, value in body.items() if key != STATEMENT_FIELD}
    try:
        return _read_statement(body[STATEMENT_FIELD]), rest
    except EncodingError as error:
        raise RequestInvalid(str(error), param=STATEMENT_FIELD) from None


def read_embedding_request(body: JsonObject) -> EmbeddingRequest:
    """Read the body of an embedding statement's request; raises `RequestInvalid`."""
    try:
        return EmbeddingRequest(**read_record(body, "the request", _EMBEDDING))
    except EncodingError as error:
        raise RequestInvalid(str(error)) from None


def _read_statement(value: JsonValue) -> StatementRequest:
    asks_for_evidence = isinstance(value, dict) and "evidence" in value
    readers = _STATEMENT | _WITH_EVIDENCE if asks_for_evidence else _STATEMENT
    return StatementRequest(**read_record(value, STATEMENT_FIELD, readers))


def read_evidence(value: JsonValue, where: str) -> tuple[EvidenceReference, ...]:
    """Return sorted references to evidence; raises `EncodingError`."""
    items = read_list(value, where, EVIDENCE_MAX)
    found = tuple(EvidenceReference(**read_record(item, where, _EVIDENCE)) for item in items)
    refuse_unsorted([(reference.type, reference.digest) for reference in found], where)
    return found


def _read_parents(value: JsonValue, where: str) -> tuple[Parent, ...]:
    items = read_list(value, where, PARENTS_MAX)
    parents = tuple(Parent(**read_record(item, where, _PARENT)) for item in items)
    refuse_unsorted([(parent.relation, parent.statement) for parent in parents], where)
    return parents


def _read_embedded_text(value: JsonValue, where: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX:
        raise EncodingError(f"{where} is not a text of at most {TEXT_CHARACTERS_MAX} characters")
    return value


def _read_vector(value: JsonValue, where: str) -> tuple[int, ...]:
    parts = read_list(value, where, DIMENSION_MAX)
    if not parts:
        raise EncodingError(f"{where} is empty")
    read_part = partial(read_integer, least=-COMPONENT_MAX, most=COMPONENT_MAX)
    return tuple(read_part(part, f"a component of {where}") for part in parts)


read_policy: Final[Reader] = or_null(read_digest)

_PARENT: Final[Mapping[str, Reader]] = {
    "relation": one_of("adapted-from", "composed-of"),
    "statement": read_digest,
}
_EVIDENCE: Final[Mapping[str, Reader]] = {"type": read_text, "digest": read_digest}
_STATEMENT: Final[dict[str, Reader]] = {
    "derivation": one_of(*DERIVATIONS),
    "parents": _read_parents,
    "policy": read_policy,
    "tenant": read_pseudonym,
}
#: A gateway that knows of no evidence asks without the field; none is then stated.
_WITH_EVIDENCE: Final[dict[str, Reader]] = {"evidence": read_evidence}
_EMBEDDING: Final[Mapping[str, Reader]] = {
    "embedder": read_digest,
    "statement": read_digest,
    "tenant": read_pseudonym,
    "text": _read_embedded_text,
    "vector": _read_vector,
}
