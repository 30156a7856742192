"""Errors of making a commitment or a proof.

crypto.errors.Error
└── ProverError
    ├── NotProvable     the claim does not hold, or lies outside what a verifier would accept
    ├── ProverBusy      too many wait already
    └── ProverFailed    the prover's process broke, ended or took too long; the same job may succeed next time
"""

from __future__ import annotations

from crypto.errors import Error


class ProverError(Error):
    """Root of the errors of `server.prover`; whoever gets one has no proof."""


class NotProvable(ProverError):
    """What was to be proved does not hold; the message names the condition and no secret value."""


class ProverBusy(ProverError):
    """The queue is full; nothing was started."""


class ProverFailed(ProverError):
    """The job was started and gave neither a proof nor a reason why there is none."""
