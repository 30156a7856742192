"""Sealed values: every manipulation is refused, and a second implementation agrees byte for byte."""

from __future__ import annotations

from dataclasses import replace

import pytest
from Crypto.Cipher import AES
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.canonical import encode_fields
from crypto.errors import EncodingError
from tenants.derivation import derive_bytes
from tenants.errors import KeyFormError, UnsealError
from tenants.identifiers import TenantId
from tenants.sealing import (
    HEADER_BYTES,
    OVERHEAD_BYTES,
    PLAINTEXT_BYTES_MAX,
    DataKey,
    SealContext,
    seal,
    sealed_epoch,
    unseal,
)
from tenants.sealing_reference import seal_reference, unseal_reference
from tests.unit.tenants.fakes import CountingRandom, ScriptedRandom

KEY = DataKey(7, CountingRandom("data key").token_bytes(32))
OTHER_KEY = DataKey(7, CountingRandom("other data key").token_bytes(32))
PLACE = SealContext(TenantId("ten_a"), 42, "payload", 1)
PLAIN = b"an answer that belongs to one tenant"
RANDOM = CountingRandom()
SEALED = seal(KEY, PLACE, PLAIN, random=RANDOM)

ELSEWHERE = {
    "another tenant": replace(PLACE, tenant=TenantId("ten_b")),
    "a tenant with a longer name": replace(PLACE, tenant=TenantId("ten_a\0")),
    "no tenant": replace(PLACE, tenant=TenantId("")),
    "another row": replace(PLACE, entry=43),
    "row zero": replace(PLACE, entry=0),
    "another field": replace(PLACE, field="vector"),
    "another schema version": replace(PLACE, schema_version=2),
    "tenant and field run together": SealContext(TenantId("ten_apay"), 42, "load", 1),
    "tenant and field exchanged": SealContext(TenantId("payload"), 42, "ten_a", 1),
}


@pytest.mark.parametrize("plain", [b"", b"x", PLAIN, bytes(4096)])
def test_what_was_sealed_opens_in_its_place(plain: bytes) -> None:
    sealed = seal(KEY, PLACE, plain, random=RANDOM)
    assert unseal(KEY, PLACE, sealed) == plain
    assert len(sealed) == len(plain) + OVERHEAD_BYTES


def test_nothing_of_the_plaintext_shows() -> None:
    assert b"answer" not in SEALED


@pytest.mark.parametrize("position", range(len(SEALED)))
def test_any_flipped_bit_is_refused(position: int) -> None:
    for bit in range(8):
        changed = bytearray(SEALED)
        changed[position] ^= 1 << bit
        with pytest.raises(UnsealError):
            unseal(KEY, PLACE, bytes(changed))


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_any_truncation_is_refused(length: int) -> None:
    with pytest.raises(UnsealError):
        unseal(KEY, PLACE, SEALED[:length])


@pytest.mark.parametrize("extra", [b"\0", b"x" * 16, SEALED])
def test_anything_behind_it_is_refused(extra: bytes) -> None:
    with pytest.raises(UnsealError):
        unseal(KEY, PLACE, SEALED + extra)


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_value_moved_elsewhere_is_refused(where: str) -> None:
    with pytest.raises(UnsealError):
        unseal(KEY, ELSEWHERE[where], SEALED)


def test_another_tenants_data_key_is_refused() -> None:
    with pytest.raises(UnsealError):
        unseal(OTHER_KEY, PLACE, SEALED)


@pytest.mark.parametrize("epoch", [1, 6, 8, 2**32 - 1])
def test_another_epoch_is_refused_even_with_the_same_secret(epoch: int) -> None:
    with pytest.raises(UnsealError):
        unseal(DataKey(epoch, KEY.secret), PLACE, SEALED)
    relabelled = SEALED[:1] + epoch.to_bytes(4, "big") + SEALED[5:]
    with pytest.raises(UnsealError):
        unseal(DataKey(epoch, KEY.secret), PLACE, relabelled)


def test_parts_of_two_values_in_one_place_do_not_mix() -> None:
    other = seal(KEY, PLACE, PLAIN[::-1], random=RANDOM)
    for cut in (20, 37, HEADER_BYTES, len(SEALED) - 16):
        with pytest.raises(UnsealError):
            unseal(KEY, PLACE, SEALED[:cut] + other[cut:])


