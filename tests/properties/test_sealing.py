"""Sealing under arbitrary keys, places and plaintexts: it opens where it was sealed, and nowhere else."""

from __future__ import annotations

import os

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tenants.errors import UnsealError
from tenants.identifiers import TenantId
from tenants.sealing import DataKey, SealContext, seal, unseal
from tenants.sealing_reference import seal_reference, unseal_reference
from tests.unit.tenants.fakes import ScriptedRandom

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
keys = st.builds(DataKey, st.integers(1, 2**32 - 1), st.binary(min_size=32, max_size=32))
places = st.builds(
    SealContext,
    tenant=text.map(TenantId),
    entry=st.integers(0, 2**63 - 1),
    field=text,
    schema_version=st.integers(0, 2**32 - 1),
)
plaintexts = st.binary(max_size=2000)
draws = st.binary(min_size=32, max_size=32).filter(lambda drawn: len(set(drawn)) > 1)


class SystemRandom:
    def token_bytes(self, count: int) -> bytes:
        return os.urandom(count)


def opens(key: DataKey, place: SealContext, sealed: bytes) -> bool:
    try:
        unseal(key, place, sealed)
    except UnsealError:
        return False
    return True


@given(keys, places, plaintexts)
def test_what_was_sealed_opens(key: DataKey, place: SealContext, plain: bytes) -> None:
    assert unseal(key, place, seal(key, place, plain, random=SystemRandom())) == plain


@given(keys, places, places, plaintexts)
def test_it_opens_in_no_other_place(key: DataKey, place: SealContext, other: SealContext, plain: bytes) -> None:
    assume(place != other)
    assert not opens(key, other, seal(key, place, plain, random=SystemRandom()))


@given(keys, keys, places, plaintexts)
def test_it_opens_under_no_other_key(key: DataKey, other: DataKey, place: SealContext, plain: bytes) -> None:
    assume(key != other)
    sealed = seal(key, place, plain, random=SystemRandom())
    assert not opens(other, place, sealed)
    assert not opens(other, place, sealed[:1] + other.epoch.to_bytes(4, "big") + sealed[5:])


@settings(max_examples=300)
@given(keys, places, plaintexts, st.data())
def test_any_changed_byte_is_refused(key: DataKey, place: SealContext, plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(key, place, plain, random=SystemRandom()))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    assert not opens(key, place, bytes(sealed))


@given(keys, places, st.binary(max_size=300))
def test_arbitrary_bytes_never_open(key: DataKey, place: SealContext, sealed: bytes) -> None:
    assert not opens(key, place, sealed)


@given(keys, places, plaintexts, draws)
def test_both_implementations_seal_the_same_and_open_each_others(
    key: DataKey, place: SealContext, plain: bytes, drawn: bytes
) -> None:
    sealed = seal(key, place, plain, random=ScriptedRandom(drawn))
    assert sealed == seal_reference(key, place, plain, drawn=drawn)
    assert unseal_reference(key, place, sealed) == plain


@given(keys, places, plaintexts, plaintexts, draws)
def test_no_two_plaintexts_ever_share_a_key(
    key: DataKey, place: SealContext, first: bytes, second: bytes, drawn: bytes
) -> None:
    assume(first != second)
    sealed = [seal(key, place, plain, random=ScriptedRandom(drawn)) for plain in (first, second)]
    assert sealed[0][37:69] != sealed[1][37:69]
