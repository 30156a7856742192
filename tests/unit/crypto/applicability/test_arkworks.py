"""The traps of the curve's library, closed: what is not the one encoding of a point of the right group is refused."""

from __future__ import annotations

import pytest
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from crypto.applicability.arkworks import Arkworks
from crypto.applicability.setup import load_setup
from crypto.applicability.suites import ORDER
from crypto.errors import EncodingError

CURVE = Arkworks()
SETUP = load_setup()
G1, G2 = CURVE.read_g1(SETUP.powers[0]), CURVE.read_g2(SETUP.g2)
#: The prime of the field that coordinates are of.
PRIME = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
INFINITY = b"\xc0" + bytes(47)


def compressed(x: int, flags: int = 0x80) -> bytes:
    return bytes([x >> 376 | flags]) + (x % 2**376).to_bytes(47, "big")


def first_x(*, on_curve: bool, from_x: int = 1) -> int:
    """Return the first x from *from_x* with, or without, a point of y² = x³ + 4."""
    while (pow((x := from_x) ** 3 + 4, (PRIME - 1) // 2, PRIME) == 1) is not on_curve:
        from_x += 1
    return x


def test_a_point_is_read_and_written_again() -> None:
    for power in SETUP.powers[:8]:
        assert bytes(CURVE.read_g1(power).to_compressed_bytes()) == power
    for data in (SETUP.g2, SETUP.g2_x):
        assert bytes(CURVE.read_g2(data).to_compressed_bytes()) == data


def test_the_library_still_reads_infinity_from_other_encodings() -> None:
    assert G1Point.from_compressed_bytes(b"\xff" * 48) == G1Point.identity()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(INFINITY, id="identity"),
        pytest.param(b"\xff" * 48, id="infinity, all ones"),
        pytest.param(b"\xc0" + bytes(46) + b"\1", id="infinity with an x"),
        pytest.param(b"\xe0" + bytes(47), id="infinity with a sign"),
        pytest.param(b"\x40" + bytes(47), id="infinity, not compressed"),
        pytest.param(bytes(48), id="zeros"),
        pytest.param(compressed(first_x(on_curve=False)), id="off the curve"),
        pytest.param(compressed(first_x(on_curve=True)), id="outside the subgroup"),
        pytest.param(compressed(0), id="outside the subgroup, x of 0"),
        pytest.param(compressed(PRIME), id="x of the prime"),
        pytest.param(compressed(PRIME + first_x(on_curve=True)), id="x beyond the prime"),
        pytest.param(SETUP.powers[1][:47], id="short"),
        pytest.param(SETUP.powers[1] + b"\0", id="long"),
        pytest.param(b"", id="nothing"),
        pytest.param(bytes([SETUP.powers[1][0] & 0x7F]) + SETUP.powers[1][1:], id="flag of compression missing"),
        pytest.param(bytes([SETUP.powers[1][0] | 0x40]) + SETUP.powers[1][1:], id="flag of infinity"),
        pytest.param(bytes(G1.to_xy_bytes_be()), id="uncompressed"),
    ],
)
def test_bytes_that_are_no_point_of_g1_are_refused(data: bytes) -> None:
    with pytest.raises(EncodingError, match="G1"):
        CURVE.read_g1(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xc0" + bytes(95), id="identity"),
        pytest.param(b"\xff" * 96, id="infinity, all ones"),
        pytest.param(b"\xc0" + bytes(94) + b"\1", id="infinity with an x"),
        pytest.param(SETUP.g2[:95], id="short"),
        pytest.param(SETUP.g2 + b"\0", id="long"),
        pytest.param(compressed(PRIME) + bytes(48), id="x of the prime"),
        pytest.param(SETUP.powers[1] * 2, id="points of the other group"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_bytes_that_are_no_point_of_g2_are_refused(data: bytes) -> None:
    with pytest.raises(EncodingError, match="G2"):
        CURVE.read_g2(data)


def test_a_point_of_g2_outside_the_subgroup_is_refused() -> None:
    found = 0
    for x in range(1, 40):
        data = compressed(0) + x.to_bytes(48, "big")
        try:
            point = G2Point.from_compressed_bytes_unchecked(data)
        except ValueError:
            continue
        assert not point.is_in_subgroup()
        found += 1
        with pytest.raises(EncodingError):
            CURVE.read_g2(data)
    assert found


def test_points_are_combined_as_they_add_up() -> None:
    points = [CURVE.read_g1(power) for power in SETUP.powers[1:4]]
    scalars = [3, ORDER - 1, 2**200 + 1]
    added = G1Point.identity()
    for point, scalar in zip(points, scalars, strict=True):
        added = added + point * Scalar.from_be_bytes(scalar.to_bytes(32, "big"))
    assert CURVE.combine(points, scalars) == added
    assert CURVE.combine(points, [0, 0, 0]) == CURVE.combine([], []) == G1Point.identity()


def test_the_library_still_leaves_out_what_the_longer_list_has_more() -> None:
    assert G1Point.multiexp_unchecked([G1, G1], [Scalar(1)]) == G1


@pytest.mark.parametrize(("points", "scalars"), [(2, 1), (1, 2), (0, 1), (1, 0)])
def test_lists_of_unequal_length_are_refused(points: int, scalars: int) -> None:
    with pytest.raises(EncodingError, match="cannot be multiplied"):
        CURVE.combine([G1] * points, [1] * scalars)


@pytest.mark.parametrize("scalar", [-1, ORDER, 2**256])
def test_a_scalar_out_of_range_is_refused(scalar: int) -> None:
    with pytest.raises(EncodingError):
        CURVE.combine([G1], [scalar])


def test_a_product_of_pairings_is_one_exactly_where_the_exponents_cancel() -> None:
    double, minus = CURVE.combine([G1], [2]), CURVE.combine([G1], [ORDER - 1])
    g2_x, power = CURVE.read_g2(SETUP.g2_x), CURVE.read_g1(SETUP.powers[1])
    assert CURVE.is_product_one([(power, G2), (minus, g2_x)])
    assert CURVE.is_product_one([])
    assert CURVE.is_product_one([(CURVE.combine([], []), G2)])
    assert not CURVE.is_product_one([(G1, G2)])
    assert not CURVE.is_product_one([(double, G2), (minus, G2)])
    assert not CURVE.is_product_one([(power, G2), (minus, G2)])


@pytest.mark.parametrize("data", [b"\xff" * 48, b"\xc0" + bytes(46) + b"\1", b"\xff" * 96, b"\xc0" + bytes(94) + b"\1"])
def test_infinity_in_another_encoding_is_refused_for_its_encoding(data: bytes) -> None:
    read = CURVE.read_g1 if len(data) == 48 else CURVE.read_g2
    with pytest.raises(EncodingError, match="not in its canonical encoding"):
        read(data)
