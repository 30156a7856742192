"""Reads what a bundle shows closeness with: documents with a proof in them, and opened queries."""

from __future__ import annotations

from dataclasses import dataclass

from . import json_text, shape
from .errors import NotInForm
from .hashing import digest, digest_text, fields, hmac_sha256
from .json_text import Json

WELL_FORMEDNESS, APPLICABILITY = "well-formedness", "applicability"
#: Both kinds by their schemas, and how long a proof of each is.
KINDS = {"hitproof/well-formedness/v1": (WELL_FORMEDNESS, 576), "hitproof/applicability/v1": (APPLICABILITY, 416)}
COMPONENTS_MAX = 65_536
HIT_PATTERN = "hit_[0-9a-f]{32}"


@dataclass(frozen=True, slots=True)
class ProofDocument:
    """A proof about the commitment of one embedding statement; one of applicability is about a hit too."""

    kind: str
    digest: str
    embedding: str
    suite: str
    proof: bytes
    hit: str | None


@dataclass(frozen=True, slots=True)
class OpenedQuery:
    """A salt and a vector, which open the `query_vector` of a hit."""

    salt: bytes
    vector: tuple[int, ...]

    def opens(self, commitment: bytes | None) -> bool:
        """Whether this is what the commitment was made of; one of nothing is opened by nothing."""
        try:
            components = b"".join(component.to_bytes(1, "big", signed=True) for component in self.vector)
        except OverflowError:
            return False
        return commitment == hmac_sha256(self.salt, fields("hitproof/query-vector/v1", components))


def read_document(value: Json) -> ProofDocument:
    """A document of either kind; raises NotInForm."""
    json_text.check_normal(value)
    schema = value.get("schema") if isinstance(value, dict) else None
    kind, proof_bytes = KINDS[shape.one_of(schema, *KINDS)]
    about_a_hit = ("hit",) if kind == APPLICABILITY else ()
    found = shape.closed(value, "schema", "embedding", "proof", "suite", *about_a_hit)
    return ProofDocument(
        kind=kind,
        digest=digest_text(digest(str(schema), json_text.write(value))),
        embedding=digest_text(shape.undigest(found["embedding"])),
        suite=shape.text(found["suite"]),
        proof=shape.unhex(found["proof"], proof_bytes),
        hit=shape.matching(found["hit"], HIT_PATTERN) if about_a_hit else None,
    )


def read_query(value: Json) -> OpenedQuery:
    """The opening of a query's vector; raises NotInForm. Whether each integer may be a component is asked later."""
    found = shape.closed(value, "salt", "vector")
    components = shape.items(found["vector"], COMPONENTS_MAX)
    limit = json_text.INTEGER_MAX
    vector = tuple(shape.integer(component, -limit, limit) for component in components)
    return OpenedQuery(shape.unhex(found["salt"], 32), vector)


def read_proof_lines(data: bytes) -> dict[int, ProofDocument]:
    """The documents of `proofs.jsonl` by the indexes of their leaves; raises NotInForm."""
    found: list[tuple[int, ProofDocument]] = []
    for line in json_text.read_lines(data):
        parts = shape.closed(line, "document", "index")
        found.append((shape.integer(parts["index"]), read_document(parts["document"])))
    shape.check_ascending([index for index, _ in found])
    return dict(found)


def read_query_lines(data: bytes) -> dict[str, OpenedQuery]:
    """The openings of `queries.jsonl` by hit; raises NotInForm."""
    found: list[tuple[str, OpenedQuery]] = []
    for line in json_text.read_lines(data):
        parts = shape.closed(line, "hit", "salt", "vector")
        hit = shape.matching(parts["hit"], HIT_PATTERN)
        found.append((hit, read_query({"salt": parts["salt"], "vector": parts["vector"]})))
    shape.check_ascending([hit for hit, _ in found])
    return dict(found)


def read_match_lines(data: bytes) -> dict[str, Json]:
    """The matches of `matches.jsonl` by hit; raises NotInForm. What a match says is read where it is checked."""
    found: list[tuple[str, Json]] = []
    for line in json_text.read_lines(data):
        parts = shape.closed(line, "hit", "match")
        if not isinstance(parts["match"], dict):
            raise NotInForm("a match is an object")
        found.append((shape.matching(parts["hit"], HIT_PATTERN), parts["match"]))
    shape.check_ascending([hit for hit, _ in found])
    return dict(found)
