"""What gateway and prover's process say to each other: frames of JSON behind their length in four big-endian bytes.

Only two ends of one pipe read this, both of the same release, so it has no version. It carries seeds and vectors:
neither end writes any of it down.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from crypto.applicability.statement import ApplicabilityStatement
from crypto.applicability.suites import Suite, find_suite
from crypto.errors import EncodingError

LENGTH_BYTES: Final = 4
FRAME_BYTES_MAX: Final = 1 << 20

#: How a job ended: made; the claim does not hold; the input has no meaning; something broke.
Outcome: TypeAlias = Literal["made", "not_provable", "invalid", "failed"]
_OUTCOMES: Final[tuple[Outcome, ...]] = ("made", "not_provable", "invalid", "failed")


@dataclass(frozen=True, slots=True)
class CommitJob:
    """Make a commitment."""

    suite: Suite
    vector: Sequence[int]
    seed: bytes


@dataclass(frozen=True, slots=True)
class WellFormednessJob:
    """Prove that a commitment is well-formed."""

    suite: Suite
    vector: Sequence[int]
    seed: bytes


@dataclass(frozen=True, slots=True)
class ApplicabilityJob:
    """Prove a hit's statement."""

    statement: ApplicabilityStatement
    vector: Sequence[int]
    seed: bytes


Job: TypeAlias = CommitJob | WellFormednessJob | ApplicabilityJob


@dataclass(frozen=True, slots=True)
class Answer:
    """How a job ended: with *data* if something was made, else with a *message* that holds no secret."""

    outcome: Outcome
    data: bytes = b""
    message: str = ""


def pack_job(job: Job) -> bytes:
    """Return the frame that `unpack_job` reads; raises `EncodingError` for one that would be too long."""
    head: dict[str, Any] = {"vector": [int(part) for part in job.vector], "seed": job.seed.hex()}
    if isinstance(job, ApplicabilityJob):
        stated = job.statement
        return _pack(
            head
            | {
                "kind": "applicability",
                "suite": stated.suite.name,
                "embedding": stated.embedding,
                "record": stated.record.hex(),
                "commitment": stated.commitment.hex(),
                "query": [int(part) for part in stated.query],
                "tau": stated.tau,
                "dimension": stated.dimension,
            }
        )
    return _pack(
        head | {"kind": "commit" if isinstance(job, CommitJob) else "well_formedness", "suite": job.suite.name}
    )


def unpack_job(body: bytes) -> Job:
    """Read a frame's body; raises `EncodingError` for a suite that is not known, and where it is no job at all."""
    head = _unpack(body)
    try:
        suite, vector, seed = find_suite(head["suite"]), tuple(head["vector"]), bytes.fromhex(head["seed"])
        if suite is None:
            raise EncodingError(f"no suite is called {head['suite']!r}")
        if head["kind"] == "commit":
            return CommitJob(suite, vector, seed)
        if head["kind"] == "well_formedness":
            return WellFormednessJob(suite, vector, seed)
        statement = ApplicabilityStatement(
            suite=suite,
            embedding=head["embedding"],
            record=bytes.fromhex(head["record"]),
            commitment=bytes.fromhex(head["commitment"]),
            query=tuple(head["query"]),
            tau=head["tau"],
            dimension=head["dimension"],
        )
        return ApplicabilityJob(statement, vector, seed)
    except (KeyError, TypeError, ValueError):
        raise EncodingError("the frame holds no job") from None


def pack_answer(answer: Answer) -> bytes:
    """Return the frame that `unpack_answer` reads."""
    return _pack({"outcome": answer.outcome, "data": answer.data.hex(), "message": answer.message})


def unpack_answer(body: bytes) -> Answer:
    """Read a frame's body; raises `EncodingError` where it is no answer."""
    head = _unpack(body)
    try:
        outcome = next(name for name in _OUTCOMES if name == head["outcome"])
        data, message = bytes.fromhex(head["data"]), head["message"]
    except (KeyError, StopIteration, TypeError, ValueError):
        raise EncodingError("the frame holds no answer") from None
    if not isinstance(message, str):
        raise EncodingError("the frame holds no answer")
    return Answer(outcome, data, message)


def read_length(prefix: bytes) -> int:
    """Return the length of the frame that begins with these four bytes; raises `EncodingError` above the bound."""
    length = int.from_bytes(prefix, "big")
    if len(prefix) != LENGTH_BYTES or length > FRAME_BYTES_MAX:
        raise EncodingError(f"a frame has {LENGTH_BYTES} bytes of length and at most {FRAME_BYTES_MAX} more")
    return length


def _pack(value: dict[str, Any]) -> bytes:
    body = json.dumps(value).encode("ascii")
    if len(body) > FRAME_BYTES_MAX:
        raise EncodingError(f"the job has {len(body)} bytes; a frame has at most {FRAME_BYTES_MAX}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def _unpack(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise EncodingError("the frame is not JSON") from None
    if not isinstance(value, dict):
        raise EncodingError("the frame holds no object")
    return value
