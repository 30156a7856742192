"""A runner's algebraic commitments to the vectors that it states, so that what they match can be proved without them.

The ceremony's file is read when the first commitment is made, by the thread that makes them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crypto.applicability.blinding import SEED_BYTES
from crypto.applicability.setup import Setup, load_setup
from crypto.applicability.suites import Suite, UnsupportedDimension, suite_for
from server.ports import RandomSource
from server.prover.commitment import commit


class Commits(Protocol):
    """Makes the point that commits to *vector*, padded to *suite*, under *seed*."""

    def __call__(self, suite: Suite, vector: Sequence[int], seed: bytes) -> bytes:
        """Return the compressed point; raises `crypto.errors.Error` where there can be none."""
        ...


@dataclass(frozen=True, slots=True)
class Committed:
    """A commitment to a vector and the seed that opens it."""

    commitment: bytes
    seed: bytes
    suite: Suite


class CeremonyCommitter:
    """Commits under the ceremony's powers, this package's own copy of them or *srs*."""

    def __init__(self, srs: Path | None = None) -> None:
        self._srs = srs
        self._setup: Setup | None = None

    def __call__(self, suite: Suite, vector: Sequence[int], seed: bytes) -> bytes:
        """Return the compressed point; raises `SetupError` where the ceremony's file is another or unreadable."""
        if self._setup is None:
            self._setup = load_setup(self._srs)
        return commit(self._setup, suite, vector, seed)


def commit_to(vector: Sequence[int], commit: Commits, random: RandomSource) -> Committed | None:
    """Commit to *vector* under a fresh seed; None where no suite takes so many components."""
    try:
        suite = suite_for(len(vector))
    except UnsupportedDimension:
        return None
    seed = random.token_bytes(SEED_BYTES)
    return Committed(commit(suite, vector, seed), seed, suite)
