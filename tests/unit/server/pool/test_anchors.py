from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from privacy.text import normalise
from server.pool.admission import HUB, UNLIKE, Admission, wording_cosine
from server.pool.anchors import Anchors, read_anchor_file
from server.pool.errors import PoolError
from server.ports import Float32Matrix, Int8Matrix
from server.reuse.quantise import quantise
from tests.fakes import WordEmbedder

LAKE = "How deep is the lake behind the old mill?"
EMBEDDER = WordEmbedder()


def vector(text: str) -> Int8Matrix:
    row: Int8Matrix = quantise(EMBEDDER.embed([text]))[0]
    return row


def anchors(*texts: str, anchors_max: int = 1000) -> Anchors:
    found = Anchors(EMBEDDER.embed, dimension=EMBEDDER.dimension, covers=EMBEDDER.covers, anchors_max=anchors_max)
    asyncio.run(found.add(texts))
    return found


def test_the_nearest_anchor_is_found_where_it_is_near_enough() -> None:
    found = anchors(LAKE, "What is the height of the tallest mountain?")
    near = found.nearest(vector("How deep is the lake behind the old mill today?"))
    assert near is not None and near.text == LAKE
    assert found.nearest(vector("Which bus goes to the harbour?")) is None


def test_an_anchor_just_below_the_cosine_is_not_near() -> None:
    even = np.ones(384) / np.sqrt(384)
    odd = even * np.tile([1.0, -1.0], 192)
    unit = np.stack([even, 0.89 * even + np.sqrt(1 - 0.89**2) * odd]).astype(np.float32)
    rows = {"What is the first question about?": unit[0], "What is the second question about?": unit[1]}

    def embed(texts: list[str]) -> Float32Matrix:
        return np.stack([{normalise(text): row for text, row in rows.items()}[text] for text in texts])

    found = Anchors(embed, dimension=384, covers=lambda text: True)  # type: ignore[arg-type]
    asyncio.run(found.add(rows))
    assert [one.text for one in found.neighbours(quantise(unit[:1])[0], 5)] == ["What is the first question about?"]


def test_an_anchor_is_embedded_in_the_spelling_in_which_questions_vote() -> None:
    before = len(EMBEDDER.embedded)
    anchors(LAKE)
    assert EMBEDDER.embedded[before:] == [normalise(LAKE)]


def test_an_anchor_that_the_gate_refuses_is_none() -> None:
    assert len(anchors("Why does jane.doe@company.example not answer my letters?", "ok", LAKE)) == 1


def test_anchors_of_one_spelling_are_one() -> None:
    assert len(anchors(LAKE, "how deep is the lake behind the old mill", LAKE.upper())) == 1


def test_no_more_anchors_are_kept_than_the_limit() -> None:
    topics = ("bicycles", "kitchens", "gardens", "violins")
    assert len(anchors(*(f"What should I know about {topic} in general?" for topic in topics), anchors_max=3)) == 3


def test_a_list_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="cannot be read"):
        read_anchor_file(tmp_path / "missing.txt")


def test_empty_and_overlong_lines_of_a_list_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "anchors.txt"
    path.write_text(f"\n  {LAKE} \n{'a' * 5000}\n")
    assert read_anchor_file(path) == [LAKE]


def test_a_text_that_shares_no_wording_with_its_neighbour_is_refused() -> None:
    admission = Admission(anchors(LAKE))
    assert admission.refuse("zq vx kw jj yy qq", vector(LAKE)) == UNLIKE
    assert admission.refuse("how deep is the lake behind the old mill", vector(LAKE)) is None


def test_a_text_near_everything_is_refused() -> None:
    kinds = [f"{verb} {noun}" for verb in ("buying", "selling", "moving", "keeping") for noun in WORDS]
    found = anchors(*(f"What should I know about {kind} in general?" for kind in kinds))
    middle = np.sum([EMBEDDER.embed([f"What should I know about {kind} in general?"])[0] for kind in kinds], axis=0)
    hub: Int8Matrix = quantise((middle / np.linalg.norm(middle)).astype(np.float32)[np.newaxis])[0]
    assert Admission(found).refuse("What should I know about things in general?", hub) == HUB


WORDS = ("bicycles", "kitchens", "gardens", "violins", "carpets", "windows", "bottles", "candles", "ladders", "buckets")


@pytest.mark.parametrize(("left", "right", "least", "most"), [(LAKE, LAKE, 1.0, 1.0), (LAKE, "", 0.0, 0.1)])
def test_the_cosine_of_wording_is_one_for_the_same_text_and_nothing_for_none(
    left: str, right: str, least: float, most: float
) -> None:
    assert least - 1e-9 <= wording_cosine(left, right) <= most + 1e-9
