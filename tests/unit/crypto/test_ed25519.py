"""Ed25519: the RFC's vectors pass, and what lenient libraries take is refused."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from Crypto.Signature import eddsa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from crypto.ed25519 import SigningKey, is_valid_public_key, key_id, verify_signature
from crypto.errors import EncodingError, VerificationError

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SIGN = 1 << 255
MESSAGE = b"a message"
KEY = SigningKey(bytes(range(32)))

#: Affine points (x, y), and the slow textbook formulas.
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(left: Point, right: Point) -> Point:
    (x1, y1), (x2, y2) = left, right
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def times(scalar: int, point: Point) -> Point:
    total = IDENTITY
    for bit in bin(scalar)[2:]:
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def point_at(y: int, sign: int) -> Point | None:
    """The curve's point with this y and this lowest bit of x, if there is one (RFC 8032 §5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * pow(2, (P - 1) // 4, P) % P
    if root * root % P != square or (root == 0 and sign):
        return None
    return (root if root & 1 == sign else P - root), y


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def base() -> Point:
    found = point_at(4 * pow(5, -1, P) % P, 0)
    assert found is not None
    return found


@cache
def small_order_points() -> tuple[Point, ...]:
    """The eight points whose order divides 8, from the first point that L does not send to the identity's line."""
    for y in range(2, 100):
        found = point_at(y, 0)
        generator = times(L, found) if found else IDENTITY
        if times(4, generator) != IDENTITY:
            return tuple(times(count, generator) for count in range(8))
    raise AssertionError("no point of order 8 was found")


def small_order_encodings() -> list[bytes]:
    """Every 32 bytes that some decoder may read as a point of small order, canonical or not."""
    numbers = set()
    for _, y in small_order_points():
        numbers |= {y, y | SIGN}
        if y + P < SIGN:
            numbers |= {y + P, (y + P) | SIGN}
    return [number.to_bytes(32, "little") for number in sorted(numbers)]


def is_refused(public_key: bytes, message: bytes, signature: bytes) -> bool:
    with pytest.raises(VerificationError) as caught:
        verify_signature(public_key, message, signature)
    return caught.value.reason == "signature_invalid"


