"""The bytes of both proofs: points first, then scalars, nothing else. Points are not decompressed here.

Format: docs/formats.md, "Well-formedness proof" and "Applicability proof".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..errors import EncodingError
from .suites import ORDER

POINT_BYTES: Final = 48
SCALAR_BYTES: Final = 32


def encode_scalar(value: int) -> bytes:
    """Return *value*, which lies in 0 … r − 1, in 32 bytes; raises `EncodingError` for any other."""
    if not 0 <= value < ORDER:
        raise EncodingError("a scalar does not lie between 0 and the order of the group")
    return value.to_bytes(SCALAR_BYTES, "big")


def decode_scalar(data: bytes) -> int:
    """Read a scalar; raises `EncodingError` for another length and for r or more."""
    if len(data) != SCALAR_BYTES:
        raise EncodingError(f"a scalar has {SCALAR_BYTES} bytes, not {len(data)}")
    value = int.from_bytes(data, "big")
    if value >= ORDER:
        raise EncodingError("a scalar is not below the order of the group")
    return value


@dataclass(frozen=True, slots=True)
class ApplicabilityProof:
    """The parts of an applicability proof: compressed points, and the values that polynomials take at ζ and wζ."""

    s: bytes
    b: bytes
    z: bytes
    t: bytes
    w1: bytes
    w2: bytes
    e_value: int
    b_value: int
    z_value: int
    z_next: int

    def encode(self) -> bytes:
        """Return the 416 bytes."""
        return _join(
            (self.s, self.b, self.z, self.t, self.w1, self.w2),
            (self.e_value, self.b_value, self.z_value, self.z_next),
        )

    @classmethod
    def parse(cls, data: bytes) -> ApplicabilityProof:
        """Read 416 bytes; raises `EncodingError` for another length and for scalars out of range."""
        (s, b, z, t, w1, w2), (e_value, b_value, z_value, z_next) = _split(data, 6, 4)
        return cls(s, b, z, t, w1, w2, e_value, b_value, z_value, z_next)


@dataclass(frozen=True, slots=True)
class WellFormednessProof:
    """The parts of a well-formedness proof: compressed points, and the values that polynomials take at ζ and wζ."""

    b: bytes
    m: bytes
    h: bytes
    z: bytes
    t0: bytes
    t1: bytes
    w1: bytes
    w2: bytes
    e_value: int
    b_value: int
    m_value: int
    h_value: int
    z_value: int
    z_next: int

    def encode(self) -> bytes:
        """Return the 576 bytes."""
        return _join(
            (self.b, self.m, self.h, self.z, self.t0, self.t1, self.w1, self.w2),
            (self.e_value, self.b_value, self.m_value, self.h_value, self.z_value, self.z_next),
        )

    @classmethod
    def parse(cls, data: bytes) -> WellFormednessProof:
        """Read 576 bytes; raises `EncodingError` for another length and for scalars out of range."""
        (b, m, h, z, t0, t1, w1, w2), (e_value, b_value, m_value, h_value, z_value, z_next) = _split(data, 8, 6)
        return cls(b, m, h, z, t0, t1, w1, w2, e_value, b_value, m_value, h_value, z_value, z_next)


APPLICABILITY_BYTES: Final = 6 * POINT_BYTES + 4 * SCALAR_BYTES
WELL_FORMEDNESS_BYTES: Final = 8 * POINT_BYTES + 6 * SCALAR_BYTES


def _join(points: tuple[bytes, ...], scalars: tuple[int, ...]) -> bytes:
    if any(len(point) != POINT_BYTES for point in points):
        raise EncodingError(f"a compressed point has {POINT_BYTES} bytes")
    return b"".join(points) + b"".join(encode_scalar(scalar) for scalar in scalars)


def _split(data: bytes, points: int, scalars: int) -> tuple[list[bytes], list[int]]:
    length, start = points * POINT_BYTES + scalars * SCALAR_BYTES, points * POINT_BYTES
    if len(data) != length:
        raise EncodingError(f"the proof has {len(data)} bytes, not {length}")
    return (
        [data[at : at + POINT_BYTES] for at in range(0, start, POINT_BYTES)],
        [decode_scalar(data[at : at + SCALAR_BYTES]) for at in range(start, length, SCALAR_BYTES)],
    )
