"""How consent is shown: labels one by one, and what a tenant shares as a whole; all of it says "obfuscation" above ε = 8."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection

from crypto.canonical import parse_json
from crypto.charges import GaussianEmbedding, total_cost
from crypto.spending import Cost, parse_spending
from server.identifiers import format_entry_id
from server.pool.items import open_item
from server.pool.sharing import open_aliases
from server.pool.terms import PoolRules
from server.reuse.policy import DEFAULT_POLICY, NOISED_EPSILON_MILLI_CAP, ReusePolicy
from server.reuse.tenant_directory import TenantContext
from server.store.ledger import LedgerRepository
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import Share, StoredItem
from server.store.records import TenantRecord
from server.store.shares import ShareRepository
from server.store.tenancy import PolicyRepository
from tenants.identifiers import OrganisationId

#: Published entries that a report names.
LEFT_SHOWN: Final = 100


def summarise_share(share: Share) -> dict[str, Any]:
    """Return a label without what it seals."""
    return {
        "object": "cache.share",
        "entry": format_entry_id(share.entry_id),
        "state": share.state,
        "reason": share.reason,
        "epsilon": format_epsilon(share.epsilon_milli),
        "obfuscation": is_obfuscation(share.epsilon_milli),
        "at_ms": share.at_ms,
    }


def show_share(
    tenant: TenantContext, share: Share, item: StoredItem | None, pool: TenantContext | None
) -> dict[str, Any]:
    """Return a label with the questions that its tenant wrote, and with what it became in the pool."""
    published = None
    if item is not None and pool is not None:
        texts = [] if item.sealed is None else list(open_item(pool, item).texts)
        published = {"texts": texts, "release": item.release, "state": item.state}
    aliases = list(open_aliases(tenant, share.entry_id, share.aliases))
    return {**summarise_share(share), "aliases": aliases, "published": published}


def find_item(connection: Connection, share: Share) -> StoredItem | None:
    """Return what the entry of *share* became in the pool, if it ever did."""
    return None if share.item_id is None else PoolItemRepository(connection).get(share.item_id)


def report_sharing(
    connection: Connection, tenant: TenantRecord, rules: PoolRules | None, *, now_ms: int
) -> dict[str, Any]:
    """Return how *tenant* shares, what it labelled, what left, and what its organisation spent; *rules* None: no pool."""
    stored = PolicyRepository(connection, tenant.id).get_active()
    policy = DEFAULT_POLICY if stored is None else ReusePolicy.from_json(parse_json(stored.document.encode()))
    shares = ShareRepository(connection, tenant.id)
    left = shares.list_page(state="published", limit=LEFT_SHOWN)
    return {
        "tenant": tenant.id,
        **report_policy(policy),
        "labels": shares.count_by_state(),
        "left": [summarise_share(share) for share in left],
        "spent": None if rules is None else _report_spent(connection, tenant.organisation_id, rules, now_ms),
    }


def report_policy(policy: ReusePolicy) -> dict[str, Any]:
    """Return what a policy says of sharing."""
    return {
        "sharing": policy.sharing,
        "pool_read": policy.pool_read,
        "noised_epsilon": format_epsilon(policy.noised_epsilon_milli),
        "obfuscation": policy.is_obfuscation,
        "share_tags": list(policy.share_tags),
        "share_by_default": policy.share_by_default,
    }


def format_epsilon(epsilon_milli: int) -> str:
    """Return thousandths as a decimal text."""
    return format((Decimal(epsilon_milli) / 1000).normalize(), "f")


def is_obfuscation(epsilon_milli: int) -> bool:
    """Say whether noise at that ε is too little to be called privacy."""
    return epsilon_milli > NOISED_EPSILON_MILLI_CAP


def _report_spent(
    connection: Connection, organisation: OrganisationId, rules: PoolRules, now_ms: int
) -> dict[str, Any]:
    ledger, period = LedgerRepository(connection), rules.calendar.period_number(rules.calendar.epoch_of(now_ms))
    spendings = [
        parse_spending(row.document.encode()) for row in ledger.list_spendings(organisation) if row.period == period
    ]
    charges = [charge for one in spendings if one.unit == "entry" for charge in one.charges]
    return {
        "period": period,
        "budget": asdict(ledger.get_budget(organisation, period, rules.budget)),
        "spent": asdict(ledger.sums(organisation, period)),
        "on_entries": asdict(total_cost(charges) if charges else Cost()),
        "entries": sum(charge.count for charge in charges if isinstance(charge, GaussianEmbedding)),
    }
