"""Terms keep their promise, and say what an organisation pays."""

from __future__ import annotations

import pytest

from crypto.charges import Cost, GaussianSelection, GaussianSum, LaplaceSelection
from crypto.privacy_arithmetic import epsilon_micro_of_rho
from privacy.errors import TermsError
from privacy.terms import DEFAULTS, Guarantee, pool_terms, total_of


def test_the_defaults_are_those_of_the_page() -> None:
    question, organisation = pool_terms(unit="question"), pool_terms(unit="organisation")
    assert question.charges() == (LaplaceSelection(2_000_000, 100, 11),)
    assert organisation.charges() == (GaussianSelection(5, 1_983_236, 19),)
    assert (question.period_epochs, organisation.period_epochs) == (3, 4)
    assert question.organisations_min == organisation.organisations_min == 50
    totals = [total_of(terms.period_cost(), 10**12) for terms in (question, organisation)]
    assert [total.epsilon_micro for total in totals] == [600_000_000, 7_804_266]
    assert totals[0].delta_atto == pytest.approx(5.45e11, rel=0.01)
    assert totals[1].delta_atto == pytest.approx(1.24e12, rel=0.01)
    days = [DEFAULTS[unit].epoch_s / 86_400 for unit in ("question", "organisation")]
    assert days == [30, 90]


@pytest.mark.parametrize("unit", ["question", "organisation"])
@pytest.mark.parametrize("vector_source", ["released_text", "dp_mean"])
@pytest.mark.parametrize("epsilon_micro", [0, 1_000_000, 4_000_000])
def test_what_holds_for_the_unit_is_within_what_was_promised(unit: str, vector_source: str, epsilon_micro: int) -> None:
    terms = pool_terms(unit=unit, vector_source=vector_source, epsilon_micro=epsilon_micro)
    found = terms.unit_guarantee()
    assert found.epsilon_micro <= terms.epsilon_micro + terms.vector_epsilon_micro
    assert found.delta_atto <= terms.delta_atto + terms.vector_delta_atto


def test_a_question_is_promised_the_same_however_many_places_there_are() -> None:
    few, many = (pool_terms(unit="question", keys_max=places) for places in (1, 500))
    assert few.unit_guarantee() == many.unit_guarantee()
    assert few.period_cost().epsilon_micro * 500 == many.period_cost().epsilon_micro


def test_noised_means_are_charged_beside_the_selection() -> None:
    terms = pool_terms(unit="question", vector_source="dp_mean")
    selection, vectors = terms.charges()
    assert selection == LaplaceSelection(2_000_000, 100, 11)
    assert vectors == GaussianSum(100, 7_819_777)


def test_the_vectors_of_a_whole_period_keep_the_promise_to_an_organisation() -> None:
    terms = pool_terms(unit="organisation", vector_source="dp_mean")
    rho_nano = terms.charges()[1].cost().rho_nano * terms.period_epochs
    assert 3_990_000 < epsilon_micro_of_rho(rho_nano, terms.vector_delta_atto) <= 4_000_000


def test_a_period_costs_all_its_releases() -> None:
    terms = pool_terms(unit="organisation", vector_source="dp_mean", period_epochs=7)
    single = terms.charges()[0].cost() + terms.charges()[1].cost()
    assert terms.period_cost() == sum((single for _ in range(7)), Cost())


def test_more_releases_in_a_period_mean_more_noise_for_an_organisation_and_none_for_a_question() -> None:
    strict = [pool_terms(unit="organisation", period_epochs=epochs) for epochs in (1, 12)]
    assert strict[0].threshold < strict[1].threshold
    loose = [pool_terms(unit="question", period_epochs=epochs) for epochs in (1, 12)]
    assert loose[0].threshold == loose[1].threshold


def test_no_threshold_is_below_the_floor() -> None:
    assert pool_terms(unit="question", epsilon_micro=20_000_000).threshold == 5
    assert pool_terms(unit="organisation", epsilon_micro=60_000_000, keys_max=1).threshold == 5


def test_a_total_without_gaussian_noise_is_the_sum_alone() -> None:
    assert total_of(Cost(5, 0, 7), 10**12) == Guarantee(5, 7)


def test_a_total_adds_what_the_gaussian_part_amounts_to() -> None:
    assert total_of(Cost(5, 10**9, 7), 10**12) == Guarantee(5 + epsilon_micro_of_rho(10**9, 10**12), 7 + 10**12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"unit": "tenant"},
        {"vector_source": "noised"},
        {"period_epochs": 401},
        {"period_epochs": -1},
        {"keys_max": -1},
        {"keys_max": 1001},
        {"organisations_min": 0},
        {"epsilon_micro": 1},
        {"epsilon_micro": -1},
        {"epsilon_micro": 10**9 + 1},
        {"delta_atto": -1},
        {"delta_atto": 10**18},
        {"vector_epsilon_micro": -1},
        {"vector_delta_atto": 10**18},
    ],
    ids=str,
)
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TermsError):
        pool_terms(**{"unit": "question", **wrong})  # type: ignore[arg-type]
