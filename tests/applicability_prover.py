"""A slow prover, written from docs/formats.md with polynomials in monomial form, and able to cheat.

It checks the product's fast prover, which works otherwise, and with *honest* off it is the cheating one: it takes any
witness, leaves out what it should check itself, and drops the remainder of a division that does not come out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from py_arkworks_bls12381 import G1Point, Scalar

from crypto.applicability.blinding import commitment_blinding
from crypto.applicability.encoding import ApplicabilityProof, WellFormednessProof, encode_scalar
from crypto.applicability.setup import load_setup
from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import ORDER, SLACK_BITS, Suite
from crypto.applicability.transcript import Transcript
from crypto.similarity import NORM_BOUND_SQUARED

Polynomial = list[int]
Values = list[int]
#: A coefficient of a product of two polynomials of up to 2^14 coefficients, in bytes.
_WIDTH = 66


class CannotProve(Exception):
    """An honest prover's refusal."""


@dataclass(frozen=True)
class Witness:
    """What a cheating prover puts in the place of what an honest one computes; None is the honest one's."""

    bits: Values | None = None
    counts: Values | None = None
    mask: Polynomial | None = None
    inverses: Callable[[Values], Values] | None = None
    sums: Callable[[Values], Values] | None = None
    quotient: Callable[[Polynomial], Polynomial] | None = None


HONEST = Witness()


