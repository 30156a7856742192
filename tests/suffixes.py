"""Suffixes like those that a search for colliding embeddings ends with, made by chance from seeds.

Words come from the vocabulary of the built-in embedder, as such a search draws them.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from functools import cache

from server.embedding.weights import find_default_folder

GLUE = (" ", " ", "", " ", "!", " (", "]. ", "\\ ", " ;)", '="', "**")


@cache
def _pieces() -> list[str]:
    vocabulary = (find_default_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return [piece for piece in vocabulary if not piece.startswith("[")]


@cache
def _words() -> list[str]:
    return [piece for piece in _pieces() if re.fullmatch(r"[a-z]{3,12}", piece)]


def random_letters(chance: random.Random, count: int) -> str:
    return " ".join("".join(chance.choices(string.ascii_lowercase, k=chance.randint(3, 9))) for _ in range(count))


def one_string(chance: random.Random, count: int) -> str:
    return "".join(chance.choices(string.printable[:94], k=5 * count))


def strings(chance: random.Random, count: int) -> str:
    return " ".join("".join(chance.choices(string.printable[:94], k=chance.randint(2, 8))) for _ in range(count))


def word_pieces(chance: random.Random, count: int) -> str:
    chosen = chance.choices(_pieces(), k=count)
    return "".join(piece[2:] if piece.startswith("##") else f" {piece}" for piece in chosen).strip()


def words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(_words(), k=count))


def glued_pieces(chance: random.Random, count: int) -> str:
    """Pieces in several cases with odd marks between them, as gradient-guided searches leave them."""
    found = ""
    for piece in chance.choices(_pieces(), k=count):
        plain = piece.removeprefix("##")
        found += chance.choice(GLUE) + chance.choice([plain, plain, plain.title(), plain.upper()])
    return found.strip()


SUFFIXES: dict[str, Callable[[random.Random, int], str]] = {
    "random letters": random_letters,
    "one string": one_string,
    "strings": strings,
    "word pieces": word_pieces,
    "words": words,
    "glued pieces": glued_pieces,
}
