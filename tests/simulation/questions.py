"""What the simulated organisations ask: written for the demonstration, and answered by its model."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

QUESTIONS: Final = Path(__file__).with_name("questions.json")


@dataclass(frozen=True, slots=True)
class Topic:
    """A question as it stands in the public list, and other phrasings of it."""

    public: str
    phrasings: tuple[str, ...]


def load_topics() -> list[Topic]:
    """Return all topics, the most popular first."""
    return [Topic(item["public"], tuple(item["phrasings"])) for item in json.loads(QUESTIONS.read_text("utf-8"))]


def draw_topics(topics: list[Topic], count: int, chance: random.Random) -> list[Topic]:
    """Draw *count* different topics, the earlier the likelier (Zipf's law with exponent one)."""
    left, weights, drawn = list(topics), [1 / rank for rank in range(1, len(topics) + 1)], []
    for _ in range(min(count, len(left))):
        place = chance.choices(range(len(left)), weights)[0]
        drawn.append(left.pop(place))
        weights.pop(place)
    return drawn
