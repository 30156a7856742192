from __future__ import annotations

import pytest

from crypto.pseudonym import EPOCH_MS, epoch_of, organisation_pseudonym, pseudonym, pseudonym_key


def test_an_epoch_has_30_days() -> None:
    assert EPOCH_MS == 30 * 24 * 60 * 60 * 1000


@pytest.mark.parametrize(("at_ms", "epoch"), [(0, 0), (EPOCH_MS - 1, 0), (EPOCH_MS, 1), (5 * EPOCH_MS + 1, 5)])
def test_an_epoch_begins_at_its_first_millisecond(at_ms: int, epoch: int) -> None:
    assert epoch_of(at_ms) == epoch


def test_pseudonyms_differ_by_tenant_epoch_and_key() -> None:
    found = {
        pseudonym(pseudonym_key(key, epoch), tenant)
        for key in (b"a" * 32, b"b" * 32)
        for epoch in (0, 1, 2**40)
        for tenant in ("ten_a", "ten_b")
    }
    assert len(found) == 12
    assert all(len(name) == 32 and bytes.fromhex(name) for name in found)


def test_a_tenant_keeps_its_pseudonym_within_an_epoch() -> None:
    key = pseudonym_key(b"a" * 32, epoch_of(EPOCH_MS + 5))
    assert pseudonym(key, "ten_a") == pseudonym(pseudonym_key(b"a" * 32, epoch_of(2 * EPOCH_MS - 1)), "ten_a")


def test_an_organisation_has_one_name_for_life_under_each_key() -> None:
    found = {organisation_pseudonym(key, name) for key in (b"a" * 32, b"b" * 32) for name in ("org_a", "org_b")}
    assert len(found) == 4
    assert all(len(name) == 32 and bytes.fromhex(name) for name in found)


def test_an_organisation_is_never_called_as_a_tenant_of_that_name_is() -> None:
    assert organisation_pseudonym(b"a" * 32, "ten_a") != pseudonym(b"a" * 32, "ten_a")
