"""How far the logits of one run over a whole answer are from those of single steps with a cache, by number format.

    python -m tests.bench.replay_margin

Models with random weights, large enough that their logits spread as those of trained models do. What is printed is
the largest difference of a logit, as a share of the largest logit of its place: the unit of the margins in
`crypto/replay/transformers.py`. Steps run on one thread and the whole run on all, with the other kind of attention.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from crypto.replay.transformers import MARGINS

PROMPT, ANSWER, ANSWERS = 48, 64, 8
VOCABULARY = 2_000
#: 1 / √width, which keeps the size of activations from layer to layer, as trained weights do.
SPREAD = 1 / 16


@dataclass(frozen=True, slots=True)
class Found:
    """One answer: the largest difference of any logit, of the chosen one to the best, and gaps to the second best."""

    any_logit: float
    choice: float
    moved: int
    seconds: tuple[float, ...]


def build(kind: str, seed: int) -> Any:
    """A model of *kind* with random weights drawn from *seed*."""
    import torch
    import transformers

    torch.manual_seed(seed)
    if kind == "gpt2":
        config: Any = transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=256,
            n_embd=256,
            n_layer=8,
            n_head=4,
            bos_token_id=0,
            eos_token_id=0,
            initializer_range=SPREAD,
        )
        return transformers.GPT2LMHeadModel(config)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=8,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=SPREAD,
    )
    return transformers.LlamaForCausalLM(config)


def differences(model: Any, seed: int) -> Found:
    """Answer greedily in steps, run over the whole, and compare: all shares of the largest logit of their place."""
    import torch

    torch.manual_seed(seed)
    tokens = torch.randint(1, VOCABULARY, (1, PROMPT))
    threads = torch.get_num_threads()
    steps, step, cache = [], tokens, None
    torch.set_num_threads(1)
    model.set_attn_implementation("sdpa")
    with torch.inference_mode():
        for _ in range(ANSWER):
            found = model(input_ids=step, past_key_values=cache, use_cache=True)
            cache = found.past_key_values
            steps.append(found.logits[0, -1].double())
            step = steps[-1].argmax().reshape(1, 1)
            tokens = torch.cat([tokens, step], 1)
        torch.set_num_threads(threads)
        model.set_attn_implementation("eager")
        whole = model(input_ids=tokens[:, :-1], use_cache=False).logits[0, PROMPT - 1 :].double()
    stepped = torch.stack(steps)
    largest = whole.abs().amax(1)
    best, second = whole.topk(2).values.unbind(1)
    chosen = whole.gather(1, stepped.argmax(1, keepdim=True))[:, 0]
    return Found(
        any_logit=float(((stepped - whole).abs().amax(1) / largest).max()),
        choice=float(((best - chosen) / largest).max()),
        moved=int((best != chosen).sum()),
        seconds=tuple(((best - second) / largest).tolist()),
    )


def main() -> None:
    """Print one line per kind of model and number format."""
    import torch

    for kind, dtype in itertools.product(("gpt2", "llama"), MARGINS):
        model = build(kind, 1).to(getattr(torch, dtype)).eval()
        found = [differences(model, seed) for seed in range(ANSWERS)]
        seconds = [gap for one in found for gap in one.seconds]
        print(
            f"{kind:6s} {dtype:9s} any logit {max(one.any_logit for one in found):.2e}"
            f"  the choice {max(one.choice for one in found):.2e} ({sum(one.moved for one in found)} of {len(seconds)})"
            f"  margin {MARGINS[dtype]:.2e}, within it the second best token in"
            f" {sum(gap <= MARGINS[dtype] for gap in seconds) / len(seconds):.1%}"
        )


if __name__ == "__main__":
    main()
