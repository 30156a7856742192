"""What is proved: both statements, the bounds a verifier holds them to, and the transcripts that begin with them.

Format: docs/formats.md, "Well-formedness proof" and "Applicability proof".
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import EncodingError
from ..similarity import COMPONENT_MAX, NORM_BOUND_SQUARED, is_matchable
from .encoding import POINT_BYTES
from .suites import Suite, suite_for
from .transcript import Transcript


@dataclass(frozen=True, slots=True)
class WellFormednessStatement:
    """Every component of the vector in *commitment* lies in −127 … 127, and their squares sum to at most U."""

    suite: Suite
    commitment: bytes

    def begin(self) -> Transcript:
        """Return a transcript that begins with this statement."""
        bound = NORM_BOUND_SQUARED.to_bytes(8, "big")
        return Transcript.start("well-formedness", self.suite.name.encode("ascii"), bound, self.commitment)


@dataclass(frozen=True, slots=True)
class ApplicabilityStatement:
    """⟨query, e⟩ ≥ *tau* for the vector e in *commitment*.

    *embedding* is the digest of the embedding statement that names the commitment and states *dimension*; *record* is the
    hit record in canonical JSON, which binds the proof to hit, tenant, receipt, policy and τ.
    """

    suite: Suite
    embedding: str
    record: bytes
    commitment: bytes
    query: tuple[int, ...]
    tau: int
    dimension: int

    def check(self) -> None:
        """Raise `EncodingError` unless query and τ lie in the bounds under which the sums cannot wrap."""
        if len(self.query) != self.dimension or suite_for(self.dimension) != self.suite:
            raise EncodingError(f"the query has {len(self.query)} components, or the suite does not fit the dimension")
        if any(abs(part) > COMPONENT_MAX for part in self.query):
            raise EncodingError(f"a component of the query lies beyond {COMPONENT_MAX}")
        if not is_matchable(sum(part * part for part in self.query)):
            raise EncodingError("the query is zero or longer than the bound")
        if not 0 <= self.tau <= NORM_BOUND_SQUARED:
            raise EncodingError(f"τ does not lie between 0 and {NORM_BOUND_SQUARED}")
        if len(self.commitment) != POINT_BYTES or not self.embedding.isascii():
            raise EncodingError(f"a commitment has {POINT_BYTES} bytes, and the digest of its statement is ASCII")

    def begin(self) -> Transcript:
        """Return a transcript that begins with this statement, which `check` accepts."""
        return Transcript.start(
            "applicability",
            self.suite.name.encode("ascii"),
            self.embedding.encode("ascii"),
            self.record,
            self.commitment,
            bytes(part & 0xFF for part in self.query),
            self.tau.to_bytes(8, "big"),
        )
