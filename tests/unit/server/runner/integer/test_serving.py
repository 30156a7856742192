from __future__ import annotations

import numpy as np
import pytest
import torch

from crypto.integer.reference import ReferenceModel, greedy
from crypto.integer.shape import DEMO_SHAPE
from server.runner.integer.errors import InexactBackend
from server.runner.integer.serving import ServingModel
from tests.integer_models import SMALL, demo_weights, differing_tensors, peculiar_weights, random_weights

PECULIAR = peculiar_weights(SMALL)


def random_rows(vocabulary: int, lengths: tuple[int, ...], seed: int = 4) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, vocabulary, length).tolist() for length in lengths]


@pytest.mark.parametrize("most", [6, 24, 54])
def test_every_tensor_of_the_serving_path_equals_the_reference(most: int) -> None:
    weights = random_weights(SMALL, most, most)
    rows = random_rows(SMALL.vocabulary, (1, 7, 30, 48))
    assert differing_tensors(ReferenceModel.build(SMALL, weights), ServingModel(SMALL, weights), rows) == []


@pytest.mark.parametrize("name", PECULIAR)
def test_ties_and_extremes_come_out_the_same_in_both(name: str) -> None:
    weights = PECULIAR[name]
    rows = random_rows(SMALL.vocabulary, (48, 5, 19))
    assert differing_tensors(ReferenceModel.build(SMALL, weights), ServingModel(SMALL, weights), rows) == []


def test_a_sum_of_squares_on_the_border_of_a_level_falls_on_the_same_side_in_both() -> None:
    weights = random_weights(SMALL, 12)
    weights["position"][:] = 0
    weights["embedding"][:] = 0
    weights["embedding"][1, :12] = 16  # 12 · 16² and ε make 4096, where the second level begins
    weights["embedding"][2, :15] = 32  # 15 · 32² and ε make 4 · 4096
    trace: dict[str, np.ndarray] = {}
    reference = ReferenceModel.build(SMALL, weights)
    reference.forward([1, 2], trace)
    assert trace["block.0.norm1.square"].tolist() == [4096, 4 * 4096]
    assert trace["block.0.norm1.mantissa"].tolist() == [1024, 1024]
    assert differing_tensors(reference, ServingModel(SMALL, weights), [[1, 2]]) == []


def test_the_demo_model_at_full_context_equals_the_reference() -> None:
    weights = demo_weights()
    rows = random_rows(DEMO_SHAPE.vocabulary, (DEMO_SHAPE.context, 40))
    assert differing_tensors(ReferenceModel.build(DEMO_SHAPE, weights), ServingModel(DEMO_SHAPE, weights), rows) == []


@pytest.mark.parametrize("step", [1, 5])
def test_feeding_tokens_through_the_cache_gives_the_logits_of_one_prefill(step: int) -> None:
    weights = random_weights(SMALL, 9)
    model, (row,) = ServingModel(SMALL, weights), random_rows(SMALL.vocabulary, (40,))
    cache, parts = model.new_cache(1), []
    for start in range(0, len(row), step):
        part = torch.tensor([row[start : start + step]])
        parts.append(model.forward(part, torch.arange(start, start + part.shape[1])[None], cache)[0].numpy())
    assert np.array_equal(np.concatenate(parts), ReferenceModel.build(SMALL, weights).forward(row))


def test_batched_generation_gives_each_prompt_the_answer_it_gets_alone() -> None:
    weights = random_weights(SMALL, 10)
    model, reference = ServingModel(SMALL, weights), ReferenceModel.build(SMALL, weights)
    prompts = random_rows(SMALL.vocabulary, (3, 11, 6, 45))
    batch = model.generate(prompts, 8, 0, lambda logits, row, step: logits.index(max(logits)))
    assert batch == [reference.generate(prompt, 8, 0) for prompt in prompts]
    assert len(batch[3]) == 3  # the context is full


def test_the_number_of_threads_changes_no_bit() -> None:
    weights = random_weights(SMALL, 11)
    model, (row,) = ServingModel(SMALL, weights), random_rows(SMALL.vocabulary, (48,))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(model.forward(torch.tensor([row]), torch.arange(48)[None], model.new_cache(1)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])


def test_a_tie_of_logits_goes_to_the_lowest_id() -> None:
    assert greedy(np.array([3, 9, 9, 1])) == 1


def test_reduced_precision_products_are_refused() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with pytest.raises(InexactBackend, match="highest"):
            ServingModel(SMALL, random_weights(SMALL, 1))
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_backend_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = ServingModel._requantise

    def off_by_one(self: ServingModel, total: torch.Tensor, limit: int) -> torch.Tensor:
        return exact(self, total + 64, limit)

    monkeypatch.setattr(ServingModel, "_requantise", off_by_one)
    with pytest.raises(InexactBackend, match="definition"):
        ServingModel(SMALL, random_weights(SMALL, 1))
