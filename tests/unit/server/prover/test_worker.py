from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

from crypto.applicability.setup import Setup
from server.clock import SystemRandom
from server.prover.commitment import commit
from server.prover.jobs import (
    LENGTH_BYTES,
    Answer,
    ApplicabilityJob,
    CommitJob,
    WellFormednessJob,
    pack_job,
    unpack_answer,
)
from server.prover.worker import Worker, serve
from tests.applicability_examples import (
    ENTRY,
    SCORE,
    SEED,
    SUITE,
    applicability_statement,
    verifier,
    well_formedness_statement,
)

ROOT = Path(__file__).parents[4]


def answers_to(*frames: bytes, srs: Path | None = None) -> list[Answer]:
    written = BytesIO()
    serve(Worker(srs, SystemRandom()), BytesIO(b"".join(frames)), written)
    found, data = [], written.getvalue()
    while data:
        length = int.from_bytes(data[:LENGTH_BYTES], "big")
        found.append(unpack_answer(data[LENGTH_BYTES : LENGTH_BYTES + length]))
        data = data[LENGTH_BYTES + length :]
    return found


def test_each_kind_of_job_is_answered_in_turn(setup: Setup) -> None:
    statement = applicability_statement()
    commitment, well_formedness, applicability = answers_to(
        pack_job(CommitJob(SUITE, ENTRY, SEED)),
        pack_job(WellFormednessJob(SUITE, ENTRY, SEED)),
        pack_job(ApplicabilityJob(statement, ENTRY, SEED)),
    )
    assert commitment == Answer("made", data=commit(setup, SUITE, ENTRY, SEED))
    verifier().verify_well_formedness(well_formedness_statement(), well_formedness.data)
    verifier().verify_applicability(statement, applicability.data)


def test_a_job_that_ends_without_a_proof_says_why_and_the_next_is_answered() -> None:
    statement = applicability_statement(tau=SCORE + 1)
    refused, invalid, unread, made = answers_to(
        pack_job(ApplicabilityJob(statement, ENTRY, SEED)),
        pack_job(CommitJob(SUITE, (128,), SEED)),
        b"\0\0\0\2{}",
        pack_job(CommitJob(SUITE, ENTRY, SEED)),
    )
    assert (refused.outcome, refused.data) == ("not_provable", b"")
    assert "below τ" in refused.message
    assert (invalid.outcome, unread.outcome, made.outcome) == ("invalid", "invalid", "made")


def test_another_ceremonys_file_fails_every_job_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "setup.txt"
    file.write_text("4096\n65\n")
    job = pack_job(CommitJob(SUITE, ENTRY, SEED))
    answers = answers_to(job, job, srs=file)
    assert [answer.outcome for answer in answers] == ["failed", "failed"]
    assert "SHA-256" in answers[0].message


def test_what_breaks_is_told_by_its_type_alone() -> None:
    statement = applicability_statement()
    job = pack_job(ApplicabilityJob(statement, ENTRY, SEED)).replace(b'"tau": ', b'"tau": "secret", "was": ')
    frame = (len(job) - LENGTH_BYTES).to_bytes(LENGTH_BYTES, "big") + job[LENGTH_BYTES:]
    (answer,) = answers_to(frame)
    assert answer == Answer("failed", message="the prover failed: TypeError")


def test_serving_ends_at_the_end_of_input_and_at_a_frame_that_is_cut_short() -> None:
    job = pack_job(CommitJob(SUITE, ENTRY, SEED))
    assert answers_to() == []
    assert answers_to(b"\0\0") == []
    assert len(answers_to(job, job[:-1])) == 1


def test_serving_ends_at_a_length_beyond_the_bound() -> None:
    assert answers_to(b"\xff\xff\xff\xff", pack_job(CommitJob(SUITE, ENTRY, SEED))) == []


def test_the_process_loads_no_web_framework_and_no_numerical_library() -> None:
    heavy = ("numpy", "torch", "faiss", "fastapi", "starlette", "pydantic", "sqlalchemy", "asyncio")
    program = f"import sys, server.prover.worker; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_process_loads_nothing_of_the_verifier() -> None:
    verifying = ("arkworks", "evaluation", "claims", "verifier")
    names = [f"crypto.applicability.{name}" for name in verifying]
    program = f"import sys, server.prover.worker; print([name for name in {names!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
