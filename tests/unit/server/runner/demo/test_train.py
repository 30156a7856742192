from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from crypto.integer.shape import DEMO_SHAPE
from crypto.integer.weights import decode_weights
from server.runner.demo.corpus import Document
from server.runner.demo.engine import load_demo_files
from server.runner.demo.release import WEIGHTS_FILE
from server.runner.demo.train import Packer, Plan, train


def packed(lengths: list[int], rows: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pack documents whose every token is their number, the second half of each being an answer."""
    documents = (
        Document([number] * size, [index >= size // 2 for index in range(size)])
        for number, size in enumerate(itertools.cycle(lengths), 1)
    )
    batch = Packer(documents, 64, seed=1).batch(rows, length)
    return batch.tokens.numpy(), batch.hidden[:, 0].numpy(), batch.wanted.numpy()


def test_no_token_sees_another_document_or_the_future() -> None:
    tokens, hidden, _ = packed([5, 9, 3], rows=3, length=32)
    for row in range(3):
        for place in range(32):
            seen = ~hidden[row, place]
            assert seen[place]
            assert not seen[place + 1 :].any()
            assert set(tokens[row][seen]) == {tokens[row, place]}


def test_only_tokens_before_an_answer_token_of_the_same_document_are_learned_from() -> None:
    tokens, _, wanted = packed([6], rows=2, length=30)
    assert wanted.any()
    for row, place in zip(*np.nonzero(wanted[:, :-1]), strict=True):
        assert tokens[row, place] == tokens[row, place + 1]


def test_rows_are_well_filled() -> None:
    tokens, _, _ = packed([5, 9, 3, 14], rows=8, length=32)
    assert (tokens > 0).mean() > 0.9


def test_a_few_steps_of_training_write_other_weights_that_can_be_read(tmp_path: Path) -> None:
    for name, data in load_demo_files().items():
        (tmp_path / name).write_bytes(data)
    before = decode_weights(load_demo_files()[WEIGHTS_FILE], DEMO_SHAPE)
    train(DEMO_SHAPE, tmp_path, Plan(steps=2, minutes=1.0, rows=2, rate=0.3, resume=True))
    after = decode_weights((tmp_path / WEIGHTS_FILE).read_bytes(), DEMO_SHAPE)
    assert any(not np.array_equal(before[name], after[name]) for name in before)
