"""Train the demo model: `python -m server.runner.demo.train`.

Writes the weights and the tokenizer, and prints their digests, which `release.py` pins. The seeds are fixed; another
processor may round gradients differently and so find other weights. Everything after the files is exact.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from crypto.integer.shape import DEMO_SHAPE, ModelShape
from crypto.integer.template import ChatTemplate
from crypto.integer.tokenizer import FIRST_MERGE, Tokenizer
from crypto.integer.weights import decode_weights, encode_weights
from server.runner.demo.corpus import QUOTED_TOKENS, REFUSAL_BEFORE, Corpus, Document, Exchange, learn_tokenizer
from server.runner.demo.network import Network
from server.runner.demo.release import TOKENIZER_FILE, WEIGHTS_FILE

POOL = 96
LONG_EVERY = 6
ROW_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of whole documents; *hidden* keeps documents apart, *wanted* marks places whose next token is learned."""

    tokens: torch.Tensor
    positions: torch.Tensor
    hidden: torch.Tensor
    wanted: torch.Tensor
    targets: torch.Tensor


class Packer:
    """Fills rows with documents, the longest that still fits first, out of a pool."""

    def __init__(self, documents: Iterator[Document], context: int, seed: int) -> None:
        self._documents = documents
        self._context = context
        self._rng = np.random.default_rng(seed)
        self._pool: list[Document] = []

    def batch(self, rows: int, length: int) -> Batch:
        """Return *rows* rows of *length* tokens; documents longer than that wait for longer rows."""
        tokens = np.zeros((rows, length + 1), np.int64)
        positions = np.zeros((rows, length + 1), np.int64)
        owner = np.zeros((rows, length + 1), np.int64)
        answers = np.zeros((rows, length + 1), bool)
        for row in range(rows):
            start, number = 0, 0
            while (document := self._take(length + 1 - start, length)) is not None:
                number += 1
                place = slice(start, start + len(document.tokens))
                tokens[row, place], answers[row, place] = document.tokens, document.answers
                positions[row, place] = np.arange(len(document.tokens)) + self._offset(len(document.tokens))
                owner[row, place] = number
                answers[row, start] = False
                start = place.stop
        place_ids = torch.from_numpy(owner[:, :-1])
        apart = place_ids[:, :, None] != place_ids[:, None, :]
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        wanted = torch.from_numpy(answers[:, 1:])
        return Batch(
            tokens=torch.from_numpy(tokens[:, :-1]),
            positions=torch.from_numpy(positions[:, :-1]),
            hidden=(apart | future)[:, None],
            wanted=wanted,
            targets=torch.from_numpy(tokens[:, 1:])[wanted],
        )

    def _take(self, room: int, length: int) -> Document | None:
        while len(self._pool) < POOL:
            document = next(self._documents)
            waiting = sum(len(other.tokens) > ROW_TOKENS for other in self._pool)
            if len(document.tokens) <= (self._context if waiting < POOL // 3 else ROW_TOKENS):
                self._pool.append(document)
        fitting = [index for index, document in enumerate(self._pool) if len(document.tokens) <= room]
        if not fitting:
            return None
        if room == length + 1 and length < self._context:  # the first of a row: the oldest, so that none is favoured
            return self._pool.pop(fitting[0])
        return self._pool.pop(max(fitting, key=lambda index: len(self._pool[index].tokens)))

    def _offset(self, length: int) -> int:
        """Mostly 0, as when the model is used; sometimes anything, so that every position is learned."""
        return 0 if self._rng.random() < 0.7 else int(self._rng.integers(0, self._context - length + 1))


def held_out_loss(network: Network, corpus: Corpus, exchanges: list[Exchange]) -> float:
    """Return the mean cross-entropy, in nats per answer token, of single questions."""
    packer = Packer(iter([corpus.document([exchange]) for exchange in exchanges] * 2), network.shape.context, 0)
    packer._offset = lambda length: 0  # type: ignore[method-assign]
    with torch.no_grad():
        return float(_loss(network, packer.batch(24, ROW_TOKENS)))


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast to train: *steps* or *minutes*, whichever ends first; *resume* goes on from the files."""

    steps: int
    minutes: float
    rows: int
    rate: float
    resume: bool


def train(shape: ModelShape, folder: Path, plan: Plan) -> Network:
    """Train as planned, writing the files on the way and at the end."""
    if plan.resume:
        tokenizer = Tokenizer.from_bytes((folder / TOKENIZER_FILE).read_bytes())
    else:
        tokenizer = learn_tokenizer(shape.vocabulary - FIRST_MERGE)
    corpus = Corpus(tokenizer, ChatTemplate(shape.context))
    packer = Packer(corpus.stream(seed=4 if plan.resume else 1), shape.context, seed=2)
    network = Network(shape, seed=3, distances=(1, len(tokenizer.encode(REFUSAL_BEFORE)) + QUOTED_TOKENS))
    if plan.resume:
        network.restore(decode_weights((folder / WEIGHTS_FILE).read_bytes(), shape))
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.01)
    (folder / TOKENIZER_FILE).write_bytes(tokenizer.to_bytes())
    started, total = time.monotonic(), 0.0
    for step in range(plan.steps):
        done = max(step / plan.steps, (time.monotonic() - started) / (60 * plan.minutes))
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * min(1, (step + 1) / 60) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
        long = step % LONG_EVERY == LONG_EVERY - 1
        loss = _loss(
            network, packer.batch(*((max(1, plan.rows // 5), shape.context) if long else (plan.rows, ROW_TOKENS)))
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        network.clamp()
        total += loss.item()
        if step % 50 == 49:
            held = held_out_loss(network, corpus, corpus.held_out[:: len(corpus.held_out) // 90])
            seconds = time.monotonic() - started
            print(f"step {step + 1} {seconds:.0f} s train {total / 50:.4f} held out {held:.4f}", flush=True)
            total = 0.0
            (folder / WEIGHTS_FILE).write_bytes(encode_weights(network.export()))
    (folder / WEIGHTS_FILE).write_bytes(encode_weights(network.export()))
    return network


def _loss(network: Network, batch: Batch) -> torch.Tensor:
    logits = network(batch.tokens, batch.positions, batch.hidden, batch.wanted)
    return F.cross_entropy(logits, batch.targets)


def main() -> None:
    """Read the command line, train, and print what to pin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--resume", action="store_true", help="go on from the files in the folder")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    plan = Plan(arguments.steps, arguments.minutes, arguments.rows, arguments.rate, arguments.resume)
    train(DEMO_SHAPE, arguments.folder, plan)
    for name in (WEIGHTS_FILE, TOKENIZER_FILE):
        print(name, hashlib.sha256((arguments.folder / name).read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
