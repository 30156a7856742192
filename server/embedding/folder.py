"""Reading a sentence-transformers folder: what the model is, and how its token states become one vector.

Layout (as `SentenceTransformer.save` writes it): modules.json names the steps, each with a folder: a Transformer
(config.json, tokenizer.json, *.safetensors, sentence_bert_config.json), a Pooling (config.json), maybe a Normalize.
Rows are always normalised here, as the port demands, so the last step decides nothing. Any other step is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from crypto.canonical import JsonValue
from server.embedding.errors import ModelFilesError

Pooling = Literal["mean", "cls"]

JSON_BYTES_MAX: Final = 1 << 20
TOKENIZER_BYTES_MAX: Final = 64 << 20
WEIGHT_FILES_MAX: Final = 64
#: Tokenizers without a limit of their own say 10^30; nothing an index should hold is longer than this.
TOKENS_MAX: Final = 8192


@dataclass(frozen=True, slots=True)
class SentenceModel:
    """A folder's description; *tokens_max* counts the special tokens, *pad_id* is the token that fills short rows."""

    folder: Path
    family: str
    config: dict[str, JsonValue]
    config_sha256: bytes
    tokenizer_json: bytes
    weight_files: tuple[Path, ...]
    pooling: Pooling
    tokens_max: int
    pad_id: int
    lowercases: bool
    prompt: str

    @property
    def tokenizer_sha256(self) -> bytes:
        """SHA-256 of tokenizer.json, 32 bytes."""
        return hashlib.sha256(self.tokenizer_json).digest()


def read_folder(folder: Path) -> SentenceModel:
    """Describe the model in *folder* without reading its weights.

    Raises `ModelFilesError` that names the file, and what in it has no adapter here.
    """
    if not folder.is_dir():
        raise ModelFilesError(
            f"the embedding model's folder {folder} does not exist; set the path of a folder that does"
        )
    places = _read_modules(folder)
    transformer = places["transformer"]
    config_file = transformer / "config.json"
    config_bytes = _read(config_file, JSON_BYTES_MAX)
    config = _parse_object(config_bytes, config_file)
    options = _read_object(transformer / "sentence_bert_config.json", optional=True)
    return SentenceModel(
        folder=transformer,
        family=_text(config.get("model_type")),
        config=config,
        config_sha256=hashlib.sha256(config_bytes).digest(),
        tokenizer_json=_read(transformer / "tokenizer.json", TOKENIZER_BYTES_MAX),
        weight_files=_find_weights(transformer),
        pooling=_read_pooling(places["pooling"] / "config.json"),
        tokens_max=_find_tokens_max(transformer, options, config),
        pad_id=_count(config.get("pad_token_id", 0), config_file, "pad_token_id"),
        lowercases=options.get("do_lower_case") is True,
        prompt=_read_prompt(folder / "config_sentence_transformers.json"),
    )


def _read_modules(folder: Path) -> dict[str, Path]:
    file = folder / "modules.json"
    steps = _parse(_read(file, JSON_BYTES_MAX), file)
    if not isinstance(steps, list):
        raise ModelFilesError(f"{file} is not a list of modules; save the model with SentenceTransformer.save")
    places: dict[str, Path] = {}
    for step in steps:
        kind = _text(step.get("type") if isinstance(step, dict) else None).rsplit(".", 1)[-1].lower()
        if kind not in ("transformer", "pooling", "normalize") or kind in places:
            raise ModelFilesError(
                f"{file} has a step {kind!r} that is not computed here: only one Transformer, Pooling, Normalize"
            )
        place = (folder / _text(step.get("path") if isinstance(step, dict) else None)).resolve()
        if not place.is_relative_to(folder.resolve()):
            raise ModelFilesError(f"{file} points outside its own folder, to {place}")
        places[kind] = place
    for kind in ("transformer", "pooling"):
        if kind not in places:
            raise ModelFilesError(f"{file} names no {kind} step; save the model with SentenceTransformer.save")
    return places


def _read_pooling(file: Path) -> Pooling:
    config = _read_object(file)
    named = config.get("pooling_mode")
    if named is None:
        # The layout before sentence-transformers 6: one flag per mode.
        flags = {name: value for name, value in config.items() if name.startswith("pooling_mode_") and value is True}
        modes = sorted(flags)
    else:
        modes = [_text(mode) for mode in named] if isinstance(named, list) else [_text(named)]
    if modes in (["mean"], ["pooling_mode_mean_tokens"]):
        return "mean"
    if modes in (["cls"], ["pooling_mode_cls_token"]):
        return "cls"
    raise ModelFilesError(f"{file} asks for pooling {modes}; only mean or cls, alone, are computed here")


def _read_prompt(file: Path) -> str:
    """Return the text that the model wants in front of every input when nothing else is said."""
    config = _read_object(file, optional=True)
    name = config.get("default_prompt_name")
    if name is None:
        return ""
    prompts = config.get("prompts")
    if not isinstance(prompts, dict) or not isinstance(prompts.get(_text(name)), str):
        raise ModelFilesError(f"{file} names the default prompt {name!r} but does not give its text under `prompts`")
    return _text(prompts[_text(name)])


def _find_tokens_max(folder: Path, options: dict[str, JsonValue], config: dict[str, JsonValue]) -> int:
    limits = [
        options.get("max_seq_length"),
        _read_object(folder / "tokenizer_config.json", optional=True).get("model_max_length"),
    ]
    stated = next((limit for limit in limits if isinstance(limit, int) and 2 < limit <= TOKENS_MAX), None)
    if stated is None:
        raise ModelFilesError(
            f"{folder} states no usable token limit: put `max_seq_length` (3..{TOKENS_MAX}) into sentence_bert_config.json"
        )
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and stated > positions:
        raise ModelFilesError(f"{folder} reads up to {stated} tokens but its config.json has {positions} positions")
    return stated


def _find_weights(folder: Path) -> tuple[Path, ...]:
    files = tuple(sorted(folder.glob("*.safetensors")))
    if not files:
        raise ModelFilesError(
            f"{folder} holds no *.safetensors; other weight files can run code when loaded and are not read. "
            "Save the model again with safe_serialization=True"
        )
    if len(files) > WEIGHT_FILES_MAX:
        raise ModelFilesError(f"{folder} holds {len(files)} weight files, more than {WEIGHT_FILES_MAX}")
    return files


def _read(file: Path, bytes_max: int) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(bytes_max + 1)
    except OSError as error:
        raise ModelFilesError(f"cannot read {file}: {error.strerror}") from None
    if len(content) > bytes_max:
        raise ModelFilesError(f"{file} is larger than {bytes_max} bytes")
    return content


def _read_object(file: Path, *, optional: bool = False) -> dict[str, JsonValue]:
    if optional and not file.exists():
        return {}
    return _parse_object(_read(file, JSON_BYTES_MAX), file)


def _parse_object(content: bytes, file: Path) -> dict[str, JsonValue]:
    value = _parse(content, file)
    if not isinstance(value, dict):
        raise ModelFilesError(f"{file} is not a JSON object")
    return value


def _parse(content: bytes, file: Path) -> JsonValue:
    # Not the house's strict reader: these files hold integers like 10^30 for "no limit", and nothing here is signed.
    try:
        value: JsonValue = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelFilesError(f"{file} is not JSON: {error}") from None
    return value


def _count(value: JsonValue, file: Path, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ModelFilesError(f"{file}: {name} is {value!r}, not a whole number")
    return value


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
