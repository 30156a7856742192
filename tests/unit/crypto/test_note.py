"""Signed notes and verifier keys: the example of the specification reads, and every other spelling is refused."""

from __future__ import annotations

import base64

import pytest

from crypto.ed25519 import SigningKey
from crypto.errors import EncodingError, VerificationError
from crypto.note import (
    LOG_ALGORITHM,
    NOTE_BYTES_MAX,
    SIGNATURES_MAX,
    WITNESS_ALGORITHM,
    NoteSignature,
    VerifierKey,
    format_note,
    format_signature,
    key_hash,
    make_vkey,
    parse_note,
    parse_signature,
    parse_vkey,
)

KEY = SigningKey(bytes(range(32)))
NAME = "log.example/hitproof"
BODY = "first line\n\nthird line, é\n"
LINE = NoteSignature(NAME, b"\x00\x01\x02\x03", b"signature")
NOTE = format_note(BODY, [LINE])
VKEY = make_vkey(NAME, LOG_ALGORITHM, KEY.public_key)

#: The example of c2sp.org/signed-note.
EXAMPLE = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n— quasimodo.example/"
    "salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)


def is_refused(text: str) -> bool:
    with pytest.raises(VerificationError) as caught:
        parse_note(text)
    return caught.value.reason == "checkpoint_malformed"


def is_refused_key(text: str) -> bool:
    with pytest.raises(VerificationError) as caught:
        parse_vkey(text)
    return caught.value.reason == "trust_malformed"


# Notes


def test_the_example_of_the_specification_reads_and_writes_alike() -> None:
    note = parse_note(EXAMPLE)
    assert note.body.endswith("sole:\n\ned è subito sera.\n")
    assert note.signatures[0].name == "quasimodo.example/salvatore"
    assert note.signatures[0].key_hash.hex() == "367ba04b"
    assert len(note.signatures[0].data) == 64
    assert format_note(note.body, note.signatures) == EXAMPLE


def test_the_last_empty_line_divides_text_and_signatures() -> None:
    assert parse_note(NOTE).body == BODY
    assert parse_note("text\n\n" + NOTE).body == "text\n\n" + BODY


def test_a_note_without_its_last_newline_is_refused() -> None:
    for end in ("", " ", "x", "="):
        assert is_refused(NOTE[:-1] + end)


def test_a_note_with_something_behind_its_signatures_is_refused() -> None:
    for more in ("\n", " ", "more\n", "\n\n"):
        assert is_refused(NOTE + more)


def test_a_note_without_text_or_without_signatures_is_refused() -> None:
    for text in ("", "\n", "\n\n", BODY, BODY + "\n", format_signature(LINE), "\n" + format_signature(LINE)):
        assert is_refused(text), repr(text)


def test_a_dash_that_is_no_em_dash_is_refused() -> None:
    for dash in ("-", "–", "―", "--", "", " —", "—"):
        assert is_refused(NOTE.replace("— ", dash, 1))


@pytest.mark.parametrize("space", ["  ", "\u00a0", "\u2003"])
def test_another_space_between_name_and_signature_is_refused(space: str) -> None:
    assert is_refused(NOTE.replace(f"{NAME} ", NAME + space))
    assert is_refused(NOTE.replace("— ", "—" + space))


@pytest.mark.parametrize("name", ["", "a+b", "a\u00a0b", "a\u2028b", "a\u3000b", "a\u0085b"])
def test_a_name_that_is_empty_or_holds_a_space_or_plus_is_refused(name: str) -> None:
    assert is_refused(NOTE.replace(f"— {NAME} ", f"— {name} "))
    with pytest.raises(EncodingError):
        format_note(BODY, [NoteSignature(name, LINE.key_hash, LINE.data)])
    with pytest.raises(EncodingError):
        make_vkey(name, LOG_ALGORITHM, KEY.public_key)


def encoded_line() -> str:
    return base64.b64encode(LINE.key_hash + LINE.data).decode()


def test_base64_in_any_other_spelling_is_refused() -> None:
    encoded = encoded_line()
    assert encoded.endswith("ZQ==")
    for other in (
        encoded[:-2],
        encoded[:-1],
        encoded + "=",
        encoded[:-3] + "R==",  # The same bytes, with bits set that are not read.
        encoded[:4] + " " + encoded[4:],
        encoded + " ",
        encoded.replace("A", "-", 1),
        encoded[:-4] + "é" + encoded[-4:],
        "",
    ):
        assert is_refused(NOTE.replace(encoded, other)), other


def test_a_signature_without_anything_behind_its_key_hash_is_refused() -> None:
    assert is_refused(NOTE.replace(encoded_line(), base64.b64encode(LINE.key_hash).decode()))


@pytest.mark.parametrize("character", ["\x00", "\t", "\r", "\x0b", "\x1f"])
def test_control_characters_are_refused_everywhere(character: str) -> None:
    for place in range(len(NOTE)):
        assert is_refused(NOTE[:place] + character + NOTE[place:])
    with pytest.raises(EncodingError):
        make_vkey("a" + character, LOG_ALGORITHM, KEY.public_key)


