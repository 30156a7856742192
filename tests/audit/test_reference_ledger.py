"""The second implementation's arithmetic of privacy: proved bounds, published figures, and no charge that takes long."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import time
from fractions import Fraction
from typing import Any

import pytest

from crypto.charges import GaussianSelection, LaplaceSelection
from crypto.reference import privacy_cost
from crypto.reference.bounds import Arithmetic, Between
from crypto.reference.errors import NotInForm
from crypto.reference.hashing import inclusion_root, leaf_hash, node_hash, sha256
from crypto.reference.ledger_documents import MECHANISMS, NUMBERS, Amount, Charge, read_release, read_spending

NUMBERS_256 = Arithmetic(256)
#: π and e to sixty digits behind the point, from Abramowitz and Stegun, table 1.1, and OEIS A000796, A001113.
PI = Fraction("3.141592653589793238462643383279502884197169399375105820974944")
E = Fraction("2.718281828459045235360287471352662497757247093699959574966967")
COST_S_MAX = 1.0


def holds(found: Between, number: Fraction, within: Fraction = Fraction(1, 10**60)) -> bool:
    """Say whether the bounds hold *number*, which is known to *within*, and lie close together."""
    low, high = Fraction(found.low, 1 << 256), Fraction(found.high, 1 << 256)
    return low - within <= number <= high + within and high - low < Fraction(1, 10**70)


# Bounds


def test_pi_lies_between_its_bounds() -> None:
    assert holds(NUMBERS_256.pi(), PI)


@pytest.mark.parametrize("power", range(8))
def test_powers_of_e_lie_between_their_bounds(power: int) -> None:
    assert holds(NUMBERS_256.exp_minus(Fraction(power)), 1 / E**power)


def test_an_exponential_too_small_to_be_told_from_zero_stays_above_it() -> None:
    assert NUMBERS_256.exp_minus(Fraction(10**7)) == Between(0, 1)
    assert NUMBERS_256.exp_minus(Fraction(256)).high == 1


def test_bounds_of_an_exponential_hold_every_finer_one() -> None:
    chance = random.Random(1)
    for _ in range(200):
        exponent = Fraction(chance.randrange(10**9), chance.randrange(1, 10**8))
        rough, fine = Arithmetic(64).exp_minus(exponent), Arithmetic(320).exp_minus(exponent)
        assert rough.low << 256 <= fine.low <= fine.high <= rough.high << 256


def test_a_root_and_a_quotient_hold_what_is_known() -> None:
    two = NUMBERS_256.of(Fraction(2))
    root = NUMBERS_256.root(two)
    assert root.low**2 <= 2 << 512 <= root.high**2
    assert holds(NUMBERS_256.over(NUMBERS_256.of(Fraction(1)), NUMBERS_256.of(Fraction(3))), Fraction(1, 3))


# Tails


def test_the_laplace_tail_at_the_default_terms() -> None:
    """ε = 2, T = 11: e^-20 / (1 + e^-2) = 1.8154580878…e-9, at C places C times that."""
    assert privacy_cost.cost(Charge("laplace_selection", (2_000_000, 1, 11))) == Amount(2_000_000, 0, 1_815_458_088)
    assert privacy_cost.cost(Charge("laplace_selection", (2_000_000, 20, 11))).delta_atto == 36_309_161_759


def test_the_gaussian_tail_at_a_known_value() -> None:
    """σ = 1: (e^-4.5 + e^-8 + e^-12.5 + …) / (1 + 2e^-0.5 + 2e^-2 + …) is 4.567e-3; ρ = 1/2."""
    found = privacy_cost.cost(Charge("gaussian_selection", (1, 1_000_000, 4)))
    terms = [math.exp(-x * x / 2) for x in range(-12, 13)]
    assert found.rho_nano == 500_000_000
    assert found.delta_atto / 10**18 == pytest.approx(math.fsum(terms[15:]) / math.fsum(terms), rel=1e-12)


@pytest.mark.parametrize("sigma", [0.3, 0.9, 1.0, 1.1, 3.0, 12.5])
def test_gaussian_tails_are_those_that_floating_point_adds_up(sigma: float) -> None:
    variance = Fraction(sigma) ** 2
    terms = {x: math.exp(-x * x / (2 * sigma**2)) for x in range(-400, 401)}
    whole = math.fsum(terms.values())
    for least in (1, 2, 5, 20):
        found = privacy_cost.gaussian_tail(variance, least)(NUMBERS_256)
        expected = math.fsum(term for x, term in terms.items() if x >= least) / whole
        assert found.low / 2**256 == pytest.approx(expected, rel=1e-9, abs=1e-30)
        assert found.high - found.low < 1 << 128


def test_both_sums_of_a_discrete_gaussian_are_the_same_number() -> None:
    """Poisson's formula is used from σ² = 1 on; the sum itself must be met where it would still be summed."""
    for variance in (Fraction(1), Fraction(5, 4)):
        poisson = privacy_cost._whole(NUMBERS_256, variance)
        summed = sum(
            Fraction(NUMBERS_256.exp_minus(x * x / (2 * variance)).low, 1 << 256) for x in range(-25, 26)
        )  # fmt: skip
        assert abs(Fraction(poisson.low, 1 << 256) - summed) < Fraction(1, 10**60)


