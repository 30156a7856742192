"""Wrapped data keys: bound to key, tenant and epoch; a second implementation agrees."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from tenants.errors import KeyFormError, SealedError
from tenants.identifiers import TenantId
from tenants.key_wrapping import WRAPPED_BYTES, KeyEncryptionKey, parse_kek_hex
from tenants.sealing_reference import unwrap_reference, wrap_reference

SECRET = bytes(range(32))
KEK = KeyEncryptionKey(bytes(range(100, 132)))
TENANT = TenantId("ten_a")
WRAPPED = KEK.wrap(SECRET, tenant=TENANT, epoch=3)


def test_a_wrapped_key_unwraps_in_its_place() -> None:
    assert KEK.unwrap(WRAPPED, tenant=TENANT, epoch=3) == SECRET
    assert len(WRAPPED) == WRAPPED_BYTES
    assert SECRET not in WRAPPED


@pytest.mark.parametrize("position", range(WRAPPED_BYTES))
def test_any_flipped_bit_is_refused(position: int) -> None:
    for bit in range(8):
        changed = bytearray(WRAPPED)
        changed[position] ^= 1 << bit
        with pytest.raises(SealedError):
            KEK.unwrap(bytes(changed), tenant=TENANT, epoch=3)


@pytest.mark.parametrize("length", [0, 1, 8, 9, 41, WRAPPED_BYTES - 1])
def test_a_cut_one_is_refused(length: int) -> None:
    with pytest.raises(SealedError, match="cut"):
        KEK.unwrap(WRAPPED[:length], tenant=TENANT, epoch=3)


@pytest.mark.parametrize(
    ("tenant", "epoch"), [("ten_b", 3), ("", 3), ("ten_a", 2), ("ten_a", 0), ("ten_a", -1), ("ten_a", 2**40)]
)
def test_one_that_was_moved_is_refused(tenant: str, epoch: int) -> None:
    with pytest.raises(SealedError, match="moved"):
        KEK.unwrap(WRAPPED, tenant=TenantId(tenant), epoch=epoch)


def test_the_wrong_key_is_named_with_the_mend() -> None:
    other = KeyEncryptionKey(bytes(range(1, 33)))
    with pytest.raises(SealedError, match=f"under {KEK.key_id}, but .* is {other.key_id}; give the old key back"):
        other.unwrap(WRAPPED, tenant=TENANT, epoch=3)


def test_a_wrapped_key_that_claims_another_kek_still_does_not_open_under_it() -> None:
    other = KeyEncryptionKey(bytes(range(1, 33)))
    relabelled = WRAPPED[:1] + other.wrap(SECRET, tenant=TENANT, epoch=3)[1:9] + WRAPPED[9:]
    with pytest.raises(SealedError, match="changed or moved"):
        other.unwrap(relabelled, tenant=TENANT, epoch=3)


def test_the_same_key_has_the_same_name_everywhere() -> None:
    again = parse_kek_hex(KEK.secret.hex().upper() + "\n", where="a test")
    assert again.key_id == KEK.key_id
    assert KEK.key_id.startswith("kek-")
    assert KEK.secret.hex()[:16] not in KEK.key_id


def test_different_data_keys_and_places_wrap_differently() -> None:
    wrapped = {
        KEK.wrap(secret, tenant=TenantId(tenant), epoch=epoch)[9:]
        for secret in (SECRET, SECRET[::-1])
        for tenant in ("ten_a", "ten_b")
        for epoch in (1, 2)
    }
    assert len(wrapped) == 8


def test_siv_matches_rfc_5297() -> None:
    # RFC 5297, appendix A.1; the appendix uses a 256-bit key, which cryptography's AESSIV takes as well.
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    header = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    sealed = AESSIV(key).encrypt(bytes.fromhex("112233445566778899aabbccddee"), [header])
    assert sealed.hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"


def test_the_reference_wraps_the_same_bytes() -> None:
    assert wrap_reference(KEK.secret, SECRET, tenant="ten_a", epoch=3) == WRAPPED


def test_the_reference_unwraps_and_refuses_alike() -> None:
    assert unwrap_reference(KEK.secret, WRAPPED, tenant="ten_a", epoch=3) == SECRET
    with pytest.raises(SealedError):
        unwrap_reference(KEK.secret, WRAPPED, tenant="ten_b", epoch=3)
    with pytest.raises(SealedError):
        unwrap_reference(KEK.secret, WRAPPED[:-1] + bytes((WRAPPED[-1] ^ 1,)), tenant="ten_a", epoch=3)


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "01" * 31, "01" * 33, "0x" + "12" * 31, "12 " * 32])
def test_what_is_no_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(KeyFormError, match="a test does not hold 64 hexadecimal digits") as refusal:
        parse_kek_hex(text, where="a test")
    assert not text or text not in str(refusal.value)


@pytest.mark.parametrize("byte", ["00", "ff", "41"])
def test_a_key_of_one_repeated_byte_is_refused(byte: str) -> None:
    with pytest.raises(KeyFormError, match="repeated byte"):
        parse_kek_hex(byte * 32, where="a test")


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_only_32_byte_secrets_are_wrapped(secret: bytes) -> None:
    with pytest.raises(KeyFormError, match="32 bytes"):
        KEK.wrap(secret, tenant=TENANT, epoch=1)


def test_a_key_is_not_shown_when_printed() -> None:
    assert repr(KEK) == "KeyEncryptionKey()"


def test_the_format_is_pinned() -> None:
    # A change of this value is a change of format: it needs a new version byte, and version 1 must stay readable.
    assert WRAPPED.hex() == GOLDEN


GOLDEN = (
    "01b7ff60723c22b5a065bddf4318126726bc09ef33142f354390cb16d25e0c7aec94b3c727701a5cbcce242f8da32f7bec79"
    "4881afbb0a7fce647c16aa75304cef2f36ec8612a37a5530c2d886fdcd133ac2974c73e912fdc4"
)
