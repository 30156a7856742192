from __future__ import annotations

import pytest

from crypto.integer.errors import WeightsRefused
from crypto.integer.tokenizer import ASSISTANT, END, FIRST_BYTE, FIRST_MERGE, Tokenizer, learn_merges
from tests.effort import cpu_s

TOKENIZER = learn_merges(["the cat and the hat", "the bat", "that hat"], 12)


def test_frequent_neighbours_become_one_token() -> None:
    assert len(TOKENIZER.encode(" the")) < len(" the")
    assert TOKENIZER.decode(TOKENIZER.encode("the hat that sat")) == "the hat that sat"


def test_the_most_frequent_pair_is_merged_first_and_the_lower_ids_on_a_tie() -> None:
    merges = learn_merges(["ab ab cd cd ef"], 2).merges
    assert merges[0] == (FIRST_BYTE + ord(" "), FIRST_BYTE + ord("c"))
    assert merges[1] == (FIRST_BYTE + ord("a"), FIRST_BYTE + ord("b"))


def test_text_cannot_name_a_special_token() -> None:
    assert min(TOKENIZER.encode("\x00\x01\x02\x03 <|end|>")) >= FIRST_BYTE


def test_special_tokens_have_no_text() -> None:
    assert TOKENIZER.decode([END, *TOKENIZER.encode("hat"), ASSISTANT]) == "hat"


def test_the_tail_of_an_encoding_is_the_end_of_the_whole() -> None:
    text = "the cat, 猫, and that hat " * 20
    whole = TOKENIZER.encode(text)
    for count in (0, 1, 2, 17, len(whole), len(whole) + 5):
        assert TOKENIZER.encode_tail(text, count) == (whole[-count:] if count else [])


def test_a_huge_run_of_letters_is_encoded_in_linear_time() -> None:
    text = "that" * 250_000
    assert cpu_s(lambda: TOKENIZER.encode_tail(text, 400), tries=1) < 2  # the second time it is remembered
    assert len(TOKENIZER.encode_tail(text, 400)) == 400


def test_a_character_in_two_tokens_is_shown_when_it_is_whole() -> None:
    decoder = TOKENIZER.stream_decoder()
    shown = [decoder.push(token) for token in TOKENIZER.encode("a猫")]
    assert shown == ["a", "", "", "猫"]
    assert decoder.finish() == ""


def test_bytes_that_form_no_character_are_left_out() -> None:
    half = TOKENIZER.encode("猫")[1:]
    assert TOKENIZER.decode([*half, *TOKENIZER.encode("ok")]) == "ok"


def test_the_file_gives_the_same_tokenizer_back() -> None:
    assert Tokenizer.from_bytes(TOKENIZER.to_bytes()).merges == TOKENIZER.merges


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"kind":"other","merges":[]}',
        b'{"kind":"hitproof-byte-bpe/v1","merges":[[4]]}',
        b'{"kind":"hitproof-byte-bpe/v1","merges":[[4,true]]}',
        b'{"kind":"hitproof-byte-bpe/v1","merges":[[4,%d]]}' % FIRST_MERGE,
        b'{"kind":"hitproof-byte-bpe/v1","merges":[[0,4]]}',
        b'{"kind":"hitproof-byte-bpe/v1", "merges":[]}',
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused(data: bytes) -> None:
    with pytest.raises(WeightsRefused):
        Tokenizer.from_bytes(data)
