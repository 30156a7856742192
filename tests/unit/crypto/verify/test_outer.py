"""Archive, trust file and manifest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.archive import read_archive, write_archive
from crypto.bundle import encode_members, seal_members
from crypto.last_seen import LastSeen
from crypto.trust import sign_trust
from crypto.verify import AuditOptions, verify_bundle
from tests.audit.bundles import DAY_MS, HonestBundle, Plan, make_bundle
from tests.audit.checking import reasons, verify


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan(root_keys=3, root_threshold=2))


def test_a_trust_file_with_too_few_signatures_is_refused(honest: HonestBundle) -> None:
    for count, expected in ((1, [("trust", "trust_threshold")]), (2, [])):
        trust = sign_trust(honest.trust.to_payload(), honest.world.roots[:count]).encode()
        found = verify_bundle(honest.data, trust, AuditOptions(now_ms=honest.now_ms))
        assert reasons(found) == expected


def test_a_trust_file_is_good_until_it_expires(honest: HonestBundle) -> None:
    end_ms = honest.trust.expires_at_ms
    assert reasons(verify(honest, now_ms=end_ms - 1)) == []
    assert reasons(verify(honest, now_ms=end_ms)) == [("trust", "trust_expired")]


def test_a_trust_file_older_than_the_status_list_knows_is_refused(honest: HonestBundle) -> None:
    world = honest.world
    parts = replace(honest.parts, status=replace(honest.parts.status, trust_version=2))
    assert reasons(verify(honest, data=world.seal(parts))) == [("trust", "trust_rollback")]


def test_a_trust_file_older_than_the_one_seen_last_is_refused(honest: HonestBundle) -> None:
    for version, expected in ((1, []), (2, [("trust", "trust_rollback")])):
        seen = LastSeen(honest.parts.checkpoint, version)
        assert reasons(verify(honest, last_seen=seen)) == expected


def test_a_manifest_signed_by_no_gateway_is_refused(honest: HonestBundle) -> None:
    world = honest.world
    for signer in (world.runners[0], world.log, world.new_key()):
        assert reasons(verify(honest, data=world.seal(honest.parts, signer))) == [("manifest", "signer_unknown")]


def test_a_manifest_whose_signature_does_not_fit_is_refused(honest: HonestBundle) -> None:
    members = read_archive(honest.data)
    other = read_archive(honest.world.seal(replace(honest.parts, made_at_ms=1)))
    place = members["bundle.json"].index(b'"sig":"')
    end = other["bundle.json"].index(b'"sig":"')
    members["bundle.json"] = members["bundle.json"][:place] + other["bundle.json"][end:]
    assert reasons(verify(honest, data=write_archive(members))) == [("manifest", "signature_invalid")]


def test_a_manifest_out_of_form_is_unreadable(honest: HonestBundle) -> None:
    members = read_archive(honest.data) | {"bundle.json": b"{}"}
    found = verify(honest, data=write_archive(members))
    assert (found.report.exit_code, reasons(found)) == (2, [("manifest", "manifest_malformed")])


def test_a_changed_member_is_refused_by_its_digest(honest: HonestBundle) -> None:
    members = read_archive(honest.data)
    members["multiproof"] += bytes(32)
    found = verify(honest, data=write_archive(members))
    assert (found.report.exit_code, reasons(found)) == (1, [("manifest", "member_digest")])


def test_a_status_list_that_cannot_be_read_is_refused_with_the_manifest(honest: HonestBundle) -> None:
    members = encode_members(honest.parts) | {"status.json": b"{}"}
    data = seal_members(members, honest.parts, honest.world.gateway)
    assert reasons(verify(honest, data=data)) == [("manifest", "malformed")]


def test_the_trust_file_decides_with_the_auditors_clock(honest: HonestBundle) -> None:
    trust = replace(honest.trust, expires_at_ms=honest.now_ms + DAY_MS)
    assert reasons(verify(honest, trust=trust)) == []
    assert reasons(verify(honest, trust=trust, now_ms=honest.now_ms + 2 * DAY_MS)) == [("trust", "trust_expired")]
