"""The bytes of scalars and proofs."""

from __future__ import annotations

import pytest

from crypto.applicability.encoding import (
    APPLICABILITY_BYTES,
    WELL_FORMEDNESS_BYTES,
    ApplicabilityProof,
    WellFormednessProof,
    decode_scalar,
    encode_scalar,
)
from crypto.applicability.suites import ORDER
from crypto.errors import EncodingError

APPLICABILITY = ApplicabilityProof(*(bytes([number]) * 48 for number in range(6)), *range(100, 104))  # type: ignore[arg-type]
WELL_FORMEDNESS = WellFormednessProof(*(bytes([number]) * 48 for number in range(8)), *range(100, 106))  # type: ignore[arg-type]
PROOFS = (APPLICABILITY, WELL_FORMEDNESS)


def test_the_proofs_are_as_small_as_promised() -> None:
    assert len(APPLICABILITY.encode()) == APPLICABILITY_BYTES == 416
    assert len(WELL_FORMEDNESS.encode()) == WELL_FORMEDNESS_BYTES == 576


def test_points_stand_before_scalars_in_the_order_of_the_page() -> None:
    points = b"".join(bytes([number]) * 48 for number in range(6))
    assert APPLICABILITY.encode() == points + b"".join(number.to_bytes(32, "big") for number in range(100, 104))


@pytest.mark.parametrize("proof", PROOFS)
def test_a_proof_is_read_as_it_was_written(proof: ApplicabilityProof | WellFormednessProof) -> None:
    assert type(proof).parse(proof.encode()) == proof


@pytest.mark.parametrize("proof", PROOFS)
def test_a_proof_of_another_length_is_refused(proof: ApplicabilityProof | WellFormednessProof) -> None:
    data = proof.encode()
    for other in (data[:-1], data + b"\0", b"", data[:-32], data * 2):
        with pytest.raises(EncodingError, match=f"not {len(data)}"):
            type(proof).parse(other)


@pytest.mark.parametrize("proof", PROOFS)
def test_a_scalar_of_r_or_more_is_refused_wherever_it_stands(proof: ApplicabilityProof | WellFormednessProof) -> None:
    data = proof.encode()
    points = data.index((100).to_bytes(32, "big"))
    for at in range(points, len(data), 32):
        for scalar in (ORDER, ORDER + 1, 2**256 - 1):
            with pytest.raises(EncodingError, match="order of the group"):
                type(proof).parse(data[:at] + scalar.to_bytes(32, "big") + data[at + 32 :])


@pytest.mark.parametrize("value", [0, 1, ORDER - 1])
def test_a_scalar_is_32_bytes_and_read_again(value: int) -> None:
    assert decode_scalar(encode_scalar(value)) == value
    assert len(encode_scalar(value)) == 32


@pytest.mark.parametrize("value", [-1, ORDER])
def test_a_scalar_out_of_range_is_not_written(value: int) -> None:
    with pytest.raises(EncodingError):
        encode_scalar(value)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_scalar_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(EncodingError, match="32 bytes"):
        decode_scalar(bytes(length))


def test_a_point_of_another_length_is_not_written() -> None:
    with pytest.raises(EncodingError, match="48 bytes"):
        ApplicabilityProof(b"", *(bytes(48) for _ in range(5)), 0, 0, 0, 0).encode()  # type: ignore[arg-type]
