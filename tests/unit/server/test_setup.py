"""Setting things up: each change with its audit row, and none without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from server import setup
from server.erasing import erase_tenant
from server.erasures import Erasures
from server.errors import RequestError
from server.log.keys import ensure_log_key
from server.reuse.policy import ReusePolicy
from server.store.database import Database, sqlite_url
from server.store.entries import EntryRepository
from server.store.errors import Conflict, NotFound
from server.store.lookups import LookupRepository
from server.store.maintenance import list_audit, load_feed, verify_audit_chain
from server.store.migrate import upgrade
from server.store.platform import PlatformRepository
from server.store.records import ModelRecord, ModelVersionRecord, UpstreamRecord
from server.store.tenancy import DataKeyRepository, KeyRepository, PolicyRepository
from tenants.api_keys import is_api_key_mac
from tenants.errors import SealedError
from tenants.identifiers import KeyId, OrganisationId, TenantId
from tenants.key_files import create_key_file
from tenants.key_providers import FileKeyProvider, ShamirKeyProvider
from tenants.quotas import Quota
from tenants.scopes import ROLES, Caller, Scope
from tests.contract.stores import new_entry, new_lookup, new_usage
from tests.fakes import PEPPER, SeededRandom

NOW_MS = 1_790_000_000_000
Result = TypeVar("Result")


@dataclass(slots=True)
class House:
    """A database with one organisation and one tenant."""

    database: Database
    provider: FileKeyProvider
    random: SeededRandom
    erasures: Erasures
    organisation: OrganisationId = field(init=False)
    tenant: TenantId = field(init=False)

    def run(self, work: Callable[[Connection], Result]) -> Result:
        return self.database.write_now(work)

    def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call *function* of `server.setup` in a transaction of its own."""
        return self.run(lambda c: function(c, *arguments, actor="me", now_ms=NOW_MS, **options))

    def make_tenant(self, name: str, **options: Any) -> TenantId:
        given = {"quota": Quota(), "provider": self.provider, "random": self.random, **options}
        made = self.call(setup.create_tenant, self.organisation, name, **given)
        return TenantId(made.id)

    def make_key(self, tenant: TenantId | None = None, **options: Any) -> Any:
        given = {
            "role": "member",
            "scopes": None,
            "label": "mine",
            "expires_at_ms": None,
            "pepper": PEPPER,
            "random": self.random,
            **options,
        }
        return self.call(setup.create_key, tenant, **given)

    def erase(self, tenant: TenantId) -> list[str]:
        names: list[str] = self.call(
            erase_tenant, tenant, erasures=self.erasures, provider=self.provider, random=self.random
        )
        return names

    def actions(self) -> list[str]:
        rows = self.database.read_now(lambda c: list_audit(c, tenant=None, after=0, limit=100))
        return [row.action for row in rows]

    def notices(self) -> list[tuple[str, str]]:
        rows = self.database.read_now(lambda c: load_feed(c, after=0))
        return [(row.tenant_id, row.operation) for row in rows if row.entry_id is None]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    create_key_file(tmp_path / "kek", SeededRandom(1))
    database = Database(sqlite_url(tmp_path / "store.db"))
    upgrade(database.engine)
    made = House(database, FileKeyProvider(tmp_path / "kek"), SeededRandom(2), Erasures(tmp_path / "erasures"))
    made.run(lambda c: ensure_log_key(c, tmp_path / "log-key", made.random, origin="test"))
    made.organisation = made.call(setup.create_organisation, "org", random=made.random).id
    made.tenant = made.make_tenant("tenant")
    yield made
    assert database.read_now(verify_audit_chain) is None
    database.close()


def test_a_tenant_is_made_with_its_first_data_key(house: House) -> None:
    keys = house.run(lambda c: DataKeyRepository(c, house.tenant).list_all())
    assert [(key.epoch, key.kek_id) for key in keys] == [(1, house.provider.key_id)]
    assert house.actions() == ["organisation.create", "tenant.create"]


