"""Proof files: what is written reads back, verifies, and has one spelling only."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from crypto.canonical import canonical_json
from crypto.checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint
from crypto.ed25519 import SigningKey
from crypto.errors import EncodingError, VerificationError
from crypto.merkle import SIZE_MAX, MemoryTree, inclusion_proof, leaf_hash, verify_inclusion
from crypto.note import LOG_ALGORITHM, make_vkey, parse_vkey
from crypto.tlog_proof import (
    PROOF_BYTES_MAX,
    HitProofExtra,
    ReceiptProofExtra,
    TlogProof,
    format_tlog_proof,
    parse_extra,
    parse_tlog_proof,
)

KEY = SigningKey(bytes(range(32)))
ORIGIN = "log.example/hitproof"
LEAVES = [leaf_hash(b"%d" % number) for number in range(100)]
TREE = MemoryTree(LEAVES)
INDEX = 37
CHECKPOINT = sign_checkpoint(Checkpoint(ORIGIN, 100, TREE.root()), KEY)
RECEIPT = ReceiptProofExtra({"payload": "AA=="})
HIT = HitProofExtra(
    batch={"count": 3},
    envelope={"payload": "AA=="},
    path=(bytes(32), LEAVES[1]),
    position=2,
    receipt_index=5,
    receipt_path=tuple(inclusion_proof(5, 100, TREE.node)),
    record={"hit": "hit_1"},
)
PROOF = TlogProof(INDEX, tuple(inclusion_proof(INDEX, 100, TREE.node)), CHECKPOINT, RECEIPT.to_payload())
TEXT = format_tlog_proof(PROOF)
LINES = TEXT.split("\n")


def is_refused(text: str) -> bool:
    with pytest.raises(VerificationError) as caught:
        parse_tlog_proof(text)
    return caught.value.reason == "malformed"


def is_refused_extra(data: bytes) -> bool:
    with pytest.raises(VerificationError) as caught:
        parse_extra(data)
    return caught.value.reason == "malformed"


# Files


def test_a_proof_file_reads_as_it_was_written_and_verifies() -> None:
    proof = parse_tlog_proof(TEXT)
    assert proof == PROOF
    log = parse_vkey(make_vkey(ORIGIN, LOG_ALGORITHM, KEY.public_key))
    checkpoint = verify_checkpoint(proof.checkpoint, log).checkpoint
    verify_inclusion(proof.index, checkpoint.size, LEAVES[INDEX], proof.hashes, checkpoint.root)


def test_a_proof_file_has_the_lines_of_the_specification() -> None:
    extra = base64.b64encode(RECEIPT.to_payload()).decode()
    hashes = [base64.b64encode(item).decode() for item in PROOF.hashes]
    expected = ["c2sp.org/tlog-proof@v1", f"extra {extra}", "index 37", *hashes, "", *CHECKPOINT.split("\n")]
    assert expected == LINES


def test_a_proof_without_extra_or_without_hashes_reads_as_it_was_written() -> None:
    for proof in (TlogProof(0, (), CHECKPOINT), TlogProof(0, (), CHECKPOINT, b"x"), TlogProof(1, PROOF.hashes, "")):
        assert parse_tlog_proof(format_tlog_proof(proof)) == proof


def test_the_checkpoint_stands_verbatim_behind_the_first_empty_line() -> None:
    assert parse_tlog_proof(TEXT.replace("\n\n", "\n\n\n\n", 1)).checkpoint == "\n\n" + CHECKPOINT


@pytest.mark.parametrize(
    "header", ["c2sp.org/tlog-proof@v2", "c2sp.org/tlog-proof@v1 ", "", "\ufeffc2sp.org/tlog-proof@v1"]
)
def test_another_header_is_refused(header: str) -> None:
    assert is_refused("\n".join([header, *LINES[1:]]))


@pytest.mark.parametrize(
    "line", ["index 037", "index +37", "index -1", "index  37", "index 37 ", "index", "index ", "Index 37", "index ३७"]
)
def test_an_index_in_another_spelling_is_refused(line: str) -> None:
    assert is_refused(TEXT.replace("index 37", line))


def test_an_index_that_no_tree_reaches_is_refused() -> None:
    assert parse_tlog_proof(TEXT.replace("index 37", f"index {SIZE_MAX - 1}")).index == SIZE_MAX - 1
    assert is_refused(TEXT.replace("index 37", f"index {SIZE_MAX}"))
    with pytest.raises(EncodingError):
        format_tlog_proof(TlogProof(SIZE_MAX, (), CHECKPOINT))


def test_lines_missing_repeated_or_in_another_order_are_refused() -> None:
    header, extra, index, *rest = LINES
    for lines in (
        [header, index, extra, *rest],
        [header, extra, extra, index, *rest],
        [header, extra, index, index, *rest],
        [header, extra, *rest],
        [index, *rest],
        [header, extra, rest[0], index, *rest[1:]],
    ):
        assert is_refused("\n".join(lines))


def test_a_file_without_a_checkpoint_s_empty_line_is_refused() -> None:
    assert is_refused(TEXT.partition("\n\n")[0] + "\n")
    assert is_refused("")


def test_an_extra_that_is_empty_or_not_canonical_base64_is_refused() -> None:
    extra = LINES[1]
    for line in ("extra ", "extra", extra + "=", extra[:-1], extra + " ", extra.replace("extra ", "extra  ")):
        assert is_refused(TEXT.replace(extra, line)), line
    with pytest.raises(EncodingError):
        format_tlog_proof(TlogProof(0, (), CHECKPOINT, b""))


def test_a_hash_in_another_spelling_or_length_is_refused() -> None:
    line = LINES[3]
    short = base64.b64encode(PROOF.hashes[0][:-1]).decode()
    for other in (line[:-1], line + "=", " " + line, line + " ", line + "\r", short, PROOF.hashes[0].hex()):
        assert is_refused(TEXT.replace(line, other)), other
    with pytest.raises(EncodingError):
        format_tlog_proof(TlogProof(0, (b"short",), CHECKPOINT))


def test_63_hashes_are_read_and_64_refused() -> None:
    text = format_tlog_proof(TlogProof(0, (bytes(32),) * 63, CHECKPOINT))
    assert len(parse_tlog_proof(text).hashes) == 63
    line = base64.b64encode(bytes(32)).decode() + "\n"
    assert is_refused(text.replace(line, line * 2, 1))
    assert is_refused(text.replace(line, line * 10_000, 1))


def test_a_file_of_two_mebibytes_is_read_and_a_byte_more_refused() -> None:
    more = "x" * (PROOF_BYTES_MAX - len(TEXT.encode()))
    assert parse_tlog_proof(TEXT + more).index == INDEX
    assert is_refused(TEXT + more + "x")
    assert is_refused(TEXT + more[1:] + "é")  # As many characters, one byte more.


# What the leaf stands for


@pytest.mark.parametrize("extra", [RECEIPT, HIT])
def test_an_extra_reads_as_it_was_written(extra: ReceiptProofExtra | HitProofExtra) -> None:
    assert parse_extra(extra.to_payload()) == extra


def test_extras_state_their_schema() -> None:
    assert RECEIPT.to_payload() == b'{"envelope":{"payload":"AA=="},"schema":"hitproof/receipt-proof/v1"}'
    assert b'"schema":"hitproof/hit-proof/v1"' in HIT.to_payload()


def hit_object(**changes: Any) -> bytes:
    value = {
        "batch": {},
        "envelope": {},
        "path": [],
        "position": 0,
        "receipt_index": 0,
        "receipt_path": ["00" * 32],
        "record": {},
        "schema": "hitproof/hit-proof/v1",
    } | changes
    return canonical_json({key: item for key, item in value.items() if item != "left out"})


def test_a_missing_or_unknown_key_is_refused() -> None:
    parse_extra(hit_object())
    for key in ("batch", "envelope", "path", "position", "receipt_index", "receipt_path", "record", "schema"):
        assert is_refused_extra(hit_object(**{key: "left out"})), key
    assert is_refused_extra(hit_object(more=1))
    assert is_refused_extra(b'{"envelope":{},"more":1,"schema":"hitproof/receipt-proof/v1"}')
    assert is_refused_extra(b'{"schema":"hitproof/receipt-proof/v1"}')


@pytest.mark.parametrize("schema", ["hitproof/hit-proof/v2", "hitproof/receipt-proof/v1", "", None, 1])
def test_another_schema_is_refused(schema: object) -> None:
    assert is_refused_extra(hit_object(schema=schema))


@pytest.mark.parametrize("key", ["batch", "envelope", "record"])
@pytest.mark.parametrize("value", [None, [], "", 1])
def test_what_must_be_an_object_and_is_none_is_refused(key: str, value: object) -> None:
    assert is_refused_extra(hit_object(**{key: value}))


@pytest.mark.parametrize("key", ["position", "receipt_index"])
@pytest.mark.parametrize("value", [-1, True, None, "1"])
def test_what_must_be_a_number_from_0_on_and_is_none_is_refused(key: str, value: object) -> None:
    assert is_refused_extra(hit_object(**{key: value}))


@pytest.mark.parametrize("key", ["path", "receipt_path"])
@pytest.mark.parametrize(
    "value", [None, "00" * 32, ["00" * 31], ["0A" * 32], [1], ["00" * 32 + "\n"], ["00" * 32] * 64]
)
def test_what_must_be_at_most_63_hashes_and_is_none_is_refused(key: str, value: object) -> None:
    assert is_refused_extra(hit_object(**{key: value}))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{", b'{"schema": "hitproof/receipt-proof/v1", "envelope": {}}']
)
def test_what_is_no_canonical_object_is_refused(data: bytes) -> None:
    assert is_refused_extra(data)


def test_an_extra_that_would_not_read_back_is_not_written() -> None:
    for change in ({"position": -1}, {"path": (b"short",)}, {"path": (bytes(32),) * 64}):
        values: dict[str, Any] = {name: getattr(HIT, name) for name in HitProofExtra.__dataclass_fields__} | change
        with pytest.raises(EncodingError):
            HitProofExtra(**values).to_payload()
