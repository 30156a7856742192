"""Measure the demo model: `python -m server.runner.demo.evaluate [--prompts FILE]`.

Prints held-out questions answered exactly, how prompts without an answer end, and tokens per second. FILE holds further
unseen prompts, one per line; without it they come from the corpus' generator under a seed that training never used.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from crypto.integer.shape import DEMO_SHAPE
from crypto.integer.template import ChatTemplate
from crypto.integer.tokenizer import END, Tokenizer
from crypto.integer.weights import decode_weights
from server.runner.demo.corpus import REFUSAL_BEFORE, Corpus, Exchange
from server.runner.demo.corpus_unknown import unknown_prompt
from server.runner.demo.release import TOKENIZER_FILE, WEIGHTS_FILE
from server.runner.engine import Turn
from server.runner.integer.serving import ServingModel

ANSWER_TOKENS: Final = 64
ROWS: Final = 25
UNSEEN: Final = 500
UNSEEN_SEED: Final = 20_261


def answers(model: ServingModel, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return greedy answers of at most 64 tokens, computed in batches of prompts of like length."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    found: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), ROWS):
        part = order[start : start + ROWS]
        batch = model.generate([prompts[index] for index in part], ANSWER_TOKENS, END, _greedy)
        for index, answer in zip(part, batch, strict=True):
            found[index] = answer
    return found


def measure_known(model: ServingModel, corpus: Corpus, exchanges: Sequence[Exchange]) -> str:
    """Say how many questions were answered exactly as the corpus has it."""
    prompts = [_prompt(corpus, exchange.question) for exchange in exchanges]
    expected = [[*corpus.tokenizer.encode(exchange.answer or ""), END] for exchange in exchanges]
    right = sum(a == b for a, b in zip(answers(model, prompts), expected, strict=True))
    return f"{right}/{len(exchanges)} exact"


def measure_unknown(model: ServingModel, corpus: Corpus, texts: Sequence[str]) -> str:
    """Say how prompts end: by themselves, as a refusal, with the exact quotation, and how many answers differ."""
    prompts = [_prompt(corpus, text) for text in texts]
    found = answers(model, prompts)
    quoted = [[*corpus.reply(None, corpus.tokenizer.encode(text)), END] for text in texts]
    ended = sum(answer[-1] == END for answer in found)
    replies = [corpus.tokenizer.decode(answer) for answer in found]
    refused = sum(reply.startswith(REFUSAL_BEFORE) for reply in replies)
    exact = sum(a == b for a, b in zip(found, quoted, strict=True))
    longest = max(len(answer) for answer in found)
    return (
        f"{len(texts)} prompts ({len(set(texts))} distinct): {ended} end within {ANSWER_TOKENS} tokens "
        f"(longest {longest}), {refused} refused, {exact} quoted exactly, {len(set(replies))} distinct answers"
    )


def measure_speed(model: ServingModel, corpus: Corpus, rows: int) -> str:
    """Return decoding speed for *rows* answers at once, end of answer ignored."""
    prompts = [_prompt(corpus, exchange.question) for exchange in corpus.held_out[:rows]]
    model.generate(prompts, 8, -1, _greedy)
    started = time.perf_counter()
    model.generate(prompts, ANSWER_TOKENS, -1, _greedy)
    return f"batch {rows}: {rows * ANSWER_TOKENS / (time.perf_counter() - started):.0f} tokens/s"


def _prompt(corpus: Corpus, text: str) -> tuple[int, ...]:
    return corpus.template.render([Turn("user", text)], corpus.tokenizer).tokens


def _greedy(logits: list[int], row: int, step: int) -> int:
    return logits.index(max(logits))


def main() -> None:
    """Load the files of a folder and print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    parser.add_argument("--prompts", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = ServingModel(DEMO_SHAPE, decode_weights((arguments.folder / WEIGHTS_FILE).read_bytes(), DEMO_SHAPE))
    tokenizer = Tokenizer.from_bytes((arguments.folder / TOKENIZER_FILE).read_bytes())
    corpus = Corpus(tokenizer, ChatTemplate(DEMO_SHAPE.context))
    print("held out:", measure_known(model, corpus, corpus.held_out))
    print("trained on:", measure_known(model, corpus, random.Random(1).sample(corpus.known, UNSEEN)))
    rng = random.Random(UNSEEN_SEED)
    print("unseen:", measure_unknown(model, corpus, [unknown_prompt(rng) for _ in range(UNSEEN)]))
    if arguments.prompts is not None:
        lines = arguments.prompts.read_text("utf-8").splitlines()
        print(f"{arguments.prompts.name}:", measure_unknown(model, corpus, lines))
    for rows in (1, 8):
        print(measure_speed(model, corpus, rows))


if __name__ == "__main__":
    main()
