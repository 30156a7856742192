from __future__ import annotations

from typing import Any

import pytest

from crypto.errors import EncodingError, VerificationError
from crypto.merkle import EMPTY_ROOT, leaf_hash, root_from_inclusion
from crypto.release import LedgerHead, PoolItem, Release, Tree, head_path, heads_root, items_root, parse_release

RELEASE = Release(
    at_ms=5,
    epoch=2,
    items=items_root([PoolItem.of(["a"], "plain", b"\1\2")]),
    ledger=Tree(0, EMPTY_ROOT),
    mode="pooled",
    number=1,
    organisations=50,
    previous=None,
    state="released",
    unit="question",
    vector_source="dp_mean",
)
HEADS = [LedgerHead(number, f"{number:032x}", "sha256:" + f"{number:064x}") for number in (5, 1, 3, 2, 4)]


def changed(**fields: Any) -> dict[str, Any]:
    return {**RELEASE.to_json(), **fields}


def test_a_release_reads_back_as_it_was_written() -> None:
    assert parse_release(RELEASE.to_payload()) == RELEASE
    assert parse_release(RELEASE.to_json()).digest() == RELEASE.digest()


@pytest.mark.parametrize(
    "value",
    [
        changed(number=2),
        changed(number=0),
        changed(previous="sha256:" + "0" * 64),
        changed(state="void"),
        changed(state="withdrawn"),
        changed(mode="noised"),
        changed(unit="entry"),
        changed(vector_source="noised"),
        changed(mode="noised", unit="entry"),
        changed(items={"count": 1}),
        changed(more=1),
    ],
)
def test_another_form_is_malformed(value: dict[str, Any]) -> None:
    with pytest.raises(VerificationError) as refused:
        parse_release(value)
    assert refused.value.reason == "malformed"


def test_a_release_of_labelled_entries_has_its_own_unit_and_vectors() -> None:
    noised = changed(mode="noised", unit="entry", vector_source="noised")
    assert parse_release(noised).to_json() == noised


def test_items_have_one_root_in_whatever_order_they_come() -> None:
    items = [PoolItem.of(["b", "a"], "plain", bytes([number])) for number in range(5)]
    assert items_root(items) == items_root(reversed(items))
    assert items_root(items).count == 5
    assert items_root([]) == Tree(0, EMPTY_ROOT)


def test_an_item_names_each_alias_once_and_in_order() -> None:
    assert PoolItem.of(["b", "a", "b"], "plain", b"") == PoolItem.of(["a", "b"], "plain", b"")
    with pytest.raises(EncodingError):
        PoolItem(("sha256:" + "1" * 64, "sha256:" + "0" * 64), "plain", "sha256:" + "0" * 64).to_payload()
    with pytest.raises(EncodingError):
        PoolItem.of([], "plain", b"").to_payload()
    with pytest.raises(EncodingError):
        PoolItem.of(map(str, range(17)), "plain", b"").to_payload()


@pytest.mark.parametrize("head", HEADS)
def test_every_head_is_proved_by_its_path(head: LedgerHead) -> None:
    tree = heads_root(HEADS)
    position, path = head_path(HEADS, head.organisation)
    assert root_from_inclusion(position, tree.count, leaf_hash(head.to_payload()), path) == tree.root


def test_an_organisation_has_one_head_or_none() -> None:
    with pytest.raises(EncodingError):
        heads_root([*HEADS, HEADS[0]])
    with pytest.raises(EncodingError):
        head_path(HEADS, "f" * 32)
