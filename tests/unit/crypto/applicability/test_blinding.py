"""What hides a committed vector comes of the seed and the suite alone."""

from __future__ import annotations

import pytest

from crypto.applicability.blinding import commitment_blinding
from crypto.applicability.suites import ORDER, SUITES
from crypto.errors import EncodingError


def test_seed_suite_and_number_each_give_another_scalar() -> None:
    drawn = [commitment_blinding(suite, bytes([seed]) * 32) for suite in SUITES for seed in range(3)]
    scalars = [scalar for pair in drawn for scalar in pair]
    assert len(set(scalars)) == len(SUITES) * 3 * 2
    assert all(0 <= scalar < ORDER for scalar in scalars)


def test_a_seed_gives_the_same_scalars_again() -> None:
    assert commitment_blinding(SUITES[0], bytes(32)) == commitment_blinding(SUITES[0], bytes(32))


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(EncodingError, match="has 32"):
        commitment_blinding(SUITES[0], bytes(length))
