"""The built-in demo model behind the runner's `Engine` seam: plumbing, not wisdom.

A real transformer of 786,432 int8 weights, trained on text written for this project. It shows how answers travel
through hitproof, not what language models can do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crypto.canonical import digest_fields
from crypto.integer.errors import SettingRefused
from crypto.integer.manifest import build_manifest
from crypto.integer.sampling import SAMPLED_TOKENS_MAX, SAMPLER_ID, Sampler, share_units, temperature_sixteenths
from crypto.integer.shape import DEMO_SHAPE, ModelShape
from crypto.integer.stops import StopFilter
from crypto.integer.tables import make_tables
from crypto.integer.template import ChatTemplate, Prompt
from crypto.integer.tokenizer import END, Tokenizer
from crypto.integer.weights import Weights, decode_weights, load_pinned
from server.ports import JsonObject
from server.runner.demo.release import TOKENIZER_FILE, TOKENIZER_SHA256, WEIGHTS_FILE, WEIGHTS_SHA256
from server.runner.engine import FinishReason, Generated, GenerationRequest, Piece
from server.runner.errors import RequestInvalid

if TYPE_CHECKING:
    from server.runner.integer.serving import ServingModel

NAME: Final = "hitproof-demo"
DESCRIPTION: Final = (
    "Plumbing, not wisdom: a small integer transformer trained on text written for this project. It knows an invented "
    "tool library, small sums and a little about hitproof; to anything else it answers that it has no answer."
)


@dataclass(frozen=True, slots=True)
class _Run:
    """One generation, with everything that decides it fixed before the first token."""

    prompt: Prompt
    sampler: Sampler
    seed: str
    tokens_max: int
    stop: tuple[str, ...]

    def parameters(self) -> JsonObject:
        """Return the exact values in use."""
        return {
            "sampler": SAMPLER_ID,
            "temperature_sixteenths": self.sampler.temperature_sixteenths,
            "top_k": SAMPLED_TOKENS_MAX,
            "top_p_1024ths": self.sampler.share_units,
            "seed": self.seed,
            "tokens_max": self.tokens_max,
            "stop": list(self.stop),
            "prompt_truncated": self.prompt.truncated,
        }


class DemoEngine:
    """An `Engine` over one integer model; stateless between answers, so threads may share it."""

    def __init__(self, model: ServingModel, tokenizer: Tokenizer, template: ChatTemplate, manifest: JsonObject) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._template = template
        self._manifest = manifest

    @property
    def name(self) -> str:
        """The name clients put into `model`."""
        return NAME

    @property
    def manifest(self) -> JsonObject:
        """The model manifest; its digest is the model version."""
        return self._manifest

    def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
        """Yield one piece per token and, last, the answer. Any prompt fits: of a long one the newest tokens count.

        Raises `RequestInvalid` for an unknown role, an empty stop string, or a setting out of range.
        """
        try:
            run, stops = self._prepare(request), StopFilter(request.stop)
        except SettingRefused as error:
            raise RequestInvalid(str(error), param=error.param) from None
        decoder = self._tokenizer.stream_decoder()
        answer: list[int] = []
        shown: list[str] = []
        reason: FinishReason | None = None
        for logits in self._logits(run.prompt, answer):
            answer.append(run.sampler.choose(logits, len(answer)))
            text = stops.push(decoder.push(answer[-1]))
            if stops.stopped or answer[-1] == END:
                reason = "stop"
            elif len(answer) == run.tokens_max:
                reason = "length"
            if reason is not None and not stops.stopped:
                text += stops.finish()
            shown.append(text)
            yield Piece(answer[-1], text)
            if reason is not None:
                yield Generated("".join(shown), run.prompt.tokens, tuple(answer), reason, run.parameters())
                return

    def _prepare(self, request: GenerationRequest) -> _Run:
        prompt = self._template.render(request.turns, self._tokenizer)
        room = self._template.context - len(prompt.tokens)
        if request.tokens_max is not None and request.tokens_max < 1:
            raise RequestInvalid("an answer of less than one token was asked for", param="max_completion_tokens")
        identity = digest_fields("hitproof/sampler-request/v1", *(token.to_bytes(4, "big") for token in prompt.tokens))
        # Without a seed the answer is drawn all the same, and the same again for the same prompt.
        seed = f"derived:{identity.hex()}" if request.seed is None else str(request.seed)
        sampler = Sampler(
            temperature_sixteenths(request.temperature), share_units(request.top_p), seed.encode(), identity
        )
        return _Run(prompt, sampler, seed, min(request.tokens_max or self._template.answer_reserve, room), request.stop)

    def _logits(self, prompt: Prompt, answer: list[int]) -> Iterator[list[int]]:
        """Yield integer logits for the next token, each time after the caller has appended one to *answer*."""
        import torch

        model, length = self._model, len(prompt.tokens)
        cache = model.new_cache(1)
        tokens = torch.tensor([prompt.tokens], device=model.device)
        place = torch.arange(length, device=model.device)[None]
        last: torch.Tensor | None = torch.tensor([length - 1], device=model.device)
        while True:
            yield model.forward(tokens, place, cache, last=last)[0, 0].tolist()
            tokens = torch.tensor([[answer[-1]]], device=model.device)
            place = torch.tensor([[length + len(answer) - 1]], device=model.device)
            last = None


def load_demo_files(folder: Path | None = None) -> dict[str, bytes]:
    """Read the released weights and tokenizer. Raises `WeightsRefused` if a file is absent or was changed."""
    folder = Path(__file__).parent if folder is None else folder
    return {
        TOKENIZER_FILE: load_pinned(folder / TOKENIZER_FILE, TOKENIZER_SHA256),
        WEIGHTS_FILE: load_pinned(folder / WEIGHTS_FILE, WEIGHTS_SHA256),
    }


def load_demo_engine(folder: Path | None = None) -> DemoEngine:
    """Load the released demo model (a fraction of a second). Raises `WeightsRefused` if a file was changed."""
    return build_engine(load_demo_files(folder), DEMO_SHAPE)


def build_engine(resources: dict[str, bytes], shape: ModelShape) -> DemoEngine:
    """Build an engine from the bytes of its two files, whatever their digests."""
    from server.runner.integer.serving import ServingModel

    weights: Weights = decode_weights(resources[WEIGHTS_FILE], shape)
    tokenizer = Tokenizer.from_bytes(resources[TOKENIZER_FILE])
    template = ChatTemplate(shape.context)
    manifest = build_manifest(
        NAME,
        DESCRIPTION,
        resources=resources,
        tokenizer_file=TOKENIZER_FILE,
        template=template,
        shape=shape,
        tables=make_tables(shape),
    )
    return DemoEngine(ServingModel(shape, weights), tokenizer, template, manifest)
