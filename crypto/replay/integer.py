"""Replay of integer models: the definition runs once over prompt and answer, and every token must be the choice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..canonical import canonical_json, digest_fields
from ..errors import Error, ReplayUnavailable
from ..evidence import ReplayOutcome
from ..model_folder import read_model_files
from .opened import (
    Answer,
    failed,
    read_integer,
    read_stops,
    read_turns,
    verify_choices,
    verify_parameters,
    verify_tokens,
)

if TYPE_CHECKING:
    from ..integer.reference import ReferenceModel
    from ..integer.sampling import Sampler
    from ..integer.template import ChatTemplate
    from ..integer.tokenizer import Tokenizer

_RUNTIME: Final = "hitproof-integer"
_KEYS: Final = frozenset(
    {
        "sampler",
        "temperature_sixteenths",
        "top_k",
        "top_p_1024ths",
        "seed",
        "tokens_max",
        "stop",
        "prompt_truncated",
    }
)
_SIZE_MAX: Final = 1 << 16
_LAYERS_MAX: Final = 64
_FILES: Final = 2
_DERIVED: Final = "derived:"
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,19})")
#: What a manifest may say besides what its files make of it.
_FREE: Final = frozenset({"name", "description", "weight_commitments"})


class IntegerVerifier:
    """Replays models of runtime `hitproof-integer`; keeps the last model, so that many answers load it once."""

    name: Final = "integer replay"

    def __init__(self) -> None:
        self._kept: tuple[tuple[bytes, Path], _Model] | None = None

    def supports(self, manifest: Mapping[str, Any]) -> bool:
        """Say whether *manifest* names the integer runtime."""
        runtime = manifest.get("runtime")
        return isinstance(runtime, Mapping) and runtime.get("kind") == _RUNTIME

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
    ) -> ReplayOutcome:
        """Check one answer, exactly. Raises `VerificationError` (`replay_failed`) and `ReplayUnavailable`."""
        model = self._model(manifest, folder)
        shape = model.reference.shape
        verify_tokens(prompt_tokens, output_tokens, vocabulary=shape.vocabulary, context=shape.context)
        run = _read_run(prompt_tokens, parameters, shape.context)
        if messages is not None:
            _verify_prompt(model, run, prompt_tokens, messages)
        _verify_choice(model.reference, run.sampler, prompt_tokens, output_tokens)
        answer = _read_answer(model.tokenizer, run, output_tokens)
        if choices is not None:
            verify_choices(choices, answer)
        return ReplayOutcome(len(output_tokens), True, "none: integer arithmetic is exact")

    def _model(self, manifest: Mapping[str, Any], folder: Path) -> _Model:
        key = (canonical_json(manifest), folder)
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, _load(manifest, folder))
        return self._kept[1]


@dataclass(frozen=True, slots=True)
class _Model:
    reference: ReferenceModel
    tokenizer: Tokenizer
    template: ChatTemplate


@dataclass(frozen=True, slots=True)
class _Run:
    """The parameters of one answer."""

    sampler: Sampler
    tokens_max: int
    stops: tuple[str, ...]
    truncated: bool


def _load(manifest: Mapping[str, Any], folder: Path) -> _Model:
    """Read the files and rebuild the manifest from them: what it says of the arithmetic is what runs here."""
    try:
        from ..integer.bounds import check_bounds
        from ..integer.manifest import build_manifest
        from ..integer.reference import ReferenceModel
        from ..integer.shape import ModelShape
        from ..integer.template import ChatTemplate
        from ..integer.tokenizer import Tokenizer
        from ..integer.weights import FILE_BYTES_MAX, decode_weights
    except ImportError as error:
        raise ReplayUnavailable(f"replay needs numpy, which is not installed here ({error.name})") from None
    files = read_model_files(manifest, folder, 2 * FILE_BYTES_MAX)
    tokenizer_file, weights_file = _roles(manifest, files)
    try:
        shape = ModelShape(**_sizes(manifest))
        weights = decode_weights(files[weights_file], shape)
        check_bounds(shape, weights)
        tokenizer, template = Tokenizer.from_bytes(files[tokenizer_file]), ChatTemplate(shape.context)
    except Error as error:
        raise failed(f"the model's files cannot be used: {error}") from None
    if tokenizer.vocabulary > shape.vocabulary:
        raise failed("the tokenizer has tokens that the model does not know")
    reference = ReferenceModel.build(shape, weights)
    rebuilt = build_manifest(
        manifest["name"],
        str(manifest.get("description")),
        resources=files,
        tokenizer_file=tokenizer_file,
        template=template,
        shape=shape,
        tables=reference.tables,
    )
    differing = sorted(key for key in rebuilt.keys() - _FREE if rebuilt[key] != manifest[key])
    if differing:
        raise failed(f"the manifest's {', '.join(differing)} are not those of its files and of this arithmetic")
    return _Model(reference, tokenizer, template)


def _roles(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> tuple[str, str]:
    """Return the names of the tokenizer's file, which the manifest gives by digest, and of the weights' file."""
    tokenizer = manifest["tokenizer"]
    digest = tokenizer.get("sha256") if isinstance(tokenizer, Mapping) else None
    found = [resource["name"] for resource in manifest["resources"] if resource["sha256"] == digest]
    if len(found) != 1 or len(files) != _FILES:
        raise failed("an integer model has two files, its tokenizer and its weights")
    return found[0], next(name for name in files if name != found[0])


def _sizes(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Return the six sizes; every other integer is the arithmetic's own, and compared when the manifest is rebuilt."""
    config = manifest["config"]
    names = {"width", "hidden", "layers", "heads", "context", "vocabulary"}
    if not isinstance(config, Mapping) or set(config) != names:
        raise failed("the manifest's config does not hold the sizes of an integer model")
    sizes = {name: read_integer(config, name, 1, _SIZE_MAX) for name in sorted(names)}
    if sizes["layers"] > _LAYERS_MAX or sizes["width"] % sizes["heads"]:
        raise failed("the manifest's sizes are not those of an integer model")
    weights = sizes["width"] * (
        2 * sizes["vocabulary"] + sizes["context"] + sizes["layers"] * (4 * sizes["width"] + 2 * sizes["hidden"])
    )
    # A size that the files cannot have must not make us reserve memory for it.
    if weights > sum(resource["size_bytes"] for resource in manifest["resources"]):
        raise failed("the manifest's sizes are larger than its files")
    return sizes