def test_a_tail_that_nothing_can_show_still_costs_one() -> None:
    """No noise is without a tail, so δ is never stated as zero."""
    assert privacy_cost.cost(Charge("laplace_selection", (10**9, 1, 10_000))).delta_atto == 1
    assert privacy_cost.cost(Charge("gaussian_selection", (1, 1, 10_000))).delta_atto == 1


def test_rho_is_rounded_up_from_the_exact_fraction() -> None:
    assert privacy_cost.cost(Charge("gaussian_sum", (20, 25_000_000))) == Amount(0, 400_000_000, 0)
    assert privacy_cost.cost(Charge("gaussian_embedding", (1, 3_000_000))).rho_nano == 166_666_667
    assert privacy_cost.cost(Charge("gaussian_embedding", (1, 10**12))).rho_nano == 500


def test_bounds_that_never_decide_are_refused() -> None:
    with pytest.raises(NotInForm):
        privacy_cost._rounded_up(1, lambda numbers: Between(numbers.of(Fraction(2)).low - 1, (2 << numbers.bits) + 1))


@pytest.mark.parametrize("seed", range(4))
def test_both_implementations_charge_the_same(seed: int, campaign: bool) -> None:
    """One adds up decimals, the other draws bounds together; what they agree on is no habit of either."""
    chance = random.Random(seed)
    for _ in range(5_000 if campaign else 60):
        keys, threshold = chance.choice([1, 5, 20, 1_000]), chance.choice([2, 3, 11, 40, chance.randrange(2, 10_001)])
        epsilon, multiplier = int(10 ** chance.uniform(0, 9)), int(10 ** chance.uniform(0, 12))
        for one, numbers in (
            (LaplaceSelection(epsilon, keys, threshold), (epsilon, keys, threshold)),
            (GaussianSelection(keys, multiplier, threshold), (keys, multiplier, threshold)),
        ):
            first = one.cost()
            second = privacy_cost.cost(Charge(str(one.to_json()["mechanism"]), numbers))
            assert (first.epsilon_micro, first.rho_nano, first.delta_atto) == (
                second.epsilon_micro, second.rho_nano, second.delta_atto
            ), one  # fmt: skip


@pytest.mark.alone
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_no_charge_in_form_takes_long_to_work_out(mechanism: str) -> None:
    """At every corner of what a charge may state."""
    for numbers in itertools.product(*(NUMBERS[name] for name in MECHANISMS[mechanism])):
        before_s = time.process_time()
        privacy_cost.cost(Charge(mechanism, numbers))
        assert time.process_time() - before_s < COST_S_MAX, numbers


# Paths


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13])
def test_the_path_of_every_leaf_leads_to_the_root(size: int) -> None:
    hashes = [leaf_hash(bytes([number])) for number in range(size)]
    for position in range(size):
        path, root = _path_and_root(position, hashes)
        assert inclusion_root(position, size, hashes[position], path) == root
        for other in (p for p in range(size) if p != position):
            with contextlib.suppress(NotInForm):
                assert inclusion_root(other, size, hashes[position], path) != root


