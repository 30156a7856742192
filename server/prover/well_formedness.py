"""Well-formedness proofs: that components lie in −127 … 127 and their squares sum to at most U. Format: docs/formats.md.

The lookup says Σ 1/(γ + e_i) = Σ m_i/(γ + table_i), where m_i counts how often a value occurs; the norm,
Σ e_i² + slack = U. Running sums z of both at once, the second times α, lead back to 0. What vanishes on H is

    (z(wX) − z − h − α(e² + b·weights − U·L₀))·(γ + table) + m + δ(h·(γ + e) − 1) + δ²(b² − b)

with h_i = 1/(γ + e_i). But for products of two blinders its quotient has degree below 2N, so values on two cosets give
it, and those products are added exactly. The quotient is committed to in two parts of N coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from py_arkworks_bls12381 import Scalar

from crypto.applicability.encoding import WellFormednessProof, encode_scalar
from crypto.applicability.statement import WellFormednessStatement
from crypto.applicability.suites import SLACK_BITS, TABLE_SPAN
from crypto.errors import EncodingError
from crypto.similarity import COMPONENT_MAX, NORM_BOUND_SQUARED
from server.prover.blinders import SeededScalars
from server.prover.commitment import padded
from server.prover.errors import NotProvable
from server.prover.field import to_scalar
from server.prover.polynomials import Blinded, added, divide, evaluate, evaluate_all, folded, multiplied, scaled
from server.prover.workbench import Workbench, slack_bits, table_value


@dataclass(frozen=True, slots=True)
class Witness:
    """Three rows of N integers on H: the vector, the bits of U − Σ e_i², and how often the table's values occur."""

    e: tuple[int, ...]
    b: list[int]
    m: list[int]


@dataclass(frozen=True, slots=True)
class Polynomials:
    """Those that are committed to before the quotient."""

    e: Blinded
    b: Blinded
    m: Blinded
    h: Blinded
    z: Blinded


@dataclass(frozen=True, slots=True)
class Challenges:
    """What the transcript answers before the quotient."""

    gamma: Scalar
    alpha: Scalar
    delta: Scalar


def prove_well_formedness(bench: Workbench, vector: Sequence[int], seed: bytes) -> bytes:
    """Prove that the commitment to *vector* under *seed* is well-formed: 576 bytes, the same ones each time.

    Raises `NotProvable` for a vector that is out of bounds, and for a seed of another length.
    """
    try:
        witness = make_witness(bench, vector)
        for_e = bench.commitment_blinders(seed)
    except EncodingError as error:
        raise NotProvable(str(error)) from None
    source = SeededScalars(bench.suite, witness.e, seed)
    for_b, for_m, for_h, for_z, split = (source.take(count) for count in (2, 2, 2, 4, 1))
    commit = bench.committer
    b = commit.commit_integers(witness.b, for_b).to_compressed_bytes()
    m = commit.commit_integers(witness.m, for_m).to_compressed_bytes()
    transcript = WellFormednessStatement(bench.suite, bench.commit(witness.e, seed)).begin()
    transcript.absorb("B", b)
    transcript.absorb("M", m)
    gamma = Scalar(transcript.challenge("gamma"))
    inverses = {part: (gamma + to_scalar(part)).inverse() for part in range(-COMPONENT_MAX, COMPONENT_MAX + 1)}
    h = commit.commit_chosen(witness.e, inverses, for_h).to_compressed_bytes()
    transcript.absorb("H", h)
    alpha = Scalar(transcript.challenge("alpha"))
    polynomials = Polynomials(
        Blinded(bench.coefficients(witness.e), for_e),
        Blinded(bench.coefficients(witness.b), for_b),
        Blinded(bench.coefficients(witness.m), for_m),
        Blinded(bench.domain.to_coefficients([inverses[part] for part in witness.e]), for_h),
        Blinded(bench.domain.to_coefficients(running_sums(witness, inverses, alpha)), for_z),
    )
    shown = [
        part.coefficients() for part in (polynomials.e, polynomials.b, polynomials.m, polynomials.h, polynomials.z)
    ]
    z = commit.commit_coefficients(shown[-1]).to_compressed_bytes()
    transcript.absorb("Z", z)
    challenges = Challenges(gamma, alpha, Scalar(transcript.challenge("delta")))
    low, high = split_quotient(make_quotient(bench, polynomials, challenges), bench.size, split[0])
    t0, t1 = (commit.commit_coefficients(part).to_compressed_bytes() for part in (low, high))
    transcript.absorb("T0", t0)
    transcript.absorb("T1", t1)
    zeta = Scalar(transcript.challenge("zeta"))
    turned = bench.domain.points[1] * zeta
    values = [*(int(evaluate(part, zeta)) for part in shown), int(evaluate(shown[-1], turned))]
    for name, value in zip(("e", "b", "m", "h", "z", "z_next"), values, strict=True):
        transcript.absorb(name, encode_scalar(value))
    nu = Scalar(transcript.challenge("nu"))
    quotient = added(low, scaled(high, bench.vanishing(zeta) + Scalar(1)))
    w1 = commit.commit_coefficients(divide(folded((*shown, quotient), nu), zeta))
    w2 = commit.commit_coefficients(divide(shown[-1], turned))
    points = (b, m, h, z, t0, t1, w1.to_compressed_bytes(), w2.to_compressed_bytes())
    return WellFormednessProof(*points, *values).encode()


