from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.replay.pieces import IncrementalDecoder, StopScanner


def bytes_as_text(token_ids: Sequence[int]) -> str:
    return bytes(token_ids).decode("utf-8", "replace")


@given(st.text(max_size=40))
def test_pieces_of_bytes_make_up_the_text_and_no_character_is_cut(text: str) -> None:
    decoder = IncrementalDecoder(bytes_as_text)
    pieces = [decoder.add(byte) for byte in text.encode()]
    assert "".join(pieces) + decoder.flush() == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_an_unfinished_character_comes_at_the_end() -> None:
    decoder = IncrementalDecoder(bytes_as_text)
    assert [decoder.add(byte) for byte in "aä".encode()[:2]] == ["a", ""]
    assert decoder.flush() == "\ufffd"
    assert decoder.flush() == ""


def test_spaces_that_depend_on_the_neighbour_are_kept() -> None:
    words = ["Hello", "world", "again"]
    decoder = IncrementalDecoder(lambda ids: " ".join(words[token_id] for token_id in ids))
    assert [decoder.add(token_id) for token_id in range(3)] == ["Hello", " world", " again"]


def scan(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    scanner = StopScanner(stops)
    sent = ""
    for piece in pieces:
        sent += scanner.feed(piece)
        assert not any(stop in sent for stop in stops)
        if scanner.is_stopped:
            return sent, True
    return sent + scanner.flush(), False


@given(
    st.lists(st.text("ab", max_size=3), max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_the_answer_ends_where_a_stop_text_first_becomes_complete(pieces: list[str], stops: list[str]) -> None:
    sent, stopped = scan(stops, pieces)
    text = "".join(pieces)
    assert stopped == any(stop in text for stop in stops)
    assert text.startswith(sent)
    if not stopped:
        assert sent == text
    else:
        assert any(text[len(sent) :].startswith(stop) for stop in stops)


def test_a_stop_text_over_several_pieces_is_found() -> None:
    assert scan(["END"], ["so E", "N", "D and more"]) == ("so ", True)


def test_a_beginning_that_leads_nowhere_is_sent() -> None:
    assert scan(["END"], ["E", "N", "C"]) == ("ENC", False)


@pytest.mark.parametrize("more", ["x", ""])
def test_nothing_comes_after_the_stop(more: str) -> None:
    scanner = StopScanner(["."])
    assert scanner.feed("a.b") == "a"
    assert scanner.feed(more) == ""
    assert scanner.flush() == ""
