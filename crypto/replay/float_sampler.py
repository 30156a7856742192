"""Choosing the next token, in one stated way: greedy, or by temperature and nucleus from a seeded generator."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

#: Names this procedure in manifests and parameters; another procedure is another name.
SAMPLER: Final = "hitproof/float-sampler/v1"


class Sampler:
    """Chooses tokens of one answer; with *temperature* 0 the likeliest, the lowest id among equals.

    Sampling runs in float64 on the CPU with torch's generator seeded with *seed*, so the same logits give the same
    tokens whatever device computed them.
    """

    def __init__(self, temperature: Decimal, top_p: Decimal, seed: int | None) -> None:
        import torch

        self._temperature = float(temperature)
        self._top_p = float(top_p)
        self._generator = torch.Generator()
        if seed is not None:
            self._generator.manual_seed(seed)

    def choose(self, logits: Any) -> int:
        """Return a token id for *logits*, a vector over the vocabulary."""
        import torch

        scores = logits.detach().to("cpu", torch.float64)
        if self._temperature == 0:
            return int((scores == scores.max()).nonzero()[0, 0])
        probabilities = torch.softmax(scores / self._temperature, dim=-1)
        ordered, ids = torch.sort(probabilities, descending=True, stable=True)
        # A token stays while the mass before it is below top_p, so the likeliest always stays.
        kept = ordered * (torch.cumsum(ordered, dim=-1) - ordered < max(self._top_p, 1e-9))
        return int(ids[torch.multinomial(kept, 1, generator=self._generator)])
