"""Choosing the next token, in one stated way: greedy, or by temperature and nucleus from a seeded generator."""

from __future__ import annotations

from collections.abc import Sequence
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
        return self._choose(_scores(logits), self._top_p)

    def choose_within(self, logits: Any, token: int, margins: Sequence[float]) -> float | None:
        """Draw as `choose` and say how far *logits* are from giving *token*: 0.0 for not at all.

        Otherwise the first of *margins* by which its logit must rise for the same draw to give it, and None if none
        is enough. The edge of top_p moves with the margin: raising logits by d moves a mass by at most d / 4.
        """
        scores = _scores(logits)
        before = self._generator.get_state()
        if self._choose(scores, self._top_p) == token:
            return 0.0
        after = self._generator.get_state()
        found = next((margin for margin in margins if self._gives(scores, token, margin, before)), None)
        self._generator.set_state(after)
        return found

    def _gives(self, scores: Any, token: int, margin: float, state: Any) -> bool:
        raised = scores.clone()
        raised[token] += margin
        edge = margin / 4 / self._temperature if self._temperature else 0.0
        for top_p in (self._top_p, self._top_p - edge, self._top_p + edge):
            self._generator.set_state(state)
            if self._choose(raised, top_p) == token:
                return True
        return False

    def _choose(self, scores: Any, top_p: float) -> int:
        import torch

        if self._temperature == 0:
            return int((scores == scores.max()).nonzero()[0, 0])
        probabilities = torch.softmax(scores / self._temperature, dim=-1)
        ordered, ids = torch.sort(probabilities, descending=True, stable=True)
        # A token stays while the mass before it is below top_p, so the likeliest always stays.
        kept = ordered * (torch.cumsum(ordered, dim=-1) - ordered < max(top_p, 1e-9))
        return int(ids[torch.multinomial(kept, 1, generator=self._generator)])


def _scores(logits: Any) -> Any:
    import torch

    return logits.detach().to("cpu", torch.float64)
