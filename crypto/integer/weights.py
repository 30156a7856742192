"""Weights in a file: the safetensors layout, int8 only, written canonically and read without trusting a byte of it.

Layout: 8 bytes of header length (little endian), a JSON header padded with spaces to a multiple of 8, then the tensors
in the order of their names, row by row, without gaps. There is exactly one such file for one set of weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ..canonical import canonical_json
from .errors import WeightsRefused
from .shape import ModelShape

Int8Array: TypeAlias = npt.NDArray[np.int8]
Weights: TypeAlias = Mapping[str, Int8Array]

FILE_BYTES_MAX: Final = 64 * 2**20


def encode_weights(weights: Weights) -> bytes:
    """Return the one file that holds *weights*."""
    header: dict[str, dict[str, str | list[int]]] = {}
    offset = 0
    for name in sorted(weights):
        size = weights[name].size
        header[name] = {"dtype": "I8", "shape": list(weights[name].shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = canonical_json(header)
    text += b" " * (-len(text) % 8)
    body = b"".join(np.ascontiguousarray(weights[name]).tobytes() for name in sorted(weights))
    return len(text).to_bytes(8, "little") + text + body


def decode_weights(data: bytes, shape: ModelShape) -> dict[str, Int8Array]:
    """Read the weights of a model of *shape*. Raises `WeightsRefused` for any other byte than `encode_weights` writes.

    The names, shapes and offsets are not believed but expected: they follow from *shape*.
    """
    expected = {name: np.zeros(dimensions, np.int8) for name, dimensions in shape.tensor_shapes().items()}
    frame = encode_weights(expected)
    body = sum(array.size for array in expected.values())
    start = len(frame) - body
    if len(data) != len(frame) or data[:start] != frame[:start]:
        raise WeightsRefused("the weights file does not hold the tensors of this model's shape")
    weights: dict[str, Int8Array] = {}
    for name, array in expected.items():
        tensor = np.frombuffer(data, np.int8, array.size, start).reshape(array.shape)
        if int(np.abs(tensor.astype(np.int16)).max()) > shape.weight_limit:
            raise WeightsRefused(f"the weights file holds a value beyond ±{shape.weight_limit} in {name!r}")
        weights[name] = tensor
        start += array.size
    return weights


def load_pinned(path: Path, sha256: str) -> bytes:
    """Read a file and require its SHA-256 (64 hexadecimal digits). Raises `WeightsRefused`."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise WeightsRefused(f"the model file {path.name!r} cannot be read: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise WeightsRefused(f"the model file {path.name!r} is larger than {FILE_BYTES_MAX} bytes")
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise WeightsRefused(f"the model file {path.name!r} was changed: its SHA-256 is {actual}, expected {sha256}")
    return data