def _path_and_root(position: int, hashes: list[bytes]) -> tuple[list[bytes], bytes]:
    """PATH and MTH of RFC 6962, section 2.1."""
    if len(hashes) == 1:
        return [], hashes[0]
    middle = 1 << (len(hashes) - 1).bit_length() - 1
    left, right = hashes[:middle], hashes[middle:]
    if position < middle:
        path, inside = _path_and_root(position, left)
        outside = _path_and_root(0, right)[1]
        return [*path, outside], node_hash(inside, outside)
    path, inside = _path_and_root(position - middle, right)
    outside = _path_and_root(0, left)[1]
    return [*path, outside], node_hash(outside, inside)


def test_a_path_of_another_length_or_a_place_outside_the_tree_is_refused() -> None:
    hashes = [sha256(bytes([number])) for number in range(3)]
    path, _ = _path_and_root(1, hashes)
    for position, size, given in ((1, 3, path[:-1]), (1, 3, [*path, path[0]]), (3, 3, path), (0, 0, []), (0, 1, path)):
        with pytest.raises(NotInForm):
            inclusion_root(position, size, hashes[1], given)


# Forms

CHARGE: dict[str, Any] = {"mechanism": "gaussian_sum", "keys_max": 20, "multiplier_squared_micro": 25_000_000}
SPENDING: dict[str, Any] = {
    "schema": "hitproof/spending/v1", "at_ms": 5, "budget": {"delta_atto": 0, "epsilon_micro": 0, "rho_nano": 10**9},
    "charges": [CHARGE], "delta_atto": 0, "epsilon_micro": 0, "rho_nano": 400_000_000, "number": 1,
    "organisation": "0" * 32, "period": {"from_ms": 5, "number": 0, "until_ms": 6}, "previous": None, "release": 1,
    "unit": "question",
}  # fmt: skip
RELEASE: dict[str, Any] = {
    "schema": "hitproof/release/v1", "at_ms": 5, "epoch": 0, "items": {"count": 1, "root": "0" * 64},
    "ledger": {"count": 1, "root": "0" * 64}, "mode": "pooled", "number": 1, "organisations": 50, "previous": None,
    "state": "released", "unit": "question", "vector_source": "dp_mean",
}  # fmt: skip
DIGEST = "sha256:" + "0" * 64


def test_the_documents_that_are_broken_below_are_read_when_they_are_whole() -> None:
    assert read_spending(SPENDING).stated == Amount(0, 400_000_000, 0)
    assert read_release(RELEASE).ledger == (1, bytes(32))


@pytest.mark.parametrize(
    "change",
    [
        {"charges": []},
        {"charges": [CHARGE, CHARGE]},
        {"charges": [{**CHARGE, "keys_max": 21}, CHARGE]},
        {"charges": [{**CHARGE, "keys_max": 20 + number} for number in range(9)]},
        {"charges": [{**CHARGE, "keys_max": 0}]},
        {"charges": [{**CHARGE, "keys_max": 1_001}]},
        {"charges": [{**CHARGE, "multiplier_squared_micro": 10**12 + 1}]},
        {"charges": [{**CHARGE, "threshold": 11}]},
        {"charges": [{**CHARGE, "mechanism": "uniform"}]},
        {"charges": [{"mechanism": "laplace_selection", "epsilon_micro": 1, "keys_max": 1, "threshold": 1}]},
        {"previous": DIGEST},
        {"number": 2},
        {"number": 0},
        {"release": 0},
        {"period": {"from_ms": 6, "number": 0, "until_ms": 7}},
        {"period": {"from_ms": 5, "number": 0, "until_ms": 5}},
        {"unit": "tenant"},
        {"budget": {"delta_atto": 0, "epsilon_micro": 0, "rho_nano": -1}},
        {"note": ""},
    ],
    ids=str,
)
def test_a_spending_out_of_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(NotInForm):
        read_spending({**SPENDING, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "noised"},
        {"unit": "entry"},
        {"vector_source": "noised"},
        {"mode": "noised", "unit": "entry"},
        {"state": "void"},
        {"state": "pending"},
        {"previous": DIGEST},
        {"number": 2},
        {"ledger": {"count": 1}},
        {"organisations": -1},
    ],
    ids=str,
)
def test_a_release_out_of_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(NotInForm):
        read_release({**RELEASE, **change})


def test_a_void_release_has_no_items() -> None:
    assert read_release({**RELEASE, "state": "void", "items": {"count": 0, "root": sha256(b"").hex()}}).state == "void"
