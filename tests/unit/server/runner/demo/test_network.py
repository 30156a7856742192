from __future__ import annotations

import numpy as np
import torch

from crypto.integer.bounds import check_bounds
from crypto.integer.reference import ReferenceModel
from server.runner.demo.network import Network
from tests.integer_models import SMALL

TOKENS = np.random.default_rng(1).integers(0, SMALL.vocabulary, 40)


def logits_of(network: Network, tokens: np.ndarray) -> torch.Tensor:
    length = len(tokens)
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)[None, None]
    wanted = torch.ones(1, length, dtype=torch.bool)
    return network(torch.from_numpy(tokens)[None], torch.arange(length)[None], hidden, wanted)


def test_training_sees_the_logits_that_the_integer_model_computes() -> None:
    network = Network(SMALL, seed=1, distances=(1, 5))
    with torch.no_grad():
        seen = (logits_of(network, TOKENS) * SMALL.logit_unit).numpy()
    reference = ReferenceModel.build(SMALL, network.export()).forward(TOKENS.tolist())
    # training rounds a few ties, roots and exponentials in float32; it must not drift away from the integers
    assert np.abs(seen - reference).mean() < 0.05 * np.abs(reference).mean()
    assert (seen.argmax(1) == reference.argmax(1)).mean() > 0.7


def test_exported_weights_keep_all_bounds() -> None:
    assert check_bounds(SMALL, Network(SMALL, seed=2, distances=(1, 5)).export())


def test_a_head_that_is_to_look_back_does_so_from_the_start() -> None:
    network = Network(SMALL, seed=3, distances=(1, 5))
    trace: dict[str, np.ndarray] = {}
    ReferenceModel.build(SMALL, network.export()).forward(TOKENS.tolist(), trace)
    best = trace["block.0.best"]
    for head, distance in enumerate((1, 5)):
        rows = np.arange(distance, len(TOKENS))
        assert (best[head, distance:] == rows - distance).mean() > 0.75


def test_every_parameter_receives_a_gradient() -> None:
    network = Network(SMALL, seed=4)
    logits = logits_of(network, TOKENS)
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(TOKENS)).backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_training_goes_on_from_exactly_the_exported_weights() -> None:
    first, second = Network(SMALL, seed=5).export(), Network(SMALL, seed=6)
    second.restore(first)
    found = second.export()
    assert all(np.array_equal(found[name], first[name]) for name in first)
