"""Both libraries for BLS12-381 keep one contract: they read the same points, refuse the same bytes, and multiply alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from crypto.applicability.arkworks import Arkworks
from crypto.applicability.curve import Curve
from crypto.applicability.setup import load_setup
from crypto.applicability.suites import ORDER
from crypto.errors import EncodingError
from crypto.reference.ceremony import load_ceremony
from crypto.reference.errors import NotInForm
from crypto.reference.pairing import P, SlowCurve

#: Both, and what each raises.
CURVES: dict[str, tuple[Curve, type[Exception]]] = {
    "arkworks": (Arkworks(), EncodingError),
    "py_ecc": (SlowCurve(), NotInForm),
}
Under: TypeAlias = tuple[Curve, type[Exception]]

COMPRESSED, INFINITY, LARGER = 1 << 383, 1 << 382, 1 << 381
SETUP = load_setup()
G1, G2, G2_X = SETUP.powers[0], SETUP.g2, SETUP.g2_x
#: On y² = x³ + 4 and of order 3.
SMALL_X = 0


def g1(number: int) -> bytes:
    return number.to_bytes(48, "big")


def plus(data: bytes, number: int) -> bytes:
    return (int.from_bytes(data, "big") + number).to_bytes(len(data), "big")


def without_root() -> int:
    """The first x for which there is no y."""
    return next(x for x in range(1, 1_000) if pow(x**3 + 4, (P - 1) // 2, P) == P - 1)


def with_root(from_x: int = 1) -> int:
    """The first x for which there is a y; the point is not in the subgroup, which only one of 2^126 points is in."""
    return next(x for x in range(from_x, 1_000) if pow(x**3 + 4, (P - 1) // 2, P) == 1)


BAD_G1: dict[str, bytes] = {
    "nothing": b"",
    "a byte too few": G1[:-1],
    "a byte too many": G1 + b"\x00",
    "uncompressed form": G1 + bytes(48),
    "not marked as compressed": plus(G1, -COMPRESSED),
    "the identity": g1(COMPRESSED | INFINITY),
    "the identity with the flag of a larger y": g1(COMPRESSED | INFINITY | LARGER),
    "the identity with a coordinate": g1(COMPRESSED | INFINITY | 1),
    "a point that is marked as the identity": plus(G1, INFINITY),
    "zeros": bytes(48),
    "ones": b"\xff" * 48,
    "the modulus": g1(COMPRESSED | P),
    "a coordinate beyond the modulus": g1(COMPRESSED | (P + with_root())),
    "a coordinate without a y": g1(COMPRESSED | without_root()),
    "a point of order three": g1(COMPRESSED | SMALL_X),
    "its negative": g1(COMPRESSED | LARGER | SMALL_X),
    "a point outside the subgroup": g1(COMPRESSED | with_root()),
    "another point outside the subgroup": g1(COMPRESSED | LARGER | with_root(50)),
    "a point of the other group": G2,
    "half of one": G2[:48],
}
BAD_G2: dict[str, bytes] = {
    "nothing": b"",
    "a byte too few": G2[:-1],
    "a byte too many": G2 + b"\x00",
    "a point of the other group": G1,
    "two points of the other group": G1 + G1,
    "not marked as compressed": plus(G2, -(COMPRESSED << 384)),
    "the identity": g1(COMPRESSED | INFINITY) + bytes(48),
    "the identity with the flag of a larger y": g1(COMPRESSED | INFINITY | LARGER) + bytes(48),
    "the identity with a coordinate": g1(COMPRESSED | INFINITY) + bytes(47) + b"\x01",
    "flags in the second half": plus(G2, COMPRESSED),
    "the flag of a larger y in the second half": plus(G2, LARGER),
    "the first half beyond the modulus": g1(COMPRESSED | P) + G2[48:],
    "the second half beyond the modulus": G2[:48] + g1(P),
    "the halves exchanged": g1(COMPRESSED | int.from_bytes(G2[48:], "big"))
    + g1(int.from_bytes(G2[:48], "big") % LARGER),
    "small coordinates": g1(COMPRESSED) + g1(2),
    "others": g1(COMPRESSED | 1) + g1(1),
    "zeros": bytes(96),
    "ones": b"\xff" * 96,
}


@pytest.fixture(params=list(CURVES.values()), ids=list(CURVES))
def under(request: pytest.FixtureRequest) -> Under:
    found: Under = request.param
    return found


@pytest.mark.parametrize("data", BAD_G1.values(), ids=BAD_G1)
def test_what_is_not_the_one_encoding_of_a_point_of_g1_is_refused(under: Under, data: bytes) -> None:
    curve, error = under
    with pytest.raises(error):
        curve.read_g1(data)


@pytest.mark.parametrize("data", BAD_G2.values(), ids=BAD_G2)
def test_what_is_not_the_one_encoding_of_a_point_of_g2_is_refused(under: Under, data: bytes) -> None:
    curve, error = under
    with pytest.raises(error):
        curve.read_g2(data)


def test_every_point_of_the_ceremony_that_a_verifier_or_a_small_suite_needs_is_read(under: Under) -> None:
    curve, _ = under
    for power in SETUP.powers[:260:20]:
        curve.read_g1(power)
    curve.read_g2(G2)
    curve.read_g2(G2_X)


def test_the_flag_of_the_larger_y_makes_the_negative_point(under: Under) -> None:
    curve, _ = under
    for data in SETUP.powers[:3]:
        number = int.from_bytes(data, "big") ^ LARGER
        both = [curve.read_g1(data), curve.read_g1(g1(number))]
        assert is_identity(curve, curve.combine(both, [1, 1]))
        assert not is_identity(curve, curve.combine(both, [1, 2]))


def test_the_flag_of_the_larger_y_makes_the_negative_point_of_g2(under: Under) -> None:
    curve, _ = under
    one = curve.read_g1(G1)
    for data in (G2, G2_X):
        other = (int.from_bytes(data, "big") ^ (LARGER << 384)).to_bytes(96, "big")
        assert curve.is_product_one([(one, curve.read_g2(data)), (one, curve.read_g2(other))])


def is_identity(curve: Curve, point: Any) -> bool:
    """Whether a point is the identity: no other has the pairing one with the generator."""
    return curve.is_product_one([(point, curve.read_g2(G2))])


def test_the_powers_of_the_ceremony_are_powers_of_one_secret(under: Under) -> None:
    curve, _ = under
    one, power = curve.read_g2(G2), curve.read_g2(G2_X)
    for place in (0, 1, 4_094):
        higher = curve.read_g1(SETUP.powers[place + 1])
        lower = curve.combine([curve.read_g1(SETUP.powers[place])], [ORDER - 1])
        assert curve.is_product_one([(higher, one), (lower, power)])
    assert not curve.is_product_one([(higher, power), (lower, one)])


def test_a_sum_is_that_of_its_parts(under: Under) -> None:
    curve, _ = under
    points = [curve.read_g1(power) for power in SETUP.powers[:5]]
    scalars = [0, 1, ORDER - 1, 2**128 + 17, ORDER // 3]
    parts = [curve.combine([point], [scalar]) for point, scalar in zip(points, scalars, strict=True)]
    whole = curve.combine([*points, *parts], [*scalars, *[ORDER - 1] * 5])
    assert is_identity(curve, whole)


def test_a_sum_takes_the_same_point_more_than_once(under: Under) -> None:
    curve, _ = under
    point = curve.read_g1(SETUP.powers[7])
    assert is_identity(curve, curve.combine([point, point, point], [5, 6, ORDER - 11]))


def test_a_sum_of_nothing_and_a_product_of_nothing_are_neutral(under: Under) -> None:
    curve, _ = under
    assert is_identity(curve, curve.combine([], []))
    assert curve.is_product_one([])


@pytest.mark.parametrize("scalars", [[], [1], [1, 2, 3]], ids=["none", "too few", "too many"])
def test_lists_of_unequal_length_are_refused_and_never_cut(under: Under, scalars: list[int]) -> None:
    curve, error = under
    points = [curve.read_g1(power) for power in SETUP.powers[:2]]
    with pytest.raises(error):
        curve.combine(points, scalars)


@pytest.mark.parametrize("scalar", [-1, ORDER, 2**256 - 1, 2**256, -ORDER])
def test_a_scalar_outside_the_field_is_refused(under: Under, scalar: int) -> None:
    curve, error = under
    with pytest.raises(error):
        curve.combine([curve.read_g1(G1)], [scalar])


def test_both_setups_name_the_same_points() -> None:
    ceremony = load_ceremony()
    assert (ceremony.g1, ceremony.g2, ceremony.g2_x) == (G1, G2, G2_X)


# Agreement about bytes that nobody thought of


def attempts(source: random.Random) -> Iterator[tuple[bool, bytes]]:
    """Encodings of either group, whether of G2, most of them close to good ones."""
    good = [(False, power) for power in SETUP.powers[:20]] + [(True, G2), (True, G2_X)]
    while True:
        of_g2, data = source.choice(good)
        number, bits = int.from_bytes(data, "big"), 8 * len(data)
        kind = source.randrange(4)
        if kind == 0:
            number ^= 1 << source.randrange(bits)
        elif kind == 1:
            number ^= source.randrange(8) << (bits - 3)
        elif kind == 2:
            number = (number >> (bits - 3) << (bits - 3)) | source.randrange(1 << (bits - 3))
        else:
            number = (number + P) % (1 << bits)
        yield of_g2, number.to_bytes(len(data), "big")


def reads(reader: Callable[[bytes], object], error: type[Exception], data: bytes) -> bool:
    try:
        reader(data)
    except error:
        return False
    return True


@pytest.mark.campaign
def test_both_agree_about_encodings_at_random(campaign: bool) -> None:
    tried = attempts(random.Random(1))
    accepted = 0
    for _ in range(20_000 if campaign else 400):
        of_g2, data = next(tried)
        said = {
            name: reads(curve.read_g2 if of_g2 else curve.read_g1, error, data)
            for name, (curve, error) in CURVES.items()
        }
        assert len(set(said.values())) == 1, (data.hex(), said)
        accepted += said["py_ecc"]
    # Those whose flag alone was changed are good points.
    assert accepted > 0
