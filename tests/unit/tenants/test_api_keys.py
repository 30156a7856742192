"""API keys: form, checksum, MAC, redaction."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter

import pytest

from tenants.api_keys import (
    ALPHABET,
    API_KEY_PATTERN,
    is_api_key_mac,
    mac_api_key,
    mint_api_key,
    parse_api_key,
    redact,
)
from tenants.errors import AuthenticationError, KeyFormError, RandomnessError
from tests.unit.tenants.fakes import CountingRandom, CyclingRandom, ScriptedRandom

PEPPER = bytes(range(32))
KEY = mint_api_key(CountingRandom("key"))


def test_a_minted_key_parses_to_its_own_id() -> None:
    parsed = parse_api_key(KEY.text)
    assert (parsed.key_id, parsed.text) == (KEY.key_id, KEY.text)


def test_a_minted_key_has_the_published_form() -> None:
    prefix, environment, key_id, rest = KEY.text.split("_")
    assert (prefix, environment, key_id, len(key_id), len(rest)) == ("hp", "live", KEY.key_id, 12, 38)
    assert API_KEY_PATTERN.fullmatch(KEY.text)


def test_a_test_key_says_so() -> None:
    assert mint_api_key(CountingRandom(), environment="test").text.startswith("hp_test_")


def test_the_checksum_is_the_crc_32_that_the_format_names() -> None:
    # Fixed by hand so that a change of polynomial, alphabet or digit order cannot pass: the CRC is 0x0564390b.
    text = "hp_live_" + "A" * 12 + "_" + "b" * 32
    assert parse_api_key(text + PINNED).key_id == "A" * 12


PINNED = "067XI3"


def test_every_character_of_the_alphabet_is_equally_likely() -> None:
    random, seen = CyclingRandom(), Counter[str]()
    for _ in range(62 * 8):
        text = mint_api_key(random).text
        seen.update(text[8:20] + text[21:53])
    assert set(seen) == set(ALPHABET)
    # A byte taken modulo 62 without dropping 248..255 would give eight characters a quarter more than the others.
    assert max(seen.values()) / min(seen.values()) < 1.15


def test_bytes_that_would_favour_some_characters_are_dropped() -> None:
    with pytest.raises(RandomnessError, match="above 247"):
        mint_api_key(ScriptedBySize(range(248, 256)))


class ScriptedBySize:
    def __init__(self, values: range) -> None:
        self._values = values

    def token_bytes(self, count: int) -> bytes:
        return bytes(self._values[step % len(self._values)] for step in range(count))


@pytest.mark.parametrize("position", range(len(KEY.text)))
def test_a_mistyped_character_is_refused_before_any_lookup(position: int) -> None:
    for character in ALPHABET + "_ \n":
        changed = KEY.text[:position] + character + KEY.text[position + 1 :]
        if changed != KEY.text:
            with pytest.raises(AuthenticationError):
                parse_api_key(changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hp_",
        "sk-" + "a" * 48,
        KEY.text[:-1],
        KEY.text + "a",
        KEY.text + "\n",
        " " + KEY.text,
        KEY.text.upper(),
        KEY.text.replace("live", "prod"),
        KEY.text.replace("_", "-"),
        KEY.text[:20] + "é" + KEY.text[21:],
        KEY.text[:-1] + "٣",
        KEY.text[:-1] + "\ud800",
        "hp_live_" * 100_000,
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(AuthenticationError) as refusal:
        parse_api_key(text)
    assert KEY.text[20:52] not in str(refusal.value)


def test_two_adjacent_characters_swapped_are_refused() -> None:
    for position in range(len(KEY.text) - 1):
        swapped = KEY.text[:position] + KEY.text[position + 1] + KEY.text[position] + KEY.text[position + 2 :]
        if swapped != KEY.text:
            with pytest.raises(AuthenticationError):
                parse_api_key(swapped)


def test_the_mac_is_hmac_sha_256_over_tagged_text() -> None:
    message = b"hitproof/api-key-mac/v1\0" + len(KEY.text).to_bytes(8, "big") + KEY.text.encode()
    assert mac_api_key(PEPPER, KEY.text) == hmac.new(PEPPER, message, hashlib.sha256).digest()


def test_a_key_fits_its_own_mac_only() -> None:
    expected = mac_api_key(PEPPER, KEY.text)
    assert is_api_key_mac(PEPPER, KEY.text, expected)
    for position in range(len(KEY.text)):
        changed = KEY.text[:position] + ("a" if KEY.text[position] != "a" else "b") + KEY.text[position + 1 :]
        assert not is_api_key_mac(PEPPER, changed, expected)


def test_keys_that_share_a_long_start_have_different_macs() -> None:
    first, second = KEY.text, KEY.text[:50] + "zz" + KEY.text[52:]
    assert mac_api_key(PEPPER, first) != mac_api_key(PEPPER, second)


def test_another_pepper_gives_another_mac() -> None:
    assert not is_api_key_mac(PEPPER[::-1], KEY.text, mac_api_key(PEPPER, KEY.text))


def test_a_stored_mac_that_was_cut_fits_nothing() -> None:
    assert not is_api_key_mac(PEPPER, KEY.text, mac_api_key(PEPPER, KEY.text)[:16])
    assert not is_api_key_mac(PEPPER, KEY.text, b"")


def test_a_pepper_too_short_to_be_one_is_refused() -> None:
    with pytest.raises(KeyFormError, match="16 random"):
        mac_api_key(b"short", KEY.text)


def test_a_key_is_not_shown_when_printed() -> None:
    assert KEY.text[21:] not in repr(KEY) + repr(parse_api_key(KEY.text))


def test_redaction_leaves_the_id_and_takes_the_secret() -> None:
    line = redact(f'Authorization: "Bearer {KEY.text}", again {KEY.text}.')
    assert line == f'Authorization: "Bearer hp_live_{KEY.key_id}_[redacted]", again hp_live_{KEY.key_id}_[redacted].'


@pytest.mark.parametrize("length", [25, 40, 52, 58])
def test_a_cut_key_is_redacted_too(length: int) -> None:
    cut = KEY.text[:length]
    assert cut[21:] not in redact(f"x{cut}")


def test_text_without_a_key_stays_as_it_is() -> None:
    assert redact("hp_ is how keys start; http://x/hp_live_") == "hp_ is how keys start; http://x/hp_live_"


def test_redacting_twice_changes_nothing_more() -> None:
    once = redact(KEY.text)
    assert redact(once) == once


def test_a_source_that_gives_one_block_for_ever_is_noticed() -> None:
    with pytest.raises(RandomnessError):
        mint_api_key(ScriptedRandom(bytes(24)))
