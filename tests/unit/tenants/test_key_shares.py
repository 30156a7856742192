"""Shamir shares: any k open, fewer never, and every wrong one is refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from Crypto.Protocol.SecretSharing import Shamir

from crypto.canonical import digest_fields
from tenants.errors import KeyFormError
from tenants.key_shares import SHARES_MAX, combine_shares, parse_share, split_key
from tenants.key_wrapping import KeyEncryptionKey

SECRET = bytes(range(32))
SHARES = split_key(SECRET, 3, 5)


@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 3), (3, 5), (5, 5), (2, SHARES_MAX)])
def test_any_k_of_n_shares_make_the_key(threshold: int, count: int) -> None:
    texts = split_key(SECRET, threshold, count)
    assert len(texts) == count
    for chosen in combinations(texts, threshold):
        assert combine_shares([parse_share(text) for text in chosen]).secret == SECRET


@pytest.mark.parametrize("given", [1, 2])
def test_fewer_shares_never_make_the_key(given: int) -> None:
    for chosen in combinations(SHARES, given):
        parsed = [parse_share(text) for text in chosen]
        with pytest.raises(KeyFormError, match="exactly as many"):
            combine_shares(parsed)
        # Not by lying about the threshold either: k - 1 points fit every possible secret.
        with pytest.raises(KeyFormError, match="forged"):
            combine_shares([replace(share, threshold=given) for share in parsed])


def test_two_of_three_shares_fit_any_other_key_as_well() -> None:
    """What k - 1 holders know is consistent with every secret: for another one there is a third share that fits."""
    shares = [parse_share(text) for text in SHARES[:2]]
    for wanted in (bytes(16), b"\xff" * 16, bytes(range(16))):
        points = [(share.number, share.secret[:16]) for share in shares]
        # The polynomial through (0, wanted) and both points, read at 3, is a share that makes `wanted`.
        third = lagrange([(0, wanted), *points], at=3)
        assert bytes(Shamir.combine([*points, (3, third)])) == wanted


def lagrange(points: list[tuple[int, bytes]], at: int) -> bytes:
    """Read the polynomial through *points* of GF(2^128) at another place: shift it there and combine."""
    return bytes(Shamir.combine([(x ^ at, y) for x, y in points]))


def test_more_shares_than_needed_are_not_combined() -> None:
    with pytest.raises(KeyFormError, match="exactly as many"):
        combine_shares([parse_share(text) for text in SHARES[:4]])


def test_the_order_of_the_shares_does_not_matter() -> None:
    assert combine_shares([parse_share(SHARES[index]) for index in (4, 0, 2)]).secret == SECRET


def test_a_share_says_what_it_is_and_shows_no_secret() -> None:
    share = parse_share(SHARES[1])
    assert (share.threshold, share.count, share.number) == (3, 5, 2)
    assert share.key_id == KeyEncryptionKey(SECRET).key_id
    assert share.secret.hex() not in repr(share)


def test_blanks_around_a_share_do_not_matter() -> None:
    assert parse_share(f"  {SHARES[0]}\r\n") == parse_share(SHARES[0])


@pytest.mark.parametrize("position", range(len(SHARES[0])))
def test_a_mistyped_character_is_refused(position: int) -> None:
    for character in "0123456789abcdefo_ -":
        changed = SHARES[0][:position] + character + SHARES[0][position + 1 :]
        if changed.strip() != SHARES[0]:
            with pytest.raises(KeyFormError):
                parse_share(changed)


@pytest.mark.parametrize(
    "text", ["", "hps1_", "hps1_" * 1000, SHARES[0].upper(), SHARES[0] + SHARES[1], SHARES[0][:-1]]
)
def test_what_is_no_share_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(KeyFormError) as refusal:
        parse_share(text)
    assert SHARES[0][50:90] not in str(refusal.value)


@pytest.mark.parametrize("head", ["1of5_1", "6of5_1", "2of5_6", "2of99_1", "99of99_99"])
def test_a_share_that_no_split_makes_is_refused(head: str) -> None:
    body = SHARES[0].replace("3of5_1", head).rpartition("_")[0]
    checksum = digest_fields("hitproof/share-checksum/v1", body.encode())[:4].hex()
    with pytest.raises(KeyFormError, match="no split makes"):
        parse_share(f"{body}_{checksum}")


def test_shares_of_two_splits_of_one_key_do_not_mix() -> None:
    others = split_key(SECRET, 3, 5)
    with pytest.raises(KeyFormError, match="one set"):
        combine_shares([parse_share(text) for text in (SHARES[0], SHARES[1], others[2])])


def test_one_share_twice_does_not_count_twice() -> None:
    with pytest.raises(KeyFormError, match="different shares"):
        combine_shares([parse_share(SHARES[index]) for index in (0, 1, 1)])


def test_a_forged_share_makes_no_key() -> None:
    shares = [parse_share(text) for text in SHARES[:3]]
    forged = replace(shares[2], secret=bytes(32))
    with pytest.raises(KeyFormError, match="forged"):
        combine_shares([shares[0], shares[1], forged])


def test_no_shares_make_no_key() -> None:
    with pytest.raises(KeyFormError, match="exactly as many"):
        combine_shares([])


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 3), (0, 0), (3, 2), (-1, 5), (2, SHARES_MAX + 1)])
def test_a_split_that_cannot_be_is_refused(threshold: int, count: int) -> None:
    with pytest.raises(KeyFormError, match=f"{threshold} of {count} cannot be"):
        split_key(SECRET, threshold, count)


@pytest.mark.parametrize("secret", [b"", bytes(range(16)), bytes(32)])
def test_what_is_no_key_is_not_split(secret: bytes) -> None:
    with pytest.raises(KeyFormError):
        split_key(secret, 2, 3)
