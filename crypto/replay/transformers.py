"""Replay of Hugging Face models: one run over prompt and answer, and every token within a stated margin of the choice.

Floats are not exact across machines, so a token passes where its logit is less than a margin below the one that the
sampler needed: the margin is a share of the largest logit of its place, by the model's number format (docs: replay).
A seeded draw is drawn again from the recomputed logits; the generator's numbers do not depend on them.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..canonical import canonical_json
from ..errors import ReplayUnavailable
from ..evidence import ReplayOutcome
from ..model_folder import verify_model_folder, verify_unchanged
from ..toploc import ToplocEvidence
from .chat import PLAIN_STOP, PLAIN_TEMPLATE, decode_tokens, end_tokens, read_prompt
from .float_parameters import FloatParameters, read_float_parameters
from .float_sampler import SAMPLER, Sampler
from .loading import load_folder
from .opened import Answer, failed, read_turns, verify_choices, verify_tokens
from .pieces import IncrementalDecoder, StopScanner
from .toploc_runs import points_of_runs

#: What the chosen logit may lie below the best one, as a share of the largest logit of its place: at least twice what
#: `tests/bench/replay_margin.py` finds between steps with a cache and one whole run, in each format.
MARGINS: Final[Mapping[str, float]] = {"float32": 2.0**-14, "float16": 2.0**-7, "bfloat16": 2.0**-4}
#: Noise moves few choices (there: under 7 in 100), whoever looks for another token within the margin many.
MOVED_MAX: Final = 2
MOVED_ONE_IN: Final = 8
#: Shares of the margin that are tried in turn, so that a report can say how near a token came.
_STEPS: Final = (1 / 64, 1 / 16, 1 / 4, 1.0)


class TransformersVerifier:
    """Replays models of engine `transformers`; keeps the last model, so that many answers load it once."""

    name: Final = "transformers replay"

    def __init__(self) -> None:
        self._kept: tuple[tuple[bytes, Path], _Model] | None = None

    def supports(self, manifest: Mapping[str, Any]) -> bool:
        """Say whether *manifest* names the engine `transformers`."""
        runtime = manifest.get("runtime")
        return isinstance(runtime, Mapping) and runtime.get("engine") == "transformers"

    def replay(
        self,
        manifest: Mapping[str, Any],
        folder: Path,
        *,
        prompt_tokens: Sequence[int],
        output_tokens: Sequence[int],
        parameters: Mapping[str, Any],
        messages: Sequence[Any] | None = None,
        choices: Sequence[Any] | None = None,
        toploc: ToplocEvidence | None = None,
    ) -> ReplayOutcome:
        """Check one answer. Raises `VerificationError` (`replay_failed`) and `ReplayUnavailable`."""
        model = self._model(manifest, folder)
        verify_tokens(prompt_tokens, output_tokens, vocabulary=model.vocabulary, context=model.window)
        settings = read_float_parameters(parameters, tokens_max=model.window - len(prompt_tokens))
        if settings.temperature and model.sampling_differs is not None:
            raise ReplayUnavailable(f"a seeded draw cannot be drawn again here: {model.sampling_differs}")
        if messages is not None:
            _verify_prompt(model, settings, prompt_tokens, messages)
        answer = _read_answer(model, settings, output_tokens)
        if choices is not None:
            verify_choices(choices, answer)
        logits, hidden = _run(model, prompt_tokens, output_tokens, toploc is not None)
        if toploc is not None:
            toploc.verify(points_of_runs(hidden, len(prompt_tokens), len(output_tokens)))
        return _verify_choice(model, settings, logits, output_tokens)

    def _model(self, manifest: Mapping[str, Any], folder: Path) -> _Model:
        key = (canonical_json(manifest), folder)
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, _load(manifest, folder))
        return self._kept[1]


@dataclass(frozen=True, slots=True)
class _Model:
    """A loaded model; *sampling_differs* says why seeded draws come out otherwise on this machine, or is None."""

    network: Any
    tokenizer: Any
    ends: frozenset[int]
    vocabulary: int
    window: int
    margin: float
    sampling_differs: str | None


def _load(manifest: Mapping[str, Any], folder: Path) -> _Model:
    try:
        import torch
        import transformers  # noqa: F401 - imported by what follows; here to say what is missing
    except ImportError as error:
        raise ReplayUnavailable(f"replay needs hitproof-verify[replay], which is not here ({error.name})") from None
    runtime = manifest["runtime"]
    dtype, attention = runtime.get("dtype"), runtime.get("attention")
    if dtype not in MARGINS or runtime.get("sampler") != SAMPLER:
        raise ReplayUnavailable(f"no margin is known for dtype {dtype!r} and sampler {runtime.get('sampler')!r}")
    with _only_files_of(manifest, folder) as staged:
        try:
            tokenizer, network, missing = load_folder(staged, dtype, attention if isinstance(attention, str) else None)
        except Exception as error:
            raise ReplayUnavailable(f"transformers cannot load the folder: {type(error).__name__}") from error
    if missing:
        raise failed(f"the weights lack {len(missing)} tensors, the first being {missing[0]}")
    _verify_template(manifest, tokenizer)
    device = "cuda" if runtime.get("device") == "cuda" and torch.cuda.is_available() else "cpu"
    network = network.to(device).eval()
    config = network.config.get_text_config()
    window = getattr(config, "max_position_embeddings", None)
    if not isinstance(window, int):
        raise ReplayUnavailable("the model's config.json does not say how many positions it has")
    return _Model(
        network,
        tokenizer,
        end_tokens(network, tokenizer),
        config.vocab_size,
        window,
        MARGINS[dtype],
        _sampling_differs(runtime, torch.__version__),
    )


@contextmanager
def _only_files_of(manifest: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Yield a folder with nothing in it but the manifest's files, so that the libraries find no other."""
    files = verify_model_folder(manifest, folder)
    with tempfile.TemporaryDirectory() as staged:
        for file in files:
            place = Path(staged, file.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(file.path.resolve())
        yield Path(staged)
        verify_unchanged(files)


def _verify_template(manifest: Mapping[str, Any], tokenizer: Any) -> None:
    import hashlib

    template = tokenizer.chat_template
    stated = manifest["chat_template"]
    if template is None:
        found = {"source": PLAIN_TEMPLATE, "sha256": None}
    else:
        found = {"source": "model", "sha256": hashlib.sha256(str(template).encode()).hexdigest()}
    if stated != found:
        raise failed("the manifest's chat template is not that of its files", expected=stated, actual=found)


def _sampling_differs(runtime: Mapping[str, Any], torch_version: str) -> str | None:
    for name, here in (("torch", torch_version.partition("+")[0]), ("machine", platform.machine())):
        stated = str(runtime.get(name)).partition("+")[0]
        if stated != here:
            return f"the runner's {name} is {stated[:64]}, this one is {here}"
    return None


def _verify_prompt(model: _Model, settings: FloatParameters, prompt: Sequence[int], messages: Sequence[Any]) -> None:
    import jinja2

    try:
        made, stops = read_prompt(model.tokenizer, read_turns(messages))
    except (jinja2.TemplateError, ValueError):
        raise failed("the model's chat template refuses the opened messages") from None
    if made != tuple(prompt):
        raise failed("the prompt's tokens are not what the template makes of the messages")
    if not set(stops) <= set(settings.stops):
        raise failed("the statement leaves out a stop text of the template")


def _read_answer(model: _Model, settings: FloatParameters, output: Sequence[int]) -> Answer:
    """Return what *output* says; it must end where the model had to end, neither before nor behind."""
    if model.tokenizer.chat_template is None and PLAIN_STOP not in settings.stops:
        raise failed("the statement leaves out a stop text of the template")
    decoder = IncrementalDecoder(lambda tokens: decode_tokens(model.tokenizer, tokens))
    scanner = StopScanner(settings.stops)
    shown: list[str] = []
    reason = None
    for count, token in enumerate(output, 1):
        if reason is not None:
            raise failed("the answer goes on behind its end")
        is_end = token in model.ends
        shown.append(scanner.feed("" if is_end else decoder.add(token)))
        if is_end or scanner.is_stopped:
            reason = "stop"
        elif count == settings.tokens_max:
            reason = "length"
    if reason is None:
        raise failed("the answer was cut before its end")
    if not scanner.is_stopped:
        shown.append(scanner.feed(decoder.flush()))
        reason = "stop" if scanner.is_stopped else reason
        shown.append("" if scanner.is_stopped else scanner.flush())
    return Answer("".join(shown), reason)


def _run(model: _Model, prompt: Sequence[int], output: Sequence[int], with_hidden: bool) -> tuple[Any, Any]:
    """Return the logits (answer tokens, vocabulary) of one run, and its last hidden states where asked for."""
    import torch

    tokens = torch.tensor([[*prompt, *output[:-1]]], device=model.network.device)
    try:
        with torch.inference_mode():
            found = model.network(input_ids=tokens, use_cache=False, output_hidden_states=with_hidden)
    except (RuntimeError, MemoryError) as error:
        raise ReplayUnavailable(f"the model cannot be run here: {type(error).__name__}") from error
    logits = found.logits[0, len(prompt) - 1 :].to("cpu", torch.float64)
    if not bool(torch.isfinite(logits).all()):
        raise failed("the model's logits are not finite")
    return logits, found.hidden_states[-1][0].cpu() if with_hidden else None


def _verify_choice(model: _Model, settings: FloatParameters, logits: Any, output: Sequence[int]) -> ReplayOutcome:
    sampler = Sampler(settings.temperature, settings.top_p, settings.seed)
    exact, farthest = 0, 0.0
    for step, token in enumerate(output):
        allowed = model.margin * float(logits[step].abs().max())
        distance = sampler.choose_within(logits[step], token, [share * allowed for share in _STEPS])
        if distance is None:
            raise failed(f"token {step} of the answer is not within {allowed:.6f} of the model's choice", actual=token)
        exact += distance == 0
        farthest = max(farthest, distance / allowed) if distance else farthest
    moved_max = MOVED_MAX + len(output) // MOVED_ONE_IN
    if len(output) - exact > moved_max:
        raise failed("too many tokens are only near the model's choice", expected=moved_max, actual=len(output) - exact)
    return ReplayOutcome(len(output), exact == len(output), _words(len(output), exact, farthest, model.margin))


def _words(tokens: int, exact: int, farthest: float, margin: float) -> str:
    text = f"{exact} of {tokens} tokens are exactly the choice; allowed: {margin:.6f} of the largest logit"
    return text if exact == tokens else text + f"; needed: at most {farthest * margin:.6f}"


VERIFIER: Final = TransformersVerifier()