def test_a_name_that_is_taken_changes_nothing_and_is_not_audited(house: House) -> None:
    before = house.actions()
    with pytest.raises(Conflict):
        house.call(setup.create_organisation, "org", random=house.random)
    with pytest.raises(Conflict):
        house.make_tenant("tenant")
    assert house.actions() == before


def test_a_tenant_of_no_organisation_is_refused(house: House) -> None:
    house.organisation = OrganisationId("org_none")
    with pytest.raises(NotFound):
        house.make_tenant("another")


def test_no_tenant_is_made_while_the_store_is_sealed(house: House) -> None:
    with pytest.raises(SealedError):
        house.make_tenant("another", provider=ShamirKeyProvider())
    assert len(house.run(lambda c: PlatformRepository(c).list_tenants())) == 1


def test_a_key_is_stored_as_its_mac_alone(house: House) -> None:
    record, text = house.make_key(house.tenant)
    stored = house.run(lambda c: KeyRepository(c, house.tenant).get(record.key_id))
    assert stored == record
    assert is_api_key_mac(PEPPER, text, stored.mac)
    assert text not in repr(stored)
    rows = house.database.read_now(lambda c: list_audit(c, tenant=house.tenant, after=0, limit=100))
    assert text not in repr(rows)


def test_a_key_has_its_roles_scopes_unless_fewer_are_asked_for(house: House) -> None:
    all_of_them, _ = house.make_key(house.tenant)
    assert set(json.loads(all_of_them.scopes)) == set(ROLES["member"])
    one = sorted(ROLES["member"])[0]
    fewer, _ = house.make_key(house.tenant, scopes=[Scope(one)])
    assert json.loads(fewer.scopes) == [one]


