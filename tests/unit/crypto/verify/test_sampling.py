"""Drawing a sample."""

from __future__ import annotations

import hashlib

import pytest

from crypto.errors import VerificationError
from crypto.verify.sampling import describe_sample, draw_sample

ROOT, NONCE = bytes(32), bytes([7]) * 32


def test_the_places_are_those_that_the_hashes_name() -> None:
    drawn = [
        int.from_bytes(hashlib.sha256(ROOT + NONCE + number.to_bytes(8, "big")).digest(), "big") % 1_000
        for number in range(5)
    ]
    assert draw_sample(ROOT, NONCE, 1_000, 5) == frozenset(drawn)


@pytest.mark.parametrize(("count", "wanted"), [(10, 3), (10, 9), (10, 10), (10, 11), (1, 1), (0, 4), (2_000, 1_999)])
def test_as_many_different_places_are_drawn_as_are_wanted_or_there(count: int, wanted: int) -> None:
    places = draw_sample(ROOT, NONCE, count, wanted)
    assert len(places) == min(count, wanted)
    assert all(0 <= place < count for place in places)


def test_another_root_or_nonce_draws_other_places() -> None:
    first = draw_sample(ROOT, NONCE, 10**6, 8)
    assert first != draw_sample(ROOT, bytes(32), 10**6, 8)
    assert first != draw_sample(NONCE, NONCE, 10**6, 8)


def test_a_nonce_of_another_length_is_refused() -> None:
    for nonce in (b"", bytes(31), bytes(33)):
        with pytest.raises(VerificationError):
            describe_sample(nonce, 1, 2)
