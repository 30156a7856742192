"""opacus' accountants against the exact closed form, as researched: RDP ≥ PRV ≥ exact − .02."""

from __future__ import annotations

import math

import pytest

from crypto.charges import Charge, GaussianEmbedding, GaussianSelection, GaussianSum, LaplaceSelection
from privacy import accountants
from privacy.accountants import report_epsilon
from privacy.errors import TermsError

# Noise multiplier, steps: exact, RDP and PRV at δ = 10^-6 as researched with opacus 1.6.
RESEARCHED = [
    (4.22, 1, 1.001, 1.079, 1.011),
    (10.0, 100, 4.887, 5.222, 4.897),
    (2.0, 100, 35.57, 37.43, 35.58),
    (0.5, 1, 11.00, 11.69, 11.01),
    (0.2, 1, 35.57, 37.43, 35.58),
]


def embeddings(multiplier: float, steps: int) -> GaussianEmbedding:
    return GaussianEmbedding(steps, round(multiplier**2 * 1e6))


@pytest.mark.parametrize(("multiplier", "steps", "exact", "rdp", "prv"), RESEARCHED)
def test_the_accountants_say_what_was_researched(
    multiplier: float, steps: int, exact: float, rdp: float, prv: float
) -> None:
    found = report_epsilon([embeddings(multiplier, steps)], 1e-6)
    assert found == pytest.approx({"rdp": rdp, "prv": prv, "exact": exact}, abs=0.006)


MIXED: dict[str, list[Charge]] = {
    "thirty sizes": [GaussianEmbedding(1, round((10.0 + number / 2) ** 2 * 1e6)) for number in range(30)],
    "two far apart": [embeddings(3.0, 1), embeddings(50.0, 1)],
    "a strict period": [GaussianSelection(5, 1_983_236, 19), GaussianSum(5, 32_147_629)] * 4,
    "a period of questions": [LaplaceSelection(2_000_000, 20, 11), GaussianSum(20, 7_819_777)] * 3,
    "noised entries": [GaussianEmbedding(3, 475_124), GaussianEmbedding(2, 7_819_777)],
}


@pytest.mark.parametrize("charges", MIXED.values(), ids=MIXED.keys())
def test_rdp_is_above_prv_and_prv_hardly_below_the_closed_form(charges: list[Charge]) -> None:
    found = report_epsilon(charges, 1e-6)
    assert found["rdp"] is not None
    assert found["prv"] is not None
    assert found["exact"] is not None
    assert found["rdp"] >= found["prv"] >= found["exact"] - 0.02


def test_each_charge_is_as_many_steps_as_it_pays() -> None:
    single = report_epsilon([embeddings(3.0, 20)], 1e-6)["exact"]
    for same in ([GaussianSum(20, 9_000_000)], [GaussianSum(10, 9_000_000)] * 2, [GaussianSelection(7, 450_000, 5)]):
        assert report_epsilon(same, 1e-6)["exact"] == pytest.approx(single)


def test_the_pure_part_is_added_to_each() -> None:
    selection = LaplaceSelection(2_000_000, 20, 11)
    alone, together = report_epsilon([embeddings(3.0, 1)], 1e-6), report_epsilon([selection, embeddings(3.0, 1)], 1e-6)
    for name, value in together.items():
        assert value == pytest.approx(40.0 + (alone[name] or math.nan))


def test_pure_charges_need_no_accountant(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> float:
        raise AssertionError("opacus was asked")

    monkeypatch.setattr(accountants, "_opacus", refuse)
    found = report_epsilon([LaplaceSelection(2_000_000, 20, 11)] * 3, 1e-6)
    assert found == {"rdp": 120.0, "prv": 120.0, "exact": 120.0}


def test_no_charges_cost_nothing() -> None:
    assert report_epsilon([], 1e-6) == {"rdp": 0.0, "prv": 0.0, "exact": 0.0}


def test_prv_is_left_out_where_it_would_take_minutes() -> None:
    found = report_epsilon([GaussianEmbedding(10_000, 475_124)], 1e-6)
    assert found["prv"] is None
    assert (found["rdp"] or 0.0) > (found["exact"] or math.inf) > 10_000


def test_the_accountant_that_under_reports_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = accountants._opacus
    monkeypatch.setattr(accountants, "_opacus", lambda name, *rest: asked.append(name) or real(name, *rest))
    report_epsilon([embeddings(4.22, 1)], 1e-6)
    assert asked == ["RDPAccountant", "PRVAccountant"]


@pytest.mark.parametrize("delta", [0.0, 1.0])
def test_a_delta_that_is_none_is_refused(delta: float) -> None:
    with pytest.raises(TermsError):
        report_epsilon([], delta)


def test_too_many_charges_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accountants, "CHARGES_MAX", 2)
    with pytest.raises(TermsError):
        report_epsilon([embeddings(3.0, 1)] * 3, 1e-6)
