"""The ceremony's file is believed for its hash and nothing else (case 58)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from crypto.applicability import setup as module
from crypto.applicability.arkworks import Arkworks
from crypto.applicability.setup import SETUP_BYTES, SETUP_SHA256, SetupError, load_setup
from crypto.applicability.suites import ORDER

PACKAGED = Path(module.__file__).with_name("trusted_setup.txt")


def test_the_packaged_file_is_the_ceremonys() -> None:
    data = PACKAGED.read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (SETUP_BYTES, SETUP_SHA256)


def test_powers_follow_each_other_and_begin_with_the_generators() -> None:
    setup, curve = load_setup(), Arkworks()
    assert len(setup.powers) == 4096
    # The generators of the standard: x of G1, and that of G2, each compressed.
    assert setup.powers[0].hex().startswith("97f1d3a73197d794")
    assert setup.g2.hex().startswith("93e02b6052719f60")
    g2, g2_x = curve.read_g2(setup.g2), curve.read_g2(setup.g2_x)
    for number in (0, 1, 2047, 4094):
        lower, higher = curve.read_g1(setup.powers[number]), curve.read_g1(setup.powers[number + 1])
        assert curve.is_product_one([(lower, g2_x), (curve.combine([higher], [ORDER - 1]), g2)])


def test_ones_own_copy_is_taken(tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(PACKAGED.read_bytes())
    assert load_setup(copy) == load_setup()


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\n", lambda data: b"5" + data[1:]])
def test_a_file_with_another_hash_is_refused(tmp_path: Path, change: object) -> None:
    other = tmp_path / "other.txt"
    other.write_bytes(change(PACKAGED.read_bytes()))  # type: ignore[operator]
    with pytest.raises(SetupError, match="is not the ceremony's file"):
        load_setup(other)


@pytest.mark.parametrize("name", ["missing.txt", ""])
def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="cannot read the ceremony's file"):
        load_setup(tmp_path / name)
