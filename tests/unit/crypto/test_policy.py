"""The digest of a policy's document."""

from __future__ import annotations

import hashlib

import pytest

from crypto.errors import EncodingError
from crypto.policy import policy_digest
from server.reuse import policy


def test_the_digest_is_made_as_the_format_says() -> None:
    document = b'{"mode":"exact"}'
    fields = b"hitproof/policy/v1\0" + len(document).to_bytes(8, "big") + document
    assert policy_digest({"mode": "exact"}) == "sha256:" + hashlib.sha256(fields).hexdigest()


def test_an_auditor_names_a_policy_as_the_house_does() -> None:
    for found in (policy.ReusePolicy(), policy.ReusePolicy(mode="exact", ttl_s=5)):
        assert policy_digest(found.to_json()) == policy.policy_digest(found)


def test_a_document_with_a_float_has_no_digest() -> None:
    with pytest.raises(EncodingError):
        policy_digest({"threshold": 0.5})