def _read_run(prompt: Sequence[int], parameters: Mapping[str, Any], context: int) -> _Run:
    from ..integer.sampling import (
        SAMPLED_TOKENS_MAX,
        SAMPLER_ID,
        SHARE_UNIT,
        TEMPERATURE_MAX,
        TEMPERATURE_UNIT,
        Sampler,
    )

    verify_parameters(parameters, _KEYS)
    if parameters["sampler"] != SAMPLER_ID or parameters["top_k"] != SAMPLED_TOKENS_MAX:
        raise failed("the statement names another sampler than the model's")
    identity = digest_fields("hitproof/sampler-request/v1", *(token.to_bytes(4, "big") for token in prompt))
    seed, truncated = parameters["seed"], parameters["prompt_truncated"]
    if not isinstance(seed, str) or not (seed == _DERIVED + identity.hex() or _NUMBER.fullmatch(seed)):
        raise failed("the seed is neither a number nor the one that follows from the prompt")
    if not isinstance(truncated, bool):
        raise failed("the parameter prompt_truncated is neither true nor false")
    return _Run(
        Sampler(
            read_integer(parameters, "temperature_sixteenths", 0, int(TEMPERATURE_MAX) * TEMPERATURE_UNIT),
            read_integer(parameters, "top_p_1024ths", 1, SHARE_UNIT),
            seed.encode(),
            identity,
        ),
        read_integer(parameters, "tokens_max", 1, context - len(prompt)),
        read_stops(parameters),
        truncated,
    )


def _verify_prompt(model: _Model, run: _Run, prompt: Sequence[int], messages: Sequence[Any]) -> None:
    made = model.template.render(read_turns(messages), model.tokenizer)
    if made.tokens != tuple(prompt):
        raise failed("the prompt's tokens are not what the template makes of the messages")
    if made.truncated != run.truncated:
        raise failed("the statement is wrong about whether older messages were left out", expected=made.truncated)


def _verify_choice(model: ReferenceModel, sampler: Sampler, prompt: Sequence[int], output: Sequence[int]) -> None:
    logits = model.forward([*prompt, *output[:-1]])[len(prompt) - 1 :]
    for step, token in enumerate(output):
        chosen = sampler.choose(logits[step].tolist(), step)
        if chosen != token:
            raise failed(f"the model does not choose token {step} of the answer", expected=chosen, actual=token)


def _read_answer(tokenizer: Tokenizer, run: _Run, output: Sequence[int]) -> Answer:
    """Return what *output* says; it must end where the model had to end, neither before nor behind."""
    from ..integer.stops import StopFilter
    from ..integer.tokenizer import END

    decoder, stops = tokenizer.stream_decoder(), StopFilter(run.stops)
    shown: list[str] = []
    reason = None
    for count, token in enumerate(output, 1):
        if reason is not None:
            raise failed("the answer goes on behind its end")
        if token >= tokenizer.vocabulary:
            raise failed(f"token {count - 1} of the answer has no text")
        shown.append(stops.push(decoder.push(token)))
        if stops.stopped or token == END:
            reason = "stop"
        elif count == run.tokens_max:
            reason = "length"
    if reason is None:
        raise failed("the answer was cut before its end")
    if not stops.stopped:
        shown.append(stops.finish())
    return Answer("".join(shown), reason)


VERIFIER: Final = IntegerVerifier()
