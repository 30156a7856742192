from __future__ import annotations

import math

import numpy as np

from crypto.integer.shape import DEMO_SHAPE
from crypto.integer.tables import exp_powers, make_tables

TABLES = make_tables(DEMO_SHAPE)
PINNED = {
    "exp": "2ae7054711d25f0c133f0c8c672553b796d7ed22c9decc10f54004766625ac58",
    "reciprocal": "84c826d40dc4075b374e5df6dc7e382abf18dc5a126f62b1805856252bd2420c",
    "root": "6edef9897a31287663d93f7c2208ebbecc59b57d2de6d961610c132404241fff",
    "silu": "1c487fa6b0109f98ac44e6f1659449e96bc628b816ffcbbb9a5c5941ba7cf014",
}


def test_the_tables_are_the_pinned_ones() -> None:
    assert TABLES.digests() == PINNED


def test_the_exponentials_are_those_of_mathematics_to_one_part_in_2_to_the_80() -> None:
    # exp(-1) to 30 digits, from its series; a float could not see the difference
    assert abs(exp_powers(65, 64)[64] - 36787944117144232159552377016146 * 2**96 // 10**32) < 2**16


def test_the_tables_approximate_what_they_are_named_after() -> None:
    z = np.arange(-2048, 2048)
    silu = np.clip(z / (1 + np.exp(-z / 32)), -127, 127)
    assert np.abs(TABLES.silu - silu).max() <= 0.5 + 1e-9
    assert np.abs(TABLES.exp[:512] - 256 * np.exp(-np.arange(512) / 64)).max() <= 0.5 + 1e-9
    sums = np.arange(256, len(TABLES.reciprocal))
    assert np.abs(TABLES.reciprocal[256:] - 2**22 / sums).max() <= 0.5


def test_a_root_is_the_largest_integer_below_the_exact_one() -> None:
    top = 1 << (8 + 7 + 28)
    for level, mantissa in ((0, 1024), (4, 2000), (9, 4095)):
        root, square = int(TABLES.root[level, mantissa - 1024]), top // (mantissa << 2 * level)
        assert root == math.isqrt(square)
