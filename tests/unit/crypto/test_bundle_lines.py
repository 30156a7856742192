"""The lines of a bundle's members, each in one form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crypto.bundle_lines import (
    BodyLine,
    CheckpointLine,
    EnvelopeLine,
    HitLine,
    ModelLine,
    OpeningLine,
    PolicyLine,
    PublisherLine,
    encode_line,
    parse_line,
)
from crypto.errors import EncodingError, VerificationError
from tests.audit.bundles import Plan, make_bundle

HONEST = make_bundle(Plan())
PARTS = HONEST.parts
LINES: list[Any] = [
    PARTS.receipts[0],
    PARTS.bodies[0],
    PARTS.checkpoints[0],
    PARTS.hits[0],
    PARTS.models[0],
    PARTS.openings[0],
    PARTS.policies[0],
    PublisherLine("sha256:" + "0" * 64, b"signature"),
]
by_type = pytest.mark.parametrize("line", LINES, ids=lambda line: type(line).__name__)


@by_type
def test_a_line_reads_as_it_was_written(line: Any) -> None:
    assert type(line).read(parse_line(encode_line(line.to_json())[:-1])) == line


@by_type
def test_a_line_with_a_key_too_few_or_too_many_is_refused(line: Any) -> None:
    value = line.to_json()
    for key in value:
        with pytest.raises((EncodingError, VerificationError)):
            type(line).read({name: item for name, item in value.items() if name != key})
    with pytest.raises((EncodingError, VerificationError)):
        type(line).read({**value, "more": 1})


@by_type
def test_a_line_with_a_value_of_another_kind_is_refused(line: Any) -> None:
    value = line.to_json()
    for key in value:
        for other in (None, True, 1.5, -1, [], {}, "x"):
            if key == "value" or (key in {"envelope", "manifest", "document"} and other == {}):
                continue
            if (key in {"proof", "hashes"} and other == []) or (key == "signature" and other == ""):
                continue
            with pytest.raises((EncodingError, VerificationError)):
                type(line).read({**value, key: other})


def test_a_body_that_a_runner_signs_is_no_body_of_the_log() -> None:
    body = {
        "at_ms": 1,
        "count": 1,
        "nonce": "0" * 64,
        "root": "0" * 64,
        "schema": "hitproof/receipt-batch/v1",
        "signer": "0" * 64,
    }
    with pytest.raises(EncodingError):
        BodyLine.read({"body": body, "index": 1})


def test_a_signature_that_is_not_canonical_base64_is_refused() -> None:
    for text in ("QQ", "QR==", "QQ==\n", "Q Q="):
        with pytest.raises(EncodingError):
            PublisherLine.read({"model_version": "sha256:" + "0" * 64, "signature": text})


def test_a_salt_of_another_length_is_refused() -> None:
    value = PARTS.openings[0].to_json()
    for salt in ("00" * 31, "00" * 33, "AA" * 32):
        with pytest.raises(EncodingError):
            OpeningLine.read({**value, "salt": salt})


def test_an_opening_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(EncodingError):
        OpeningLine.read({**PARTS.openings[0].to_json(), "kind": "query"})


def test_a_line_that_is_not_canonical_is_refused() -> None:
    line = encode_line(PARTS.policies[0].to_json())[:-1]
    for other in (line + b" ", b" " + line, json.dumps(json.loads(line)).encode()):
        with pytest.raises(EncodingError):
            parse_line(other)


def test_positions_that_do_not_ascend_are_refused() -> None:
    value: dict[str, Any] = PARTS.hits[0].to_json()
    for positions in (list(reversed(value["positions"])), [0] * len(value["positions"])):
        with pytest.raises(EncodingError):
            HitLine.read({**value, "positions": positions})


def test_the_kinds_of_lines_are_not_mistaken_for_one_another() -> None:
    readers = [EnvelopeLine, BodyLine, CheckpointLine, HitLine, ModelLine, OpeningLine, PolicyLine, PublisherLine]
    for line in LINES:
        for reader in readers:
            if not isinstance(line, reader):
                with pytest.raises((EncodingError, VerificationError)):
                    reader.read(line.to_json())