@pytest.mark.parametrize(
    ("tenant", "options"),
    [
        (True, {"role": "king"}),
        (True, {"role": "platform-operator"}),
        (False, {"role": "member"}),
        (True, {"role": "member", "scopes": [Scope.PLATFORM_ADMIN]}),
    ],
)
def test_a_key_cannot_have_more_than_its_role(house: House, tenant: bool, options: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        house.make_key(house.tenant if tenant else None, **options)


def test_a_key_for_a_tenant_that_is_not_there_is_refused(house: House) -> None:
    with pytest.raises(NotFound):
        house.make_key(TenantId("ten_none"))


def test_an_erased_tenant_gets_no_new_key(house: House) -> None:
    house.erase(house.tenant)
    with pytest.raises(Conflict, match="erased"):
        house.make_key(house.tenant)


def test_a_rotated_key_ends_after_its_grace_and_its_successor_is_like_it(house: House) -> None:
    one = sorted(ROLES["member"])[0]
    old, _ = house.make_key(house.tenant, scopes=[Scope(one)])
    new, _ = house.run(
        lambda c: setup.rotate_key(
            c,
            house.tenant,
            old.key_id,
            caller=Caller(None, None, KeyId("me"), "platform-operator", ROLES["platform-operator"]),
            grace_s=60,
            pepper=PEPPER,
            now_ms=NOW_MS,
            random=house.random,
        )
    )
    found = house.run(lambda c: KeyRepository(c, house.tenant).get(old.key_id))
    assert found.expires_at_ms == NOW_MS + 60_000
    assert (new.role, new.scopes, new.label) == (old.role, old.scopes, old.label)
    assert house.actions()[-2:] == ["key.create", "key.rotate"]


def test_a_revoked_key_stays_revoked_and_everybody_is_told(house: House) -> None:
    key, _ = house.make_key(house.tenant)
    house.call(setup.revoke_key, house.tenant, key.key_id)
    assert house.run(lambda c: KeyRepository(c, house.tenant).get(key.key_id)).revoked_at_ms == NOW_MS
    assert house.notices()[-1] == (house.tenant, "refresh")
    with pytest.raises(NotFound):
        house.call(setup.revoke_key, house.tenant, KeyId("none"))


def test_policies_quotas_and_status_are_audited_and_announced(house: House) -> None:
    house.call(setup.set_policy, house.tenant, ReusePolicy())
    house.call(setup.set_quota, house.tenant, Quota())
    house.call(setup.set_status, house.tenant, "suspended")
    assert house.actions()[-3:] == ["policy.set", "tenant.quota", "tenant.status"]
    assert house.notices() == [(house.tenant, "refresh")] * 3
    with pytest.raises(Conflict):
        house.call(setup.set_policy, house.tenant, ReusePolicy(), expected_version=0)
    assert house.actions()[-1] == "tenant.status"


def fill(house: House, tenant: TenantId, number: int) -> None:
    def work(connection: Connection) -> None:
        EntryRepository(connection, tenant).add(new_entry(number, tags=("tag",)))
        LookupRepository(connection, tenant).add_many([new_lookup(f"lookup {number}")])
        LookupRepository(connection, tenant).add_usage([new_usage()])

    house.run(work)


def test_erasing_a_tenant_leaves_nothing_of_it_and_all_of_the_others(house: House) -> None:
    other = house.make_tenant("other")
    key, _ = house.make_key(house.tenant)
    for number, tenant in enumerate((house.tenant, other), start=1):
        fill(house, tenant, number)
    house.erase(house.tenant)

    def held(connection: Connection, tenant: TenantId) -> list[int]:
        return [
            EntryRepository(connection, tenant).totals()[0],
            len(LookupRepository(connection, tenant).list_since(0)),
            len(LookupRepository(connection, tenant).sum_usage(since_day="")),
            len(DataKeyRepository(connection, tenant).list_all()),
        ]

    assert house.run(lambda c: held(c, house.tenant)) == [0, 0, 0, 0]
    assert house.run(lambda c: held(c, other)) == [1, 1, 1, 1]
    assert house.run(lambda c: KeyRepository(c, house.tenant).get(key.key_id)).revoked_at_ms == NOW_MS
    assert house.run(lambda c: PlatformRepository(c).get_tenant(house.tenant)).status == "erased"
    assert house.notices()[-1] == (house.tenant, "drop")
    assert house.actions()[-1] == "tenant.erase"


def test_an_erased_tenant_stays_erased(house: House) -> None:
    house.erase(house.tenant)
    with pytest.raises(Conflict, match="stays erased"):
        house.call(setup.set_status, house.tenant, "active")


def put_model(house: House, **changes: Any) -> None:
    fields = {"alias": "m", "upstream": "up", "requested": "real", **changes}
    house.call(setup.put_model, ModelRecord(**fields, model_version=None, reported=None, input_price_micro=1,
                                            output_price_micro=1, created_at_ms=NOW_MS))  # fmt: skip


def test_a_model_keeps_its_version_while_it_leads_to_the_same_place(house: House) -> None:
    with pytest.raises(NotFound, match="set it up first"):
        put_model(house)
    for name in ("up", "other"):
        house.call(setup.put_upstream, UpstreamRecord(name, "openai", "https://up.example", None, False, NOW_MS))
    put_model(house)
    version = ModelVersionRecord("v1", "r", "active", None, NOW_MS)
    house.run(lambda c: PlatformRepository(c).activate_version("m", version))
    put_model(house)
    (found,) = house.run(lambda c: PlatformRepository(c).list_models())
    assert (found.model_version, found.reported) == ("v1", "r")
    put_model(house, upstream="other")
    (found,) = house.run(lambda c: PlatformRepository(c).list_models())
    assert found.model_version is None
    house.call(setup.delete_model, "m")
    assert house.run(lambda c: PlatformRepository(c).list_models()) == []


def test_every_policy_version_is_kept(house: House) -> None:
    for threshold in (9_000, 9_100):
        house.call(setup.set_policy, house.tenant, ReusePolicy(threshold_ten_thousandths=threshold))
    found = house.run(lambda c: PolicyRepository(c, house.tenant).list_versions())
    assert [row.version for row in found] == [2, 1]
    assert len({row.digest for row in found}) == 2
