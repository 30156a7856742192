from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crypto.integer.bounds import FLOAT32_EXACT, check_bounds
from crypto.integer.errors import UnprovableModel
from crypto.integer.reference import ReferenceModel
from crypto.integer.shape import DEMO_SHAPE, FIELD_PRIME
from tests.integer_models import SMALL, demo_weights, random_weights


def test_the_demo_model_keeps_every_bound() -> None:
    bounds = check_bounds(DEMO_SHAPE, demo_weights())
    assert {bound.tensor for bound in bounds} >= set(DEMO_SHAPE.tensor_shapes())
    assert all(bound.bound < bound.limit <= FIELD_PRIME for bound in bounds)


@pytest.mark.parametrize("tensor", ["block.1.up", "block.0.query", "block.2.value"])
def test_a_tensor_that_can_leave_its_table_is_refused_by_name(tensor: str) -> None:
    weights = random_weights(DEMO_SHAPE, 1, 40)
    weights[tensor][:, 3] = 127
    with pytest.raises(UnprovableModel, match=tensor) as refusal:
        check_bounds(DEMO_SHAPE, weights)
    assert refusal.value.tensor == tensor
    assert refusal.value.bound >= refusal.value.limit


def test_a_weight_beyond_the_limit_is_refused_by_name() -> None:
    weights = random_weights(SMALL, 1)
    weights["output"][2, 2] = -128
    with pytest.raises(UnprovableModel, match="output"):
        check_bounds(SMALL, weights)


def test_a_context_whose_weighted_sums_are_not_exact_is_refused() -> None:
    longer = dataclasses.replace(SMALL, context=520, key_factor=1024, score_shift=16)
    with pytest.raises(UnprovableModel, match="weighted sum of values") as refusal:
        check_bounds(longer, random_weights(longer, 1))
    assert refusal.value.limit == FLOAT32_EXACT


def test_keys_that_could_collide_are_refused() -> None:
    with pytest.raises(UnprovableModel, match="position within a key"):
        check_bounds(dataclasses.replace(SMALL, key_factor=32), random_weights(SMALL, 1))


def test_no_recorded_sum_of_products_exceeds_its_bound() -> None:
    weights = random_weights(SMALL, 5, 54)
    limits = {
        bound.tensor: bound.bound for bound in check_bounds(SMALL, weights) if bound.quantity == "a sum of products"
    }
    trace: dict[str, np.ndarray] = {}
    reference = ReferenceModel.build(SMALL, weights)
    reference.forward(np.random.default_rng(1).integers(0, SMALL.vocabulary, 48).tolist(), trace)
    inputs = {"query": "norm1.out", "up": "norm2.out", "merge": "seen", "down": "active"}
    for layer in range(SMALL.layers):
        for part, source in inputs.items():
            sums = trace[f"block.{layer}.{source}"] @ reference.weights[f"block.{layer}.{part}"]
            assert np.abs(sums).max() <= limits[f"block.{layer}.{part}"]
