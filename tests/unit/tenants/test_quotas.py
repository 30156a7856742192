"""Quotas: exact round trips, and errors that name the field."""

from __future__ import annotations

from dataclasses import fields

import pytest

from crypto.canonical import JsonValue, canonical_json, parse_json
from tenants.errors import QuotaError
from tenants.quotas import Quota

NAMES = [part.name for part in fields(Quota)]


def test_a_quota_survives_its_json_form() -> None:
    quota = Quota(**{name: 10 + place for place, name in enumerate(NAMES)})
    assert Quota.from_json(parse_json(canonical_json(quota.to_json()))) == quota


def test_the_json_form_has_every_field() -> None:
    assert list(Quota().to_json()) == NAMES


def test_a_missing_field_has_its_default() -> None:
    assert Quota.from_json({"entries_max": 5}) == Quota(entries_max=5)
    assert Quota.from_json({}) == Quota()


@pytest.mark.parametrize("value", [None, True, 1.0, "10", "", [], {}, -1, 2**53])
@pytest.mark.parametrize("name", NAMES)
def test_a_value_that_is_no_limit_is_refused_by_its_fields_name(name: str, value: JsonValue) -> None:
    with pytest.raises(QuotaError, match=name) as refusal:
        Quota.from_json({name: value})
    assert refusal.value.field == name


@pytest.mark.parametrize("name", NAMES)
def test_only_storage_may_be_nothing(name: str) -> None:
    if name in ("entries_max", "bytes_max"):
        assert Quota.from_json({name: 0}).to_json()[name] == 0
    else:
        with pytest.raises(QuotaError, match=f"{name} must lie between 1"):
            Quota.from_json({name: 0})


@pytest.mark.parametrize("name", ["entries", "Entries_max", "entries_max ", "", "x" * 10_000])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(QuotaError, match="entries_max, bytes_max") as refusal:
        Quota.from_json({"entries_max": 5, name: 1})
    assert refusal.value.field == name
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("value", [None, [], "x", 3, True])
def test_what_is_no_object_is_refused(value: JsonValue) -> None:
    with pytest.raises(QuotaError, match="object") as refusal:
        Quota.from_json(value)
    assert refusal.value.field is None
