"""Which receipts a sample looks at: drawn from the log's root and a nonce that came after it."""

from __future__ import annotations

import hashlib

from ..errors import VerificationError
from ..report import SampleResult

NONCE_BYTES = 32


def draw_sample(root: bytes, nonce: bytes, count: int, wanted: int) -> frozenset[int]:
    """Return *wanted* different places below *count*: SHA-256(root ‖ nonce ‖ i in 8 bytes) mod *count*, for i = 0, 1, ….

    All places where *wanted* is no smaller than *count*. For a share of nearly all, most draws repeat: the places that
    are still missing after 64 draws for each one wanted are then taken in order.
    """
    if wanted >= count:
        return frozenset(range(count))
    places: set[int] = set()
    draw = 0
    while len(places) < wanted and draw < 64 * wanted:
        digest = hashlib.sha256(root + nonce + draw.to_bytes(8, "big")).digest()
        places.add(int.from_bytes(digest, "big") % count)
        draw += 1
    for place in range(count):
        if len(places) == wanted:
            break
        places.add(place)
    return frozenset(places)


def describe_sample(nonce: bytes, checked: int, of: int) -> SampleResult:
    """Return what a report says of a sample; raises `VerificationError` (`malformed`) for a nonce of another length."""
    if len(nonce) != NONCE_BYTES:
        raise VerificationError(f"a sample's nonce has {NONCE_BYTES} bytes, not {len(nonce)}", reason="malformed")
    return SampleResult(checked, of, nonce)
