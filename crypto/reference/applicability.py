"""Checks the two proofs about an algebraic commitment again: from proof to equation, and many equations in one product.

An equation is what a proof comes to after its transcript: pairing(left, [x]) = pairing(right, [1]), both sides being
sums of multiples of points. Two openings are folded into one equation by the proof's own last challenge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from Crypto.Hash import SHA512

from .ceremony import Ceremony
from .errors import NotInForm
from .hashing import digest, fields
from .polynomials import ORDER, SUITES, Domain, suite_for

if TYPE_CHECKING:
    from .pairing import G1, SlowCurve

SCALAR_BYTES = 32
POINT_BYTES = 48
COMPONENT_MAX = 127
#: U, which no vector's square may be above.
NORM_MAX = 260_100
HIT_POINTS, HIT_SCALARS = ("S", "B", "Z", "T", "W1", "W2"), ("e", "b", "z", "z_next")
FORM_POINTS, FORM_SCALARS = ("B", "M", "H", "Z", "T0", "T1", "W1", "W2"), ("e", "b", "m", "h", "z", "z_next")
#: So many equations are put to the test together; once so many do not hold, nothing more is looked at.
AT_ONCE = FOUND_MAX = 64
#: So many equations are put to the test together; once so many do not hold, nothing more is looked at.
AT_ONCE = FOUND_MAX = 64
#: What a side of an equation is made of.
Terms: TypeAlias = tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Commitment:
    """A compressed point of G1 that commits to a vector of this dimension, in a suite that is known."""

    suite: str
    point: bytes
    dimension: int


@dataclass(frozen=True, slots=True)
class Closeness:
    """What an applicability proof says: the query and the committed vector have an inner product of at least τ."""

    commitment: Commitment
    #: Digest of the embedding statement.
    embedding: str
    #: The hit record in canonical JSON.
    record: bytes
    query: tuple[int, ...]
    tau: int


@dataclass(frozen=True, slots=True)
class Equation:
    """pairing(Σ left, [x]) = pairing(Σ right + generator · [1], [1]), and where the proof's transcript ended."""

    left: Terms
    right: Terms
    generator: int
    state: bytes


class Transcript:
    """Draws challenges out of everything that was said before them."""

    def __init__(self, label: str, *statement: bytes) -> None:
        self.state = digest("hitproof/transcript/v1", label.encode("ascii"), *statement)

    def absorb(self, name: str, data: bytes) -> None:
        """Take in what a prover sends."""
        self.state = digest("hitproof/transcript-absorb/v1", self.state, name.encode("ascii"), data)

    def challenge(self, name: str) -> int:
        """A scalar that nobody could know before."""
        drawn = fields("hitproof/transcript-challenge/v1", self.state, name.encode("ascii"))
        scalar = int.from_bytes(SHA512.new(drawn).digest(), "big") % ORDER
        self.absorb(name, scalar.to_bytes(SCALAR_BYTES, "big"))
        return scalar


def hit_equation(statement: Closeness, proof: bytes) -> Equation:
    """What an applicability proof comes to; raises NotInForm for what no pairing is needed to refuse."""
    points, scalars = _take_apart(proof, HIT_POINTS, HIT_SCALARS)
    domain = _domain(statement.commitment)
    _check_query(statement)
    transcript = Transcript(
        "applicability",
        statement.commitment.suite.encode("utf-8"),
        statement.embedding.encode("ascii"),
        statement.record,
        statement.commitment.point,
        b"".join(component.to_bytes(1, "big", signed=True) for component in statement.query),
        statement.tau.to_bytes(8, "big"),
    )
    _absorb_points(transcript, points, "S", "B", "Z")
    alpha = transcript.challenge("alpha")
    _absorb_points(transcript, points, "T")
    zeta = transcript.challenge("zeta")
    nu, mu = _last_challenges(transcript, points, scalars)

    vanishing = domain.vanishing(zeta)
    e, b, z, z_next = (scalars[name] for name in HIT_SCALARS)
    a, s, first = (domain.value(values, zeta) for values in (statement.query, domain.weights(), domain.first()))
    t = (z_next - z - e * a + b * s + statement.tau * first + alpha * (b * b - b)) * pow(vanishing, -1, ORDER)
    opened: Terms = (
        (statement.commitment.point, 1),
        (points["S"], vanishing),
        (points["B"], nu),
        (points["Z"], nu**2),
        (points["T"], nu**3),
    )
    value = e + nu * b + nu**2 * z + nu**3 * t
    return _fold(points, opened, value, z_next, zeta, mu, domain, transcript)