def test_every_refusal_reads_the_same() -> None:
    said = set()
    for key, place, sealed in (
        (KEY, PLACE, b""),
        (KEY, PLACE, b"\2" + SEALED[1:]),
        (KEY, PLACE, SEALED[:-1]),
        (OTHER_KEY, PLACE, SEALED),
        (KEY, ELSEWHERE["another tenant"], SEALED),
        (DataKey(8, KEY.secret), PLACE, SEALED),
    ):
        with pytest.raises(UnsealError) as refusal:
            unseal(key, place, sealed)
        said.add((str(refusal.value), refusal.value.__cause__))
    assert len(said) == 1


def test_a_sealed_value_tells_its_epoch() -> None:
    assert sealed_epoch(SEALED) == 7


@pytest.mark.parametrize("sealed", [b"", SEALED[: OVERHEAD_BYTES - 1], b"\0" + SEALED[1:], b"\2" + SEALED[1:]])
def test_what_is_no_sealed_value_tells_no_epoch(sealed: bytes) -> None:
    with pytest.raises(UnsealError):
        sealed_epoch(sealed)


def test_salts_and_commitments_never_repeat() -> None:
    sealed = [seal(KEY, PLACE, PLAIN, random=RANDOM) for _ in range(2000)]
    assert len({value[5:37] for value in sealed}) == 2000
    assert len({value[37:69] for value in sealed}) == 2000
    assert len({value[69:] for value in sealed}) == 2000


def test_repeated_randomness_never_puts_two_plaintexts_under_one_key() -> None:
    # The source of a cloned machine: the same 32 bytes twice. With a plain random salt this would be GCM with one key
    # and one nonce for two plaintexts, whose exclusive or would then be public.
    stuck = ScriptedRandom(CountingRandom().token_bytes(32))
    first, second = (seal(KEY, PLACE, plain, random=stuck) for plain in (bytes(64), b"\1" * 64))
    assert first[5:37] != second[5:37]
    assert first[37:69] != second[37:69]
    mixed = bytes(a ^ b for a, b in zip(first[69:-16], second[69:-16], strict=True))
    assert mixed != b"\1" * 64


def test_repeated_randomness_never_shares_a_key_between_places() -> None:
    stuck = ScriptedRandom(CountingRandom().token_bytes(32))
    sealed = [seal(KEY, place, PLAIN, random=stuck) for place in (PLACE, *ELSEWHERE.values())]
    assert len({value[37:69] for value in sealed}) == len(sealed)


@pytest.mark.parametrize("committed", [0, 1])
def test_a_ciphertext_forged_for_two_data_keys_opens_under_one_at_most(committed: int) -> None:
    """GCM does not commit to its key: who knows two keys can make one body that both open. The commitment ends that.

    The forger here knows everything, as two colluding tenants do; without the commitment check both keys would open it.
    """
    salt, epoch = bytes(range(32)), (7).to_bytes(4, "big")
    parts = (b"ten_a", (42).to_bytes(8, "big"), b"payload", (1).to_bytes(4, "big"))
    place = encode_fields("hitproof/entry-place/v1", *parts)
    derived = [derive_bytes(key.secret, salt=salt, info=place, length=64) for key in (KEY, OTHER_KEY)]
    commitment = derived[committed][32:]
    associated = encode_fields("hitproof/entry-aad/v1", place, epoch, commitment)
    body = collide_gcm(derived[0][:32], derived[1][:32], bytes(12), associated)
    for part in derived:
        AESGCM(part[:32]).decrypt(bytes(12), body, associated)
    forged = b"\1" + epoch + salt + commitment + body
    keys = [KEY, OTHER_KEY]
    unseal(keys[committed], PLACE, forged)
    with pytest.raises(UnsealError):
        unseal(keys[1 - committed], PLACE, forged)


def collide_gcm(first: bytes, second: bytes, nonce: bytes, associated: bytes = b"") -> bytes:
    """Return one ciphertext and tag that AES-GCM opens under both keys (Grubbs, Lu, Ristenpart, CRYPTO 2017).

    One free ciphertext block is solved from the linear equation that both tags are equal.
    """
    keys = (first, second)
    subkeys = [int.from_bytes(_block(key, bytes(16)), "big") for key in keys]
    masks = [int.from_bytes(_block(key, nonce + b"\0\0\0\1"), "big") for key in keys]
    padded = associated + bytes(-len(associated) % 16)
    blocks = [padded[start : start + 16] for start in range(0, len(padded), 16)]
    length = (8 * len(associated)).to_bytes(8, "big") + (8 * 16).to_bytes(8, "big")
    # tag = mask + ghash(blocks) + block * h^2 + length * h, so block = difference of the rest / (h1^2 + h2^2).
    rests = []
    for subkey, mask in zip(subkeys, masks, strict=True):
        hashed = 0
        for block in (*blocks, bytes(16), length):
            hashed = _multiply(hashed ^ int.from_bytes(block, "big"), subkey)
        rests.append(mask ^ hashed)
    squares = [_multiply(subkey, subkey) for subkey in subkeys]
    block = _multiply(rests[0] ^ rests[1], _invert(squares[0] ^ squares[1]))
    tag = rests[0] ^ _multiply(block, squares[0])
    return block.to_bytes(16, "big") + tag.to_bytes(16, "big")