def test_text_without_a_utf_8_form_is_refused() -> None:
    assert is_refused("\ud800" + NOTE)


def test_64_signature_lines_are_read_and_65_refused() -> None:
    lines = [NoteSignature(NAME, number.to_bytes(4, "big"), b"data") for number in range(SIGNATURES_MAX + 1)]
    text = format_note(BODY, lines[:-1])
    assert len(parse_note(text).signatures) == SIGNATURES_MAX
    assert is_refused(text + format_signature(lines[-1]))
    with pytest.raises(EncodingError):
        format_note(BODY, lines)


def test_a_note_of_one_mebibyte_is_read_and_a_byte_more_refused() -> None:
    missing = NOTE_BYTES_MAX - len(NOTE.encode())
    assert parse_note("x" * missing + NOTE).signatures == (LINE,)
    assert is_refused("x" * (missing + 1) + NOTE)
    assert is_refused("x" * (missing - 1) + "é" + NOTE)  # As many characters, one byte more.


@pytest.mark.parametrize("body", ["", "no newline", "ends\n\n— in a signature AAAA"])
def test_a_text_that_would_not_read_back_is_not_written(body: str) -> None:
    with pytest.raises(EncodingError):
        format_note(body, [LINE])


def test_a_signature_with_a_key_hash_of_another_length_is_not_written() -> None:
    with pytest.raises(EncodingError):
        format_note(BODY, [NoteSignature(NAME, b"abc", b"data")])


def test_one_line_reads_as_it_was_written() -> None:
    assert parse_signature(format_signature(LINE)) == LINE
    for line in (format_signature(LINE)[:-1], format_signature(LINE) * 2, "\n", ""):
        with pytest.raises(VerificationError):
            parse_signature(line)


# Verifier keys


@pytest.mark.parametrize("algorithm", [LOG_ALGORITHM, WITNESS_ALGORITHM])
def test_a_verifier_key_reads_as_it_was_written(algorithm: int) -> None:
    text = make_vkey(NAME, algorithm, KEY.public_key)
    assert parse_vkey(text) == VerifierKey(NAME, key_hash(NAME, algorithm, KEY.public_key), algorithm, KEY.public_key)


def test_the_verifier_key_of_go_s_documentation_reads() -> None:
    # golang.org/x/mod/sumdb/note, and the key of sum.golang.org.
    key = parse_vkey("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
    assert (key.name, key.key_hash.hex(), key.algorithm) == ("sum.golang.org", "033de0ae", LOG_ALGORITHM)


def test_a_forged_key_hash_is_refused() -> None:
    # Whoever wants a key to stand for another's 4 bytes cannot write a key that says so: the hash is computed anew.
    other = make_vkey(NAME, LOG_ALGORITHM, SigningKey(bytes(32)).public_key)
    name, _, key = other.split("+", 2)
    assert is_refused_key("+".join([name, VKEY.split("+")[1], key]))


def test_a_name_that_is_not_the_hashed_one_is_refused() -> None:
    assert is_refused_key(VKEY.replace("log.example", "log.examplf"))


def test_a_key_hash_in_capitals_or_of_another_length_is_refused() -> None:
    name, digits, key = VKEY.split("+", 2)
    assert digits != digits.upper()
    for other in (digits.upper(), digits[:-1], "0" + digits, "0x" + digits[2:], " " + digits[1:], ""):
        assert is_refused_key("+".join([name, other, key])), other


@pytest.mark.parametrize("algorithm", [0, 2, 3, 5, 6, 255])
def test_another_algorithm_is_refused(algorithm: int) -> None:
    key = base64.b64encode(bytes([algorithm]) + KEY.public_key).decode()
    assert is_refused_key(f"{NAME}+{key_hash(NAME, algorithm, KEY.public_key).hex()}+{key}")
    with pytest.raises(EncodingError):
        make_vkey(NAME, algorithm, KEY.public_key)


@pytest.mark.parametrize("public_key", [b"\x01" + bytes(31), bytes(32), b"\xff" * 32, b"\x02" + bytes(31)])
def test_a_key_of_small_order_or_off_the_curve_is_refused(public_key: bytes) -> None:
    key = base64.b64encode(bytes([LOG_ALGORITHM]) + public_key).decode()
    assert is_refused_key(f"{NAME}+{key_hash(NAME, LOG_ALGORITHM, public_key).hex()}+{key}")
    with pytest.raises(EncodingError):
        make_vkey(NAME, LOG_ALGORITHM, public_key)


def test_a_key_of_another_length_or_spelling_is_refused() -> None:
    for public_key in (KEY.public_key[:-1], KEY.public_key + b"\0", b""):
        key = base64.b64encode(bytes([LOG_ALGORITHM]) + public_key).decode()
        assert is_refused_key(f"{NAME}+{key_hash(NAME, LOG_ALGORITHM, public_key).hex()}+{key}")
    for text in (VKEY + "\n", VKEY + "=", VKEY.replace("+", " ", 1), "+" + VKEY, NAME, "", "a" * 10_000):
        assert is_refused_key(text)
