"""What an entry seals, and what is read of what another release sealed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from crypto.errors import EncodingError
from server.reuse.payload import (
    ALIASES_MAX,
    PAYLOAD_FIELD,
    SCHEMA_VERSION,
    Alias,
    EntryPayload,
    EntryTerms,
    UnknownPayload,
    seal_payload,
    unseal_payload,
)
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import DataKey, SealContext, seal, unseal
from tests.fakes import SeededRandom

TENANT, ENTRY = TenantId("ten_a"), EntryId(7)
KEY = DataKey(1, bytes(range(32)))
PLACE = SealContext(TENANT, ENTRY, PAYLOAD_FIELD, SCHEMA_VERSION)
TERMS = EntryTerms("sha256:v", "reported", "upstream", 1, 2)
PAYLOAD = EntryPayload([{"role": "user", "content": "?"}], {"n": 1}, None, None, {"id": "x"}, None, None, TERMS)


def sealed(**changed: Any) -> bytes:
    """Seal `PAYLOAD` as another release might have: with some of its top-level fields changed."""
    ours = seal_payload(PAYLOAD, key=KEY, tenant=TENANT, entry=ENTRY, random=SeededRandom())
    plain = {**orjson.loads(unseal(KEY, PLACE, ours)), **changed}
    return seal(KEY, PLACE, orjson.dumps(plain), random=SeededRandom())


def opened(blob: bytes) -> EntryPayload:
    return unseal_payload(blob, key=KEY, tenant=TENANT, entry=ENTRY)


def test_what_was_sealed_opens_as_it_was() -> None:
    assert opened(sealed()) == PAYLOAD


def test_fields_that_a_later_release_appended_are_ignored() -> None:
    terms = {**{name: getattr(TERMS, name) for name in EntryTerms.__dataclass_fields__}, "later": 1}
    assert opened(sealed(later=1, terms=terms)) == PAYLOAD


def test_changed_terms_are_read_as_they_are() -> None:
    terms = {"model_version": "m", "reported": "r", "source": "client", "created_at_ms": 3, "expires_at_ms": 4}
    assert opened(sealed(terms=terms)) == replace(PAYLOAD, terms=EntryTerms("m", "r", "client", 3, 4))


def test_a_version_of_another_release_is_told_from_a_damaged_entry() -> None:
    with pytest.raises(UnknownPayload, match="version 2"):
        opened(sealed(version=SCHEMA_VERSION + 1))


def test_the_aliases_of_an_entry_of_the_pool_survive_sealing() -> None:
    alias = Alias.of("How deep is the lake?", np.arange(-4, 4, dtype=np.int8))
    payload = replace(PAYLOAD, aliases=(alias,))
    found = opened(seal_payload(payload, key=KEY, tenant=TENANT, entry=ENTRY, random=SeededRandom()))
    assert found == payload
    assert alias.norm_squared == 44
    assert alias.row.tolist() == list(range(-4, 4))


def test_an_entry_of_no_pool_is_sealed_without_a_word_of_aliases() -> None:
    blob = seal_payload(PAYLOAD, key=KEY, tenant=TENANT, entry=ENTRY, random=SeededRandom())
    assert b"aliases" not in unseal(KEY, PLACE, blob)


@pytest.mark.parametrize("count", [0, ALIASES_MAX + 1])
def test_an_entry_of_the_pool_has_one_to_sixteen_aliases(count: int) -> None:
    alias = Alias.of("How deep is the lake?", np.ones(8, dtype=np.int8))
    with pytest.raises(EncodingError, match="aliases"):
        seal_payload(
            replace(PAYLOAD, aliases=(alias,) * count), key=KEY, tenant=TENANT, entry=ENTRY, random=SeededRandom()
        )
