"""TOPLOC proofs: 258 bytes that commit to the largest activations of a run of tokens, and their check in plain Python.

A proof shows that a model was *run over* prompt and answer. It does not show that the answer was drawn from the model:
anybody can run a model over any text. It counts beside a check of the tokens, never instead of one.

    points    the 128 activations (bfloat16) of largest magnitude: (index in the flattened run, its 16 bits)
    proof     modulus m (2 bytes) ‖ 128 coefficients (2 bytes each), big endian, of the polynomial of degree 127 over
              F_65497 through (index mod m, bits); m is the largest number ≤ 65497 that keeps the indexes apart
    runs      the prompt is one run, what was decoded is cut into runs of 32 tokens; the last token was never read

Format and thresholds are those of arXiv 2501.16007 and its published code (version 0.1.6).
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .errors import VerificationError

EVIDENCE_TYPE: Final = "toploc/v1"
PRIME: Final = 65_497
POINTS: Final = 128
PROOF_BYTES: Final = 2 + 2 * POINTS
RUN_TOKENS: Final = 32
PROOFS_MAX: Final = 4_096
EXPONENT_MISMATCHES_MAX: Final = 90
MANTISSA_MEAN_MAX: Final = 10
MANTISSA_MEDIAN_MAX: Final = 8
_MANTISSA: Final = 0x7F
_EXPONENT: Final = 0xFF

#: (index in the flattened run, the 16 bits of a bfloat16)
Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ToplocProof:
    """A modulus, and 128 coefficients below `PRIME`, the constant one first."""

    modulus: int
    coefficients: tuple[int, ...]

    def encode(self) -> bytes:
        """Return the 258 bytes."""
        return b"".join(value.to_bytes(2, "big") for value in (self.modulus, *self.coefficients))


@dataclass(frozen=True, slots=True)
class ToplocDistance:
    """How far a run is from its proof: of 128 exponents those that differ, and the mantissas where they agree."""

    exponent_mismatches: int
    mantissa_mean: float
    mantissa_median: float

    def is_close(self) -> bool:
        """Say whether it lies within the published thresholds."""
        return (
            self.exponent_mismatches <= EXPONENT_MISMATCHES_MAX
            and self.mantissa_mean <= MANTISSA_MEAN_MAX
            and self.mantissa_median <= MANTISSA_MEDIAN_MAX
        )


@dataclass(frozen=True, slots=True)
class ToplocEvidence:
    """The proofs of an answer's runs, one behind the other, under the *digest* that the statement or the log names."""

    digest: str
    proofs: bytes

    def verify(self, runs: Sequence[Sequence[Point]]) -> tuple[ToplocDistance, ...]:
        """Check digest and proofs against the verifier's own *runs*. Raises `VerificationError` (`replay_failed`)."""
        actual = "sha256:" + hashlib.sha256(self.proofs).hexdigest()
        if actual != self.digest:
            raise _failed("the TOPLOC proofs are not those that were named", expected=self.digest, actual=actual)
        return verify_proofs(self.proofs, runs)


def parse_proof(data: bytes) -> ToplocProof:
    """Read one proof. Raises `VerificationError` for another length, coefficient or modulus.

    A modulus of 0 marks a proof that was never made. One below 128 cannot keep 128 indexes apart.
    """
    if len(data) != PROOF_BYTES:
        raise _failed(f"a TOPLOC proof has {PROOF_BYTES} bytes, this one {len(data)}")
    modulus, *coefficients = (int.from_bytes(data[at : at + 2], "big") for at in range(0, PROOF_BYTES, 2))
    if modulus == 0:
        raise _failed("the TOPLOC proof is the null proof: nothing was proved")
    if not POINTS <= modulus <= PRIME or max(coefficients) >= PRIME:
        raise _failed("the TOPLOC proof holds a number that no honest one holds")
    return ToplocProof(modulus, tuple(coefficients))


