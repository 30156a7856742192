"""The manifest that a gateway signs over a bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from crypto.bundle import parse_bundle
from crypto.bundle_manifest import BundleManifest, parse_manifest
from crypto.canonical import canonical_json
from crypto.dsse import PAYLOAD_BUNDLE, PAYLOAD_IN_TOTO, sign_envelope
from crypto.ed25519 import SigningKey
from crypto.errors import VerificationError
from tests.audit.bundles import HonestBundle, make_bundle

KEY = SigningKey(bytes(range(32)))


@pytest.fixture(scope="module")
def manifest() -> BundleManifest:
    honest: HonestBundle = make_bundle()
    return parse_bundle(honest.data).manifest


def signed(payload: bytes, payload_type: str = PAYLOAD_BUNDLE) -> bytes:
    return sign_envelope(payload_type, payload, KEY).encode()


def changed(manifest: BundleManifest, path: tuple[str | int, ...], value: object) -> bytes:
    """Return the signed manifest with one value changed, or removed where *value* is `...`."""
    found: Any = json.loads(manifest.to_payload())
    place = found
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return signed(canonical_json(found))


def test_what_was_written_is_read(manifest: BundleManifest) -> None:
    assert parse_manifest(signed(manifest.to_payload()))[1] == manifest


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "hitproof/bundle/v2"),
        (("schema",), ...),
        (("more",), 1),
        (("made_at_ms",), -1),
        (("made_at_ms",), True),
        (("size",), "1"),
        (("root",), "00"),
        (("origin",), None),
        (("origin",), "e\u0301"),
        (("signer",), "A" * 64),
        (("counts", "hits"), ...),
        (("counts", "hits"), -1),
        (("counts", "more"), 0),
        (("members",), []),
        (("members", 0, "name"), "bundle.json"),
        (("members", 0), ...),
        (("members", 0, "size_bytes"), 2**31),
        (("members", 0, "sha256"), "sha256:"),
        (("scope", "tenant"), None),
        (("scope", "since_ms"), "1"),
        (("scope", "model_version"), "x"),
        (("scope", "pseudonyms", 0, "key"), "00"),
        (("scope", "pseudonyms", 0, "epoch"), -1),
        (("scope", "pseudonyms", 0, "more"), 1),
    ],
)
def test_any_other_form_is_refused(manifest: BundleManifest, path: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_manifest(changed(manifest, path, value))
    assert caught.value.reason == "manifest_malformed"


def test_two_keys_of_one_epoch_are_refused(manifest: BundleManifest) -> None:
    twice = [{"epoch": 1, "key": "00" * 32}, {"epoch": 1, "key": "11" * 32}]
    with pytest.raises(VerificationError):
        parse_manifest(changed(manifest, ("scope", "pseudonyms"), twice))


def test_an_envelope_of_another_type_is_refused(manifest: BundleManifest) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_manifest(signed(manifest.to_payload(), PAYLOAD_IN_TOTO))
    assert caught.value.reason == "manifest_malformed"


def test_a_payload_that_is_not_canonical_is_refused(manifest: BundleManifest) -> None:
    with pytest.raises(VerificationError):
        parse_manifest(signed(manifest.to_payload() + b" "))


def test_a_scope_covers_its_beginning_and_not_its_end(manifest: BundleManifest) -> None:
    scope = replace(manifest.scope, since_ms=10, until_ms=20)
    assert [scope.covers(at_ms) for at_ms in (9, 10, 19, 20)] == [False, True, True, False]
