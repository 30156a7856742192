"""What a runner signs with one key, wired: answers, vectors, and statements said again."""

from __future__ import annotations

from collections.abc import Sequence

from crypto.ed25519 import Signer
from server.ports import Clock, RandomSource
from server.runner.commitments import CeremonyCommitter, Commits
from server.runner.embeddings import EmbedderLoader, EmbeddingStatementMaker
from server.runner.limits import RunnerLimits
from server.runner.restatements import RestatementMaker
from server.runner.statements import StatementMaker


def make_statement_makers(
    signer: Signer | None,
    embedder_loaders: Sequence[EmbedderLoader],
    *,
    clock: Clock,
    random_source: RandomSource,
    limits: RunnerLimits,
    commit: Commits | None = None,
) -> tuple[StatementMaker | None, EmbeddingStatementMaker | None]:
    """Return what signs answers and what signs vectors under *signer*'s key; each None where it cannot."""
    if signer is None:
        return None, None
    statements = StatementMaker(signer, clock=clock, random_source=random_source)
    if not embedder_loaders:
        return statements, None
    embeddings = EmbeddingStatementMaker(
        signer,
        embedder_loaders,
        clock=clock,
        random_source=random_source,
        limits=limits,
        commit=commit or CeremonyCommitter(),
    )
    return statements, embeddings


def make_restatement_maker(
    signer: Signer | None, *, clock: Clock, random_source: RandomSource
) -> RestatementMaker | None:
    """Return what says statements of *signer*'s again; None where nothing is signed."""
    return None if signer is None else RestatementMaker(signer, clock=clock, random_source=random_source)
