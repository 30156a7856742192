"""The prover: everything that is made of vectors and seeds, for every suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crypto.applicability.setup import Setup
from crypto.applicability.statement import ApplicabilityStatement
from crypto.applicability.suites import Suite
from server.prover.applicability import prove_applicability
from server.prover.basis import Powers
from server.prover.blinders import FreshScalars
from server.prover.commitment import padded
from server.prover.well_formedness import prove_well_formedness
from server.prover.workbench import Workbench

if TYPE_CHECKING:
    from server.ports import RandomSource


class Prover:
    """Holds what is prepared once per suite, when that suite is first asked for: half a second where N is 512."""

    def __init__(self, setup: Setup) -> None:
        self._powers = Powers(setup)
        self._benches: dict[str, Workbench] = {}

    def commit(self, suite: Suite, vector: Sequence[int], seed: bytes) -> bytes:
        """Commit to a quantised vector under *seed*: 48 bytes, the same as `server.prover.commitment.commit` returns.

        Raises `EncodingError` for a vector or a seed that cannot be committed to.
        """
        return self._bench(suite).commit(padded(suite, vector), seed)

    def prove_well_formedness(self, suite: Suite, vector: Sequence[int], seed: bytes) -> bytes:
        """Prove that the commitment is to a vector within the bounds: 576 bytes, the same ones each time.

        Raises `NotProvable` for a vector that is out of bounds.
        """
        return prove_well_formedness(self._bench(suite), vector, seed)

    def prove_applicability(
        self, statement: ApplicabilityStatement, vector: Sequence[int], seed: bytes, random: RandomSource
    ) -> bytes:
        """Prove a hit's statement about the committed vector: 416 bytes, other ones each time.

        Raises `NotProvable` where ⟨q, e⟩ < τ or anything is out of bounds.
        """
        return prove_applicability(self._bench(statement.suite), statement, vector, seed, FreshScalars(random))

    def _bench(self, suite: Suite) -> Workbench:
        bench = self._benches.get(suite.name)
        if bench is None:
            bench = self._benches[suite.name] = Workbench(self._powers, suite)
        return bench
