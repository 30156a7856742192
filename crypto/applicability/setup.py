"""The public setup: what Ethereum's KZG ceremony of 2023 published, believed for its hash and for nothing else.

It took 141,416 contributions, and one of them must have been forgotten. The file lies beside this module, byte for byte as
in github.com/ethereum/c-kzg-4844 (`src/trusted_setup.txt`); an auditor can bring another copy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import Error

SETUP_SHA256: Final = "d39b9f2d047cc9dca2de58f264b6a09448ccd34db967881a6713eacacf0f26b7"
SETUP_BYTES: Final = 807_177
_FILE: Final = Path(__file__).with_name("trusted_setup.txt")
#: Lines: two counts, 4096 G1 points that are not used here, 65 powers of G2, 4096 powers of G1.
_G1_POWERS: Final = 4096
_G2_POWERS: Final = 65
_G2_FROM: Final = 2 + _G1_POWERS
_POWERS_FROM: Final = _G2_FROM + _G2_POWERS


class SetupError(Error):
    """The ceremony's file cannot be read, or is another."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Compressed points: *powers* are [1]₁, [x]₁ … [x^4095]₁, *g2* is [1]₂ and *g2_x* is [x]₂."""

    powers: tuple[bytes, ...]
    g2: bytes
    g2_x: bytes


def load_setup(path: Path | None = None) -> Setup:
    """Read the ceremony's file, this package's own unless *path* names another copy; raises `SetupError`."""
    file = _FILE if path is None else path
    try:
        with file.open("rb") as handle:
            data = handle.read(SETUP_BYTES + 1)
    except OSError as error:
        raise SetupError(f"cannot read the ceremony's file {file}: {error.strerror or error}") from None
    if hashlib.sha256(data).hexdigest() != SETUP_SHA256:
        raise SetupError(f"{file} is not the ceremony's file: its SHA-256 is another than {SETUP_SHA256}")
    lines = data.decode("ascii").split("\n")
    powers = tuple(bytes.fromhex(line) for line in lines[_POWERS_FROM : _POWERS_FROM + _G1_POWERS])
    return Setup(powers, bytes.fromhex(lines[_G2_FROM]), bytes.fromhex(lines[_G2_FROM + 1]))
