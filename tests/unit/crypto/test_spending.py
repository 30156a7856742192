from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crypto.canonical import canonical_json
from crypto.charges import charge_key, read_charge
from crypto.errors import EncodingError, VerificationError
from crypto.spending import (
    Budget,
    Cost,
    GaussianEmbedding,
    GaussianSelection,
    GaussianSum,
    LaplaceSelection,
    Period,
    Spending,
    parse_spending,
    sorted_charges,
)

SELECTION = LaplaceSelection(2_000_000, 20, 11)
CHARGES = (
    SELECTION,
    GaussianSelection(5, 1_788_000, 18),
    GaussianSum(5, 9_000_000),
    GaussianEmbedding(3, 9_000_000),
)
SPENDING = Spending(
    at_ms=1_000,
    budget=Budget(120_000_000, 10**9, 10**15),
    charges=sorted_charges(CHARGES),
    number=1,
    organisation="0f" * 16,
    period=Period(7, 900, 2_000),
    previous=None,
    release=3,
    unit="question",
)


def changed(**fields: Any) -> dict[str, Any]:
    return {**SPENDING.to_json(), **fields}


def test_each_mechanism_costs_what_its_noise_gives_away() -> None:
    assert [charge.cost() for charge in CHARGES] == [
        Cost(epsilon_micro=40_000_000, delta_atto=36_309_161_759),
        Cost(rho_nano=279_642_059, delta_atto=CHARGES[1].cost().delta_atto),
        Cost(rho_nano=277_777_778),
        Cost(rho_nano=166_666_667),
    ]
    assert 10**11 > CHARGES[1].cost().delta_atto > 0


def test_a_spending_reads_back_as_it_was_written() -> None:
    found = parse_spending(SPENDING.to_payload())
    assert found == SPENDING
    assert found.digest() == SPENDING.digest()
    assert found.stated is None
    assert found.cost == sum((charge.cost() for charge in CHARGES), Cost())
    found.verify_arithmetic()


@pytest.mark.parametrize("field", ["epsilon_micro", "rho_nano", "delta_atto"])
def test_a_sum_that_is_not_the_charges_is_read_and_refused_when_added_up(field: str) -> None:
    found = parse_spending(changed(**{field: 1}))
    assert (found == SPENDING, found.digest() == SPENDING.digest()) == (False, False)
    with pytest.raises(VerificationError) as refused:
        found.verify_arithmetic()
    assert refused.value.reason == "spending_arithmetic"


@pytest.mark.parametrize(
    "value",
    [
        changed(number=2),
        changed(previous="sha256:" + "0" * 64),
        changed(number=0),
        changed(release=0),
        changed(unit="tenant"),
        changed(at_ms=899),
        changed(charges=[]),
        changed(charges=[SELECTION.to_json(), SELECTION.to_json()]),
        changed(charges=list(reversed(SPENDING.to_json()["charges"]))),  # type: ignore[call-overload]
        changed(charges=[SELECTION.to_json() | {"mechanism": "torch_randn"}]),
        changed(charges=[SELECTION.to_json() | {"threshold": 1}]),
        changed(charges=[SELECTION.to_json() | {"epsilon_micro": 0}]),
        changed(charges=[SELECTION.to_json() | {"keys_max": 1_001}]),
        changed(period={"from_ms": 900, "number": 7, "until_ms": 900}),
        changed(budget={"epsilon_micro": 1, "rho_nano": 1}),
        changed(more=1),
    ],
)
def test_another_form_is_malformed(value: dict[str, Any]) -> None:
    with pytest.raises(VerificationError) as refused:
        parse_spending(value)
    assert refused.value.reason == "malformed"


def test_what_is_not_canonical_is_malformed() -> None:
    with pytest.raises(VerificationError):
        parse_spending(SPENDING.to_payload() + b"\n")


def test_nothing_is_written_that_would_not_be_read() -> None:
    for spending in (
        replace(SPENDING, number=2),
        replace(SPENDING, charges=tuple(reversed(SPENDING.charges))),
        replace(SPENDING, charges=(GaussianSum(1, 10**13),)),
        replace(SPENDING, charges=(GaussianSelection(1_000, 10**12, 2),)),
    ):
        with pytest.raises(EncodingError):
            spending.to_payload()


def test_charges_stand_in_the_order_of_their_canonical_json() -> None:
    written = [canonical_json(charge.to_json()) for charge in SPENDING.charges]
    assert written == sorted(written) == [charge_key(charge) for charge in SPENDING.charges]
    assert tuple(read_charge(charge.to_json()) for charge in CHARGES) == CHARGES


@pytest.mark.parametrize("over", [Cost(2, 1, 1), Cost(1, 2, 1), Cost(1, 1, 2)])
def test_each_of_the_three_sums_has_its_own_limit(over: Cost) -> None:
    assert Cost(1, 1, 1).is_within(Budget(1, 1, 1))
    assert not over.is_within(Budget(1, 1, 1))