class SlowProver:
    """Proves with scalars that *draw* gives, one per call; not *honest*, it proves anything, however badly."""

    def __init__(self, draw: Callable[[], int], *, honest: bool = True) -> None:
        self._draw = draw
        self._honest = honest

    def commit(self, suite: Suite, vector: Sequence[int], seed: bytes) -> bytes:
        """Return the commitment that *seed* opens."""
        return commit(committed(suite, vector, seed))

    def prove_applicability(
        self, statement: ApplicabilityStatement, vector: Sequence[int], seed: bytes, witness: Witness = HONEST
    ) -> bytes:
        """Return 416 bytes about *statement* with the committed *vector*."""
        suite, tau = statement.suite, statement.tau
        query, entry = padded(suite, statement.query), padded(suite, vector)
        slack = sum(a * b for a, b in zip(query, entry, strict=True)) - tau
        self._require(0 <= slack < 1 << SLACK_BITS, "the inner product is below the threshold")
        bits = witness.bits or bits_of(suite, slack)
        mask = witness.mask or [self._draw(), self._draw()]
        e = add(committed(suite, vector, seed), times_vanishing(suite, mask))
        b = self._blinded(suite, bits, 2)
        steps = [x * y - bit * weight for x, y, bit, weight in zip(entry, query, bits, weights(suite), strict=True)]
        z = self._blinded(suite, self._sums(steps, tau, witness), 4)
        s_point, b_point, z_point = commit(mask), commit(b), commit(z)
        transcript = statement.begin()
        absorb(transcript, S=s_point, B=b_point, Z=z_point)
        alpha = transcript.challenge("alpha")
        constraint = add(
            difference(suite, z),
            scale(multiply(e, interpolate(query)), -1),
            multiply(b, interpolate(weights(suite))),
            scale(interpolate(first(suite)), tau),
            scale(add(multiply(b, b), scale(b, -1)), alpha),
        )
        t = self._quotient(suite, constraint, witness)
        t_point = commit(t)
        absorb(transcript, T=t_point)
        zeta = transcript.challenge("zeta")
        ahead = zeta * suite.generator % ORDER
        values = [evaluate(e, zeta), evaluate(b, zeta), evaluate(z, zeta), evaluate(z, ahead)]
        absorb_scalars(transcript, ("e", "b", "z", "z_next"), values)
        nu = transcript.challenge("nu")
        # At ζ this is e, and it is what the verifier can make of the commitment and S.
        opened = add(committed(suite, vector, seed), scale(mask, pow(zeta, suite.size, ORDER) - 1))
        w1, w2 = commit(opening([opened, b, z, t], zeta, nu)), commit(opening([z], ahead, nu))
        return ApplicabilityProof(s_point, b_point, z_point, t_point, w1, w2, *values).encode()

    def prove_well_formedness(
        self,
        statement: WellFormednessStatement,
        vector: Sequence[int],
        seed: bytes,
        witness: Witness = HONEST,
        bound: int = NORM_BOUND_SQUARED,
    ) -> bytes:
        """Return 576 bytes about *statement* with the committed *vector*."""
        suite, entry = statement.suite, padded(statement.suite, vector)
        slack = bound - sum(x * x for x in entry)
        self._require(all(abs(x) <= 127 for x in entry), "a component is too large")
        self._require(0 <= slack < 1 << SLACK_BITS, "the vector is too long")
        bits, counts = witness.bits or bits_of(suite, slack), witness.counts or counts_of(suite, entry)
        e, b, m = committed(suite, vector, seed), self._blinded(suite, bits, 2), self._blinded(suite, counts, 2)
        transcript = statement.begin()
        points = {"B": commit(b), "M": commit(m)}
        absorb(transcript, **points)
        gamma = transcript.challenge("gamma")
        inverses = [pow(gamma + x, -1, ORDER) for x in entry]
        inverses = witness.inverses(inverses) if witness.inverses else inverses
        h = self._blinded(suite, inverses, 2)
        points["H"] = commit(h)
        absorb(transcript, H=points["H"])
        alpha = transcript.challenge("alpha")
        looked_up = [count * pow(gamma + x, -1, ORDER) for count, x in zip(counts, table(suite), strict=True)]
        norms = [x * x + bit * weight for x, bit, weight in zip(entry, bits, weights(suite), strict=True)]
        steps = [one - two + alpha * norm for one, two, norm in zip(inverses, looked_up, norms, strict=True)]
        z = self._blinded(suite, self._sums(steps, alpha * bound, witness), 4)
        points["Z"] = commit(z)
        absorb(transcript, Z=points["Z"])
        delta = transcript.challenge("delta")
        norm = add(multiply(e, e), multiply(b, interpolate(weights(suite))), scale(interpolate(first(suite)), -bound))
        step = add(difference(suite, z), scale(h, -1), scale(norm, -alpha))
        constraint = add(
            multiply(step, add([gamma], interpolate(table(suite)))),
            m,
            scale(add(multiply(h, add([gamma], e)), [-1]), delta),
            scale(add(multiply(b, b), scale(b, -1)), delta * delta),
        )
        t0, t1 = self._split(suite, self._quotient(suite, constraint, witness))
        points |= {"T0": commit(t0), "T1": commit(t1)}
        absorb(transcript, T0=points["T0"], T1=points["T1"])
        zeta = transcript.challenge("zeta")
        ahead = zeta * suite.generator % ORDER
        values = [evaluate(part, zeta) for part in (e, b, m, h, z)] + [evaluate(z, ahead)]
        absorb_scalars(transcript, ("e", "b", "m", "h", "z", "z_next"), values)
        nu = transcript.challenge("nu")
        whole = add(t0, scale(t1, pow(zeta, suite.size, ORDER)))
        w1, w2 = commit(opening([e, b, m, h, z, whole], zeta, nu)), commit(opening([z], ahead, nu))
        return WellFormednessProof(*points.values(), w1, w2, *values).encode()

    def _require(self, holds: bool, message: str) -> None:
        if self._honest and not holds:
            raise CannotProve(message)

    def _blinded(self, suite: Suite, values: Values, count: int) -> Polynomial:
        return add(interpolate(values), times_vanishing(suite, [self._draw() for _ in range(count)]))

    def _sums(self, steps: Values, total: int, witness: Witness) -> Values:
        sums = [0]
        for number, step in enumerate(steps):
            sums.append((sums[-1] + step - (total if number == 0 else 0)) % ORDER)
        self._require(sums[-1] == 0, "the running sum does not close")
        return witness.sums(sums[:-1]) if witness.sums else sums[:-1]

    def _quotient(self, suite: Suite, constraint: Polynomial, witness: Witness) -> Polynomial:
        quotient, remainder = divide_by_vanishing(suite, constraint)
        self._require(not any(remainder), "a constraint does not hold")
        return witness.quotient(quotient) if witness.quotient else quotient

    def _split(self, suite: Suite, quotient: Polynomial) -> tuple[Polynomial, Polynomial]:
        shared = self._draw()
        return [*quotient[: suite.size], shared], add(quotient[suite.size :], [-shared])


def padded(suite: Suite, vector: Sequence[int]) -> Values:
    return [*vector, *[0] * (suite.size - len(vector))]


def bits_of(suite: Suite, slack: int) -> Values:
    return padded(suite, [slack >> number & 1 for number in range(SLACK_BITS)])


def counts_of(suite: Suite, entry: Values) -> Values:
    """How often each value of the table is looked up, at its first place; what is not in it is left out."""
    counts, places = [0] * suite.size, table(suite)
    for component in entry:
        if component in places:
            counts[places.index(component)] += 1
    return counts


def weights(suite: Suite) -> Values:
    return padded(suite, [1 << number for number in range(SLACK_BITS)])


