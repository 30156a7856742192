"""Whether a released text may be answered at all: by what it lies near to, measured by two encoders that are unlike.

A text made to lie near everything, or near a question that it has nothing in common with, would answer for others. Both
tests look at the text and at public anchors, at nothing of any organisation.
"""

from __future__ import annotations

from collections import Counter
from math import sqrt
from typing import Final

import numpy as np

from crypto.similarity import SCALE
from privacy.hubness import Crowd, is_hub, measure_crowd
from server.pool.anchors import Anchors
from server.ports import Int8Matrix
from server.reuse.quantise import norms_squared

#: Anchors that a text is compared with in wording.
NEIGHBOURS: Final = 5
#: Two questions of cosine .90 share at least this much of their wording, or one was built to lie there: the floor is low
#: because true paraphrases may share little, and a text built from noise shares next to nothing.
WORDING_MIN: Final = 0.1
GRAM: Final = 3

HUB: Final = "near_everything"
UNLIKE: Final = "unlike_its_neighbour"


class Admission:
    """Judges texts against the anchors of one gateway; remembers how near those lie to each other."""

    def __init__(self, anchors: Anchors) -> None:
        self._anchors = anchors
        self._crowd: tuple[int, Crowd] = (0, Crowd(0.0, 0.0))

    def refuse(self, text: str, vector: Int8Matrix) -> str | None:
        """Return None when *text*, whose quantised vector has shape (dimension,), may be answered, else the reason."""
        size = sqrt(int(norms_squared(vector[np.newaxis])[0])) or 1.0
        if is_hub(self._anchors.scores(vector) / np.float32(SCALE * size), self._measure()):
            return HUB
        neighbours = self._anchors.neighbours(vector, NEIGHBOURS)
        if any(wording_cosine(text, neighbour.text) < WORDING_MIN for neighbour in neighbours):
            return UNLIKE
        return None

    def _measure(self) -> Crowd:
        count = len(self._anchors)
        if self._crowd[0] != count:
            self._crowd = (count, measure_crowd(self._anchors.unit_rows()))
        return self._crowd[1]


def wording_cosine(left: str, right: str) -> float:
    """Return the cosine of the two texts' counts of three characters in a row, case folded: from 0 to 1."""
    a, b = _grams(left), _grams(right)
    product = sum(count * b[gram] for gram, count in a.items())
    size = sqrt(sum(count * count for count in a.values()) * sum(count * count for count in b.values()))
    return product / size if size else 0.0


def _grams(text: str) -> Counter[str]:
    padded = f"  {' '.join(text.casefold().split())} "
    return Counter(padded[place : place + GRAM] for place in range(len(padded) - GRAM + 1))