def _block(key: bytes, plain: bytes) -> bytes:
    return bytes(AES.new(key, AES.MODE_ECB).encrypt(plain))


def _multiply(left: int, right: int) -> int:
    """Multiply in GCM's field (NIST SP 800-38D, algorithm 1)."""
    product = 0
    for bit in range(127, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (0xE1 << 120 if right & 1 else 0)
    return product


def _invert(value: int) -> int:
    result, power = 1 << 127, value
    for _ in range(127):
        power = _multiply(power, power)
        result = _multiply(result, power)
    return result


def test_the_collision_that_these_tests_rely_on_is_real() -> None:
    forged = collide_gcm(bytes(32), b"\1" * 32, bytes(12), b"aad")
    for key in (bytes(32), b"\1" * 32):
        AESGCM(key).decrypt(bytes(12), forged, b"aad")
    with pytest.raises(InvalidTag):
        AESGCM(b"\2" * 32).decrypt(bytes(12), forged, b"aad")


@pytest.mark.parametrize("plain", [b"", b"x", PLAIN, bytes(5000)])
def test_the_reference_seals_the_same_bytes(plain: bytes) -> None:
    drawn = CountingRandom("drawn").token_bytes(32)
    assert seal(KEY, PLACE, plain, random=ScriptedRandom(drawn)) == seal_reference(KEY, PLACE, plain, drawn=drawn)


def test_each_implementation_opens_what_the_other_sealed() -> None:
    drawn = CountingRandom("drawn").token_bytes(32)
    assert unseal_reference(KEY, PLACE, SEALED) == PLAIN
    assert unseal(KEY, PLACE, seal_reference(KEY, PLACE, PLAIN, drawn=drawn)) == PLAIN


@pytest.mark.parametrize("position", range(0, len(SEALED), 7))
def test_the_reference_refuses_what_the_product_refuses(position: int) -> None:
    changed = bytearray(SEALED)
    changed[position] ^= 1
    with pytest.raises(UnsealError):
        unseal_reference(KEY, PLACE, bytes(changed))


def test_the_format_is_pinned() -> None:
    # A change of this value is a change of format: it needs a new version byte, and version 1 must stay readable.
    sealed = seal(DataKey(1, bytes(range(32))), PLACE, b"golden", random=ScriptedRandom(bytes(range(32))))
    assert sealed.hex() == GOLDEN


GOLDEN = (
    "010000000171d9f09711ca0367a57a55706391bd4d4cd6352e87368cc31ae4ea2816c9cdc0f8967fb95552e0ff8c8f6186ca"
    "c90bac8ffb226d9411261a1e4ab59dc6ab5acfdf9ccc3e3c8e3f01b5cf404e2a3fe3b51dcea0851fe3"
)


@pytest.mark.parametrize("secret", [b"", bytes(16), bytes(31), bytes(33), bytes(64)])
def test_a_data_key_of_the_wrong_size_is_refused(secret: bytes) -> None:
    with pytest.raises(KeyFormError, match="32 bytes"):
        DataKey(1, secret)


@pytest.mark.parametrize("epoch", [-1, 0, 2**32])
def test_an_epoch_out_of_range_is_refused(epoch: int) -> None:
    with pytest.raises(KeyFormError, match="epoch"):
        DataKey(epoch, bytes(32))


@pytest.mark.parametrize("entry", [-1, 2**63])
def test_an_entry_out_of_range_is_refused(entry: int) -> None:
    with pytest.raises(EncodingError, match="entry"):
        replace(PLACE, entry=entry)


@pytest.mark.parametrize("version", [-1, 2**32])
def test_a_schema_version_out_of_range_is_refused(version: int) -> None:
    with pytest.raises(EncodingError, match="schema version"):
        replace(PLACE, schema_version=version)


def test_a_plaintext_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PLAINTEXT_BYTES_MAX == 1 << 28
    monkeypatch.setattr("tenants.sealing.PLAINTEXT_BYTES_MAX", 10)
    with pytest.raises(EncodingError, match="10 bytes"):
        seal(KEY, PLACE, bytes(11), random=RANDOM)


def test_a_data_key_is_not_shown_when_printed() -> None:
    assert repr(KEY) == "DataKey(epoch=7)"
