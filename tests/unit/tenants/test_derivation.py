"""HKDF-SHA256 against RFC 5869 and against pycryptodome."""

from __future__ import annotations

import pytest
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF

from tenants.derivation import LENGTH_MAX, derive_bytes

# RFC 5869, appendix A.1 to A.3: (secret, salt, info, output).
RFC_5869 = {
    "A.1": (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "A.2": (
        bytes(range(0x00, 0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
        "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
        "cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    "A.3": (
        "0b" * 22,
        "",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}


@pytest.mark.parametrize("name", RFC_5869)
def test_the_vectors_of_rfc_5869_hold(name: str) -> None:
    secret, salt, info, expected = (bytes.fromhex(part) for part in RFC_5869[name])
    assert derive_bytes(secret, salt=salt, info=info, length=len(expected)) == expected


@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 96, LENGTH_MAX])
def test_another_library_derives_the_same_bytes(length: int) -> None:
    derived = derive_bytes(b"secret" * 6, salt=b"salt", info=b"info", length=length)
    assert derived == HKDF(b"secret" * 6, length, b"salt", SHA256, 1, b"info")


@pytest.mark.parametrize("length", [-1, 0, LENGTH_MAX + 1])
def test_a_length_that_hkdf_cannot_give_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=str(LENGTH_MAX)):
        derive_bytes(bytes(32), salt=b"", info=b"", length=length)
