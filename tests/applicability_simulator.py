"""Proofs made with the set-up's secret and without a vector: the simulator of docs/proofs/applicability.md.

It is written from that page, not from the prover. Points are kept as their logarithms, which the secret allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from crypto.applicability.encoding import ApplicabilityProof, WellFormednessProof, encode_scalar
from crypto.applicability.evaluation import interpolation_at
from crypto.applicability.setup import Setup
from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import ORDER, SLACK_BITS, Suite
from crypto.applicability.transcript import Transcript
from crypto.similarity import NORM_BOUND_SQUARED

WEIGHTS = tuple(1 << place for place in range(SLACK_BITS))


def point(logarithm: int) -> bytes:
    """Return the compressed multiple of the generator of G1."""
    return bytes((G1Point() * Scalar(logarithm % ORDER)).to_compressed_bytes())


def inverse(value: int) -> int:
    return pow(value, -1, ORDER)


def make_setup(secret: int, powers: int) -> Setup:
    """Return a set-up whose secret is known: worthless for proofs, and what a simulator needs."""
    second = G2Point()
    turned = second * Scalar(secret)
    return Setup(
        tuple(point(pow(secret, power, ORDER)) for power in range(powers)),
        bytes(second.to_compressed_bytes()),
        bytes(turned.to_compressed_bytes()),
    )


@dataclass(frozen=True)
class Simulated:
    """A proof, and by name every logarithm, value and challenge in it."""

    proof: bytes
    known: dict[str, int]


@dataclass
class Simulator:
    """Makes proofs from the *secret*; *random* draws what an honest prover's blinders make uniform."""

    suite: Suite
    secret: int
    random: Random
    known: dict[str, int] = field(default_factory=dict)

    def draw(self) -> int:
        return self.random.randrange(1, ORDER)

    def at(self, values: Sequence[int], place: int) -> int:
        return interpolation_at(self.suite, tuple(values), place)

    def table(self) -> list[int]:
        return [place % 255 - 127 for place in range(self.suite.size)]

    def vanishing(self, place: int) -> int:
        return (pow(place, self.suite.size, ORDER) - 1) % ORDER

    def applicability(self, statement: ApplicabilityStatement, commitment: int) -> Simulated:
        """Simulate a proof about the point with the logarithm *commitment*, of a true statement or a false one."""
        self.known = {"C": commitment}
        transcript = statement.begin()
        for name in ("S", "B", "Z"):
            self._send(transcript, name)
        alpha = self._challenge(transcript, "alpha")
        self._send(transcript, "T")
        zeta = self._challenge(transcript, "zeta")
        e, b, z, z_next = (self._show(transcript, name) for name in ("e", "b", "z", "z_next"))
        numerator = z_next - z - e * self.at(statement.query, zeta) + b * self.at(WEIGHTS, zeta)
        numerator += statement.tau * self.at((1,), zeta) + alpha * (b * b - b)
        quotient = numerator * inverse(self.vanishing(zeta)) % ORDER
        nu = self._challenge(transcript, "nu")
        found = self.known
        shown_e = commitment + self.vanishing(zeta) * found["S"]
        logarithms, values = (shown_e, found["B"], found["Z"], found["T"]), (e, b, z, quotient)
        w1, w2 = self._openings(logarithms, values, nu, zeta)
        points = (point(found[name]) for name in ("S", "B", "Z", "T"))
        return Simulated(ApplicabilityProof(*points, w1, w2, e, b, z, z_next).encode(), found)

    def well_formedness(self, commitment: int) -> Simulated:
        """Simulate a proof about the point with the logarithm *commitment*."""
        self.known = {"C": commitment}
        transcript = WellFormednessStatement(self.suite, point(commitment)).begin()
        self._send(transcript, "B")
        self._send(transcript, "M")
        gamma = self._challenge(transcript, "gamma")
        self._send(transcript, "H")
        alpha = self._challenge(transcript, "alpha")
        self._send(transcript, "Z")
        delta = self._challenge(transcript, "delta")
        self._send(transcript, "T0")
        self._send(transcript, "T1")
        zeta = self._challenge(transcript, "zeta")
        e, b, m, h, z, z_next = (self._show(transcript, name) for name in ("e", "b", "m", "h", "z", "z_next"))
        norm = e * e + b * self.at(WEIGHTS, zeta) - NORM_BOUND_SQUARED * self.at((1,), zeta)
        numerator = (z_next - z - h - alpha * norm) * (gamma + self.at(self.table(), zeta)) + m
        numerator += delta * (h * (gamma + e) - 1) + delta * delta * (b * b - b)
        quotient = numerator * inverse(self.vanishing(zeta)) % ORDER
        nu = self._challenge(transcript, "nu")
        found = self.known
        whole = found["T0"] + (self.vanishing(zeta) + 1) * found["T1"]
        logarithms = (commitment, found["B"], found["M"], found["H"], found["Z"], whole)
        w1, w2 = self._openings(logarithms, (e, b, m, h, z, quotient), nu, zeta)
        points = (point(found[name]) for name in ("B", "M", "H", "Z", "T0", "T1"))
        return Simulated(WellFormednessProof(*points, w1, w2, e, b, m, h, z, z_next).encode(), found)

    def _openings(self, logarithms: Sequence[int], values: Sequence[int], nu: int, zeta: int) -> tuple[bytes, bytes]:
        pairs = zip(logarithms, values, strict=True)
        folded = sum(pow(nu, power, ORDER) * (shown - value) for power, (shown, value) in enumerate(pairs))
        turned = self.suite.generator * zeta
        first = folded * inverse(self.secret - zeta)
        second = (self.known["Z"] - self.known["z_next"]) * inverse(self.secret - turned)
        return point(first), point(second)

    def _send(self, transcript: Transcript, name: str) -> None:
        self.known[name] = self.draw()
        transcript.absorb(name, point(self.known[name]))

    def _show(self, transcript: Transcript, name: str) -> int:
        self.known[name] = self.draw()
        transcript.absorb(name, encode_scalar(self.known[name]))
        return self.known[name]

    def _challenge(self, transcript: Transcript, name: str) -> int:
        self.known[name] = transcript.challenge(name)
        return self.known[name]