def table(suite: Suite) -> Values:
    return [number % 255 - 127 for number in range(suite.size)]


def first(suite: Suite) -> Values:
    return padded(suite, [1])


def committed(suite: Suite, vector: Sequence[int], seed: bytes) -> Polynomial:
    """Return the polynomial in the commitment."""
    blinding = list(commitment_blinding(suite, seed))
    return add(interpolate(padded(suite, vector)), times_vanishing(suite, blinding))


def commit(polynomial: Polynomial) -> bytes:
    """Return the polynomial at the ceremony's secret point."""
    points = _powers()[: len(polynomial)]
    assert len(points) == len(polynomial)
    scalars = [Scalar.from_be_bytes(encode_scalar(coefficient % ORDER)) for coefficient in polynomial]
    return bytes(G1Point.multiexp_unchecked(points, scalars).to_compressed_bytes())


def interpolate(values: Values) -> Polynomial:
    """Return the polynomial with value i at wⁱ."""
    size = pow(len(values), -1, ORDER)
    step = pow(7, (ORDER - 1) // len(values), ORDER)
    return [value * size % ORDER for value in _transform(values, pow(step, -1, ORDER))]


def _transform(values: Values, step: int) -> Values:
    if len(values) == 1:
        return values
    square = step * step % ORDER
    even, odd = _transform(values[::2], square), _transform(values[1::2], square)
    turned, power = [], 1
    for value in odd:
        turned.append(value * power % ORDER)
        power = power * step % ORDER
    sums = [one + two for one, two in zip(even, turned, strict=True)]
    return sums + [one - two for one, two in zip(even, turned, strict=True)]


def add(*polynomials: Polynomial) -> Polynomial:
    size = max(map(len, polynomials))
    long = (polynomial + [0] * (size - len(polynomial)) for polynomial in polynomials)
    return [sum(column) % ORDER for column in zip(*long, strict=True)]


def scale(polynomial: Polynomial, by: int) -> Polynomial:
    return [coefficient * by % ORDER for coefficient in polynomial]


def multiply(left: Polynomial, right: Polynomial) -> Polynomial:
    """Multiply as two long integers, whose digits are the coefficients."""
    one, two = (
        int.from_bytes(b"".join((c % ORDER).to_bytes(_WIDTH, "little") for c in polynomial), "little")
        for polynomial in (left, right)
    )
    count = len(left) + len(right) - 1
    data = (one * two).to_bytes(count * _WIDTH, "little")
    return [int.from_bytes(data[at : at + _WIDTH], "little") % ORDER for at in range(0, len(data), _WIDTH)]


def times_vanishing(suite: Suite, polynomial: Polynomial) -> Polynomial:
    return add([0] * suite.size + polynomial, scale(polynomial, -1))


def divide_by_vanishing(suite: Suite, polynomial: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Return quotient and remainder of the division by X^N − 1."""
    rest, quotient = list(polynomial), [0] * max(0, len(polynomial) - suite.size)
    for place in range(len(rest) - 1, suite.size - 1, -1):
        quotient[place - suite.size] = rest[place]
        rest[place - suite.size] = (rest[place - suite.size] + rest[place]) % ORDER
    return quotient, rest[: suite.size]


def difference(suite: Suite, polynomial: Polynomial) -> Polynomial:
    """Return p(wX) − p(X)."""
    return [coefficient * (pow(suite.generator, place, ORDER) - 1) for place, coefficient in enumerate(polynomial)]


def evaluate(polynomial: Polynomial, point: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * point + coefficient) % ORDER
    return value


def opening(polynomials: Sequence[Polynomial], point: int, nu: int) -> Polynomial:
    """Return (p(X) − p(point)) / (X − point) for p, the sum of all by powers of *nu*."""
    whole = add(*(scale(polynomial, pow(nu, power, ORDER)) for power, polynomial in enumerate(polynomials)))
    quotient, carried = [0] * (len(whole) - 1), 0
    for place in range(len(whole) - 1, 0, -1):
        carried = (whole[place] + carried * point) % ORDER
        quotient[place - 1] = carried
    return quotient


def absorb(transcript: Transcript, **points: bytes) -> None:
    for name, point in points.items():
        transcript.absorb(name, point)


def absorb_scalars(transcript: Transcript, names: Sequence[str], values: Sequence[int]) -> None:
    for name, value in zip(names, values, strict=True):
        transcript.absorb(name, encode_scalar(value))


@functools.cache
def _powers() -> list[G1Point]:
    return [G1Point.from_compressed_bytes_unchecked(power) for power in load_setup().powers[:2100]]
