"""An embedder's folder as an auditor reads it: what decides a vector, and the digests that stand for all of it.

Format: docs/formats.md, "Embedder digest"; layout: a sentence-transformers folder of one Transformer, one Pooling and
perhaps a Normalize. Files are read once, whole, so that what was hashed is what is run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..canonical import digest_fields
from ..errors import ReplayUnavailable

_JSON_BYTES_MAX: Final = 1 << 20
_TOKENIZER_BYTES_MAX: Final = 64 << 20
_WEIGHTS_BYTES_MAX: Final = 1 << 31
_WEIGHT_FILES_MAX: Final = 64
_TOKENS_MAX: Final = 8192
INDEX_NAME: Final = "model.safetensors.index.json"
_POOLINGS: Final[Mapping[tuple[str, ...], str]] = {
    ("mean",): "mean",
    ("pooling_mode_mean_tokens",): "mean",
    ("cls",): "cls",
    ("pooling_mode_cls_token",): "cls",
}


@dataclass(frozen=True, slots=True)
class SentenceFolder:
    """A sentence embedder's files; *weights* by name, *index* says which tensor lies in which of several."""

    config: bytes
    tokenizer: bytes
    weights: Mapping[str, bytes]
    index: bytes | None
    pooling: str
    tokens_max: int
    lowercases: bool
    prompt: str

    def variants(self) -> tuple[str, ...]:
        """Name the arithmetics that a gateway has for this model, the one on CPUs first."""
        config = _parse_object(self.config, "config.json")
        absolute = config.get("position_embedding_type", "absolute") == "absolute"
        if config.get("model_type") == "bert" and config.get("hidden_act") == "gelu" and absolute:
            return ("onnx-fp32", "torch-fp32")
        return ("transformers-fp32",)

    def digest(self, variant: str) -> str:
        """Return the embedder digest under *variant*, `sha256:` and hexadecimal."""
        hashes = {name: hashlib.sha256(data).digest() for name, data in self.weights.items()}
        joined = [field for name in sorted(hashes) for field in (name.encode("utf-8"), hashes[name])]
        weights = joined[1] if len(hashes) == 1 else digest_fields("hitproof/weight-files/v1", *joined)
        found = digest_fields(
            "hitproof/embedder/v1",
            variant.encode("ascii"),
            weights,
            hashlib.sha256(self.tokenizer).digest(),
            hashlib.sha256(self.config).digest(),
            self.pooling.encode("ascii"),
            str(self.tokens_max).encode("ascii"),
            b"lower" if self.lowercases else b"as-is",
            self.prompt.encode("utf-8"),
        )
        return f"sha256:{found.hex()}"


def read_sentence_folder(folder: Path) -> SentenceFolder:
    """Read *folder*, weights included; raises `ReplayUnavailable` that names the file and what is wrong with it."""
    places = _read_modules(folder)
    place = places["transformer"]
    options = _read_object(place / "sentence_bert_config.json", optional=True)
    config = _read(place / "config.json", _JSON_BYTES_MAX)
    return SentenceFolder(
        config=config,
        tokenizer=_read(place / "tokenizer.json", _TOKENIZER_BYTES_MAX),
        weights=_read_weights(place),
        index=_read(place / INDEX_NAME, _JSON_BYTES_MAX) if (place / INDEX_NAME).exists() else None,
        pooling=_read_pooling(places["pooling"] / "config.json"),
        tokens_max=_read_limit(place, options, _parse_object(config, "config.json")),
        lowercases=options.get("do_lower_case") is True,
        prompt=_read_prompt(folder / "config_sentence_transformers.json"),
    )


def _read_modules(folder: Path) -> dict[str, Path]:
    steps = _parse(_read(folder / "modules.json", _JSON_BYTES_MAX), "modules.json")
    places: dict[str, Path] = {}
    for step in steps if isinstance(steps, list) else []:
        kind, path = (step.get("type"), step.get("path")) if isinstance(step, dict) else (None, None)
        name = kind.rpartition(".")[2].lower() if isinstance(kind, str) else ""
        if name not in ("transformer", "pooling", "normalize") or name in places or not isinstance(path, str):
            raise ReplayUnavailable(f"modules.json has a step {name!r} that is not computed here")
        places[name] = (folder / path).resolve()
        if not places[name].is_relative_to(folder.resolve()):
            raise ReplayUnavailable("modules.json points outside its folder")
    if not {"transformer", "pooling"} <= set(places):
        raise ReplayUnavailable("modules.json names no Transformer or no Pooling")
    return places


def _read_weights(place: Path) -> dict[str, bytes]:
    files = sorted(place.glob("*.safetensors"))
    if not 0 < len(files) <= _WEIGHT_FILES_MAX:
        raise ReplayUnavailable(f"{place} does not hold 1 to {_WEIGHT_FILES_MAX} files *.safetensors")
    return {file.name: _read(file, _WEIGHTS_BYTES_MAX) for file in files}


def _read_pooling(file: Path) -> str:
    config = _read_object(file)
    named = config.get("pooling_mode")
    if named is None:
        modes = tuple(sorted(name for name in config if name.startswith("pooling_mode_") and config[name] is True))
    else:
        modes = tuple(map(str, named)) if isinstance(named, list) else (str(named),)
    if modes not in _POOLINGS:
        raise ReplayUnavailable(f"the pooling {', '.join(modes)[:64]!r} is not computed here")
    return _POOLINGS[modes]


def _read_limit(place: Path, options: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    own = _read_object(place / "tokenizer_config.json", optional=True).get("model_max_length")
    for limit in (options.get("max_seq_length"), own):
        if isinstance(limit, int) and 2 < limit <= _TOKENS_MAX:
            positions = config.get("max_position_embeddings")
            if isinstance(positions, int) and limit > positions:
                raise ReplayUnavailable(f"the folder reads {limit} tokens and its model has {positions} positions")
            return limit
    raise ReplayUnavailable("the folder states no usable token limit")


def _read_prompt(file: Path) -> str:
    config = _read_object(file, optional=True)
    name = config.get("default_prompt_name")
    if name is None:
        return ""
    prompts = config.get("prompts")
    prompt = prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else None
    if not isinstance(prompt, str):
        raise ReplayUnavailable("the default prompt has no text")
    return prompt


def _read(file: Path, bytes_max: int) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(bytes_max + 1)
    except OSError as error:
        raise ReplayUnavailable(f"the embedder's file {file} cannot be read: {error.strerror}") from None
    if len(content) > bytes_max:
        raise ReplayUnavailable(f"the embedder's file {file} is larger than {bytes_max} bytes")
    return content


def _read_object(file: Path, *, optional: bool = False) -> dict[str, Any]:
    if optional and not file.exists():
        return {}
    return _parse_object(_read(file, _JSON_BYTES_MAX), file.name)


def _parse_object(content: bytes, name: str) -> dict[str, Any]:
    value = _parse(content, name)
    if not isinstance(value, dict):
        raise ReplayUnavailable(f"the embedder's file {name} is not a JSON object")
    return value


def _parse(content: bytes, name: str) -> Any:
    # Not the strict reader of proofs: such files say 10^30 for "no limit", and their digest is what counts.
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ReplayUnavailable(f"the embedder's file {name} is not JSON") from None
