from __future__ import annotations

import json

import numpy as np
import pytest

from crypto.applicability.statement import ApplicabilityStatement
from crypto.errors import EncodingError
from server.prover.jobs import (
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    Answer,
    ApplicabilityJob,
    CommitJob,
    Job,
    WellFormednessJob,
    pack_answer,
    pack_job,
    read_length,
    unpack_answer,
    unpack_job,
)
from tests.applicability_examples import ENTRY, QUERY, SEED, SUITE

STATEMENT = ApplicabilityStatement(SUITE, "sha256:" + "1" * 64, b"{}\xff", bytes(48), QUERY, 9, len(QUERY))
JOBS = [CommitJob(SUITE, ENTRY, SEED), WellFormednessJob(SUITE, ENTRY, SEED), ApplicabilityJob(STATEMENT, ENTRY, SEED)]


def body_of(frame: bytes) -> bytes:
    length = read_length(frame[:LENGTH_BYTES])
    assert len(frame) == LENGTH_BYTES + length
    return frame[LENGTH_BYTES:]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: type(job).__name__)
def test_a_job_reads_back_as_it_was(job: Job) -> None:
    assert unpack_job(body_of(pack_job(job))) == job


@pytest.mark.parametrize(
    "answer", [Answer("made", data=b"\0\xff"), Answer("not_provable", message="τ"), Answer("failed", message="")]
)
def test_an_answer_reads_back_as_it_was(answer: Answer) -> None:
    assert unpack_answer(body_of(pack_answer(answer))) == answer


def test_components_of_an_array_travel_as_integers() -> None:
    job = CommitJob(SUITE, np.array(ENTRY, dtype=np.int8), SEED)
    assert unpack_job(body_of(pack_job(job))) == CommitJob(SUITE, ENTRY, SEED)


def test_a_component_that_no_byte_holds_travels_unchanged() -> None:
    assert unpack_job(body_of(pack_job(CommitJob(SUITE, (200, -300), SEED)))).vector == (200, -300)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        json.dumps({"kind": "commit", "suite": SUITE.name, "vector": 5, "seed": ""}).encode(),
        json.dumps({"kind": "commit", "suite": SUITE.name, "vector": [], "seed": "0g"}).encode(),
        json.dumps({"kind": "commit", "suite": "none", "vector": [], "seed": ""}).encode(),
        json.dumps({"kind": "applicability", "suite": SUITE.name, "vector": [], "seed": ""}).encode(),
    ],
)
def test_what_is_no_job_is_refused(body: bytes) -> None:
    with pytest.raises(EncodingError):
        unpack_job(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"7",
        b'{"outcome": "made"}',
        b'{"outcome": "great", "data": "", "message": ""}',
        b'{"outcome": "made", "data": "x", "message": ""}',
        b'{"outcome": "failed", "data": "", "message": 7}',
        b'{"outcome": [], "data": "", "message": ""}',
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(EncodingError):
        unpack_answer(body)


@pytest.mark.parametrize("prefix", [b"", b"\0\0\0", (FRAME_BYTES_MAX + 1).to_bytes(4, "big"), b"\xff" * 4])
def test_a_length_that_is_cut_short_or_too_large_is_refused(prefix: bytes) -> None:
    with pytest.raises(EncodingError):
        read_length(prefix)


def test_a_job_that_no_frame_holds_is_refused_before_it_is_sent() -> None:
    with pytest.raises(EncodingError, match="at most"):
        pack_job(CommitJob(SUITE, [1] * FRAME_BYTES_MAX, SEED))
