"""BLS12-381 from arkworks, a library in Rust, with what its Python binding lets pass refused here.

* It reads infinity from encodings that are not its own (48 bytes of 0xff, say), so every point is encoded again and
  compared, and the identity is refused by itself: no honest commitment or proof holds it.
* Given lists of unequal length it multiplies the shorter one and leaves the rest out, so lengths are compared.
* It offers decompression without the check for the subgroup, which is used nowhere in the verifier.

The last two are why nothing else in this package may import the library.
"""

from __future__ import annotations

from collections.abc import Sequence

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from ..errors import EncodingError
from .encoding import POINT_BYTES, encode_scalar

POINT2_BYTES = 2 * POINT_BYTES


class Arkworks:
    """A `Curve`; has no state."""

    def read_g1(self, data: bytes) -> G1Point:
        """Decompress 48 bytes; raises `EncodingError`."""
        if len(data) != POINT_BYTES:
            raise EncodingError(f"a point of G1 has {POINT_BYTES} bytes, not {len(data)}")
        try:
            point = G1Point.from_compressed_bytes(data)
        except ValueError:
            raise EncodingError("the bytes are no point of G1, or not in its canonical form") from None
        if bytes(point.to_compressed_bytes()) != data:
            raise EncodingError("a point of G1 is not in its canonical encoding")
        if point == G1Point.identity():
            raise EncodingError("a point of G1 is the identity")
        return point

    def read_g2(self, data: bytes) -> G2Point:
        """Decompress 96 bytes; raises `EncodingError`."""
        if len(data) != POINT2_BYTES:
            raise EncodingError(f"a point of G2 has {POINT2_BYTES} bytes, not {len(data)}")
        try:
            point = G2Point.from_compressed_bytes(data)
        except ValueError:
            raise EncodingError("the bytes are no point of G2, or not in its canonical form") from None
        if bytes(point.to_compressed_bytes()) != data:
            raise EncodingError("a point of G2 is not in its canonical encoding")
        if point == G2Point.identity():
            raise EncodingError("a point of G2 is the identity")
        return point

    def combine(self, points: Sequence[G1Point], scalars: Sequence[int]) -> G1Point:
        """Return Σ scalar · point; raises `EncodingError` for lists of unequal length and scalars out of range."""
        if len(points) != len(scalars):
            raise EncodingError(f"{len(points)} points cannot be multiplied by {len(scalars)} scalars")
        if not points:
            return G1Point.identity()
        return G1Point.multiexp_unchecked(
            list(points), [Scalar.from_be_bytes(encode_scalar(scalar)) for scalar in scalars]
        )

    def is_product_one(self, pairs: Sequence[tuple[G1Point, G2Point]]) -> bool:
        """Say whether the pairings of all *pairs* multiply to one."""
        return GT.pairing_check([first for first, _ in pairs], [second for _, second in pairs])
