"""Consent: whose word labels an entry, at which ε, and how it is shown and taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.pool.revoking import revoke_share
from server.pool.share_report import format_epsilon, is_obfuscation, report_policy
from server.pool.sharing import epsilon_of, label_entry, open_aliases, seal_aliases, wish_of
from server.reuse.policy import ReusePolicy
from server.reuse.request import ShareWish, Steering
from server.store.errors import Conflict, NotFound
from server.store.maintenance import list_audit
from server.store.shares import ShareRepository
from tenants.errors import UnsealError
from tenants.identifiers import EntryId
from tests.fakes import SeededRandom
from tests.noised_houses import ALIASES, NoisedHouse, entry_of, run

NOISED = ReusePolicy(sharing="noised")
YES, NO = ShareWish(True), ShareWish(False)


@pytest.mark.parametrize(
    ("policy", "steering", "wish"),
    [
        (NOISED, Steering(), None),
        (NOISED, Steering(share=YES), YES),
        (NOISED, Steering(share=NO), None),
        (ReusePolicy(sharing="noised", share_by_default=True), Steering(), YES),
        (ReusePolicy(sharing="noised", share_by_default=True), Steering(share=NO), None),
        (ReusePolicy(sharing="noised", share_tags=("public",)), Steering(tags=("public", "x")), YES),
        (ReusePolicy(sharing="noised", share_tags=("public",)), Steering(tags=("x",)), None),
        (ReusePolicy(sharing="noised", share_tags=("public",)), Steering(tags=("public",), share=NO), None),
        (ReusePolicy(sharing="pooled", share_by_default=True), Steering(share=YES), None),
        (ReusePolicy(sharing="off", share_by_default=True), Steering(share=YES), None),
    ],
)
def test_the_requests_own_word_goes_before_tags_and_policy(
    policy: ReusePolicy, steering: Steering, wish: ShareWish | None
) -> None:
    assert wish_of(policy, steering) == wish


@pytest.mark.parametrize(("asked", "given"), [(None, 4_000), (2_000, 2_000), (9_000, 4_000)])
def test_a_request_can_ask_for_less_epsilon_than_the_policy_and_never_for_more(asked: int | None, given: int) -> None:
    policy = ReusePolicy(sharing="noised", noised_epsilon_milli=4_000)
    assert epsilon_of(policy, ShareWish(True, epsilon_milli=asked)) == given


@pytest.mark.parametrize(
    ("milli", "text", "weak"), [(8_000, "8", False), (8_001, "8.001", True), (500, "0.5", False), (20_000, "20", True)]
)
def test_above_eight_it_is_called_obfuscation(milli: int, text: str, weak: bool) -> None:
    assert (format_epsilon(milli), is_obfuscation(milli)) == (text, weak)
    policy = ReusePolicy(sharing="noised", noised_epsilon_milli=milli, noised_allow_weak=weak)
    assert report_policy(policy)["obfuscation"] is weak


def in_house(folder: Path, work: Any) -> None:
    """Run *work* with a house, its first tenant and an entry of it that is not labelled."""

    async def scenario(house: NoisedHouse) -> None:
        body = await house.gateway.ask("Which unlabelled pear stands on the piano?")
        tenant = await house.gateway.gateway.tenants.get(house.gateway.tenants[0].id)
        work(house, tenant, entry_of(body))

    run(folder, scenario)


def label(house: NoisedHouse, tenant: Any, entry: EntryId, wish: ShareWish, *, at_ms: int = 1) -> Any:
    return house.write(
        lambda c: label_entry(c, tenant, entry, wish, actor="key", now_ms=at_ms, random=SeededRandom(at_ms))
    )


def revoke(house: NoisedHouse, tenant: Any, entry: EntryId) -> Any:
    return house.write(lambda c: revoke_share(c, tenant.id, entry, actor="key", now_ms=9))


def test_aliases_are_sealed_for_their_tenant_and_entry(tmp_path: Path) -> None:
    def work(house: NoisedHouse, tenant: Any, entry: EntryId) -> None:
        sealed = seal_aliases(tenant, entry, ALIASES, random=SeededRandom())
        assert ALIASES[0].encode() not in sealed
        assert open_aliases(tenant, entry, sealed) == ALIASES
        assert open_aliases(tenant, entry, None) == ()
        with pytest.raises(UnsealError):
            open_aliases(tenant, EntryId(int(entry) + 1), sealed)

    in_house(tmp_path, work)


def test_a_label_by_hand_takes_the_place_of_one_that_waits_and_does_not_wait_anew(tmp_path: Path) -> None:
    def work(house: NoisedHouse, tenant: Any, entry: EntryId) -> None:
        label(house, tenant, entry, YES, at_ms=5)
        share = label(house, tenant, entry, ShareWish(True, ALIASES, 500), at_ms=7)
        assert (share.at_ms, share.epsilon_milli) == (5, 500)
        assert open_aliases(tenant, entry, house.share(entry).aliases) == ALIASES

    in_house(tmp_path, work)


@pytest.mark.parametrize("state", ["published", "revoked"])
def test_what_was_published_or_revoked_is_never_labelled_again(tmp_path: Path, state: Any) -> None:
    def work(house: NoisedHouse, tenant: Any, entry: EntryId) -> None:
        share = label(house, tenant, entry, YES)
        shares = type(share)(entry, state, None, 8_000, None, None, 1)
        house.write(lambda c: ShareRepository(c, tenant.id).put(shares))
        with pytest.raises(Conflict):
            label(house, tenant, entry, YES)

    in_house(tmp_path, work)


def test_an_entry_that_is_not_there_is_not_labelled(tmp_path: Path) -> None:
    def work(house: NoisedHouse, tenant: Any, entry: EntryId) -> None:
        with pytest.raises(NotFound):
            label(house, tenant, EntryId(int(entry) + 1), YES)
        with pytest.raises(NotFound):
            revoke(house, tenant, entry)

    in_house(tmp_path, work)


def test_giving_and_taking_back_consent_stand_in_the_audit_log_once_each(tmp_path: Path) -> None:
    def work(house: NoisedHouse, tenant: Any, entry: EntryId) -> None:
        label(house, tenant, entry, YES)
        assert revoke(house, tenant, entry).state == revoke(house, tenant, entry).state == "revoked"
        rows = house.read(lambda c: list_audit(c, tenant=tenant.id, after=0, limit=500))
        found = [(row.action, row.actor) for row in rows if row.action.startswith("share.")]
        assert found == [("share.add", "key"), ("share.revoke", "key")]

    in_house(tmp_path, work)