def form_equation(commitment: Commitment, proof: bytes) -> Equation:
    """What a well-formedness proof comes to; raises NotInForm for what no pairing is needed to refuse."""
    points, scalars = _take_apart(proof, FORM_POINTS, FORM_SCALARS)
    domain = _domain(commitment)
    transcript = Transcript(
        "well-formedness", commitment.suite.encode("utf-8"), NORM_MAX.to_bytes(8, "big"), commitment.point
    )
    _absorb_points(transcript, points, "B", "M")
    gamma = transcript.challenge("gamma")
    _absorb_points(transcript, points, "H")
    alpha = transcript.challenge("alpha")
    _absorb_points(transcript, points, "Z")
    delta = transcript.challenge("delta")
    _absorb_points(transcript, points, "T0", "T1")
    zeta = transcript.challenge("zeta")
    nu, mu = _last_challenges(transcript, points, scalars)

    vanishing = domain.vanishing(zeta)
    e, b, m, h, z, z_next = (scalars[name] for name in FORM_SCALARS)
    t, s, first = (domain.value(values, zeta) for values in (domain.table(), domain.weights(), domain.first()))
    sums = z_next - z - h - alpha * (e * e + b * s - NORM_MAX * first)
    quotient = sums * (gamma + t) + m + delta * (h * (gamma + e) - 1) + delta**2 * (b * b - b)
    quotient = quotient * pow(vanishing, -1, ORDER) % ORDER
    opened: Terms = (
        (commitment.point, 1),
        (points["B"], nu),
        (points["M"], nu**2),
        (points["H"], nu**3),
        (points["Z"], nu**4),
        (points["T0"], nu**5),
        (points["T1"], nu**5 * (vanishing + 1)),
    )
    value = e + nu * b + nu**2 * m + nu**3 * h + nu**4 * z + nu**5 * quotient
    return _fold(points, opened, value, z_next, zeta, mu, domain, transcript)


def find_invalid(equations: Sequence[Equation], curve: SlowCurve, ceremony: Ceremony) -> frozenset[int]:
    """Places of the equations that do not hold: one product of pairings for 64 that hold, halves of them where not.

    Each is multiplied by a weight that is drawn from all of them, so none can make up for what another lacks. Once 64
    do not hold, those behind are not looked at, and do not count as holding.
    """
    batch = _Batch(equations, curve, ceremony)
    invalid: list[int] = []
    for start in range(0, len(equations), AT_ONCE):
        if len(invalid) >= FOUND_MAX:
            return frozenset((*invalid, *range(start, len(equations))))
        invalid += batch.find(range(start, min(start + AT_ONCE, len(equations))))
    return frozenset(invalid)


class _Batch:
    """Equations with their weights; points are read for some of them at a time."""

    def __init__(self, equations: Sequence[Equation], curve: SlowCurve, ceremony: Ceremony) -> None:
        self._equations, self._curve = equations, curve
        self._encoded = ceremony.g1
        self._generator = curve.read_g1(ceremony.g1)
        self._one, self._power = curve.read_g2(ceremony.g2), curve.read_g2(ceremony.g2_x)
        self._seed = digest("hitproof/reference-weights/v1", *(equation.state for equation in equations))
        self._points: dict[bytes, G1] = {}

    def find(self, places: Sequence[int]) -> list[int]:
        """Those of the places whose equations do not hold."""
        self._points = {self._encoded: self._generator}
        readable = [place for place in places if self._read(self._equations[place])]
        return [*(place for place in places if place not in readable), *_find(readable, self._hold)]

    def _read(self, equation: Equation) -> bool:
        """Read the points of an equation; whether all of them are points."""
        try:
            for encoded, _ in (*equation.left, *equation.right):
                if encoded not in self._points:
                    self._points[encoded] = self._curve.read_g1(encoded)
        except NotInForm:
            return False
        return True

    def _hold(self, places: Sequence[int]) -> bool:
        left: dict[bytes, int] = {}
        right: dict[bytes, int] = {self._encoded: 0}
        for place in places:
            equation = self._equations[place]
            weight = int.from_bytes(digest("hitproof/reference-weight/v1", self._seed, place.to_bytes(8, "big")), "big")
            for encoded, scalar in equation.left:
                left[encoded] = left.get(encoded, 0) + weight * scalar
            for encoded, scalar in equation.right:
                right[encoded] = right.get(encoded, 0) - weight * scalar
            right[self._encoded] -= weight * equation.generator
        sums = [
            self._curve.combine([self._points[name] for name in side], [scalar % ORDER for scalar in side.values()])
            for side in (left, right)
        ]
        return self._curve.is_product_one([(sums[0], self._power), (sums[1], self._one)])


