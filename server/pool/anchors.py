"""Public questions that votes gather round, so that counting is by meaning although every key is a function of one text.

Anchors come from the operator's public list and from texts that were released in earlier epochs; both are public, so
which of them is nearest to a question says nothing of any other question. Only what passes the gate is an anchor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from crypto.similarity import is_matchable, threshold_integer
from privacy.gate import refuse
from privacy.text import normalise
from server.pool.errors import PoolError
from server.ports import Float32Matrix, Int8Matrix
from server.reuse.quantise import norms_squared, quantise

log = structlog.get_logger()

#: How near an anchor must be for a question to count as it; measured in docs/privacy.md.
COSINE_TEN_THOUSANDTHS: Final = 9_000
ANCHORS_MAX: Final = 200_000
LINE_CHARACTERS_MAX: Final = 4_096
BATCH: Final = 32
#: Anchors after which those embedded so far are searched too: each time all rows are copied.
ADDED_AT_ONCE: Final = 2_048


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An anchor near a vector, and their inner product."""

    text: str
    score: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is searched; replaced as a whole, so that a search needs no lock."""

    texts: tuple[str, ...]
    vectors: Float32Matrix


class Anchors:
    """The anchors of one gateway; *embed* maps texts to unit rows of *dimension* components."""

    def __init__(
        self,
        embed: Callable[[Sequence[str]], Float32Matrix],
        *,
        dimension: int,
        covers: Callable[[str], bool],
        anchors_max: int = ANCHORS_MAX,
    ) -> None:
        self._embed = embed
        self._covers = covers
        self._anchors_max = anchors_max
        self._known: set[str] = set()
        self._rows = _Rows((), np.empty((0, dimension), dtype=np.float32))
        self._adding = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._rows.texts)

    async def add(self, texts: Iterable[str]) -> int:
        """Add those of *texts* that are new and pass the gate; return how many. Raises what *embed* raises."""
        async with self._adding:
            fresh = await asyncio.to_thread(lambda: list(self._admit(texts)))
            for start in range(0, len(fresh), ADDED_AT_ONCE):
                await asyncio.to_thread(self._append, fresh[start : start + ADDED_AT_ONCE])
            return len(fresh)

    def nearest(self, vector: Int8Matrix) -> Neighbour | None:
        """Return the anchor nearest to the quantised *vector*, the first of equals, or None; shape (dimension,).

        It must be near by the house's integer inequality at a cosine of .90.
        """
        found = self.neighbours(vector, 1)
        return found[0] if found else None

    def neighbours(self, vector: Int8Matrix, count: int) -> list[Neighbour]:
        """Return up to *count* anchors that are near to *vector*, nearest first."""
        rows, squared = self._rows, int(norms_squared(vector[np.newaxis])[0])
        if not rows.texts or not is_matchable(squared):
            return []
        tau = threshold_integer(COSINE_TEN_THOUSANDTHS, squared)
        scores = self.scores(vector)
        near = np.flatnonzero(scores >= tau)
        best = near[np.argsort(-scores[near], kind="stable")][:count]
        return [Neighbour(rows.texts[place], int(scores[place])) for place in best]

    def scores(self, vector: Int8Matrix) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Return the inner products of *vector* with all anchors: whole numbers, exact in float32 (`crypto.similarity`)."""
        found: np.ndarray[tuple[int], np.dtype[np.float32]] = self._rows.vectors @ vector.astype(np.float32)
        return found

    def unit_rows(self) -> Float32Matrix:
        """Return the anchors' vectors at length 1, shape (n, dimension)."""
        rows = self._rows.vectors
        units: Float32Matrix = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1.0)
        return units

    def _admit(self, texts: Iterable[str]) -> Iterator[str]:
        for text in texts:
            spelling = normalise(text)
            if spelling in self._known or not self._covers(text) or refuse(text) is not None:
                continue
            if len(self._known) >= self._anchors_max:
                log.warning("anchors_full", anchors_max=self._anchors_max)
                return
            self._known.add(spelling)
            yield text

    def _append(self, texts: Sequence[str]) -> None:
        # By their spelling, as questions that vote are embedded: a capital or a question mark moves a vector further
        # than another wording does.
        spellings = [normalise(text) for text in texts]
        batches = [self._embed(spellings[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        vectors = quantise(np.concatenate(batches))
        kept = [place for place, squared in enumerate(norms_squared(vectors)) if is_matchable(int(squared))]
        rows = self._rows
        self._rows = _Rows(
            (*rows.texts, *(texts[place] for place in kept)),
            np.concatenate((rows.vectors, vectors[kept].astype(np.float32))),
        )


def read_anchor_file(path: Path) -> list[str]:
    """Return the questions of a public list, one per line; raises `PoolError` for a file that cannot be read."""
    try:
        with path.open(encoding="utf-8") as lines:
            return [line.strip() for line in _bounded(lines) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise PoolError(f"the list of anchors {path} cannot be read: {error}") from None


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number >= ANCHORS_MAX:
            raise PoolError(f"a list of anchors has at most {ANCHORS_MAX} lines")
        if len(line) <= LINE_CHARACTERS_MAX:
            yield line
