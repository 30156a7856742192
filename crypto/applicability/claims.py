"""What a proof comes down to: one equation of pairings, which holds exactly where the proof does.

Format: docs/formats.md, "Well-formedness proof" and "Applicability proof". A claim is the equation

    pairing(Σ left, [x]₂) = pairing(Σ right + base·[1]₁, [1]₂)

over points with their scalars. Where soundness rests: the constraints hold on the whole domain if they hold at ζ, which is
drawn after every polynomial was committed (Schwartz–Zippel); commitments open to the stated values at ζ if their sum
weighted by powers of ν does, ν being drawn after the values; and the second opening is added times μ, drawn after W1
and W2. No degree is bounded and none has to be: a polynomial of any degree is held to the constraints on the domain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import EncodingError
from ..similarity import NORM_BOUND_SQUARED
from .curve import Point
from .encoding import ApplicabilityProof, WellFormednessProof, encode_scalar
from .evaluation import Surroundings, interpolation_at, surroundings, table_at
from .statement import ApplicabilityStatement, WellFormednessStatement
from .suites import ORDER, Suite
from .transcript import Transcript

#: A point and what it is multiplied by, in 0 … r − 1.
Term = tuple[Point, int]
ReadPoint = Callable[[bytes], Point]


@dataclass(frozen=True, slots=True)
class Claim:
    """One equation of pairings; *mark* is a scalar drawn from the whole statement and proof, and stands for both."""

    left: tuple[Term, ...]
    right: tuple[Term, ...]
    base: int
    mark: int


@dataclass(frozen=True, slots=True)
class _Opening:
    """Both openings before they become one equation: at ζ the terms and Z with their value, at wζ Z alone."""

    point: int
    following: int
    terms: Sequence[Term]
    value: int
    sums: Term
    next_value: int
    w1: Point
    w2: Point

    def claim(self, mu: int) -> Claim:
        """Return the first opening plus *mu* times the second."""
        point, power = self.sums
        merged = (
            *self.terms,
            (point, (power + mu) % ORDER),
            (self.w1, self.point),
            (self.w2, mu * self.following % ORDER),
        )
        return Claim(
            left=((self.w1, 1), (self.w2, mu)),
            right=merged,
            base=-(self.value + mu * self.next_value) % ORDER,
            mark=mu,
        )


def applicability_claim(statement: ApplicabilityStatement, commitment: Point, proof: bytes, read: ReadPoint) -> Claim:
    """Return the equation that holds exactly if *proof* shows *statement*; raises `EncodingError` for what has none.

    *commitment* is the statement's, decompressed; *read* does that with the points of the proof, as `Curve.read_g1` does.
    """
    statement.check()
    parts = ApplicabilityProof.parse(proof)
    transcript = statement.begin()
    _absorb(transcript, S=parts.s, B=parts.b, Z=parts.z)
    alpha = transcript.challenge("alpha")
    _absorb(transcript, T=parts.t)
    zeta = transcript.challenge("zeta")
    _absorb_scalars(transcript, e=parts.e_value, b=parts.b_value, z=parts.z_value, z_next=parts.z_next)
    nu = transcript.challenge("nu")
    _absorb(transcript, W1=parts.w1, W2=parts.w2)
    mu = transcript.challenge("mu")
    suite, around = statement.suite, _around(statement.suite, zeta)
    query = interpolation_at(suite, statement.query, zeta)
    quotient = _applicability_quotient(parts, around, query, statement.tau, alpha)
    s, b, z, t, w1, w2 = map(read, (parts.s, parts.b, parts.z, parts.t, parts.w1, parts.w2))
    powers = _powers(nu, 4)
    # e + Z·S is e on the domain, and its value at ζ is as random as S: no number of proofs opens the commitment itself.
    terms = ((commitment, 1), (s, around.vanishing), (b, powers[1]), (t, powers[3]))
    value = _combine((parts.e_value, parts.b_value, parts.z_value, quotient), powers)
    return _Opening(zeta, around.following, terms, value, (z, powers[2]), parts.z_next, w1, w2).claim(mu)


def well_formedness_claim(
    statement: WellFormednessStatement, commitment: Point, proof: bytes, read: ReadPoint
) -> Claim:
    """Return the equation that holds exactly if *proof* shows *statement*; raises `EncodingError` for what has none.

    The rest as for `applicability_claim`.
    """
    parts = WellFormednessProof.parse(proof)
    transcript = statement.begin()
    _absorb(transcript, B=parts.b, M=parts.m)
    gamma = transcript.challenge("gamma")
    _absorb(transcript, H=parts.h)
    alpha = transcript.challenge("alpha")
    _absorb(transcript, Z=parts.z)
    delta = transcript.challenge("delta")
    _absorb(transcript, T0=parts.t0, T1=parts.t1)
    zeta = transcript.challenge("zeta")
    _absorb_scalars(transcript, e=parts.e_value, b=parts.b_value, m=parts.m_value, h=parts.h_value)
    _absorb_scalars(transcript, z=parts.z_value, z_next=parts.z_next)
    nu = transcript.challenge("nu")
    _absorb(transcript, W1=parts.w1, W2=parts.w2)
    mu = transcript.challenge("mu")
    suite, around = statement.suite, _around(statement.suite, zeta)
    table = table_at(suite, zeta)
    quotient = _well_formedness_quotient(parts, around, table, (gamma, alpha, delta))
    b, m, h, z, t0, t1, w1, w2 = map(read, (parts.b, parts.m, parts.h, parts.z, parts.t0, parts.t1, parts.w1, parts.w2))
    powers = _powers(nu, 6)
    terms = (
        *((commitment, 1), (b, powers[1]), (m, powers[2]), (h, powers[3])),
        *((t0, powers[5]), (t1, powers[5] * (around.vanishing + 1) % ORDER)),
    )
    values = (parts.e_value, parts.b_value, parts.m_value, parts.h_value, parts.z_value, quotient)
    value = _combine(values, powers)
    return _Opening(zeta, around.following, terms, value, (z, powers[4]), parts.z_next, w1, w2).claim(mu)


def _applicability_quotient(parts: ApplicabilityProof, around: Surroundings, query: int, tau: int, alpha: int) -> int:
    """Return T(ζ) if the running sum closes over e·q − weights·b − τ·L₀, and b is zero or one, on all of the domain."""
    bit = parts.b_value
    closes = parts.z_next - parts.z_value - parts.e_value * query + bit * around.weights + tau * around.first
    return (closes + alpha * (bit * bit - bit)) * around.inverse % ORDER


def _well_formedness_quotient(
    parts: WellFormednessProof, around: Surroundings, table: int, challenges: tuple[int, int, int]
) -> int:
    """Return T(ζ) if h is 1/(γ + e), one running sum closes, and b is zero or one, on all of the domain."""
    gamma, alpha, delta = challenges
    # The sum of h − m/(γ + t) is zero at a random γ only if every e is in the table; that of e² + weights·b − U·L₀ says
    # that the slack is what is left of U. α is drawn after h, so both are zero if the first plus α times the second is.
    e, bit = parts.e_value, parts.b_value
    norm = e * e + bit * around.weights - NORM_BOUND_SQUARED * around.first
    step = parts.z_next - parts.z_value - parts.h_value - alpha * norm
    constraint = step * (gamma + table) + parts.m_value
    constraint += delta * (parts.h_value * (gamma + e) - 1 + delta * (bit * bit - bit))
    return constraint * around.inverse % ORDER


def _around(suite: Suite, zeta: int) -> Surroundings:
    found = surroundings(suite, zeta)
    if found is None:
        raise EncodingError("the challenge ζ lies in the evaluation domain, where nothing can be divided by Z")
    return found


def _absorb(transcript: Transcript, **sent: bytes) -> None:
    for name, data in sent.items():
        transcript.absorb(name, data)


def _absorb_scalars(transcript: Transcript, **sent: int) -> None:
    for name, value in sent.items():
        transcript.absorb(name, encode_scalar(value))


def _powers(base: int, count: int) -> list[int]:
    powers = [1]
    while len(powers) < count:
        powers.append(powers[-1] * base % ORDER)
    return powers


def _combine(values: Sequence[int], powers: Sequence[int]) -> int:
    return sum(value * power for value, power in zip(values, powers, strict=True)) % ORDER
