"""What the house counts. Labels are ours and few: never a tenant's text, never a key."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tenants.api_keys import redact

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Telemetry:
    """The counters of one process, in a registry of its own so that two apps in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lookups = Counter(
            "hitproof_lookups", "Lookups by outcome, tier and reason.", ("outcome", "tier", "reason"),
            registry=self.registry,
        )  # fmt: skip
        self.latency_s = Histogram(
            "hitproof_answer_seconds", "Time to a whole answer.", ("outcome",), buckets=_SECONDS, registry=self.registry
        )
        self.saved_micro = Counter(
            "hitproof_saved_micro_currency", "Price of upstream calls saved, millionths.", registry=self.registry
        )
        self.quarantined = Counter(
            "hitproof_entries_quarantined", "Entries taken out of service.", ("reason",), registry=self.registry
        )
        self.egress_refused = Counter(
            "hitproof_egress_refused", "Answers stopped because their tenant was not the caller's: must stay 0.",
            registry=self.registry,
        )  # fmt: skip
        self.records_dropped = Counter(
            "hitproof_records_dropped", "Recorded lookups that could not be written.", registry=self.registry
        )
        self.degraded = Counter(
            "hitproof_degraded", "Faults that became a miss or a bypass.", ("part",), registry=self.registry
        )
        self.labels = Counter("hitproof_labels", "Labels of candidates.", ("label", "kind"), registry=self.registry)
        self.evicted = Counter("hitproof_entries_evicted", "Entries evicted by quota.", registry=self.registry)
        self.in_progress = Gauge("hitproof_requests_in_progress", "Requests in progress.", registry=self.registry)
        self.embed_batch = Histogram(
            "hitproof_embed_batch_size", "Texts per embedding batch.", buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )  # fmt: skip
        self.index_bytes = Gauge("hitproof_index_resident_bytes", "Resident vectors.", registry=self.registry)

        self.receipts_refused = Counter(
            "hitproof_receipts_refused", "Answers given but not stored, because their receipt was not right.",
            ("reason",), registry=self.registry,
        )  # fmt: skip
        self.embedding_statements = Counter(
            "hitproof_embedding_statements", "Embedding statements, of runners and our own.", ("result",),
            registry=self.registry,
        )  # fmt: skip
        self.applicability_proofs = Counter(
            "hitproof_applicability_proofs", "Applicability proofs that were to be made.", ("result",),
            registry=self.registry,
        )  # fmt: skip
        self.applicability_s = Histogram(
            "hitproof_applicability_seconds", "Time to a new applicability proof, waiting included.",
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.votes_dropped = Counter(
            "hitproof_pool_votes_dropped", "Votes that found the queue full.", registry=self.registry
        )

    def render(self) -> bytes:
        """Return the text exposition of all counters."""
        return generate_latest(self.registry)


def configure_logging(style: Literal["json", "console"]) -> None:
    """Send structured log lines to standard error, each on one line, with anything like an API key masked."""
    renderer: Any = structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: redact(value) if isinstance(value, str) else value for name, value in event.items()}
