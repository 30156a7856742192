"""Reads from the file of Ethereum's KZG ceremony the points that a verifier needs: three, or powers of G1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .errors import NotInForm
from .hashing import sha256

#: The only file that counts: whoever knew the secret of another could prove anything.
SHA256 = "d39b9f2d047cc9dca2de58f264b6a09448ccd34db967881a6713eacacf0f26b7"
G1_COUNT, G2_COUNT = 4096, 65
#: The copy that comes with the distribution.
FILE = Path(__file__).parents[1] / "applicability" / "trusted_setup.txt"


@dataclass(frozen=True, slots=True)
class Ceremony:
    """[1] of G1, and [1] and [x] of G2, compressed; x is the secret that nobody knows."""

    g1: bytes
    g2: bytes
    g2_x: bytes


def load_ceremony(path: Path = FILE) -> Ceremony:
    """The ceremony in a file; raises NotInForm for any other file, and OSError where there is none."""
    return read_ceremony(path.read_bytes())


def load_powers(count: int, path: Path = FILE) -> list[bytes]:
    """[1], [x], [x²] … of G1, compressed, so many of them; raises NotInForm for another file, or more than it has."""
    lines = _lines(path.read_bytes())[2 + G1_COUNT + G2_COUNT :]
    if count > len(lines):
        raise NotInForm("more powers than the ceremony has")
    return [bytes.fromhex(line) for line in lines[:count]]


def read_ceremony(data: bytes) -> Ceremony:
    """The ceremony in these bytes; raises NotInForm unless they are the file that we know."""
    lines = _lines(data)
    in_g2 = 2 + G1_COUNT
    in_g1 = in_g2 + G2_COUNT
    if not all(re.fullmatch(r"[0-9a-f]+", line) for line in (lines[in_g1], lines[in_g2], lines[in_g2 + 1])):
        raise NotInForm("a point that is not hexadecimal")
    return Ceremony(bytes.fromhex(lines[in_g1]), bytes.fromhex(lines[in_g2]), bytes.fromhex(lines[in_g2 + 1]))


def _lines(data: bytes) -> list[str]:
    """The words of the file: two numbers, points that we do not use, the powers of G2, then those of G1."""
    if sha256(data).hex() != SHA256:
        raise NotInForm("not the file of the ceremony")
    lines = data.decode("ascii").split()
    if lines[:2] != [str(G1_COUNT), str(G2_COUNT)] or len(lines) != 2 + G1_COUNT + G2_COUNT + G1_COUNT:
        raise NotInForm("not as many points as the ceremony has")
    return lines