def build_proof(points: Sequence[Point]) -> ToplocProof:
    """Return the proof of 128 *points* (about 10 ms). Raises `VerificationError` for other points than finite ones."""
    _verify_points(points)
    indexes = [index for index, _ in points]
    modulus = next((m for m in range(PRIME, POINTS - 1, -1) if len({index % m for index in indexes}) == POINTS), 0)
    if modulus == 0:
        raise _failed("no modulus keeps the indexes of these activations apart")
    return ToplocProof(modulus, _interpolate([index % modulus for index in indexes], [bits for _, bits in points]))


def measure_proof(proof: ToplocProof, points: Sequence[Point]) -> ToplocDistance:
    """Compare *proof* with the 128 *points* of the verifier's own run (about 2 ms). Raises `VerificationError`."""
    _verify_points(points)
    mismatches, errors = 0, []
    for index, bits in points:
        value = 0
        for coefficient in reversed(proof.coefficients):
            value = (value * (index % proof.modulus) + coefficient) % PRIME
        if (value >> 7) & _EXPONENT != (bits >> 7) & _EXPONENT:
            mismatches += 1
        else:
            errors.append(abs((value & _MANTISSA) - (bits & _MANTISSA)))
    if not errors:
        return ToplocDistance(mismatches, float("inf"), float("inf"))
    return ToplocDistance(mismatches, statistics.fmean(errors), statistics.median(errors))


def run_lengths(prompt_tokens: int, output_tokens: int) -> tuple[int, ...]:
    """Return how many positions each run has; the last token of the answer is never read by the model."""
    decoded = output_tokens - 1
    whole, rest = divmod(decoded, RUN_TOKENS)
    return (prompt_tokens, *[RUN_TOKENS] * whole, *([rest] if rest else []))


def verify_proofs(data: bytes, runs: Sequence[Sequence[Point]]) -> tuple[ToplocDistance, ...]:
    """Check *data*, the proofs of *runs* one behind the other. Raises `VerificationError` (`replay_failed`)."""
    if not 0 < len(runs) <= PROOFS_MAX or len(data) != PROOF_BYTES * len(runs):
        raise _failed("the number of TOPLOC proofs is not that of the runs", expected=len(runs))
    distances = []
    for number, points in enumerate(runs):
        proof = parse_proof(data[number * PROOF_BYTES : (number + 1) * PROOF_BYTES])
        distances.append(measure_proof(proof, points))
        if not distances[-1].is_close():
            raise _failed(f"run {number} is not near its TOPLOC proof", actual=distances[-1])
    return tuple(distances)


def _verify_points(points: Sequence[Point]) -> None:
    if len(points) != POINTS or len({index for index, _ in points}) != POINTS:
        raise _failed(f"a TOPLOC proof is about {POINTS} different activations")
    for index, bits in points:
        # infinities and not-a-numbers: some of their patterns do not even exist in the field
        if index < 0 or not 0 <= bits < 1 << 16 or (bits >> 7) & _EXPONENT == _EXPONENT:
            raise _failed("an activation is not a finite number")


def _interpolate(x: Sequence[int], y: Sequence[int]) -> tuple[int, ...]:
    """Return the coefficients of the polynomial through (x, y) over the field: Newton's divided differences."""
    differences = [value % PRIME for value in y]
    for order in range(1, POINTS):
        for at in range(POINTS - 1, order - 1, -1):
            inverse = pow(x[at] - x[at - order], -1, PRIME)
            differences[at] = (differences[at] - differences[at - 1]) * inverse % PRIME
    coefficients = [0] * POINTS
    for place, value in zip(reversed(x), reversed(differences), strict=True):
        # Horner: everything so far times (X - place), plus this difference
        shifted = [0, *coefficients[:-1]]
        coefficients = [(up - place * here) % PRIME for up, here in zip(shifted, coefficients, strict=True)]
        coefficients[0] = (coefficients[0] + value) % PRIME
    return tuple(coefficients)


def _failed(message: str, *, expected: object = None, actual: object = None) -> VerificationError:
    return VerificationError(message, reason="replay_failed", expected=expected, actual=actual)
