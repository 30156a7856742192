"""API keys under arbitrary changes: a key is one exact text."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tenants.api_keys import ALPHABET, API_KEY_PATTERN, is_api_key_mac, mac_api_key, mint_api_key, parse_api_key, redact
from tenants.errors import AuthenticationError
from tests.unit.tenants.fakes import CountingRandom

PEPPER = bytes(range(32))
seeds = st.text(min_size=1, max_size=8)
environments = st.sampled_from(["live", "test"])


@given(seeds, environments)
def test_every_minted_key_parses(seed: str, environment: str) -> None:
    minted = mint_api_key(CountingRandom(seed), environment=environment)  # type: ignore[arg-type]
    assert parse_api_key(minted.text).key_id == minted.key_id
    assert API_KEY_PATTERN.fullmatch(minted.text)


@settings(max_examples=300)
@given(seeds, st.data())
def test_every_single_character_change_is_refused(seed: str, data: st.DataObject) -> None:
    text = mint_api_key(CountingRandom(seed)).text
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.sampled_from(ALPHABET) | st.characters())
    assume(text[position] != character)
    with pytest.raises(AuthenticationError):
        parse_api_key(text[:position] + character + text[position + 1 :])


@given(st.text(max_size=200))
def test_arbitrary_text_is_no_key(text: str) -> None:
    with pytest.raises(AuthenticationError):
        parse_api_key(text)


@given(seeds, seeds)
def test_a_key_fits_no_other_keys_mac(first: str, second: str) -> None:
    one, other = mint_api_key(CountingRandom(first)).text, mint_api_key(CountingRandom(second)).text
    assert is_api_key_mac(PEPPER, one, mac_api_key(PEPPER, other)) == (one == other)


@given(st.text(max_size=60), seeds, st.text(max_size=60))
def test_redaction_leaves_no_secret_wherever_the_key_stands(before: str, seed: str, behind: str) -> None:
    minted = mint_api_key(CountingRandom(seed))
    shown = redact(before + minted.text + behind)
    assert minted.text[21:] not in shown
    assert not re.search(r"hp_(live|test)_\w{12}_[0-9A-Za-z]", shown)
    assert minted.key_id in shown


@given(st.text(max_size=200))
def test_the_mac_is_total(text: str) -> None:
    assert len(mac_api_key(PEPPER, text)) == 32
