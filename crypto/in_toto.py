"""The frame of in-toto's Statement v1: one subject, named and hashed, and a predicate whose type says how to read it."""

from __future__ import annotations

import hashlib
from typing import Final

from .canonical import JsonValue
from .closed import read_hex_32, read_list, read_object
from .errors import EncodingError

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
STATEMENT_BYTES_MAX: Final = 2**18

_KEYS: Final = frozenset({"_type", "subject", "predicateType", "predicate"})
_SUBJECT_KEYS: Final = frozenset({"name", "digest"})
_DIGEST_KEYS: Final = frozenset({"sha256"})


def statement_digest(payload: bytes) -> str:
    """Return `sha256:…`, the name of the statement whose canonical bytes are *payload*."""
    return "sha256:" + hashlib.sha256(payload).hexdigest()


def frame_statement(subject: str, commitment: bytes, predicate_type: str, predicate: JsonValue) -> dict[str, JsonValue]:
    """Return the statement that *predicate* holds of the one *subject* under *commitment*."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject, "digest": {"sha256": commitment.hex()}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


def read_statement(value: JsonValue, subject: str, predicate_type: str) -> tuple[bytes, JsonValue]:
    """Return commitment and predicate of a statement about *subject*; raises `EncodingError` for any other."""
    found = read_object(value, "the statement", _KEYS)
    if found["_type"] != STATEMENT_TYPE:
        raise EncodingError(f"the statement's _type is not {STATEMENT_TYPE}")
    if found["predicateType"] != predicate_type:
        raise EncodingError(f"the statement's predicateType is not {predicate_type}")
    subjects = read_list(found["subject"], "the statement's subject", 1)
    if not subjects:
        raise EncodingError("the statement has no subject")
    named = read_object(subjects[0], "the statement's subject", _SUBJECT_KEYS)
    if named["name"] != subject:
        raise EncodingError(f"the statement's subject is not named {subject}")
    digest = read_object(named["digest"], "the subject's digest", _DIGEST_KEYS)
    return read_hex_32(digest["sha256"], "the subject's sha256"), found["predicate"]
