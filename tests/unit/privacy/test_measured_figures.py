"""What the product ships as measured cannot be better than what is possible."""

from __future__ import annotations

import math

from privacy.measured import load_reidentification


def test_figures_are_shipped_from_no_protection_to_none_lost() -> None:
    rows = load_reidentification()
    assert len(rows) >= 8 and all(row.dictionary == 10_000 for row in rows)
    assert rows[0].reidentified < 0.01 and rows[-1].reidentified > 0.9


def test_no_shipped_figure_passes_the_bound_of_every_mechanism() -> None:
    """One entry of N comes first with a chance of at most e^ε / N, δ apart."""
    for row in load_reidentification():
        bound = min(1.0, math.exp(min(row.epsilon_milli / 1000, 50.0)) / row.dictionary)
        assert row.found <= bound + 3 * math.sqrt(bound / 1000) + 0.005
        assert row.reidentified <= bound + 3 * math.sqrt(bound / row.dictionary) + 0.005


def test_a_dictionary_finds_more_than_an_honest_question_does_wherever_it_finds_anything() -> None:
    for row in load_reidentification():
        assert row.reidentified >= row.found or row.found < 0.02
