"""The verifier: one proof, or many at once with one check of pairings, and which of them do not hold.

Format: docs/formats.md, "Well-formedness proof" and "Applicability proof". Where the soundness of a batch rests: each
claim is multiplied by 128 bits of a hash of all claims, and each claim's mark is drawn from its whole statement and
proof, so nobody could choose a claim with the weights in view. Errors of false claims then cancel once in 2^128 tries.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from ..canonical import digest_fields, encode_fields
from ..errors import EncodingError, VerificationError
from .arkworks import Arkworks
from .bisection import find_false
from .claims import Claim, ReadPoint, applicability_claim, well_formedness_claim
from .curve import Curve, Point
from .encoding import encode_scalar
from .setup import Setup, load_setup
from .statement import ApplicabilityStatement, WellFormednessStatement
from .suites import ORDER

APPLICABILITY_INVALID: Final = "applicability_invalid"
WELL_FORMEDNESS_INVALID: Final = "well_formedness_invalid"
_BATCH: Final = "hitproof/batch/v1"
_BATCH_WEIGHT: Final = "hitproof/batch-weight/v1"
_WEIGHT_BYTES: Final = 16
#: A commitment is in every proof about its entry; the points of a proof are nowhere else.
_COMMITMENTS_KEPT: Final = 1024

_Statement = TypeVar("_Statement", ApplicabilityStatement, WellFormednessStatement)


class Verifier:
    """Checks proofs against the ceremony's points; deterministic, and safe to share between threads."""

    def __init__(self, curve: Curve, setup: Setup) -> None:
        """Decompress what is needed of *setup*; raises `EncodingError`."""
        self._curve = curve
        self._base = curve.read_g1(setup.powers[0])
        self._g2 = curve.read_g2(setup.g2)
        self._g2_x = curve.read_g2(setup.g2_x)
        self._read_commitment: ReadPoint = functools.lru_cache(maxsize=_COMMITMENTS_KEPT)(curve.read_g1)

    def verify_applicability(self, statement: ApplicabilityStatement, proof: bytes) -> None:
        """Raise `VerificationError` (`applicability_invalid`) unless *proof* shows *statement*."""
        if self.find_invalid([self.claim_applicability(statement, proof)]):
            raise VerificationError(
                "the applicability proof does not hold for this hit, query, threshold and commitment",
                reason=APPLICABILITY_INVALID,
            )

    def verify_well_formedness(self, statement: WellFormednessStatement, proof: bytes) -> None:
        """Raise `VerificationError` (`well_formedness_invalid`) unless *proof* shows *statement*."""
        if self.find_invalid([self.claim_well_formedness(statement, proof)]):
            raise VerificationError(
                "the well-formedness proof does not hold for this commitment", reason=WELL_FORMEDNESS_INVALID
            )

    def claim_applicability(self, statement: ApplicabilityStatement, proof: bytes) -> Claim:
        """Return what *proof* claims; raises `VerificationError` for what needs no pairing to be refused."""
        return self._claim(applicability_claim, statement, proof, "applicability proof", APPLICABILITY_INVALID)

    def claim_well_formedness(self, statement: WellFormednessStatement, proof: bytes) -> Claim:
        """Return what *proof* claims; raises `VerificationError` for what needs no pairing to be refused."""
        return self._claim(well_formedness_claim, statement, proof, "well-formedness proof", WELL_FORMEDNESS_INVALID)

    def find_invalid(self, claims: Sequence[Claim]) -> frozenset[int]:
        """Return the positions of the claims that do not hold, with one check of pairings if all do (`find_false`)."""
        return find_false(len(claims), lambda place: self._do_all_hold(claims[place.start : place.stop]))

    def _do_all_hold(self, claims: Sequence[Claim]) -> bool:
        left: list[tuple[Point, int]] = []
        right: list[tuple[Point, int]] = []
        base = 0
        for claim, weight in zip(claims, _weights(claims), strict=True):
            left += [(point, scalar * weight % ORDER) for point, scalar in claim.left]
            # The right side is subtracted, so that both sides multiply to one.
            right += [(point, -scalar * weight % ORDER) for point, scalar in claim.right]
            base -= claim.base * weight
        right.append((self._base, base % ORDER))
        return self._curve.is_product_one([(self._sum(left), self._g2_x), (self._sum(right), self._g2)])

    def _sum(self, terms: Sequence[tuple[Point, int]]) -> Point:
        return self._curve.combine([point for point, _ in terms], [scalar for _, scalar in terms])

    def _claim(
        self,
        make: Callable[[_Statement, Point, bytes, ReadPoint], Claim],
        statement: _Statement,
        proof: bytes,
        name: str,
        reason: str,
    ) -> Claim:
        try:
            return make(statement, self._read_commitment(statement.commitment), proof, self._curve.read_g1)
        except EncodingError as error:
            raise VerificationError(f"the {name} is refused: {error}", reason=reason) from error


def load_verifier(srs: Path | None = None) -> Verifier:
    """Return a verifier on arkworks, with the ceremony's file from *srs* or this package; raises `SetupError`."""
    return Verifier(Arkworks(), load_setup(srs))


def _weights(claims: Sequence[Claim]) -> list[int]:
    seed = digest_fields(_BATCH, *(encode_scalar(claim.mark) for claim in claims))
    drawn = (
        hashlib.sha256(encode_fields(_BATCH_WEIGHT, seed, number.to_bytes(8, "big"))).digest()
        for number in range(len(claims))
    )
    return [int.from_bytes(digest[:_WEIGHT_BYTES], "big") for digest in drawn]
