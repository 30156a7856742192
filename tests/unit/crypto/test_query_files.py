from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from crypto.errors import EncodingError
from crypto.query_files import read_query

HIT = "hit_" + "1" * 32
FIRST, SECOND, OTHER = ("sha256:" + digit * 64 for digit in "123")


@dataclass
class FakeEmbedder:
    """Makes the same unit vector of every text, and remembers the texts."""

    digests: Sequence[str] = (FIRST, SECOND)
    texts: list[str] = field(default_factory=list)

    def embed(self, text: str) -> Sequence[float]:
        self.texts.append(text)
        return [0.25, -0.125, 0.0, 1.0]


def read(value: Any, embedder: FakeEmbedder | None = None) -> Any:
    return read_query(json.dumps(value).encode(), embedder)


def test_a_vector_of_integers_is_quantised_already() -> None:
    found = read({"vector": [1, -127, 127, 0]})
    assert (found.vector, found.hit, found.embedders) == ((1, -127, 127, 0), None, frozenset())


def test_a_vector_with_a_fraction_is_quantised_whole() -> None:
    assert read({"vector": [0.25, -0.125, 0, 1]}).vector == (127, -64, 0, 127)


def test_hit_and_embedder_may_be_stated() -> None:
    found = read({"vector": [1], "hit": HIT, "embedder": FIRST})
    assert (found.hit, found.embedders) == (HIT, frozenset({FIRST}))
    assert read({"vector": [1], "hit": None, "embedder": None}).hit is None


def test_a_text_is_embedded_and_quantised() -> None:
    embedder = FakeEmbedder()
    found = read({"text": "How high is it?", "hit": HIT}, embedder)
    assert (found.vector, embedder.texts) == ((127, -64, 0, 127), ["How high is it?"])
    assert found.embedders == frozenset({FIRST, SECOND})


def test_a_text_without_an_embedder_cannot_be_compared() -> None:
    with pytest.raises(EncodingError, match="--embedder-dir"):
        read({"text": "How high is it?"})


def test_a_text_that_names_another_embedder_than_the_one_at_hand_is_refused() -> None:
    assert read({"text": "a", "embedder": SECOND}, FakeEmbedder()).vector
    with pytest.raises(EncodingError, match=OTHER):
        read({"text": "a", "embedder": OTHER}, FakeEmbedder())


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"hit": HIT},
        {"vector": [1], "text": "a"},
        {"vector": [1], "more": 1},
        {"vector": []},
        {"vector": "1"},
        {"vector": [True]},
        {"vector": [1, None]},
        {"vector": [128, 0]},
        {"vector": [-128]},
        {"vector": [1], "hit": "1"},
        {"vector": [1], "embedder": "1"},
        {"vector": [1] * 65_537},
        {"text": 1},
    ],
)
def test_anything_else_is_no_query(value: Any) -> None:
    with pytest.raises(EncodingError):
        read(value, FakeEmbedder())


@pytest.mark.parametrize("data", [b"", b"{", b'{"vector":[1e999]}', b'{"vector":[NaN]}', b"\xff"])
def test_what_is_no_json_is_no_query(data: bytes) -> None:
    with pytest.raises(EncodingError):
        read_query(data)
