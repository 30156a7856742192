"""A Hugging Face causal language model from a local folder, run by torch one token at a time.

Nothing is fetched, no code of the folder runs, and weights are read from safetensors alone. torch and transformers are
imported when an engine is loaded, never before.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from crypto.replay.chat import PLAIN_TEMPLATE, decode_tokens, end_tokens, read_prompt
from crypto.replay.float_sampler import SAMPLER, Sampler
from crypto.replay.loading import load_folder
from crypto.replay.pieces import IncrementalDecoder, StopScanner
from server.ports import JsonObject, RandomSource
from server.runner.engine import Engine, FinishReason, Generated, GenerationRequest, Piece, Turn
from server.runner.errors import ModelFolderError, RequestInvalid, RequestTooLong
from server.runner.huggingface_manifest import build_manifest
from server.runner.manifest_files import hash_folder, refuse_changed

TOKENS_DEFAULT: Final = 512


def load_huggingface_engine(
    folder: Path, *, device: str, name: str, random_source: RandomSource, dtype: str = "auto"
) -> Engine:
    """Load the model in *folder* to *device* (a torch device such as `cpu` or `cuda:0`), to be asked for as *name*.

    *dtype* is a torch dtype's name or `auto` for the one the weights have. Raises `ModelFolderError`.
    """
    import torch
    import transformers

    files = hash_folder(folder)
    tokenizer, model = _read_folder(folder, dtype)
    model = model.to(torch.device(device)).eval()
    # Hashed before and unchanged after: the digests are those of the bytes that were loaded.
    refuse_changed(folder, files)
    manifest = build_manifest(
        name,
        files,
        config=model.config,
        template=tokenizer.chat_template,
        tokenizer_kind=type(tokenizer).__name__,
        runtime={
            "engine": "transformers",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "tokenizers": _version_of("tokenizers"),
            "device": torch.device(device).type,
            "machine": platform.machine(),
            "dtype": str(model.dtype).removeprefix("torch."),
            "attention": str(getattr(model.config, "_attn_implementation", None)),
            "sampler": SAMPLER,
        },
        plain_template=PLAIN_TEMPLATE,
    )
    return HuggingFaceEngine(name, manifest, model, tokenizer, random_source)


def _read_folder(folder: Path, dtype: str) -> tuple[Any, Any]:
    import safetensors

    try:
        tokenizer, model, missing = load_folder(folder, dtype)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, safetensors.SafetensorError) as error:
        raise ModelFolderError(f"{folder} is not a model that transformers can load: {_first_line(error)}") from error
    # A model with weights drawn at random is one that no manifest describes.
    if missing:
        raise ModelFolderError(f"the weights in {folder} lack {len(missing)} tensors, the first being {missing[0]}")
    return tokenizer, model


@dataclass(frozen=True, slots=True)
class _Plan:
    """A request with every choice made, as it will be stated."""

    prompt_token_ids: tuple[int, ...]
    tokens_max: int
    temperature: Decimal
    top_p: Decimal
    seed: int | None
    stop: tuple[str, ...]

    def parameters(self) -> JsonObject:
        return {
            "tokens_max": self.tokens_max,
            "temperature": format(self.temperature.normalize(), "f"),
            "top_p": format(self.top_p.normalize(), "f"),
            "seed": self.seed,
            "stop": list(self.stop),
            "sampler": SAMPLER,
        }


class HuggingFaceEngine:
    """A loaded model with its tokenizer; greedy unless the model's own defaults or the request say otherwise."""

    def __init__(
        self, name: str, manifest: JsonObject, model: Any, tokenizer: Any, random_source: RandomSource
    ) -> None:
        self._name = name
        self._manifest = manifest
        self._model = model
        self._tokenizer = tokenizer
        self._random_source = random_source
        self._window = _window_of(model.config)
        self._ends = end_tokens(model, tokenizer)

    @property
    def name(self) -> str:
        """The name clients put into `model`."""
        return self._name

    @property
    def manifest(self) -> JsonObject:
        """The manifest of the folder as it was loaded."""
        return self._manifest

    def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
        """Yield pieces and last the whole; the token that ends the answer is among the output token ids."""
        plan = self._plan(request)
        decoder = IncrementalDecoder(self._decode)
        scanner = StopScanner(plan.stop)
        texts: list[str] = []
        token_ids: list[int] = []
        finish: FinishReason | None = None
        for token_id in self._tokens(plan):
            token_ids.append(token_id)
            is_end = token_id in self._ends
            text = scanner.feed("" if is_end else decoder.add(token_id))
            if is_end or scanner.is_stopped:
                finish = "stop"
            elif len(token_ids) == plan.tokens_max:
                finish = "length"
            if finish is not None and not scanner.is_stopped:
                text += scanner.feed(decoder.flush())
                finish = "stop" if scanner.is_stopped else finish
                text += "" if scanner.is_stopped else scanner.flush()
            texts.append(text)
            yield Piece(token_id, text)
            if finish is not None:
                break
        yield Generated("".join(texts), plan.prompt_token_ids, tuple(token_ids), finish or "length", plan.parameters())

    def _plan(self, request: GenerationRequest) -> _Plan:
        prompt, stops = self._prompt(request.turns)
        room = self._window - len(prompt)
        if room < 1:
            raise RequestTooLong(len(prompt) + 1, self._window)
        defaults = self._model.generation_config
        sampled = bool(getattr(defaults, "do_sample", False))
        temperature, top_p = request.temperature, request.top_p
        if temperature is None:
            temperature = _decimal_of(getattr(defaults, "temperature", None)) if sampled else Decimal(0)
        if top_p is None:
            top_p = _decimal_of(getattr(defaults, "top_p", None)) if sampled else Decimal(1)
        seed = request.seed
        if temperature == 0:
            seed = None
        elif seed is None:
            seed = int.from_bytes(self._random_source.token_bytes(6), "big")
        tokens_max = min(room, request.tokens_max or TOKENS_DEFAULT)
        return _Plan(prompt, tokens_max, temperature, top_p, seed, request.stop + stops)

    def _prompt(self, turns: Sequence[Turn]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        import jinja2

        try:
            token_ids, stops = read_prompt(self._tokenizer, turns)
        except (jinja2.TemplateError, ValueError) as error:
            raise RequestInvalid(
                f"the model's chat template refuses these messages: {_first_line(error)}", param="messages"
            ) from None
        if not token_ids:
            raise RequestInvalid("the messages make no token; write some text", param="messages")
        return token_ids, stops

    def _decode(self, token_ids: Sequence[int]) -> str:
        return decode_tokens(self._tokenizer, token_ids)

    def _tokens(self, plan: _Plan) -> Iterator[int]:
        """Yield tokens without end but the window's; each step feeds the last token to the kept key-value cache."""
        import torch

        sampler = Sampler(plan.temperature, plan.top_p, plan.seed)
        cache: Any = None
        step = torch.tensor([plan.prompt_token_ids], device=self._model.device)
        for _ in range(plan.tokens_max):
            # Entered anew for each step: a mode held across a yield would leak into whatever runs in between.
            with torch.inference_mode():
                output = self._model(input_ids=step, past_key_values=cache, use_cache=True)
                cache = output.past_key_values
                token_id = sampler.choose(output.logits[0, -1])
                step = torch.tensor([[token_id]], device=self._model.device)
            yield token_id


def _window_of(config: Any) -> int:
    window = getattr(config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(window, int) or window < 2:
        raise ModelFolderError("the model's config.json does not say how many positions it has")
    return window


def _decimal_of(value: float | None) -> Decimal:
    return Decimal(1) if value is None else Decimal(repr(value))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _version_of(package: str) -> str:
    from importlib.metadata import version

    return version(package)
