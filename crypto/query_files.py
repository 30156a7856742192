"""Files with a query that an auditor wants compared with the one that a hit was asked with.

    {"vector": [integers or floats], "hit": id, "embedder": digest}      or {"text": "…", …} with an embedder at hand

`hit` and `embedder` may be left out. A vector of integers is quantised already; one with a fraction in it is a unit vector.
"""

from __future__ import annotations

from typing import Final

from .applicability_lines import VECTOR_LENGTH_MAX
from .canonical import JsonValue, parse_json
from .closed import read_digest
from .embedders import AuditEmbedder
from .errors import EncodingError
from .hit import read_hit_id
from .similarity import COMPONENT_MAX, quantise_reference
from .verify.options import GivenQuery

QUERY_BYTES_MAX: Final = 2**22
_KEYS: Final = frozenset({"embedder", "hit", "text", "vector"})


def read_query(data: bytes, embedder: AuditEmbedder | None = None) -> GivenQuery:
    """Read one file; raises `EncodingError`, and `ReplayUnavailable` where *embedder* has no vector for its text."""
    value = parse_json(data, nodes_max=VECTOR_LENGTH_MAX + len(_KEYS) + 2)
    if not isinstance(value, dict) or not value.keys() <= _KEYS or ("text" in value) == ("vector" in value):
        raise EncodingError("a query is an object with either a vector or a text, and perhaps hit and embedder")
    hit = None if value.get("hit") is None else read_hit_id(value["hit"], "the query's hit")
    stated = None if value.get("embedder") is None else read_digest(value["embedder"], "the query's embedder")
    if "vector" in value:
        return GivenQuery(_read_vector(value["vector"]), hit, frozenset() if stated is None else frozenset({stated}))
    text = value["text"]
    if not isinstance(text, str) or embedder is None:
        raise EncodingError("the query is a text, which takes an embedder (--embedder-dir) to compare")
    if stated is not None and stated not in embedder.digests:
        raise EncodingError(f"the query names the embedder {stated}, and the one at hand is {embedder.digests[0]}")
    return GivenQuery(quantise_reference(embedder.embed(text)), hit, frozenset(embedder.digests))


def _read_vector(value: JsonValue) -> tuple[int, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= VECTOR_LENGTH_MAX:
        raise EncodingError(f"the query's vector is not a list of 1 to {VECTOR_LENGTH_MAX} numbers")
    whole = tuple(item for item in value if type(item) is int)
    if len(whole) == len(value):
        if any(abs(part) > COMPONENT_MAX for part in whole):
            raise EncodingError(f"the query's vector is of integers, and one of them lies beyond ±{COMPONENT_MAX}")
        return whole
    parts = [float(item) for item in value if type(item) in (int, float)]  # type: ignore[arg-type]  # both are numbers
    if len(parts) != len(value):
        raise EncodingError("the query's vector holds something that is no number")
    return quantise_reference(parts)
