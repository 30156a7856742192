from __future__ import annotations

import pytest

from crypto.applicability.suites import ORDER, SUITES
from server.prover.blinders import FreshScalars, SeededScalars
from server.prover.workbench import Workbench
from tests.applicability_examples import ENTRY, OTHER_ENTRY, OTHER_SEED, SEED, SUITE
from tests.fakes import SeededRandom


class FixedRandom:
    """Gives the same byte for ever."""

    def __init__(self, byte: int) -> None:
        self._byte = byte

    def token_bytes(self, count: int) -> bytes:
        return bytes([self._byte]) * count


def test_fresh_scalars_are_512_bits_of_chance_reduced() -> None:
    assert [int(part) for part in FreshScalars(FixedRandom(255)).take(2)] == [(2**512 - 1) % ORDER] * 2


def test_fresh_scalars_never_repeat() -> None:
    source = FreshScalars(SeededRandom(3))
    assert len({int(part) for _ in range(20) for part in source.take(3)}) == 60


def test_seeded_scalars_are_the_same_however_they_are_taken() -> None:
    whole, parts = SeededScalars(SUITE, ENTRY, SEED), SeededScalars(SUITE, ENTRY, SEED)
    assert whole.take(7) == [*parts.take(2), *parts.take(1), *parts.take(4)]


def test_seeded_scalars_differ_with_suite_vector_and_seed() -> None:
    sources = [
        SeededScalars(SUITE, ENTRY, SEED),
        SeededScalars(SUITES[1], ENTRY, SEED),
        SeededScalars(SUITE, OTHER_ENTRY, SEED),
        SeededScalars(SUITE, ENTRY, OTHER_SEED),
    ]
    assert len({int(part) for source in sources for part in source.take(11)}) == 44


def test_seeded_scalars_are_not_those_that_blind_the_commitment(bench: Workbench) -> None:
    assert not set(map(int, SeededScalars(SUITE, ENTRY, SEED).take(11))) & set(
        map(int, bench.commitment_blinders(SEED))
    )


def test_there_are_256_seeded_scalars_and_no_more() -> None:
    source = SeededScalars(SUITE, ENTRY, SEED)
    source.take(256)
    with pytest.raises(OverflowError):
        source.take(1)
