"""Applicability proofs: that ⟨q, e⟩ ≥ τ for the vector e in a commitment. Format: docs/formats.md.

With running sums z of e_i·q_i − 2^i·b_i − τ·[i = 0], where the bits b are those of ⟨q, e⟩ − τ, the polynomial

    z(wX) − z(X) − e·q + b·weights + τ·L₀ + α(b² − b)

vanishes on H. Its quotient by Z has degree below N before blinding, so values on one coset give it; what the blinders of
e, b and z add to it is then added exactly (`_blinding_terms`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import sub

from py_arkworks_bls12381 import Scalar

from crypto.applicability.encoding import ApplicabilityProof, encode_scalar
from crypto.applicability.statement import ApplicabilityStatement
from crypto.applicability.suites import SLACK_BITS
from crypto.errors import EncodingError
from server.prover.blinders import ScalarSource
from server.prover.commitment import padded
from server.prover.errors import NotProvable
from server.prover.field import to_scalar
from server.prover.polynomials import Blinded, added, blinded, divide, evaluate, folded, multiplied, scaled
from server.prover.workbench import Workbench, slack_bits


@dataclass(frozen=True, slots=True)
class Witness:
    """Four rows of N integers on H: the vector, the query, the bits of ⟨q, e⟩ − τ, and running sums."""

    e: tuple[int, ...]
    q: tuple[int, ...]
    b: list[int]
    z: list[int]


@dataclass(frozen=True, slots=True)
class Polynomials:
    """Those of a witness; *e* is blinded by what blinds the commitment and by what blinds this proof together."""

    e: Blinded
    q: list[Scalar]
    b: Blinded
    z: Blinded


def prove_applicability(
    bench: Workbench, statement: ApplicabilityStatement, vector: Sequence[int], seed: bytes, source: ScalarSource
) -> bytes:
    """Prove *statement* about the *vector* that was committed to under *seed*: 416 bytes, other ones each time.

    Raises `NotProvable` where the vector is not the commitment's, ⟨q, e⟩ < τ, or a verifier would refuse the statement.
    """
    witness = make_witness(bench, statement, vector, seed)
    fresh, for_b, for_z = source.take(2), source.take(2), source.take(4)
    commit = bench.committer
    s = commit.commit_coefficients(fresh).to_compressed_bytes()
    b = commit.commit_integers(witness.b, for_b).to_compressed_bytes()
    z = commit.commit_integers(witness.z, for_z).to_compressed_bytes()
    transcript = statement.begin()
    for name, point in (("S", s), ("B", b), ("Z", z)):
        transcript.absorb(name, point)
    alpha = Scalar(transcript.challenge("alpha"))
    committed = bench.commitment_blinders(seed)
    polynomials = Polynomials(
        Blinded(bench.coefficients(witness.e), added(committed, fresh)),
        bench.coefficients(witness.q),
        Blinded(bench.coefficients(witness.b), for_b),
        Blinded(bench.coefficients(witness.z), for_z),
    )
    quotient = make_quotient(bench, polynomials, statement.tau, alpha)
    t = commit.commit_coefficients(quotient).to_compressed_bytes()
    transcript.absorb("T", t)
    zeta = Scalar(transcript.challenge("zeta"))
    turned = bench.domain.points[1] * zeta
    # S is fixed by now, and Z(ζ) a number, so [e + Zρ + Z(ζ)s] is a sum that the verifier can form as well.
    shown_e = added(blinded(polynomials.e.plain, committed), scaled(fresh, bench.vanishing(zeta)))
    shown_b, shown_z = polynomials.b.coefficients(), polynomials.z.coefficients()
    e_value, b_value, z_value = (int(evaluate(shown, zeta)) for shown in (shown_e, shown_b, shown_z))
    z_next = int(evaluate(shown_z, turned))
    for name, value in (("e", e_value), ("b", b_value), ("z", z_value), ("z_next", z_next)):
        transcript.absorb(name, encode_scalar(value))
    nu = Scalar(transcript.challenge("nu"))
    w1 = commit.commit_coefficients(divide(folded((shown_e, shown_b, shown_z, quotient), nu), zeta))
    w2 = commit.commit_coefficients(divide(shown_z, turned))
    points = (s, b, z, t, w1.to_compressed_bytes(), w2.to_compressed_bytes())
    return ApplicabilityProof(*points, e_value, b_value, z_value, z_next).encode()


def make_witness(bench: Workbench, statement: ApplicabilityStatement, vector: Sequence[int], seed: bytes) -> Witness:
    """Return what shows that the statement holds; raises `NotProvable` where it does not."""
    try:
        statement.check()
        components = padded(bench.suite, vector)
        committed = bench.commit(components, seed)
    except EncodingError as error:
        raise NotProvable(str(error)) from None
    if statement.suite != bench.suite or len(vector) != statement.dimension:
        raise NotProvable("the vector has another suite or dimension than the statement")
    if committed != statement.commitment:
        raise NotProvable("the commitment is not to this vector under this seed")
    query = (*statement.query, *[0] * (bench.size - statement.dimension))
    slack = sum(left * right for left, right in zip(components, query, strict=True)) - statement.tau
    if slack < 0:
        raise NotProvable("the inner product lies below τ")
    if slack >= 1 << SLACK_BITS:
        raise NotProvable("the inner product lies above every one of two vectors within the bound")
    bits = slack_bits(slack, bench.size)
    return Witness(components, query, bits, _running_sums(components, query, bits, statement.tau))


def make_quotient(bench: Workbench, polynomials: Polynomials, tau: int, alpha: Scalar) -> list[Scalar]:
    """Return the coefficients of what vanishes on H, divided by Z."""
    return added(_plain_quotient(bench, polynomials, tau, alpha), _blinding_terms(bench, polynomials, alpha))


def _running_sums(vector: Sequence[int], query: Sequence[int], bits: Sequence[int], tau: int) -> list[int]:
    """Return z on H: z_0 = 0, and z_(i+1) is z_i and the term of i; the last term leads back to 0."""
    terms = [left * right for left, right in zip(vector, query, strict=True)]
    for place in range(SLACK_BITS):
        terms[place] -= bits[place] << place
    terms[0] -= tau
    return [0, *accumulate(terms[:-1])]


def _plain_quotient(bench: Workbench, polynomials: Polynomials, tau: int, alpha: Scalar) -> list[Scalar]:
    """Return the quotient without blinders: Z is the same number all over the coset, so that interpolation divides."""
    coset = bench.cosets[0]
    rows = [coset.to_values(row) for row in (polynomials.e.plain, polynomials.q, polynomials.b.plain)]
    products = [
        b * weight + alpha * (b * b - b) - e * q for e, q, b, weight in zip(*rows, bench.weights.values[0], strict=True)
    ]
    tau_first = to_scalar(tau) * bench.domain.one_over_size  # every coefficient of τ·L₀
    share = coset.vanishing.inverse()
    # The terms in z and τ have degree below N: their coefficients are at hand and need no values.
    return [
        (product + z * turn - z + tau_first) * share
        for product, z, turn in zip(
            coset.to_coefficients(products), polynomials.z.plain, bench.domain.points, strict=True
        )
    ]


def _blinding_terms(bench: Workbench, polynomials: Polynomials, alpha: Scalar) -> list[Scalar]:
    """Return what e + Zε, b + Zβ and z + Zσ add: σ(wX) − σ − εq + β·weights + α(2βb − β + Zβ²)."""
    epsilon, beta, sigma = (part.blinders for part in (polynomials.e, polynomials.b, polynomials.z))
    turned = [blinder * turn for blinder, turn in zip(sigma, bench.domain.points, strict=False)]
    terms = added(list(map(sub, turned, sigma)), scaled(beta, -alpha))
    terms = added(terms, multiplied(polynomials.q, [-blinder for blinder in epsilon]))
    terms = added(terms, multiplied(bench.weights.coefficients, beta))
    terms = added(terms, multiplied(polynomials.b.plain, scaled(beta, alpha + alpha)))
    squared = scaled(multiplied(beta, beta), alpha)
    return added(terms, blinded([Scalar(0)] * bench.size, squared))
