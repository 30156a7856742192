"""How the pool stands, in numbers and in words; nothing here is counted from votes, which are nobody's to know."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from crypto.charges import total_cost
from privacy.terms import total_of
from server.pool.principal import find_pool
from server.pool.release import EXHAUSTED, NOTHING, TOO_FEW, find_sharing_organisations
from server.pool.terms import PoolRules
from server.store.entries import EntryRepository, Selection
from server.store.ledger import LedgerRepository
from server.store.platform import PlatformRepository
from server.store.pool import PoolRepository
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import EpochRecord, PoolMode
from tenants.identifiers import OrganisationId

RELEASES_SHOWN = 20
EPOCHS_SHOWN = 12


def pool_status(connection: Connection, rules: PoolRules, *, now_ms: int) -> dict[str, Any]:
    """Return how the pool stands at *now_ms*; docs/reference/cli.md describes the fields."""
    epoch = rules.calendar.epoch_of(now_ms)
    sharing = find_sharing_organisations(connection)
    epochs = PoolRepository(connection).list_epochs("pooled", limit=EPOCHS_SHOWN)
    items: dict[str, dict[str, int]] = {mode: _count_items(connection, mode) for mode in ("pooled", "noised")}
    entries = _count_entries(connection, rules)
    is_empty = not any(entries.values())
    return {
        "enabled": bool(rules.models),
        "models": list(rules.models),
        "terms": _terms(rules),
        "calendar": _calendar(rules, epoch),
        "organisations": {
            "sharing": len(sharing),
            "needed": rules.terms.organisations_min,
            "exhausted": _count_exhausted(connection, rules, sharing, epoch),
        },
        "is_empty": is_empty,
        "why": _why(rules, sharing, epochs, items["pooled"], now_ms) if is_empty else None,
        "epochs": [_epoch(row) for row in epochs],
        "releases": _releases(connection),
        "items": items,
        "entries": entries,
    }


def _terms(rules: PoolRules) -> dict[str, Any]:
    terms = rules.terms
    gaussian_delta_atto = terms.delta_atto // 2 + terms.vector_delta_atto
    found: dict[str, Any] = {
        "unit": terms.unit,
        "vector_source": terms.vector_source,
        "epsilon_micro": terms.epsilon_micro,
        "delta_atto": terms.delta_atto,
        "threshold": terms.threshold,
        "keys_max": terms.keys_max,
        "charges": [charge.to_json() for charge in terms.charges()],
        "cost": asdict(total_cost(terms.charges())),
        "budget": asdict(rules.budget),
        "guarantee_of_unit": asdict(terms.unit_guarantee()),
        "guarantee_of_organisation": asdict(total_of(terms.period_cost(), gaussian_delta_atto)),
        "guarantee_of_budget": asdict(total_of(rules.budget, rules.noised_delta_atto)),
    }
    return found


def _calendar(rules: PoolRules, epoch: int) -> dict[str, int]:
    period = rules.calendar.period_of(epoch)
    return {
        "epoch": epoch,
        "closes_at_ms": rules.calendar.closes_at_ms(epoch),
        "epoch_s": rules.calendar.epoch_s,
        "period": period.number,
        "period_until_ms": period.until_ms,
        "period_epochs": rules.calendar.period_epochs,
    }


def _count_items(connection: Connection, mode: PoolMode) -> dict[str, int]:
    return PoolItemRepository(connection).count_by_state(mode)


def _count_entries(connection: Connection, rules: PoolRules) -> dict[str, int]:
    """Return how many entries of the pool stand under the version that each of its models answers with now."""
    pool = find_pool(connection)
    if pool is None:
        return dict.fromkeys(rules.models, 0)
    versions = {model.alias: model.model_version for model in PlatformRepository(connection).list_models()}
    repository = EntryRepository(connection, pool)
    return {
        alias: 0 if versions.get(alias) is None else repository.count(Selection(model_version=versions[alias]))
        for alias in rules.models
    }


def _count_exhausted(connection: Connection, rules: PoolRules, sharing: list[OrganisationId], epoch: int) -> int:
    ledger, period = LedgerRepository(connection), rules.calendar.period_number(epoch)
    charges = rules.terms.charges()
    return sum(not ledger.may_spend(one, period, charges, rules.budget) for one in sharing)


def _releases(connection: Connection) -> list[dict[str, Any]]:
    return [
        {
            "number": row.number,
            "mode": row.mode,
            "epoch": row.epoch,
            "attempt": row.attempt,
            "state": row.state,
            "organisations": row.organisations,
            "digest": row.digest,
            "reason": row.reason,
            "at_ms": row.finished_at_ms or row.created_at_ms,
        }
        for row in PoolRepository(connection).list_releases(limit=RELEASES_SHOWN)
    ]


def _epoch(row: EpochRecord) -> dict[str, Any]:
    return {"epoch": row.epoch, "state": row.state, "reason": row.reason, "release": row.release}


def _why(
    rules: PoolRules, sharing: list[OrganisationId], epochs: list[EpochRecord], items: dict[str, int], now_ms: int
) -> str:
    """Say in words why the pool has nothing to answer with."""
    if not rules.models:
        return "the pool is off: no model is named in pool_models"
    if items.get("live"):
        return "what was released is answered by another model version now, or has expired"
    if items.get("answered"):
        return "answers are in quarantine: each is asked for again and stored if it stands (pool_quarantine_s)"
    if items.get("selected"):
        return "what was released has not been answered yet: an attesting runner must stand behind each of pool_models"
    ended = next((row for row in epochs if row.state != "open"), None)
    needed = rules.terms.organisations_min
    if len(sharing) < needed or (ended is not None and ended.reason == TOO_FEW):
        return f"{len(sharing)} organisations share and {needed} are needed; below that nothing is released or charged"
    if ended is None:
        closes_at_ms = rules.calendar.closes_at_ms(rules.calendar.epoch_of(now_ms))
        return f"no epoch has ended yet; the running one closes at {closes_at_ms} ms"
    if ended.reason == EXHAUSTED:
        return "the budgets of too many organisations are spent for this period; the next period begins anew"
    if ended.reason == NOTHING:
        return f"nothing was asked by enough organisations: a count needs about {rules.terms.threshold} of them"
    if items.get("refused"):
        return "every answer to what was released was refused; `hitproof pool status --json` lists the counts"
    return "nothing that was released is there any more"
