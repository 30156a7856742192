"""A prover without its own checks, who may put anything in the place of the witness, gets nothing false accepted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crypto.applicability.encoding import ApplicabilityProof
from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import ORDER, SLACK_BITS
from crypto.similarity import NORM_BOUND_SQUARED, inner_product
from tests.applicability_examples import (
    ENTRY,
    OTHER_ENTRY,
    OTHER_SEED,
    QUERY,
    SCORE,
    SEED,
    SUITE,
    applicability_statement,
    scalars,
    verifier,
    well_formedness_example,
    well_formedness_statement,
)
from tests.applicability_prover import (
    HONEST,
    CannotProve,
    Polynomial,
    SlowProver,
    Values,
    Witness,
    add,
    bits_of,
    committed,
    counts_of,
    padded,
    scale,
)

CHEAT = SlowProver(scalars(21), honest=False)


def is_accepted(
    statement: ApplicabilityStatement, witness: Witness = HONEST, vector: tuple[int, ...] = ENTRY, seed: bytes = SEED
) -> bool:
    proof = CHEAT.prove_applicability(statement, vector, seed, witness)
    return not verifier().find_invalid([verifier().claim_applicability(statement, proof)])


def is_well_formed(
    vector: tuple[int, ...],
    witness: Witness = HONEST,
    statement: WellFormednessStatement | None = None,
    bound: int = NORM_BOUND_SQUARED,
) -> bool:
    statement = statement or well_formedness_statement(vector)
    proof = CHEAT.prove_well_formedness(statement, vector, SEED, witness, bound)
    return not verifier().find_invalid([verifier().claim_well_formedness(statement, proof)])


def test_the_cheating_prover_can_prove_what_is_true() -> None:
    assert is_accepted(applicability_statement())
    assert is_accepted(applicability_statement(tau=0))
    assert is_well_formed(ENTRY)


def test_an_honest_prover_does_not_prove_what_is_false() -> None:
    honest = SlowProver(scalars(22))
    with pytest.raises(CannotProve):
        honest.prove_applicability(applicability_statement(tau=SCORE + 1), ENTRY, SEED)
    for vector in ((128,), (-128,), (127,) * 17):
        with pytest.raises(CannotProve):
            honest.prove_well_formedness(well_formedness_statement(vector), vector, SEED)


@pytest.mark.parametrize("tau", [SCORE + 1, SCORE + 1000, NORM_BOUND_SQUARED])
def test_a_threshold_above_the_score_is_refused(tau: int) -> None:
    assert not is_accepted(applicability_statement(tau=tau))


SHORT = -1  # what the score lacks where the threshold is one above it


@pytest.mark.parametrize(
    "bits",
    [
        pytest.param([SHORT], id="minus one"),
        pytest.param([1, SHORT], id="one and minus two"),
        pytest.param([SHORT % ORDER * pow(2, -1, ORDER) * 2 % ORDER], id="minus one, reduced"),
        pytest.param([0, SHORT * pow(2, -1, ORDER) % ORDER], id="minus one half of two"),
        pytest.param([1] * SLACK_BITS, id="all ones"),
        pytest.param([0] * SLACK_BITS + [1, SHORT], id="bits without a weight"),
    ],
)
def test_slack_bits_that_are_none_or_do_not_sum_up_are_refused(bits: Values) -> None:
    statement = applicability_statement(tau=SCORE + 1)
    assert not is_accepted(statement, Witness(bits=padded(SUITE, bits)))


def test_a_threshold_far_below_the_score_needs_all_its_slack_bits() -> None:
    vector = (127,) * 16
    reach = inner_product(vector, vector)
    assert reach < 1 << SLACK_BITS
    assert is_accepted(applicability_statement(vector, vector, 0), vector=vector)
    assert not is_accepted(applicability_statement(vector, (-127,) * 16, 0), vector=vector)


def test_a_score_below_zero_meets_no_threshold() -> None:
    query = tuple(-part for part in QUERY)
    assert not is_accepted(applicability_statement(query=query, tau=0))
    minus = padded(SUITE, [inner_product(ENTRY, query)])
    assert not is_accepted(applicability_statement(query=query, tau=0), Witness(bits=minus))


SHARE = pow(SUITE.size, -1, ORDER)  # of a lack of one, for each place
SUMS: dict[str, Callable[[Values], Values]] = {
    "all zero": lambda sums: [0] * len(sums),
    "the lack spread": lambda sums: [
        (total + place * pow(SUITE.size, -1, ORDER)) % ORDER for place, total in enumerate(sums)
    ],
    "the lack at the end": lambda sums: [*sums[:-1], (sums[-1] + 1) % ORDER],
    "the lack at the beginning": lambda sums: [total + 1 for total in sums],
}


@pytest.mark.parametrize("sums", SUMS.values(), ids=SUMS)
def test_running_sums_that_do_not_close_are_refused(sums: Callable[[Values], Values]) -> None:
    assert not is_accepted(applicability_statement(tau=SCORE + 1), Witness(sums=sums))
    assert not is_well_formed((127,) * 17, Witness(sums=sums))


QUOTIENTS: dict[str, Callable[[Polynomial], Polynomial]] = {
    "zero but for one": lambda quotient: [1],
    "one more": lambda quotient: add(quotient, [1]),
    "doubled": lambda quotient: scale(quotient, 2),
    "longer": lambda quotient: [*quotient, 5],
}


@pytest.mark.parametrize("quotient", QUOTIENTS.values(), ids=QUOTIENTS)
def test_a_quotient_that_is_another_is_refused(quotient: Callable[[Polynomial], Polynomial]) -> None:
    for tau in (SCORE, SCORE + 1):
        assert not is_accepted(applicability_statement(tau=tau), Witness(quotient=quotient))
    assert not is_well_formed(ENTRY, Witness(quotient=quotient))
    assert not is_well_formed((128,), Witness(quotient=quotient))


def test_a_vector_of_another_commitment_is_refused() -> None:
    statement = applicability_statement(OTHER_ENTRY, QUERY, SCORE)
    assert not is_accepted(statement, vector=ENTRY)
    assert not is_accepted(applicability_statement(), seed=OTHER_SEED)


def test_a_mask_that_was_made_for_a_guessed_challenge_is_refused() -> None:
    """S that turns the commitment into another vector's at one ζ: but ζ is drawn after S."""
    statement = applicability_statement(OTHER_ENTRY, QUERY, SCORE)
    zeta = challenge_zeta(statement)
    shift = add(committed(SUITE, ENTRY, SEED), scale(committed(SUITE, OTHER_ENTRY, SEED), -1))
    mask = scale(shift, pow(pow(zeta, SUITE.size, ORDER) - 1, -1, ORDER))
    assert not is_accepted(statement, Witness(mask=mask), vector=OTHER_ENTRY)
    assert not is_accepted(statement, Witness(mask=mask), vector=ENTRY)


