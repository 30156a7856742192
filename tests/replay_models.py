"""Answers to replay: of the built-in demo model, and of tiny Hugging Face models with random weights made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from server.runner.demo.engine import load_demo_engine, load_demo_files
from server.runner.engine import Engine, Generated, GenerationRequest, Turn
from server.runner.huggingface import load_huggingface_engine
from tests.runner_fakes import FakeRandom

QUESTION: Sequence[Mapping[str, str]] = ({"role": "user", "content": "What is a receipt?"},)


@dataclass(frozen=True)
class Answered:
    """One answer of an engine, with everything that a replay is given."""

    manifest: Mapping[str, Any]
    folder: Path
    generated: Generated
    messages: Sequence[Any]

    @property
    def opened(self) -> dict[str, Any]:
        """The keyword arguments of `replay`."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.generated.text},
            "finish_reason": self.generated.finish_reason,
        }
        return {
            "prompt_tokens": list(self.generated.prompt_token_ids),
            "output_tokens": list(self.generated.output_token_ids),
            "parameters": dict(self.generated.parameters),
            "messages": list(self.messages),
            "choices": [choice],
        }


def answer(
    engine: Engine,
    folder: Path,
    *,
    messages: Sequence[Mapping[str, str]] = QUESTION,
    tokens_max: int | None = None,
    temperature: str | None = None,
    top_p: str | None = None,
    seed: int | None = None,
    stop: tuple[str, ...] = (),
) -> Answered:
    """Let *engine* answer *messages*."""
    request = GenerationRequest(
        tuple(Turn(message["role"], message["content"]) for message in messages),
        tokens_max,
        None if temperature is None else Decimal(temperature),
        None if top_p is None else Decimal(top_p),
        seed,
        stop,
    )
    *_, generated = engine.generate(request)
    assert isinstance(generated, Generated)
    return Answered(engine.manifest, folder, generated, messages)


def demo_folder(folder: Path) -> Path:
    """Write the demo model's two files to *folder*."""
    folder.mkdir(exist_ok=True)
    for name, data in load_demo_files().items():
        (folder / name).write_bytes(data)
    return folder


def demo_engine() -> Engine:
    """The built-in model."""
    return load_demo_engine()


def huggingface_folder(folder: Path, *, template: str | None = None, seed: int = 20, dtype: str = "float32") -> Path:
    """Write a two-layer GPT-2 over bytes, 128 wide and with weights drawn from *seed*, to *folder*."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir(exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<end>": 0} | {letter: place for place, letter in enumerate(alphabet, start=1)}
    words = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=len(vocabulary),
        n_positions=160,
        n_embd=128,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.1,
    )
    transformers.GPT2LMHeadModel(config).to(getattr(torch, dtype)).save_pretrained(folder)
    return folder


def huggingface_engine(folder: Path) -> Engine:
    """The runner's engine over *folder*."""
    return load_huggingface_engine(folder, device="cpu", name="tiny", random_source=FakeRandom())
