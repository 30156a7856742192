"""Withdrawn and superseded models."""

from __future__ import annotations

from crypto.status import ModelStanding
from tests.audit.bundles import Plan, make_bundle, make_world
from tests.audit.checking import check_of, reasons, verify


def test_a_superseded_model_stays_good_and_is_mentioned() -> None:
    found = verify(make_bundle(Plan(model_status="superseded")))
    check = check_of(found, "model_status")
    assert (found.report.exit_code, check.status) == (0, "passed")
    assert "3 are of superseded ones" in check.detail


def test_every_receipt_of_a_revoked_model_is_named() -> None:
    honest = make_bundle(Plan(receipts=3, declared=1, model_status="revoked"))
    assert reasons(verify(honest)) == [("model_status", "model_revoked")] * 2


def test_a_revoked_model_of_others_is_no_concern() -> None:
    world = make_world(Plan())
    world.add_status(models=(ModelStanding("sha256:" + "8" * 64, "revoked"),))
    assert verify(world.export()).report.exit_code == 0


def test_a_failure_outweighs_a_revoked_model() -> None:
    world = make_world(Plan(model_status="revoked"))
    world.add_answer(world.new_key(), None)
    found = verify(world.export())
    assert found.report.exit_code == 1
    assert ("model_status", "model_revoked") in reasons(found)