def _find(places: Sequence[int], hold: Callable[[Sequence[int]], bool]) -> list[int]:
    """Those of the places that fail, found by halving whatever fails together."""
    if not places or hold(places):
        return []
    if len(places) == 1:
        return list(places)
    middle = len(places) // 2
    return _find(places[:middle], hold) + _find(places[middle:], hold)


def _take_apart(
    proof: bytes, point_names: Sequence[str], scalar_names: Sequence[str]
) -> tuple[dict[str, bytes], dict[str, int]]:
    """The points, still compressed, and the scalars of a proof, in the order of their names."""
    if len(proof) != POINT_BYTES * len(point_names) + SCALAR_BYTES * len(scalar_names):
        raise NotInForm("a proof of another length")
    rest = proof
    points: dict[str, bytes] = {}
    scalars: dict[str, int] = {}
    for name in point_names:
        points[name], rest = rest[:POINT_BYTES], rest[POINT_BYTES:]
    for name in scalar_names:
        scalars[name], rest = int.from_bytes(rest[:SCALAR_BYTES], "big"), rest[SCALAR_BYTES:]
        if scalars[name] >= ORDER:
            raise NotInForm("a scalar that is not below the order")
    return points, scalars


def _domain(commitment: Commitment) -> Domain:
    if commitment.suite not in SUITES:
        raise NotInForm("a suite that is not known")
    if suite_for(commitment.dimension) != commitment.suite:
        raise NotInForm("a suite that is not that of the dimension")
    return Domain(SUITES[commitment.suite])


def _check_query(statement: Closeness) -> None:
    if len(statement.query) != statement.commitment.dimension:
        raise NotInForm("a query of another length than the vector")
    if any(abs(component) > COMPONENT_MAX for component in statement.query):
        raise NotInForm("a query with a component beyond 127")
    if not 0 < sum(component * component for component in statement.query) <= NORM_MAX:
        raise NotInForm("a query that is zero, or too long")
    if not 0 <= statement.tau <= NORM_MAX:
        raise NotInForm("a threshold that no inner product reaches")


def _absorb_points(transcript: Transcript, points: dict[str, bytes], *names: str) -> None:
    for name in names:
        transcript.absorb(name, points[name])


def _last_challenges(transcript: Transcript, points: dict[str, bytes], scalars: dict[str, int]) -> tuple[int, int]:
    """ν, which joins what is opened at ζ, and μ, which joins the two openings."""
    for name, scalar in scalars.items():
        transcript.absorb(name, scalar.to_bytes(SCALAR_BYTES, "big"))
    nu = transcript.challenge("nu")
    _absorb_points(transcript, points, "W1", "W2")
    return nu, transcript.challenge("mu")


def _fold(
    points: dict[str, bytes],
    opened: Terms,
    value: int,
    z_next: int,
    zeta: int,
    mu: int,
    domain: Domain,
    transcript: Transcript,
) -> Equation:
    """The opening at ζ of what *opened* sums up to, and μ times that of Z at w · ζ."""
    return Equation(
        left=((points["W1"], 1), (points["W2"], mu)),
        right=(*opened, (points["Z"], mu), (points["W1"], zeta), (points["W2"], mu * domain.root * zeta)),
        generator=-(value + mu * z_next),
        state=transcript.state,
    )
