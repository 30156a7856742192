"""Labelled question sets for the quality bench, read from a folder named on the command line; never copied."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: The class of a text that no stored answer may serve.
NEVER = -1


@dataclass(frozen=True, slots=True)
class Trial:
    """A filled store and the questions put to it; two texts may share an answer when their classes are equal."""

    name: str
    texts: tuple[str, ...]
    classes: np.ndarray
    stored: np.ndarray
    asked: np.ndarray


def plain(text: str) -> str:
    """Case, punctuation and spacing removed: texts equal in this form are one question."""
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).lower()).strip()


def load_trial(name: str, folder: Path, seed: int) -> Trial:
    """Read the set *name* (qqp, clinc, banking, stackfaq) from *folder* and deal its texts into store and questions."""
    if name == "qqp":
        return _qqp(folder)
    texts, classes = _READERS[name](folder)
    texts, classes = _distinct(texts, classes)
    return _deal(name, texts, np.array(classes), np.random.default_rng(seed))


def load_vectors(trial: Trial, work: Path) -> np.ndarray:
    """Return float32 unit rows for every text, computed once and kept in *work* under a digest of the texts."""
    from server.embedding.select import load_default_embedder

    embedder = load_default_embedder()
    digest = hashlib.sha256("\0".join((embedder.digest, *trial.texts)).encode("utf-8")).hexdigest()[:16]
    path = work / f"{trial.name}-{digest}.npy"
    if path.exists():
        return np.load(path)
    order = sorted(range(len(trial.texts)), key=lambda row: len(trial.texts[row]))
    vectors = np.empty((len(order), embedder.dimension), np.float32)
    for start in range(0, len(order), 32):
        rows = order[start : start + 32]
        vectors[rows] = embedder.embed([trial.texts[row] for row in rows])
    work.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


def _qqp(folder: Path) -> Trial:
    """Store the first question of each pair, ask the second; questions joined by duplicate labels form one class."""
    with gzip.open(folder / "qqp/qqp_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        parent.setdefault(text, text)
        while parent[text] != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    first: dict[str, str] = {}
    for pair in pairs:
        for text in (pair["a"], pair["b"]):
            parent[root(text)] = root(first.setdefault(plain(text), text))
        if pair["label"]:
            parent[root(pair["a"])] = root(pair["b"])
    texts = tuple(sorted(parent))
    row = {text: number for number, text in enumerate(texts)}
    number_of = {name: number for number, name in enumerate(sorted({root(text) for text in texts}))}
    classes = np.array([number_of[root(text)] for text in texts])
    stored_plain: dict[str, int] = {}
    for pair in pairs:
        stored_plain.setdefault(plain(pair["a"]), row[pair["a"]])
    # A question equal to a stored one but for case and punctuation is the exact tier's, not ours.
    asked = sorted({row[pair["b"]] for pair in pairs if plain(pair["b"]) not in stored_plain})
    return Trial("qqp", texts, classes, np.array(sorted(stored_plain.values())), np.array(asked))


def _deal(name: str, texts: list[str], classes: np.ndarray, random: np.random.Generator) -> Trial:
    """Keep half of the classes out of the store, so that about half of the questions must miss."""
    known = np.unique(classes[classes != NEVER])
    kept = set(random.permutation(known)[: len(known) // 2].tolist())
    stored, asked = [], []
    for label in known.tolist():
        rows = random.permutation(np.flatnonzero(classes == label))
        if label in kept:
            stored += rows[: len(rows) // 2].tolist()
        asked += rows[len(rows) // 2 :].tolist()
    asked += np.flatnonzero(classes == NEVER).tolist()
    return Trial(name, tuple(texts), classes, np.array(sorted(stored)), np.array(sorted(asked)))


def _distinct(texts: list[str], classes: list[int]) -> tuple[list[str], list[int]]:
    """Keep each text once and drop texts that stand in two classes, which nobody could judge."""
    where: dict[str, set[int]] = {}
    for text, label in zip(texts, classes, strict=True):
        where.setdefault(plain(text), set()).add(label)
    kept: dict[str, tuple[str, int]] = {}
    for text, label in zip(texts, classes, strict=True):
        if plain(text) and len(where[plain(text)]) == 1:
            kept.setdefault(plain(text), (text, label))
    return [text for text, _ in kept.values()], [label for _, label in kept.values()]


def _clinc(folder: Path) -> tuple[list[str], list[int]]:
    parts = json.loads((folder / "clinc150/data_full.json").read_text(encoding="utf-8"))
    rows = [(text, intent) for part in sorted(parts) for text, intent in parts[part]]
    numbers = {intent: number for number, intent in enumerate(sorted({intent for _, intent in rows} - {"oos"}))}
    return [text for text, _ in rows], [numbers.get(intent, NEVER) for _, intent in rows]


def _banking(folder: Path) -> tuple[list[str], list[int]]:
    rows: list[tuple[str, str]] = []
    for part in ("train", "test"):
        with (folder / f"banking77/{part}.csv").open(newline="", encoding="utf-8") as lines:
            rows += [(row["text"].strip(), row["category"]) for row in csv.DictReader(lines)]
    numbers = {intent: number for number, intent in enumerate(sorted({intent for _, intent in rows}))}
    return [text for text, _ in rows], [numbers[intent] for _, intent in rows]


def _stackfaq(folder: Path) -> tuple[list[str], list[int]]:
    root = json.loads((folder / "stackfaq/stackExchange-FAQ.json").read_text(encoding="utf-8"))
    texts: list[str] = []
    classes: list[int] = []
    for label, thread in enumerate(_threads(root)):
        for text in (thread.get("question"), *thread["rephr"]):
            if isinstance(text, str) and text.strip():
                texts.append(text.strip())
                classes.append(label)
    return texts, classes


def _threads(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        if "rephr" in node:
            yield node
        for key, item in node.items():
            if key != "rephr":
                yield from _threads(item)
    elif isinstance(node, list):
        for item in node:
            yield from _threads(item)


_READERS: dict[str, Callable[[Path], tuple[list[str], list[int]]]] = {
    "clinc": _clinc,
    "banking": _banking,
    "stackfaq": _stackfaq,
}
