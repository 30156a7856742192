"""Publishers' model signatures in a bundle; the signature's own form has its tests elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crypto.bundle_lines import PublisherLine
from crypto.errors import VerificationError
from crypto.trust import Publisher
from crypto.verify import publishers
from tests.audit.bundles import HonestBundle, Plan, make_bundle
from tests.audit.checking import check_of, reasons, verify

#: A real P-256 public key: a trust file's publishers are read before anything is checked under them.
PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n"
    "6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n"
    "-----END PUBLIC KEY-----\n"
)


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan())


def signed(honest: HonestBundle, version: str | None = None, publisher_models: tuple[str, ...] | None = None) -> Any:
    """Verify *honest* with one model signature, under a trust file with one publisher of *publisher_models*."""
    line = PublisherLine(version or honest.world.model, b"signature")
    models = (honest.world.model,) if publisher_models is None else publisher_models
    trust = replace(honest.trust, publishers=(Publisher(models, "maker", PEM),))
    return verify(honest, replace(honest.parts, publishers=(line,)), trust=trust)


def test_no_model_signature_is_not_covered(honest: HonestBundle) -> None:
    assert check_of(verify(honest), "publisher").status == "not_covered"


def test_a_signature_is_verified_over_the_manifest_under_the_publishers_key(
    honest: HonestBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(publishers, "verify_publisher", lambda *given: asked.append(given))
    assert check_of(signed(honest), "publisher").status == "passed"
    assert asked == [(b"signature", honest.world.manifest, PEM)]


def test_a_signature_that_does_not_verify_is_refused(honest: HonestBundle) -> None:
    assert reasons(signed(honest)) == [("publisher", "publisher_invalid")]


def test_a_signature_over_a_version_for_which_nobody_is_named_is_not_covered(honest: HonestBundle) -> None:
    check = check_of(signed(honest, publisher_models=()), "publisher")
    assert check.status == "not_covered"
    assert "names no publisher" in check.detail


def test_a_signature_over_a_model_that_is_not_in_the_bundle_is_refused(
    honest: HonestBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishers, "verify_publisher", lambda *_: None)
    absent = "sha256:" + "1" * 64
    assert reasons(signed(honest, version=absent, publisher_models=(absent,))) == [("publisher", "publisher_invalid")]


def test_one_of_several_publishers_is_enough(honest: HonestBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    other = PEM.replace("axfR8uEs", "aafR8uEs")

    def verify_only_the_second(signature: bytes, manifest: object, key: str) -> None:
        if key != PEM:
            raise VerificationError("no", reason="publisher_invalid")

    monkeypatch.setattr(publishers, "verify_publisher", verify_only_the_second)
    candidates = [Publisher((honest.world.model,), "a", other), Publisher((honest.world.model,), "b", PEM)]
    line = PublisherLine(honest.world.model, b"signature")
    publishers._verify_line(line, dict(honest.world.manifest), candidates)
    with pytest.raises(VerificationError):
        publishers._verify_line(line, dict(honest.world.manifest), candidates[:1])
