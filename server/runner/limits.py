"""Every limit of the runner in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """What one runner process takes on; the defaults suit a model on one machine behind one gateway."""

    body_bytes_max: int = 2**20
    messages_max: int = 256
    text_bytes_max: int = 256 * 1024
    stop_strings_max: int = 4
    stop_length_max: int = 256
    queue_max: int = 64
    queue_wait_s: float = 30.0
    answer_timeout_s: float = 600.0
    body_timeout_s: float = 15.0
    embeddings_max: int = 16
