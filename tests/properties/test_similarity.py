from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crypto.similarity import (
    COMPONENT_MAX,
    NORM_BOUND_SQUARED,
    inner_product,
    is_matchable,
    quantise_reference,
    satisfies,
    threshold_integer,
)
from server.reuse.quantise import norms_squared, quantise

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
COMPONENTS = st.lists(st.integers(-COMPONENT_MAX, COMPONENT_MAX), min_size=4, max_size=16)


def unit_rows(seed: int, dimension: int, count: int = 4) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension))
    rows[1] = rows[0] + 0.05 * rows[1]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(0, 10_000), st.integers(1, NORM_BOUND_SQUARED))
def test_tau_is_exact(cosine: int, norm_squared: int) -> None:
    tau = threshold_integer(cosine, norm_squared)
    bound_squared = Fraction(cosine * cosine * norm_squared * NORM_BOUND_SQUARED, 10**8)
    assert tau >= 0
    assert tau * tau >= bound_squared
    assert tau == 0 or (tau - 1) ** 2 < bound_squared


@given(COMPONENTS, st.integers(-3, 3), st.integers(0, 10_000))
def test_the_inequality_is_never_looser_than_the_cosine(query: list[int], shift: int, cosine: int) -> None:
    entry = [max(-COMPONENT_MAX, min(COMPONENT_MAX, part + shift)) for part in query]
    query_norm, entry_norm = inner_product(query, query), inner_product(entry, entry)
    if not (is_matchable(query_norm) and is_matchable(entry_norm)):
        return
    if satisfies(query, entry, threshold_integer(cosine, query_norm)):
        product = inner_product(query, entry)
        assert product >= 0
        assert product * product * 10**8 >= cosine * cosine * query_norm * entry_norm


@given(st.integers(0, 9_999), st.integers(1, NORM_BOUND_SQUARED))
def test_a_tighter_cosine_never_lowers_tau(cosine: int, norm_squared: int) -> None:
    assert threshold_integer(cosine + 1, norm_squared) >= threshold_integer(cosine, norm_squared)


@given(st.lists(FINITE, min_size=1, max_size=40))
def test_numpy_quantises_as_the_reference_does(parts: list[float]) -> None:
    vector = np.array([parts], dtype=np.float32)
    assert tuple(quantise(vector)[0].tolist()) == quantise_reference(vector[0].tolist())


@given(st.sampled_from([0.125, -0.125]), st.integers(-3, 3))
def test_numpy_sends_ties_where_the_reference_does(tie: float, steps: int) -> None:
    part = np.float32(tie)
    for _ in range(abs(steps)):
        part = np.nextafter(part, np.float32(np.sign(steps)))
    assert quantise(np.array([[part]], np.float32))[0, 0] == quantise_reference([float(part)])[0]


@given(st.integers(0, 2**32 - 1), st.sampled_from([384, 768, 1024, 1536, 3072, 4096]))
def test_a_quantised_unit_vector_stays_within_the_norm_bound(seed: int, dimension: int) -> None:
    for norm_squared in norms_squared(quantise(unit_rows(seed, dimension))).tolist():
        assert is_matchable(norm_squared)


@given(st.integers(0, 2**32 - 1), st.sampled_from([384, 768, 4096]))
def test_float32_products_equal_the_integers_in_any_order(seed: int, dimension: int) -> None:
    rows = quantise(unit_rows(seed, dimension))
    order = np.random.default_rng(seed).permutation(dimension)
    exact = rows.astype(np.int64) @ rows.astype(np.int64).T
    wide = rows.astype(np.float32)
    assert (wide @ wide.T == exact).all()
    assert (wide[:, order] @ wide[:, order].T == exact).all()
    summed = np.float32(0)
    for left, right in zip(wide[0, order], wide[1, order], strict=True):
        summed = np.float32(summed + left * right)
    assert int(summed) == exact[0, 1]
