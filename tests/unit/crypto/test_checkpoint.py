"""Checkpoints and cosignatures: what a log and its witnesses sign passes, and every change of it is refused."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from crypto.checkpoint import (
    FUTURE_MS_MAX,
    TIME_S_MAX,
    Checkpoint,
    append_cosignature,
    cosign_checkpoint,
    parse_checkpoint,
    parse_decimal,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignatures,
)
from crypto.ed25519 import SigningKey
from crypto.errors import EncodingError, VerificationError
from crypto.merkle import SIZE_MAX, leaf_hash
from crypto.note import (
    LOG_ALGORITHM,
    WITNESS_ALGORITHM,
    NoteSignature,
    VerifierKey,
    format_note,
    format_signature,
    key_hash,
    make_vkey,
    parse_vkey,
)

ORIGIN, WITNESS, SECOND = "log.example/hitproof", "witness.example/w1", "witness.example/w2"
LOG_KEY, WITNESS_KEY, SECOND_KEY, OTHER_KEY = (SigningKey(bytes([number]) * 32) for number in range(1, 5))
TIME_S = 1_700_000_000
NOW_MS = TIME_S * 1000
ROOT = leaf_hash(b"root")
CHECKPOINT = Checkpoint(ORIGIN, 100, ROOT)


def verifier(name: str, key: SigningKey, algorithm: int = WITNESS_ALGORITHM) -> VerifierKey:
    return parse_vkey(make_vkey(name, algorithm, key.public_key))


LOG = verifier(ORIGIN, LOG_KEY, LOG_ALGORITHM)
WITNESSES = [verifier(WITNESS, WITNESS_KEY), verifier(SECOND, SECOND_KEY)]
SIGNED = sign_checkpoint(CHECKPOINT, LOG_KEY)
LINE = cosign_checkpoint(SIGNED, WITNESS, WITNESS_KEY, TIME_S)
COSIGNED = append_cosignature(SIGNED, LINE)


def refusal(check: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(VerificationError) as caught:
        check(*arguments)
    return caught.value.reason


def signed_text(body: str, key: SigningKey = LOG_KEY, name: str = ORIGIN) -> str:
    """Sign any *body*, also one that `sign_checkpoint` would not write."""
    data = key.sign(body.encode())
    return format_note(body, [NoteSignature(name, key_hash(name, LOG_ALGORITHM, key.public_key), data)])


def changed_line(line: str, change: Callable[[bytes], bytes]) -> str:
    """Change what stands behind the key hash of a signature line."""
    start, encoded = line.rsplit(" ", 1)
    data = base64.b64decode(encoded)
    return f"{start} {base64.b64encode(data[:4] + change(data[4:])).decode()}\n"


# The log's signature


def test_a_signed_checkpoint_verifies_and_reads_as_it_was() -> None:
    signed = verify_checkpoint(SIGNED, LOG)
    assert signed.checkpoint == CHECKPOINT
    assert signed.text == SIGNED
    assert signed.note.body == CHECKPOINT.body == f"{ORIGIN}\n100\n{base64.b64encode(ROOT).decode()}\n"


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    stranger = format_signature(NoteSignature("stranger.example", b"abcd", b"whatever"))
    assert verify_checkpoint(append_cosignature(COSIGNED, stranger), LOG).checkpoint == CHECKPOINT


def test_another_key_hash_under_the_log_s_name_is_passed_over() -> None:
    # C2SP signed-note: a signature counts as unknown unless name and hash both match.
    line = format_signature(NoteSignature(ORIGIN, b"abcd", bytes(64)))
    assert verify_checkpoint(append_cosignature(SIGNED, line), LOG).checkpoint == CHECKPOINT


def test_another_root_is_refused() -> None:
    other = SIGNED.replace(base64.b64encode(ROOT).decode(), base64.b64encode(leaf_hash(b"other")).decode())
    assert refusal(verify_checkpoint, other, LOG) == "checkpoint_signature"


def test_another_size_is_refused() -> None:
    assert refusal(verify_checkpoint, SIGNED.replace("\n100\n", "\n101\n"), LOG) == "checkpoint_signature"


def test_another_origin_is_refused_even_if_the_key_is_the_log_s() -> None:
    other = sign_checkpoint(Checkpoint("log.example/other", 100, ROOT), LOG_KEY)
    assert refusal(verify_checkpoint, other, LOG) == "checkpoint_origin"
    under_its_name = signed_text(CHECKPOINT.body.replace(ORIGIN, "log.example/other"))
    assert refusal(verify_checkpoint, under_its_name, LOG) == "checkpoint_origin"


def test_an_origin_that_is_no_key_name_is_another_log_s() -> None:
    assert refusal(verify_checkpoint, signed_text(f"a log\n100\n{CHECKPOINT.body[-45:]}"), LOG) == "checkpoint_origin"


def test_a_missing_signature_of_the_log_is_refused() -> None:
    without = COSIGNED.replace(SIGNED.removeprefix(CHECKPOINT.body + "\n"), "")
    assert parse_checkpoint(without).checkpoint == CHECKPOINT
    assert refusal(verify_checkpoint, without, LOG) == "checkpoint_signature"


def test_a_second_signature_of_the_log_is_refused_even_if_equal() -> None:
    line = SIGNED.removeprefix(CHECKPOINT.body + "\n")
    for second in (line, changed_line(line, lambda data: bytes(64))):
        assert refusal(verify_checkpoint, SIGNED + second, LOG) == "checkpoint_signature"


def test_a_signature_by_another_key_under_the_log_s_name_and_hash_is_refused() -> None:
    # As a key with a colliding 4-byte hash would make it.
    colliding = NoteSignature(ORIGIN, LOG.key_hash, OTHER_KEY.sign(CHECKPOINT.body.encode()))
    assert refusal(verify_checkpoint, format_note(CHECKPOINT.body, [colliding]), LOG) == "checkpoint_signature"
    assert refusal(verify_checkpoint, SIGNED + format_signature(colliding), LOG) == "checkpoint_signature"


def test_a_signature_of_another_length_is_refused() -> None:
    line = SIGNED.removeprefix(CHECKPOINT.body + "\n")
    for change in (lambda data: data[:-1], lambda data: data + b"\0"):
        assert refusal(verify_checkpoint, SIGNED.replace(line, changed_line(line, change)), LOG) == (
            "checkpoint_signature"
        )


def test_a_witness_s_key_is_no_log_s_key() -> None:
    as_witness = verifier(ORIGIN, LOG_KEY)
    data = LOG_KEY.sign(CHECKPOINT.body.encode())
    text = format_note(CHECKPOINT.body, [NoteSignature(ORIGIN, as_witness.key_hash, data)])
    assert refusal(verify_checkpoint, text, as_witness) == "checkpoint_signature"


# The form


@pytest.mark.parametrize(
    "size",
    ["0100", "+100", "-100", " 100", "100 ", "1_00", "1e2", "100.0", "", "0x64", "\u0661\u0660", "1\u0660\u0660", "00"],
)
def test_a_size_that_is_no_plain_decimal_is_refused(size: str) -> None:
    text = signed_text(CHECKPOINT.body.replace("100", size))
    assert refusal(verify_checkpoint, text, LOG) == "checkpoint_malformed"


@pytest.mark.parametrize("size", [SIZE_MAX + 1, 2**64, 10**30])
def test_a_size_above_the_largest_is_refused(size: int) -> None:
    text = signed_text(CHECKPOINT.body.replace("100", str(size)))
    assert refusal(verify_checkpoint, text, LOG) == "checkpoint_malformed"
    with pytest.raises(EncodingError):
        sign_checkpoint(Checkpoint(ORIGIN, size, ROOT), LOG_KEY)


@pytest.mark.parametrize("size", [0, 1, SIZE_MAX])
def test_the_smallest_and_the_largest_size_are_read(size: int) -> None:
    assert verify_checkpoint(sign_checkpoint(Checkpoint(ORIGIN, size, ROOT), LOG_KEY), LOG).checkpoint.size == size


def test_a_root_in_another_spelling_or_length_is_refused() -> None:
    encoded = base64.b64encode(ROOT).decode()
    others = [base64.b64encode(data).decode() for data in (b"", ROOT[:-1], ROOT + b"\0")]
    last = encoded[-2]
    others += [encoded[:-1], encoded + "=", encoded + " ", encoded[:-2] + chr(ord(last) + 1) + "=", ROOT.hex()]
    for other in others:
        body = CHECKPOINT.body.replace(encoded, other)
        assert refusal(verify_checkpoint, signed_text(body), LOG) == "checkpoint_malformed", other


@pytest.mark.parametrize("more", ["extension\n", "\n", "a\nb\n"])
def test_extension_lines_are_refused(more: str) -> None:
    assert refusal(verify_checkpoint, signed_text(CHECKPOINT.body + more), LOG) == "checkpoint_malformed"


def test_a_missing_line_is_refused() -> None:
    lines = CHECKPOINT.body.split("\n")[:3]
    for place in range(3):
        body = "\n".join(lines[:place] + lines[place + 1 :]) + "\n"
        assert refusal(verify_checkpoint, signed_text(body), LOG) == "checkpoint_malformed"
    assert refusal(verify_checkpoint, signed_text("\n100\n" + lines[2] + "\n"), LOG) == "checkpoint_malformed"


def test_carriage_returns_are_refused() -> None:
    assert refusal(verify_checkpoint, SIGNED.replace("\n", "\r\n"), LOG) == "checkpoint_malformed"


def test_no_checkpoint_is_signed_that_would_not_read_back() -> None:
    for checkpoint in (
        Checkpoint("a log", 100, ROOT),
        Checkpoint("a+b", 100, ROOT),
        Checkpoint("", 100, ROOT),
        Checkpoint(ORIGIN, -1, ROOT),
        Checkpoint(ORIGIN, 100, ROOT[:-1]),
    ):
        with pytest.raises(EncodingError):
            sign_checkpoint(checkpoint, LOG_KEY)


def test_only_plain_decimals_are_numbers() -> None:
    assert [parse_decimal(text, 99) for text in ("0", "7", "99")] == [0, 7, 99]
    assert [parse_decimal(text, 99) for text in ("", "00", "07", "-1", "+1", "1\n", "100", "9" * 40)] == [None] * 8


# Cosignatures


def cosignatures(text: str, witnesses: list[VerifierKey] = WITNESSES, now_ms: int = NOW_MS) -> list[tuple[str, int]]:
    found = verify_cosignatures(verify_checkpoint(text, LOG), witnesses, now_ms)
    return [(item.name, item.time_s) for item in found]


def test_cosignatures_of_the_known_witnesses_are_found() -> None:
    both = append_cosignature(COSIGNED, cosign_checkpoint(SIGNED, SECOND, SECOND_KEY, TIME_S + 1))
    assert cosignatures(SIGNED) == []
    assert cosignatures(COSIGNED) == [(WITNESS, TIME_S)]
    assert cosignatures(both) == [(WITNESS, TIME_S), (SECOND, TIME_S + 1)]
    assert cosignatures(both, WITNESSES[::-1]) == [(SECOND, TIME_S + 1), (WITNESS, TIME_S)]
    assert cosignatures(both, []) == []


def test_the_signed_message_is_that_of_the_specification() -> None:
    data = base64.b64decode(LINE.rsplit(" ", 1)[1])
    assert data[4:12] == TIME_S.to_bytes(8, "big")
    assert data[12:] == WITNESS_KEY.sign(f"cosignature/v1\ntime {TIME_S}\n{CHECKPOINT.body}".encode())


def test_the_cosignature_of_an_unknown_witness_counts_for_nothing() -> None:
    text = append_cosignature(SIGNED, cosign_checkpoint(SIGNED, "stranger.example", OTHER_KEY, TIME_S))
    assert cosignatures(text) == []


def test_a_cosignature_with_another_time_is_refused() -> None:
    for time_s in (0, TIME_S - 1, TIME_S + 1):
        line = changed_line(LINE, lambda data, time_s=time_s: time_s.to_bytes(8, "big") + data[8:])
        assert refusal(cosignatures, append_cosignature(SIGNED, line)) == "cosignature_invalid"


def test_a_time_above_the_largest_is_refused() -> None:
    time_s = TIME_S_MAX + 1
    data = WITNESS_KEY.sign(f"cosignature/v1\ntime {time_s}\n{CHECKPOINT.body}".encode())
    line = changed_line(LINE, lambda _: time_s.to_bytes(8, "big") + data)
    assert refusal(cosignatures, append_cosignature(SIGNED, line)) == "cosignature_invalid"


def test_a_cosignature_from_the_future_is_refused_beyond_five_minutes() -> None:
    assert cosignatures(COSIGNED, now_ms=NOW_MS - FUTURE_MS_MAX) == [(WITNESS, TIME_S)]
    assert FUTURE_MS_MAX == 300_000
    assert refusal(cosignatures, COSIGNED, WITNESSES, NOW_MS - FUTURE_MS_MAX - 1) == "cosignature_future"


def test_the_cosignature_of_another_checkpoint_is_refused() -> None:
    for other in (Checkpoint(ORIGIN, 101, ROOT), Checkpoint(ORIGIN, 100, leaf_hash(b"x"))):
        line = cosign_checkpoint(sign_checkpoint(other, LOG_KEY), WITNESS, WITNESS_KEY, TIME_S)
        assert refusal(cosignatures, append_cosignature(SIGNED, line)) == "cosignature_invalid"


def test_a_witness_s_signature_over_the_text_alone_is_refused() -> None:
    line = changed_line(LINE, lambda data: data[:8] + WITNESS_KEY.sign(CHECKPOINT.body.encode()))
    assert refusal(cosignatures, append_cosignature(SIGNED, line)) == "cosignature_invalid"


def test_a_cosignature_by_another_key_under_the_witness_s_name_and_hash_is_refused() -> None:
    other = base64.b64decode(cosign_checkpoint(SIGNED, WITNESS, OTHER_KEY, TIME_S).rsplit(" ", 1)[1])
    line = changed_line(LINE, lambda _: other[4:])
    assert refusal(cosignatures, append_cosignature(SIGNED, line)) == "cosignature_invalid"


def test_a_cosignature_of_another_length_is_refused() -> None:
    for change in (lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[8:], lambda data: data[:8]):
        text = append_cosignature(SIGNED, changed_line(LINE, change))
        assert refusal(cosignatures, text) == "cosignature_invalid"


def test_two_lines_of_one_witness_are_refused_even_if_equal() -> None:
    for second in (LINE, cosign_checkpoint(SIGNED, WITNESS, WITNESS_KEY, TIME_S + 1)):
        assert refusal(cosignatures, COSIGNED + second) == "cosignature_invalid"


def test_one_witness_under_two_names_counts_once() -> None:
    names = [verifier(WITNESS, WITNESS_KEY), verifier(SECOND, WITNESS_KEY)]
    text = append_cosignature(COSIGNED, cosign_checkpoint(SIGNED, SECOND, WITNESS_KEY, TIME_S))
    assert cosignatures(text, names) == [(WITNESS, TIME_S)]
    assert cosignatures(text, [names[0], names[0]]) == [(WITNESS, TIME_S)]


def test_a_cosignature_under_a_log_s_algorithm_is_refused() -> None:
    as_log = verifier(WITNESS, WITNESS_KEY, LOG_ALGORITHM)
    data = base64.b64decode(LINE.rsplit(" ", 1)[1])[4:]
    text = append_cosignature(SIGNED, format_signature(NoteSignature(WITNESS, as_log.key_hash, data)))
    assert refusal(cosignatures, text, [as_log]) == "cosignature_invalid"


# Appending


def test_a_cosignature_is_appended_once_and_keeps_the_order() -> None:
    second = cosign_checkpoint(SIGNED, SECOND, SECOND_KEY, TIME_S)
    both = append_cosignature(COSIGNED, second)
    assert both == SIGNED + LINE + second
    assert append_cosignature(append_cosignature(both, LINE), second) == both


def test_a_newer_cosignature_takes_the_place_of_the_older() -> None:
    second = cosign_checkpoint(SIGNED, SECOND, SECOND_KEY, TIME_S)
    newer = cosign_checkpoint(SIGNED, WITNESS, WITNESS_KEY, TIME_S + 60)
    assert append_cosignature(SIGNED + LINE + second, newer) == SIGNED + newer + second


@pytest.mark.parametrize("line", ["", "\n", LINE[:-1], LINE + LINE, "x" + LINE, LINE + "\n"])
def test_what_is_no_signature_line_is_not_appended(line: str) -> None:
    assert refusal(append_cosignature, SIGNED, line) == "checkpoint_malformed"


def test_a_line_more_than_a_note_holds_is_not_appended() -> None:
    text = SIGNED
    for number in range(63):
        text = append_cosignature(text, format_signature(NoteSignature("w", number.to_bytes(4, "big"), b"x")))
    with pytest.raises(EncodingError):
        append_cosignature(text, LINE)


def test_no_cosignature_is_made_with_an_impossible_name_or_time() -> None:
    for name, time_s in (("a b", TIME_S), ("", TIME_S), (WITNESS, -1), (WITNESS, TIME_S_MAX + 1)):
        with pytest.raises(EncodingError):
            cosign_checkpoint(SIGNED, name, WITNESS_KEY, time_s)


def test_what_is_no_checkpoint_is_not_cosigned() -> None:
    text = signed_text(CHECKPOINT.body + "extension\n")
    assert refusal(cosign_checkpoint, text, WITNESS, WITNESS_KEY, TIME_S) == "checkpoint_malformed"
