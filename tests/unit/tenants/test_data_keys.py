"""Data keys: made, wrapped, kept for a while, rotated, destroyed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from tenants.data_keys import (
    ROTATION_AGE_MS,
    ROTATION_SEALED_COUNT,
    DataKeyRing,
    WrappedDataKey,
    derive_tenant_key,
    is_rotation_due,
    new_wrapped_key,
    rewrap_data_key,
)
from tenants.errors import SealedError, UnsealError
from tenants.identifiers import TenantId
from tenants.key_providers import EnvironmentKeyProvider, KeyProvider, RotatingKeyProvider
from tenants.sealing import SealContext, seal, unseal
from tests.unit.tenants.fakes import CountingRandom, ManualClock

A, B = TenantId("ten_a"), TenantId("ten_b")
PROVIDER = EnvironmentKeyProvider("KEK", {"KEK": CountingRandom("kek").token_bytes(32).hex()})
OTHER_PROVIDER = EnvironmentKeyProvider("KEK", {"KEK": CountingRandom("other kek").token_bytes(32).hex()})


@dataclass
class Store:
    """Wrapped keys by tenant, and how often they were read."""

    rows: dict[TenantId, list[WrappedDataKey]] = field(default_factory=dict)
    reads: int = 0

    def load(self, tenant: TenantId) -> list[WrappedDataKey]:
        self.reads += 1
        return list(self.rows.get(tenant, []))


def make_store(*tenants: TenantId, epochs: int = 1) -> Store:
    random = CountingRandom("data keys")
    return Store(
        {
            tenant: [new_wrapped_key(PROVIDER, tenant, epoch, random) for epoch in range(1, epochs + 1)]
            for tenant in tenants
        }
    )


def make_ring(
    store: Store, *, provider: KeyProvider = PROVIDER, clock: ManualClock | None = None, keys_max: int = 100
) -> DataKeyRing:
    return DataKeyRing(provider, store.load, keys_max=keys_max, keep_s=60, monotonic_s=clock or ManualClock())


def test_the_current_key_is_the_newest_epochs() -> None:
    store = make_store(A, epochs=3)
    store.rows[A].reverse()
    assert make_ring(store).current(A).epoch == 3


def test_old_epochs_still_open_what_they_sealed() -> None:
    store, random, place = make_store(A), CountingRandom(), SealContext(A, 1, "payload", 1)
    sealed = seal(make_ring(store).current(A), place, b"old", random=random)
    store.rows[A].append(new_wrapped_key(PROVIDER, A, 2, random))
    ring = make_ring(store)
    assert ring.current(A).epoch == 2
    assert unseal(ring.for_epoch(A, 1), place, sealed) == b"old"


def test_every_epoch_and_tenant_has_its_own_secret() -> None:
    ring = make_ring(make_store(A, B, epochs=3))
    assert len({ring.for_epoch(tenant, epoch).secret for tenant in (A, B) for epoch in (1, 2, 3)}) == 6


def test_a_new_key_names_what_wrapped_it() -> None:
    record = new_wrapped_key(PROVIDER, A, 5, CountingRandom())
    assert (record.tenant, record.epoch, record.kek_id) == (A, 5, PROVIDER.key_id)


def test_a_kept_key_is_not_loaded_again_until_its_time_is_up() -> None:
    store, clock = make_store(A), ManualClock()
    ring = make_ring(store, clock=clock)
    ring.current(A)
    clock.now_s += 59.9
    ring.current(A)
    assert store.reads == 1
    clock.now_s += 0.1
    ring.current(A)
    assert store.reads == 2


def test_being_used_does_not_prolong_a_keys_time() -> None:
    store, clock = make_store(A), ManualClock()
    ring = make_ring(store, clock=clock)
    for _ in range(7):
        ring.for_epoch(A, 1)
        clock.now_s += 10
    assert store.reads == 2


def test_no_more_keys_are_kept_than_allowed_and_the_least_used_goes_first() -> None:
    tenants = [TenantId(f"ten_{number}") for number in range(5)]
    store = make_store(*tenants)
    ring = make_ring(store, keys_max=3)
    for tenant in (*tenants[:3], tenants[0], *tenants[3:]):
        ring.current(tenant)
    assert (len(ring), store.reads) == (3, 5)
    ring.current(tenants[0])
    assert store.reads == 5
    ring.current(tenants[1])
    assert store.reads == 6


def test_forgetting_a_tenant_drops_its_keys_and_no_others() -> None:
    store = make_store(A, B, epochs=2)
    ring = make_ring(store)
    for tenant in (A, B):
        ring.current(tenant)
        ring.for_epoch(tenant, 1)
    store.rows[A] = []
    ring.forget(A)
    with pytest.raises(UnsealError):
        ring.for_epoch(A, 1)
    reads = store.reads
    ring.for_epoch(B, 1)
    assert store.reads == reads


def test_forgetting_all_leaves_nothing() -> None:
    ring = make_ring(make_store(A, B))
    ring.current(A)
    ring.current(B)
    ring.forget_all()
    assert len(ring) == 0


def test_a_key_forgotten_while_it_was_loading_is_not_kept() -> None:
    store = make_store(A)
    rings: list[DataKeyRing] = []

    def load(tenant: TenantId) -> list[WrappedDataKey]:
        found = store.load(tenant)
        # The tenant is deleted between the read and the moment its key would be kept.
        rings[0].forget(tenant)
        return found

    rings.append(DataKeyRing(PROVIDER, load, monotonic_s=ManualClock()))
    rings[0].current(A)
    assert len(rings[0]) == 0


def test_a_deleted_tenant_has_no_key() -> None:
    with pytest.raises(UnsealError, match="deleted"):
        make_ring(Store()).current(A)


def test_a_destroyed_epoch_is_gone() -> None:
    store = make_store(A, epochs=2)
    del store.rows[A][0]
    with pytest.raises(UnsealError, match="epoch 1 was destroyed"):
        make_ring(store).for_epoch(A, 1)


def test_a_row_of_another_tenant_is_refused() -> None:
    store = make_store(A, B)
    store.rows[A] = store.rows[B]
    with pytest.raises(SealedError, match="moved to another tenant"):
        make_ring(store).current(A)


def test_a_wrapped_key_copied_into_another_tenants_row_is_refused() -> None:
    store = make_store(A, B)
    store.rows[A] = [replace(store.rows[B][0], tenant=A)]
    with pytest.raises(SealedError, match="moved"):
        make_ring(store).current(A)


def test_an_old_epochs_key_in_a_new_epochs_row_is_refused() -> None:
    store = make_store(A)
    store.rows[A].append(replace(store.rows[A][0], epoch=2))
    with pytest.raises(SealedError, match="moved"):
        make_ring(store).current(A)


def test_the_wrong_key_encryption_key_opens_nothing_and_keeps_nothing() -> None:
    ring = make_ring(make_store(A), provider=OTHER_PROVIDER)
    with pytest.raises(SealedError, match=PROVIDER.key_id):
        ring.current(A)
    assert len(ring) == 0


def test_an_absent_key_encryption_key_opens_nothing() -> None:
    with pytest.raises(SealedError, match="KEK"):
        make_ring(make_store(A), provider=EnvironmentKeyProvider("KEK", {})).current(A)


def test_a_failure_is_not_remembered() -> None:
    environ: dict[str, str] = {}
    ring = make_ring(make_store(A), provider=EnvironmentKeyProvider("KEK", environ))
    with pytest.raises(SealedError):
        ring.current(A)
    environ["KEK"] = CountingRandom("kek").token_bytes(32).hex()
    assert ring.current(A).epoch == 1


def test_rotating_the_key_encryption_key_changes_no_data_key() -> None:
    store = make_store(A, epochs=2)
    before = [make_ring(store).for_epoch(A, epoch) for epoch in (1, 2)]
    store.rows[A][0] = rewrap_data_key(PROVIDER, OTHER_PROVIDER, store.rows[A][0])
    halfway = make_ring(store, provider=RotatingKeyProvider(OTHER_PROVIDER, PROVIDER))
    assert [halfway.for_epoch(A, epoch) for epoch in (1, 2)] == before
    store.rows[A][1] = rewrap_data_key(PROVIDER, OTHER_PROVIDER, store.rows[A][1])
    done = make_ring(store, provider=OTHER_PROVIDER)
    assert [done.for_epoch(A, epoch) for epoch in (1, 2)] == before
    assert {record.kek_id for record in store.rows[A]} == {OTHER_PROVIDER.key_id}


@pytest.mark.parametrize(
    ("age_ms", "sealed_count", "due"),
    [
        (0, 0, False),
        (ROTATION_AGE_MS - 1, ROTATION_SEALED_COUNT - 1, False),
        (ROTATION_AGE_MS, 0, True),
        (0, ROTATION_SEALED_COUNT, True),
        (-5000, 0, False),
    ],
)
def test_a_rotation_is_due_after_90_days_or_2_30_values(age_ms: int, sealed_count: int, due: bool) -> None:
    created_at_ms = 1_700_000_000_000
    assert is_rotation_due(created_at_ms, sealed_count, created_at_ms + age_ms) is due


def test_90_days_are_90_days() -> None:
    assert ROTATION_AGE_MS == 7_776_000_000


def test_a_derived_key_depends_on_secret_purpose_and_tenant() -> None:
    secrets = [bytes(range(32)), bytes(range(1, 33))]
    purposes = ["lookup", "upstream-salt", "lookupten_a"]
    derived = {
        derive_tenant_key(secret, purpose, tenant) for secret in secrets for purpose in purposes for tenant in (A, B)
    }
    assert len(derived) == 12
    assert {len(key) for key in derived} == {32}


def test_purpose_and_tenant_do_not_run_together() -> None:
    assert derive_tenant_key(bytes(32), "ab", TenantId("c")) != derive_tenant_key(bytes(32), "a", TenantId("bc"))


def test_a_derived_key_never_changes() -> None:
    # Lookup keys are stored as HMACs under it: another value would lose every stored answer.
    assert derive_tenant_key(bytes(range(32)), "lookup", A).hex() == PINNED


PINNED = "a0b5a079c9a84070392eda234e65b51f096ca5a558356bff62925463b5002ed7"
