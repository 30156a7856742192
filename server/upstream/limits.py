"""Every limit on talking to an upstream in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Times, sizes and counts for one upstream; the defaults suit a vendor's API with streams of up to ten minutes."""

    connect_timeout_s: float = 10.0
    first_byte_timeout_s: float = 120.0
    idle_timeout_s: float = 30.0
    total_timeout_s: float = 600.0
    done_grace_s: float = 2.0
    response_bytes_max: int = 16 * 2**20
    event_bytes_max: int = 2**20
    events_max: int = 200_000
    error_bytes_max: int = 64 * 1024
    models_max: int = 2_000
    choices_max: int = 16
    connections_max: int = 128
    idle_connections_max: int = 32
    connection_idle_s: float = 15.0
    connection_wait_s: float = 5.0
    retries_max: int = 1
    retry_share: float = 0.1
    retry_wait_base_s: float = 0.5
    retry_wait_max_s: float = 5.0
    breaker_window_s: int = 30
    breaker_calls_min: int = 20
    breaker_failure_share: float = 0.5
    breaker_probe_interval_s: float = 5.0
