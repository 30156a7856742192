"""What the log counts, in the registry of the process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.log.sequencer import Step

_SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 30, 60, 300)


class LogTelemetry:
    """`server.log.service.LogMetrics` for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.leads = Gauge("hitproof_log_leads", "1 while this process writes the log.", registry=registry)
        self.size = Gauge("hitproof_log_size", "Leaves under the newest checkpoint known here.", registry=registry)
        self.pending = Gauge("hitproof_log_pending_leaves", "Leaves that wait for an index.", registry=registry)
        self.pending_age_s = Gauge(
            "hitproof_log_pending_age_seconds", "How long the first of them has waited.", registry=registry
        )
        self.witnesses = Gauge(
            "hitproof_log_witnesses", "Witnesses that cosigned the newest checkpoint.", registry=registry
        )
        self.inclusion_s = Histogram(
            "hitproof_log_inclusion_seconds", "Longest wait of a leaf for its checkpoint, per checkpoint.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.failures = Counter("hitproof_log_failures", "Steps that failed.", ("reason",), registry=registry)
        self.refused = Gauge(
            "hitproof_log_refused", "1 once the log is not written any more: must stay 0.", registry=registry
        )

    def note_step(self, step: Step, *, now_ms: int) -> None:
        """Note what a step did."""
        self.leads.set(int(step.leads))
        self.size.set(step.size)
        if step.leads:
            self.witnesses.set(step.witnesses)
        if step.oldest_ms is not None:
            self.inclusion_s.observe(max(0, now_ms - step.oldest_ms) / 1000)

    def note_backlog(self, leaves: int, *, age_s: float) -> None:
        """Note how many leaves wait for an index, and how long the first of them has."""
        self.pending.set(leaves)
        self.pending_age_s.set(age_s)

    def note_failure(self, reason: str, *, refused: bool) -> None:
        """Note that a step failed, or that the log is not written any more."""
        self.failures.labels(reason).inc()
        if refused:
            self.refused.set(1)
