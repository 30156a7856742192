"""Checks opened algebraic commitments again: C is computed from vector and seed, once for all openings of a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from Crypto.Hash import SHA512

from . import shape
from .audit import Audit
from .ceremony import load_powers
from .contents import Opening
from .errors import NotInForm, Refused
from .hashing import digest, fields
from .polynomials import ORDER, SUITES, Domain
from .statements import DIMENSION_MAX

KIND = "commitment"
COMPONENT_MAX = 127


@dataclass(frozen=True, slots=True)
class Opened:
    """A commitment, the suite it is in, and the vector and seed that are to open it."""

    suite: str
    point: bytes
    vector: tuple[int, ...]
    seed: bytes


def check_openings(audit: Audit) -> Iterator[Refused]:
    """Everything that is wrong with openings of this kind; one refusal for all that are in form and fail together."""
    vectors = {one.statement: one.value for one in audit.contents.openings if one.kind == "vector"}
    found: list[Opened] = []
    for opening in audit.contents.openings:
        if opening.kind != KIND:
            continue
        try:
            opened = _read(audit, opening)
            if opened is not None and vectors.get(opening.statement, opening.value) != opening.value:
                raise NotInForm("two vectors of one statement")
        except NotInForm:
            yield Refused("opening_mismatch", opening.statement)
        except Refused as refused:
            yield refused
        else:
            found += [] if opened is None else [opened]
    if found and not do_open(found):
        yield Refused("opening_mismatch", f"{len(found)} algebraic commitments")


def _read(audit: Audit, opening: Opening) -> Opened | None:
    """The opening as its statement has it, or None in a suite that is not known."""
    embedding = audit.embeddings.get(opening.statement)
    if embedding is None:
        raise Refused("opening_unknown", opening.statement)
    if embedding.algebraic is None:
        raise NotInForm("a statement without an algebraic commitment")
    suite, point = embedding.algebraic
    if suite not in SUITES:
        return None
    values = shape.items(opening.value, DIMENSION_MAX)
    if len(values) != embedding.dimension:
        raise NotInForm("a vector of another length than its statement says")
    vector = tuple(shape.integer(value, -COMPONENT_MAX, COMPONENT_MAX) for value in values)
    return Opened(suite, point, vector, opening.salt)


def do_open(found: Sequence[Opened]) -> bool:
    """Whether all of them open: whether Σ weight · C is what the weighted sum of their polynomials is at x.

    Weights are hashes of all openings, so none can make up for what another lacks.
    """
    # The library of the curve takes a while to load, and most bundles open no commitment.
    from .pairing import SlowCurve, is_identity, sum_of_multiples

    slow = SlowCurve()
    try:
        points = [slow.read_g1(one.point) for one in found]
    except NotInForm:
        return False
    weights = _weights(found)
    polynomial = _weighted(found, weights)
    # The powers are believed for the hash of their file, which is that of points in the group.
    powers = [slow.decompress(power) for power in load_powers(len(polynomial))]
    negative = [-weight % ORDER for weight in weights]
    return is_identity(sum_of_multiples([*powers, *points], [*polynomial, *negative]))


def _weights(found: Sequence[Opened]) -> list[int]:
    each = b"".join(
        digest(
            "hitproof/reference-opening/v1", one.suite.encode("ascii"), one.point, one.seed,
            b"".join(component.to_bytes(1, "big", signed=True) for component in one.vector),
        )
        for one in found
    )  # fmt: skip
    return [
        int.from_bytes(digest("hitproof/reference-opening-weight/v1", each, place.to_bytes(8, "big")), "big") % ORDER
        for place in range(len(found))
    ]


def _weighted(found: Sequence[Opened], weights: Sequence[int]) -> list[int]:
    """The coefficients of Σ weight · (interpolation + Z(X) · (ρ₀ + ρ₁X)), the lowest first."""
    polynomial = [0] * (max(SUITES[one.suite] for one in found) + 2)
    for suite in {one.suite for one in found}:
        size = SUITES[suite]
        values, blinders = [0] * size, [0, 0]
        for one, weight in zip(found, weights, strict=True):
            if one.suite != suite:
                continue
            for place, component in enumerate(one.vector):
                values[place] += weight * component
            for place in (0, 1):
                blinders[place] += weight * _blinder(one, place)
        for place, coefficient in enumerate(interpolate(values, Domain(size))):
            polynomial[place] += coefficient
        for place, blinder in enumerate(blinders):
            polynomial[size + place] += blinder
            polynomial[place] -= blinder
    return [coefficient % ORDER for coefficient in polynomial]


def _blinder(one: Opened, place: int) -> int:
    hashed = fields("hitproof/commitment-blinding/v1", one.seed, one.suite.encode("ascii"), bytes([place]))
    return int.from_bytes(SHA512.new(hashed).digest(), "big") % ORDER


def interpolate(values: Sequence[int], domain: Domain) -> list[int]:
    """The coefficients of the polynomial with these values: c_j = Σ values[i] · w^(−ij) / N, summed as it stands here."""
    size, back = domain.size, pow(domain.root, -1, ORDER)
    turns = [1]
    while len(turns) < size:
        turns.append(turns[-1] * back % ORDER)
    # No sum is reduced before it is whole: that is what most of the time would go to.
    given = [(place, value % ORDER) for place, value in enumerate(values) if value]
    share = pow(size, -1, ORDER)
    return [
        sum(value * turns[place * degree % size] for place, value in given) * share % ORDER for degree in range(size)
    ]