def make_witness(bench: Workbench, vector: Sequence[int]) -> Witness:
    """Return what shows that the vector is well-formed.

    Raises `EncodingError` for one that cannot be committed to, `NotProvable` for one that is too long.
    """
    components = padded(bench.suite, vector)
    slack = NORM_BOUND_SQUARED - sum(part * part for part in components)
    if slack < 0:
        raise NotProvable(f"the squares of the vector's components sum to more than {NORM_BOUND_SQUARED}")
    counts = [0] * bench.size
    for part in components:
        counts[part + COMPONENT_MAX] += 1  # the table's first 255 places hold the 255 values in order
    return Witness(components, slack_bits(slack, bench.size), counts)


def running_sums(witness: Witness, inverses: Mapping[int, Scalar], alpha: Scalar) -> list[Scalar]:
    """Return z on H: z_0 = 0, and z_(i+1) − z_i = h_i − m_i/(γ + table_i) + α(e_i² + 2^i·b_i − U·[i = 0])."""
    norms = [part * part for part in witness.e]
    for place in range(SLACK_BITS):
        norms[place] += witness.b[place] << place
    norms[0] -= NORM_BOUND_SQUARED
    terms = [inverses[part] + alpha * to_scalar(norm) for part, norm in zip(witness.e, norms, strict=True)]
    for place in range(TABLE_SPAN):
        terms[place] -= inverses[table_value(place)] * Scalar(witness.m[place])
    return list(accumulate(terms[:-1], initial=Scalar(0)))


def make_quotient(bench: Workbench, polynomials: Polynomials, challenges: Challenges) -> list[Scalar]:
    """Return the coefficients, up to 2N + 2, of what vanishes on H, divided by Z."""
    first, second = bench.cosets
    left, right = (
        coset.to_coefficients(_values_on(bench, number, polynomials, challenges))
        for number, coset in enumerate(bench.cosets)
    )
    # t = low + X^N·high is low + c^N·high on a coset, and c^N differs.
    share = (first.power - second.power).inverse()
    high = [(one - other) * share for one, other in zip(left, right, strict=True)]
    low = [one - first.power * upper for one, upper in zip(left, high, strict=True)]
    epsilon, beta, eta = (part.blinders for part in (polynomials.e, polynomials.b, polynomials.h))
    factor = added(bench.table.coefficients, [challenges.gamma])
    products = multiplied(factor, scaled(multiplied(epsilon, epsilon), -challenges.alpha))
    products = added(products, scaled(multiplied(eta, epsilon), challenges.delta))
    products = added(products, scaled(multiplied(beta, beta), challenges.delta.square()))
    negated = [-product for product in products]
    return added(added([*low, *high], negated), [*[Scalar(0)] * bench.size, *products])


def split_quotient(quotient: Sequence[Scalar], size: int, blinder: Scalar) -> tuple[list[Scalar], list[Scalar]]:
    """Return T0 and T1 with quotient = T0 + X^N·T1, and one coefficient that blinds both."""
    return [*quotient[:size], blinder], [quotient[size] - blinder, *quotient[size + 1 :]]


def _values_on(bench: Workbench, number: int, polynomials: Polynomials, challenges: Challenges) -> list[Scalar]:
    """Return the quotient's values on a coset, without products of two blinders, which would exceed degree 2N.

    Written with e + Zε and so on for the blinded polynomials, what vanishes on H is a part without blinders and Z times
    a part with them; only the first needs dividing.
    """
    coset = bench.cosets[number]
    gamma, alpha, delta = challenges.gamma, challenges.alpha, challenges.delta
    parts = (polynomials.e, polynomials.b, polynomials.m, polynomials.h, polynomials.z)
    plain = [coset.to_values(part.plain) for part in parts]
    blind = [evaluate_all(part.blinders, coset.points) for part in parts]
    known = [known.values[number] for known in (bench.weights, bench.table, bench.first)]
    one, bound, share, squared = Scalar(1), Scalar(NORM_BOUND_SQUARED), coset.vanishing.inverse(), delta.square()
    found = []
    for e, b, m, h, z, z_next, epsilon, beta, mu, eta, sigma, sigma_next, weight, table, first in zip(
        *plain, _turned(plain[-1]), *blind, _turned(blind[-1]), *known, strict=True
    ):
        factor, looked_up = gamma + table, gamma + e
        sums = z_next - z - h - alpha * (e * e + b * weight - bound * first)
        divided = sums * factor + m + delta * (h * looked_up - one) + squared * (b * b - b)
        blinding_sums = sigma_next - sigma - eta - alpha * (epsilon * (e + e) + beta * weight)
        blinding = (
            blinding_sums * factor + mu + delta * (eta * looked_up + h * epsilon) + squared * beta * (b + b - one)
        )
        found.append(divided * share + blinding)
    return found


def _turned(values: Sequence[Scalar]) -> list[Scalar]:
    """Return the values of p(wX) from those of p: the next point's each."""
    return [*values[1:], values[0]]