def challenge_zeta(statement: ApplicabilityStatement) -> int:
    """Return ζ of a proof that could have been, as a cheater would to learn what to aim at."""
    proof = ApplicabilityProof.parse(CHEAT.prove_applicability(statement, ENTRY, SEED))
    transcript = statement.begin()
    for name, point in (("S", proof.s), ("B", proof.b), ("Z", proof.z)):
        transcript.absorb(name, point)
    transcript.challenge("alpha")
    transcript.absorb("T", proof.t)
    return transcript.challenge("zeta")


@pytest.mark.parametrize("mask", [[5], [0] * 40 + [7], [1] * 300])
def test_a_mask_of_any_form_changes_nothing_about_what_is_true(mask: Polynomial) -> None:
    assert is_accepted(applicability_statement(), Witness(mask=mask))
    assert not is_accepted(applicability_statement(tau=SCORE + 1), Witness(mask=mask))


@pytest.mark.parametrize("component", [128, -128, 255, 1000, ORDER // 2, pow(2, -1, ORDER)])
def test_a_component_outside_the_table_is_refused(component: int) -> None:
    vector = (component, 3, -4)
    assert not is_well_formed(vector)
    assert not is_well_formed(vector, Witness(bits=padded(SUITE, [1] * SLACK_BITS)))


def test_a_component_outside_the_table_is_not_made_up_for_by_counts() -> None:
    vector = (128, 3, -4)
    counts = counts_of(SUITE, padded(SUITE, vector))
    for place in (0, 130, 131, 254, 255):
        changed = [*counts]
        changed[place] += 1
        assert not is_well_formed(vector, Witness(counts=changed))


def test_counts_of_another_vector_are_refused() -> None:
    counts = counts_of(SUITE, padded(SUITE, ENTRY))
    for changed in ([0] * SUITE.size, [counts[1], counts[0] + 1, *counts[2:]], [ORDER - count for count in counts]):
        assert not is_well_formed(ENTRY, Witness(counts=changed))


def test_counts_spread_over_a_value_that_the_table_repeats_are_accepted() -> None:
    """The table of 256 places holds −127 twice; only the sum over both is determined."""
    vector = (-127, -127, 5)
    counts = counts_of(SUITE, padded(SUITE, vector))
    assert counts[0] == 2
    assert is_well_formed(vector, Witness(counts=[counts[0] - 1, *counts[1:255], counts[255] + 1]))


def test_inverses_that_are_none_are_refused() -> None:
    def made_up(inverses: Values) -> Values:
        return [0, *inverses[1:]]

    def closing(inverses: Values) -> Values:
        """The one that lets the sum close for (128, …), as if it were 127."""
        return [inverses[1], *inverses[1:]]

    assert not is_well_formed(ENTRY, Witness(inverses=made_up))
    vector = (128, 127, 0)
    counts = counts_of(SUITE, padded(SUITE, (127, 127, 0)))
    bits = bits_of(SUITE, NORM_BOUND_SQUARED - 128 * 128 - 127 * 127)
    assert not is_well_formed(vector, Witness(inverses=closing, counts=counts, bits=bits))


@pytest.mark.parametrize("vector", [(127,) * 17, (127,) * 200, (114,) * 21])
def test_a_vector_beyond_the_norm_bound_is_refused(vector: tuple[int, ...]) -> None:
    excess = NORM_BOUND_SQUARED - inner_product(vector, vector)
    assert excess < 0
    assert not is_well_formed(vector)
    assert not is_well_formed(vector, Witness(bits=padded(SUITE, [excess])))


def test_a_norm_of_one_above_the_bound_is_refused_and_of_exactly_the_bound_accepted() -> None:
    vector = (127,) * 16
    exact = (*vector, *four_squares(NORM_BOUND_SQUARED - inner_product(vector, vector)))
    assert inner_product(exact, exact) == NORM_BOUND_SQUARED
    assert is_well_formed(exact)
    above = (*exact, 1)
    assert not is_well_formed(above)
    assert not is_well_formed(above, bound=NORM_BOUND_SQUARED + 1)
    assert not is_well_formed(above, Witness(bits=padded(SUITE, [-1])))


def four_squares(number: int) -> tuple[int, int, int, int]:
    """Return four integers whose squares sum to *number*, as Lagrange promises."""
    span = range(int(number**0.5) + 1)
    return next(
        (a, b, c, d) for a in span for b in span for c in span for d in span if a * a + b * b + c * c + d * d == number
    )


def test_a_proof_about_another_bound_is_refused() -> None:
    assert not is_well_formed(ENTRY, bound=NORM_BOUND_SQUARED + 1)
    assert not is_well_formed(ENTRY, bound=NORM_BOUND_SQUARED - 1)


def test_another_entrys_well_formedness_is_refused() -> None:
    statement, _ = well_formedness_example()
    assert not is_well_formed(OTHER_ENTRY, statement=statement)