def library_takes(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def second_library_takes(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        eddsa.new(eddsa.import_public_key(public_key), "rfc8032").verify(message, signature)
    except ValueError:
        return False
    return True


RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595b"
        "be24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430"
        "2aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716e"
        "d28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public_key", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032_are_made_and_verified(
    seed: str, public_key: str, message: str, signature: str
) -> None:
    key = SigningKey(bytes.fromhex(seed))
    assert key.public_key.hex() == public_key
    assert key.sign(bytes.fromhex(message)).hex() == signature
    verify_signature(key.public_key, bytes.fromhex(message), bytes.fromhex(signature))


def test_any_flipped_bit_of_key_message_or_signature_is_refused() -> None:
    signature = KEY.sign(MESSAGE)
    for bit in range(512):
        flipped = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
        assert is_refused(KEY.public_key, MESSAGE, flipped)
    for bit in range(256):
        flipped = (int.from_bytes(KEY.public_key, "big") ^ 1 << bit).to_bytes(32, "big")
        assert is_refused(flipped, MESSAGE, signature)
    assert is_refused(KEY.public_key, MESSAGE + b"\0", signature)


@pytest.mark.parametrize("length", [0, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    assert is_refused(KEY.public_key, MESSAGE, (KEY.sign(MESSAGE) * 2)[:length])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_public_key_of_another_length_is_refused(length: int) -> None:
    public_key = (KEY.public_key * 2)[:length]
    assert is_refused(public_key, MESSAGE, KEY.sign(MESSAGE))
    assert not is_valid_public_key(public_key)
    with pytest.raises(EncodingError):
        key_id(public_key)


def test_s_with_any_multiple_of_the_order_added_is_refused() -> None:
    signature = KEY.sign(MESSAGE)
    scalar = int.from_bytes(signature[32:], "little")
    for count in range(1, 15):
        with pytest.raises(VerificationError, match="not below the group's order"):
            verify_signature(KEY.public_key, MESSAGE, signature[:32] + (scalar + count * L).to_bytes(32, "little"))


def test_an_s_that_is_the_order_itself_is_refused() -> None:
    with pytest.raises(VerificationError, match="not below the group's order"):
        verify_signature(KEY.public_key, MESSAGE, KEY.sign(MESSAGE)[:32] + L.to_bytes(32, "little"))


def test_there_are_eight_points_of_small_order_and_14_encodings_of_them() -> None:
    points = small_order_points()
    assert len(set(points)) == 8
    assert all(times(8, point) == IDENTITY for point in points)
    assert len(small_order_encodings()) == 14


def test_no_encoding_of_a_point_of_small_order_is_a_public_key() -> None:
    for encoding in small_order_encodings():
        assert not is_valid_public_key(encoding)


def test_a_key_of_small_order_is_refused_where_the_library_takes_it() -> None:
    scalar = 98765432109876543210
    commitment = encode(times(scalar, base()))
    for point in small_order_points():
        # Nobody signed: for one message in eight k·A vanishes, and any S with R = S·B fits.
        key, signature = encode(point), commitment + scalar.to_bytes(32, "little")
        taken = [message for message in map(str.encode, map(str, range(80))) if library_takes(key, message, signature)]
        assert taken
        assert is_refused(key, taken[0], signature)


def test_an_r_of_small_order_is_refused_where_the_library_takes_it() -> None:
    secret = 12345678901234567890
    # A key with a part of order 8, so that the right R can be of any small order.
    public_key = encode(add(times(secret, base()), small_order_points()[1]))
    for point in small_order_points():
        taken = 0
        for number in range(80):
            message, commitment = b"%d" % number, encode(point)
            challenge = int.from_bytes(hashlib.sha512(commitment + public_key + message).digest(), "little")
            signature = commitment + (challenge * secret % L).to_bytes(32, "little")
            taken += library_takes(public_key, message, signature)
            assert is_refused(public_key, message, signature)
        assert taken


def test_an_r_of_small_order_is_refused_in_every_encoding() -> None:
    for encoding in small_order_encodings():
        assert is_refused(KEY.public_key, MESSAGE, encoding + KEY.sign(MESSAGE)[32:])


def test_a_part_of_small_order_in_r_is_refused_where_another_library_takes_it() -> None:
    secret, once = 12345678901234567890, 98765432109876543210
    public_key = encode(times(secret, base()))
    commitment = encode(add(times(once, base()), small_order_points()[1]))
    challenge = int.from_bytes(hashlib.sha512(commitment + public_key + MESSAGE).digest(), "little")
    signature = commitment + ((once + challenge * secret) % L).to_bytes(32, "little")
    assert second_library_takes(public_key, MESSAGE, signature)
    assert is_refused(public_key, MESSAGE, signature)


def test_a_y_that_is_not_below_the_prime_is_refused_in_key_and_r() -> None:
    signature = KEY.sign(MESSAGE)
    for number in [*range(P, SIGN), *range(P | SIGN, 2**256)]:
        encoding = number.to_bytes(32, "little")
        assert not is_valid_public_key(encoding)
        assert is_refused(encoding, MESSAGE, signature)
        assert is_refused(KEY.public_key, MESSAGE, encoding + signature[32:])


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    for y in range(2, 60):
        encoding = y.to_bytes(32, "little")
        assert is_valid_public_key(encoding) == (point_at(y, 0) is not None)
        assert is_refused(encoding, MESSAGE, KEY.sign(MESSAGE))


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200), bit=st.integers(0, 1023))
def test_two_libraries_and_the_strict_check_agree_on_what_an_honest_signer_makes(
    seed: bytes, message: bytes, bit: int
) -> None:
    key = SigningKey(seed)
    signature = bytearray(key.sign(message))
    verify_signature(key.public_key, message, bytes(signature))
    assert is_valid_public_key(key.public_key)
    assert second_library_takes(key.public_key, message, bytes(signature))
    signature[bit // 8 % 64] ^= 1 << bit % 8
    assert not second_library_takes(key.public_key, message, bytes(signature))
    assert is_refused(key.public_key, message, bytes(signature))


def test_a_key_id_is_the_hash_of_the_public_key() -> None:
    assert KEY.key_id == key_id(KEY.public_key) == hashlib.sha256(KEY.public_key).hexdigest()


def test_a_signing_key_does_not_show_its_seed() -> None:
    assert bytes(range(32)).hex() not in repr(KEY)
    assert KEY.key_id in repr(KEY)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(EncodingError):
        SigningKey(bytes(range(64))[:length])
