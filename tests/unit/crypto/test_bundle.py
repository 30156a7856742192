"""Bundles as files: built, read, and in one form only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto import bundle as bundle_module
from crypto.archive import read_archive, write_archive
from crypto.bundle import (
    MEMBERS,
    BundleParts,
    build_bundle,
    encode_members,
    parse_bundle,
    read_members,
    seal_members,
)
from crypto.bundle_lines import EnvelopeLine, HitLine
from crypto.errors import EncodingError, VerificationError
from tests.audit.bundles import HonestBundle, Plan, make_bundle

LINED = sorted(name for name in MEMBERS if name.endswith(".jsonl"))


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan(witnesses=1, declared=1))


def resealed(honest: HonestBundle, **members: bytes) -> bytes:
    """Return the bundle with members replaced, `_` in a keyword being the dot, under a manifest that fits."""
    changed = {name.replace("__", "."): data for name, data in members.items()}
    return seal_members({**encode_members(honest.parts), **changed}, honest.parts, honest.world.gateway)


def reason_of(data: bytes) -> str:
    with pytest.raises(VerificationError) as caught:
        parse_bundle(data)
    return caught.value.reason


def test_a_bundle_reads_as_the_parts_it_was_built_of(honest: HonestBundle) -> None:
    assert parse_bundle(honest.data).parts == honest.parts


def test_the_parts_of_a_bundle_build_it_again_byte_for_byte(honest: HonestBundle) -> None:
    assert build_bundle(parse_bundle(honest.data).parts, honest.world.gateway) == honest.data


def test_the_manifest_states_every_other_member(honest: HonestBundle) -> None:
    found = parse_bundle(honest.data).manifest
    assert {member.name for member in found.members} == MEMBERS - {"bundle.json"}


def test_a_bundle_without_anything_in_it_has_empty_members() -> None:
    empty = make_bundle(Plan(receipts=0, hits=0))
    members = read_members(empty.data)
    assert members["receipts.jsonl"] == members["hits.jsonl"] == members["openings.jsonl"] == b""


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_a_missing_member_is_refused(honest: HonestBundle, name: str) -> None:
    members = read_archive(honest.data)
    del members[name]
    assert reason_of(write_archive(members)) == "archive_member"


def test_a_member_too_many_is_refused(honest: HonestBundle) -> None:
    assert reason_of(write_archive(read_archive(honest.data) | {"more": b""})) == "archive_member"


@pytest.mark.parametrize("name", sorted(MEMBERS - {"bundle.json"}))
def test_a_changed_member_is_refused(honest: HonestBundle, name: str) -> None:
    members = read_archive(honest.data)
    members[name] += b"\n"
    assert reason_of(write_archive(members)) == "member_digest"


def test_a_count_that_is_wrong_is_refused(honest: HonestBundle) -> None:
    fewer = replace(honest.parts, receipts=honest.parts.receipts[1:])
    data = seal_members(encode_members(honest.parts), fewer, honest.world.gateway)
    assert reason_of(data) == "counts_wrong"


@pytest.mark.parametrize("name", LINED)
def test_a_line_that_is_no_line_of_this_member_is_refused(honest: HonestBundle, name: str) -> None:
    for line in (b"{}\n", b"[]\n", b"\n", b"null\n", b"{", b'{"index":0}\n', b'{"envelope":{}, "index":0}\n'):
        assert reason_of(resealed(honest, **{name.replace(".", "__"): line})) == "malformed"


@pytest.mark.parametrize("name", LINED)
def test_a_line_that_stands_twice_is_refused(honest: HonestBundle, name: str) -> None:
    lines = encode_members(honest.parts)[name].splitlines(keepends=True)
    for line in lines[:1]:
        assert reason_of(resealed(honest, **{name.replace(".", "__"): line + line})) == "malformed"


@pytest.mark.parametrize("name", ["receipts.jsonl", "bodies.jsonl", "openings.jsonl", "hits.jsonl"])
def test_lines_out_of_order_are_refused(honest: HonestBundle, name: str) -> None:
    lines = encode_members(honest.parts)[name].splitlines(keepends=True)
    assert len(lines) > 1
    assert reason_of(resealed(honest, **{name.replace(".", "__"): b"".join(reversed(lines))})) == "malformed"


def test_a_last_line_without_its_end_is_refused(honest: HonestBundle) -> None:
    data = encode_members(honest.parts)["receipts.jsonl"]
    assert reason_of(resealed(honest, receipts__jsonl=data[:-1])) == "malformed"


@pytest.mark.parametrize("member", ["leaves", "multiproof"])
def test_records_that_are_cut_are_refused(honest: HonestBundle, member: str) -> None:
    assert reason_of(resealed(honest, **{member: b"\0" * 33})) == "malformed"


def test_leaves_out_of_order_or_repeated_are_refused(honest: HonestBundle) -> None:
    records = encode_members(honest.parts)["leaves"]
    first, second = records[:82], records[82:164]
    assert reason_of(resealed(honest, leaves=second + first)) == "malformed"
    assert reason_of(resealed(honest, leaves=first + first)) == "malformed"


def test_a_status_list_in_another_form_is_refused(honest: HonestBundle) -> None:
    assert reason_of(resealed(honest, status__json=b"{}")) == "malformed"


def test_a_checkpoint_that_is_no_text_is_refused(honest: HonestBundle) -> None:
    assert reason_of(resealed(honest, checkpoint=b"\xff")) == "malformed"


def test_more_lines_or_longer_ones_than_allowed_are_refused(
    honest: HonestBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_module, "LINES_MAX", 1)
    assert reason_of(honest.data) == "malformed"
    monkeypatch.undo()
    monkeypatch.setattr("crypto.bundle_lines.LINE_BYTES_MAX", 100)
    assert reason_of(honest.data) == "malformed"


def test_more_leaves_than_allowed_are_refused(honest: HonestBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "LEAVES_MAX", 1)
    assert reason_of(honest.data) == "malformed"


def test_what_no_reader_accepts_is_not_built(honest: HonestBundle) -> None:
    line = honest.parts.receipts[0]
    repeated = replace(honest.parts, receipts=(line, EnvelopeLine(line.index, line.envelope)))
    with pytest.raises(EncodingError):
        build_bundle(repeated, honest.world.gateway)


def test_a_batch_without_hits_or_with_a_position_too_few_is_refused(honest: HonestBundle) -> None:
    line = honest.parts.hits[0]
    for broken in (HitLine(line.batch, (), (), ()), replace(line, positions=line.positions[1:])):
        data = honest.world.seal(replace(honest.parts, hits=(broken,)))
        assert reason_of(data) == "malformed"


def test_an_opened_prompt_of_many_tokens_is_one_line(honest: HonestBundle) -> None:
    many = [replace(line, value=list(range(50_000))) for line in honest.parts.openings if line.kind == "prompt_tokens"]
    parts: BundleParts = replace(honest.parts, openings=tuple(many))
    assert parse_bundle(honest.world.seal(parts)).parts.openings == tuple(many)
