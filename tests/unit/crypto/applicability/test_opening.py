"""Opened commitments: each by itself, and many as one sum."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from crypto.applicability.bisection import FOUND_MAX
from crypto.applicability.opening import CommitmentOpening, OpeningVerifier, load_opening_verifier
from crypto.applicability.setup import load_setup
from crypto.applicability.suites import SUITES, suite_for
from crypto.errors import VerificationError
from server.prover.commitment import commit


@cache
def verifier() -> OpeningVerifier:
    return load_opening_verifier()


@cache
def honest(dimension: int = 20, number: int = 0) -> CommitmentOpening:
    drawn = Random(f"{dimension} {number}")
    vector = tuple(drawn.randint(-127, 127) for _ in range(dimension))
    seed, suite = drawn.randbytes(32), suite_for(dimension)
    return CommitmentOpening(suite, commit(load_setup(), suite, vector, seed), vector, seed)


def find(*openings: CommitmentOpening) -> frozenset[int]:
    return verifier().find_invalid([verifier().claim(opening) for opening in openings])


def reason_of(opening: CommitmentOpening) -> str:
    with pytest.raises(VerificationError) as caught:
        verifier().verify(opening)
    return caught.value.reason


def other_vector(opening: CommitmentOpening, by: int = 1) -> CommitmentOpening:
    first = opening.vector[0]
    return replace(opening, vector=(first - by if first > 0 else first + by, *opening.vector[1:]))


@pytest.mark.parametrize("dimension", [1, *(suite.size for suite in SUITES), *(suite.size - 1 for suite in SUITES)])
def test_what_the_prover_committed_to_opens(dimension: int) -> None:
    verifier().verify(honest(dimension))


def test_another_vector_is_refused() -> None:
    assert reason_of(other_vector(honest())) == "opening_mismatch"


def test_the_vector_in_another_order_is_refused() -> None:
    assert reason_of(replace(honest(), vector=honest().vector[::-1])) == "opening_mismatch"


@pytest.mark.parametrize("place", [0, 31])
def test_another_seed_is_refused(place: int) -> None:
    seed = bytearray(honest().seed)
    seed[place] ^= 1
    assert reason_of(replace(honest(), seed=bytes(seed))) == "opening_mismatch"


def test_another_commitment_is_refused() -> None:
    assert reason_of(replace(honest(), commitment=honest(20, 1).commitment)) == "opening_mismatch"


@pytest.mark.parametrize(
    "changes",
    [
        {"vector": ()},
        {"vector": (128, *honest().vector[1:])},
        {"vector": (-128, *honest().vector[1:])},
        {"vector": (1,) * 257},
        {"vector": (1,) * 2049},
        {"seed": bytes(31)},
        {"commitment": bytes([0xC0]) + bytes(47)},
        {"commitment": b"\xff" * 48},
        {"commitment": honest().commitment[:-1]},
    ],
    ids=["empty", "128", "minus-128", "next-suite", "no-suite", "short-seed", "identity", "no-point", "short-point"],
)
def test_what_is_out_of_form_is_refused_before_any_sum(changes: dict[str, object]) -> None:
    with pytest.raises(VerificationError) as caught:
        verifier().claim(replace(honest(), **changes))
    assert caught.value.reason == "opening_mismatch"


def test_zeros_behind_a_vector_open_too_and_only_the_dimension_tells_them() -> None:
    verifier().verify(replace(honest(), vector=(*honest().vector, 0)))


def test_openings_in_all_suites_are_one_sum() -> None:
    assert find(*(honest(suite.size - 3) for suite in SUITES)) == frozenset()


@pytest.mark.parametrize("place", [0, 7, 19])
def test_of_twenty_exactly_the_bad_one_is_found(place: int) -> None:
    openings = [honest(20, number) for number in range(20)]
    openings[place] = other_vector(openings[place])
    assert find(*openings) == {place}


def test_all_bad_ones_are_found() -> None:
    openings = [honest(20, number) for number in range(8)]
    bad = {1, 2, 7}
    assert find(*(other_vector(one) if place in bad else one for place, one in enumerate(openings))) == bad


def test_errors_that_cancel_each_other_are_both_found() -> None:
    """Exchanged commitments are a plain sum that holds, as the same error with both signs is."""
    first, second = honest(20, 0), honest(20, 1)
    exchanged = [replace(first, commitment=second.commitment), replace(second, commitment=first.commitment)]
    assert find(*exchanged) == {0, 1}


def test_the_same_opening_many_times_opens() -> None:
    assert find(*[honest()] * 5) == frozenset()


def test_no_openings_hold() -> None:
    assert find() == frozenset()


def test_behind_so_many_bad_ones_nothing_is_looked_at_and_nothing_counts() -> None:
    bad = other_vector(honest())
    assert find(*[bad] * FOUND_MAX, *[honest()] * 3) == frozenset(range(FOUND_MAX + 3))


def test_a_bundle_without_openings_loads_no_curve() -> None:
    program = (
        "import sys; import crypto.verify; import crypto.verify.commitment_openings;"
        "assert not any(name.startswith('py_arkworks') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
