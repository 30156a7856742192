from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from crypto.integer.errors import WeightsRefused
from crypto.integer.weights import decode_weights, encode_weights, load_pinned
from tests.integer_models import SMALL, random_weights

WEIGHTS = random_weights(SMALL, 1)
FILE = encode_weights(WEIGHTS)


def test_weights_come_back_as_they_were_written() -> None:
    found = decode_weights(FILE, SMALL)
    assert set(found) == set(WEIGHTS)
    assert all(np.array_equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


def test_other_programs_can_read_the_file(tmp_path: Path) -> None:
    from safetensors.numpy import load

    found = load(FILE)
    assert all(np.array_equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize("place", [0, 9, 200])
def test_another_header_is_refused(place: int) -> None:
    changed = bytearray(FILE)
    changed[place] ^= 1
    with pytest.raises(WeightsRefused, match="shape"):
        decode_weights(bytes(changed), SMALL)


@pytest.mark.parametrize("file", [b"", FILE[:100], FILE[:-1], FILE + b"\0"])
def test_a_file_of_another_length_is_refused(file: bytes) -> None:
    with pytest.raises(WeightsRefused, match="shape"):
        decode_weights(file, SMALL)


def test_a_value_that_int8_symmetry_excludes_is_refused() -> None:
    with pytest.raises(WeightsRefused, match=r"block\.1\.up"):
        decode_weights(encode_weights({**WEIGHTS, "block.1.up": np.full((32, 64), -128, np.int8)}), SMALL)


def test_one_changed_weight_is_refused_by_its_digest(tmp_path: Path) -> None:
    path, digest = tmp_path / "weights", hashlib.sha256(FILE).hexdigest()
    path.write_bytes(FILE)
    assert load_pinned(path, digest) == FILE
    path.write_bytes(FILE[:-1] + bytes([FILE[-1] ^ 1]))
    with pytest.raises(WeightsRefused, match="was changed"):
        load_pinned(path, digest)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsRefused, match="absent"):
        load_pinned(tmp_path / "absent", "00" * 32)
