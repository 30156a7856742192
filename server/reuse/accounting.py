"""What a lookup cost or saved, and its record: prices, usage rows, sealed details, audits."""

from __future__ import annotations

from typing import Any, Final

import orjson

from server.ports import Clock, JsonObject, RandomSource
from server.reuse.answers import Account
from server.reuse.near import Near
from server.reuse.outcomes import Hit, Miss, outcome_name
from server.reuse.policy import ReusePolicy
from server.reuse.recorder import Recorded, Recorder
from server.reuse.tenant_directory import TenantContext
from server.store.records import LookupRecord, ModelRecord, StoredEntry
from server.telemetry import Telemetry
from tenants.identifiers import KeyId, LookupId
from tenants.sealing import SealContext, seal, sealed_epoch, unseal

DETAIL_FIELD: Final = "lookup"
DETAIL_VERSION: Final = 1
PER_MILLION: Final = 1_000_000


class Accounting:
    """Prices answers, records lookups and draws audits."""

    def __init__(self, recorder: Recorder, telemetry: Telemetry, clock: Clock, random: RandomSource) -> None:
        self._recorder = recorder
        self._telemetry = telemetry
        self._clock = clock
        self._random = random

    def price(self, model: ModelRecord, response: JsonObject) -> tuple[int, int, int]:
        """Return (prompt tokens, output tokens, micro-units of currency) of *response* at *model*'s prices."""
        usage = response.get("usage")
        prompt = _count(usage, "prompt_tokens")
        output = _count(usage, "completion_tokens")
        cost = prompt * model.input_price_micro + output * model.output_price_micro
        return prompt, output, cost // PER_MILLION

    def is_audited(self, policy: ReusePolicy, hit: Hit) -> bool:
        """Draw whether this hit goes upstream all the same, to earn a label; exact hits never do."""
        share = policy.audit_share_ten_thousandths
        if share == 0 or hit.tier == "exact":
            return False
        return int.from_bytes(self._random.token_bytes(4), "big") * 10_000 < share << 32

    def record(
        self,
        *,
        tenant: TenantContext,
        key: KeyId,
        model: str,
        account: Account,
        row: StoredEntry | None,
        near: Near | None,
        keep_lookup: bool,
        latency_s: float,
    ) -> None:
        """Count one lookup and queue its record."""
        outcome = account.outcome
        name = outcome_name(outcome)
        tier = outcome.tier if isinstance(outcome, Hit) else ""
        reason = outcome.reason.partition(";")[0]
        self._telemetry.lookups.labels(name, tier, reason if reason in _COUNTED else "other").inc()
        self._telemetry.latency_s.labels(name).observe(latency_s)
        self._telemetry.saved_micro.inc(account.saved_micro)
        entry = outcome.entry if isinstance(outcome, Hit) else outcome.stored if isinstance(outcome, Miss) else None
        now_ms = self._clock.now_ms()
        lookup = None
        if keep_lookup and tenant.policy.lookup_retention_s:
            lookup = LookupRecord(
                id=account.lookup,
                key_id=key,
                at_ms=now_ms,
                expires_at_ms=now_ms + tenant.policy.lookup_retention_s * 1000,
                model=model,
                outcome=name,
                tier=tier or None,
                reason=outcome.reason[:100],
                entry_id=entry,
                policy_version=tenant.policy_version,
                detail=self._seal_detail(tenant, account, near),
                label=None,
                label_kind=None,
                labelled_at_ms=None,
            )
        self._recorder.record(
            Recorded(
                tenant=tenant.id,
                lookup=lookup,
                key=key,
                at_ms=now_ms,
                model=model,
                outcome=name,
                tier=tier,
                # Nothing of an entry of the pool may tell that it was used.
                entry=None if tier == "pool" else entry,
                saved_prompt_tokens=0 if row is None or name != "hit" else row.prompt_tokens,
                saved_output_tokens=0 if row is None or name != "hit" else row.output_tokens,
                saved_micro=account.saved_micro,
                latency_us=int(latency_s * 1e6),
            )
        )

    def _seal_detail(self, tenant: TenantContext, account: Account, near: Near | None) -> bytes | None:
        """Seal what a replay or calibration needs: query vector, candidates with exact scores, verdicts."""
        if near is None or near.question is None:
            return None
        detail = {
            "version": DETAIL_VERSION,
            "vector": near.question.vector.tobytes().hex(),
            "candidates": [[int(entry), score] for entry, score in near.scores],
            "explanation": None if account.explanation is None else account.explanation.to_json(),
            "guard": account.guard,
            "would_hit": account.would_hit,
        }
        return seal(tenant.data_key, _context(tenant, account.lookup), orjson.dumps(detail), random=self._random)


def open_detail(tenant: TenantContext, lookup: LookupId, sealed: bytes) -> JsonObject:
    """Open a recorded lookup's detail; raises `UnsealError`."""
    detail: JsonObject = orjson.loads(unseal(tenant.open_with(sealed_epoch(sealed)), _context(tenant, lookup), sealed))
    return detail


def _context(tenant: TenantContext, lookup: LookupId) -> SealContext:
    return SealContext(tenant=tenant.id, entry=0, field=f"{DETAIL_FIELD}/{lookup}", schema_version=DETAIL_VERSION)


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and 0 <= value <= 1 << 31 else 0


#: Reasons that become metric labels: a closed list, so that nothing a client sends can make a new series.
_COUNTED: Final = frozenset(
    {
        "same_request", "same_meaning", "no_candidate", "below_threshold", "shadow", "audit", "no_cache",
        "policy_off", "policy_exact", "temperature_above_policy", "tools", "only_if_cached", "query_language",
    }
)  # fmt: skip
