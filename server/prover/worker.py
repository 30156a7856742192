"""The prover's process: reads jobs from standard input and writes answers to standard output until its parent is gone.

    python -m server.prover.worker [FILE]

FILE is another copy of the ceremony's file. It loads neither web framework nor numerical libraries, yields to everything
else on the machine, and prints nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from crypto.applicability.setup import load_setup
from crypto.errors import EncodingError, Error
from server.clock import SystemRandom
from server.prover.errors import NotProvable
from server.prover.jobs import (
    LENGTH_BYTES,
    Answer,
    CommitJob,
    Job,
    WellFormednessJob,
    pack_answer,
    read_length,
    unpack_job,
)
from server.prover.prover import Prover

if TYPE_CHECKING:
    from server.ports import RandomSource

#: Proofs wait for hits, never the other way round.
NICENESS: Final = 10


class Worker:
    """Answers jobs one by one; whatever goes wrong with one, the next is answered."""

    def __init__(self, srs: Path | None, random: RandomSource) -> None:
        self._srs = srs
        self._random = random
        self._prover: Prover | None = None

    def answer(self, body: bytes) -> Answer:
        """Do the job in the frame *body*."""
        try:
            return Answer("made", data=self._make(unpack_job(body)))
        except NotProvable as error:
            return Answer("not_provable", message=str(error))
        except EncodingError as error:
            return Answer("invalid", message=str(error))
        except Error as error:
            return Answer("failed", message=str(error))
        except Exception as error:  # noqa: BLE001  # its text may hold parts of a vector, so only its type is told
            return Answer("failed", message=f"the prover failed: {type(error).__name__}")

    def _make(self, job: Job) -> bytes:
        if self._prover is None:
            self._prover = Prover(load_setup(self._srs))
        if isinstance(job, CommitJob):
            return self._prover.commit(job.suite, job.vector, job.seed)
        if isinstance(job, WellFormednessJob):
            return self._prover.prove_well_formedness(job.suite, job.vector, job.seed)
        return self._prover.prove_applicability(job.statement, job.vector, job.seed, self._random)


def serve(worker: Worker, jobs: BinaryIO, answers: BinaryIO) -> None:
    """Answer until *jobs* ends or holds no frame, or nobody reads *answers* any more."""
    try:
        while len(prefix := jobs.read(LENGTH_BYTES)) == LENGTH_BYTES:
            length = read_length(prefix)
            body = jobs.read(length)
            if len(body) != length:
                return
            answers.write(pack_answer(worker.answer(body)))
            answers.flush()
    except (BrokenPipeError, EncodingError):
        return


def main(arguments: list[str]) -> None:
    """Serve the parent process."""
    os.nice(NICENESS)
    # The parent decides when this ends: an interrupt at the terminal reaches both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Answers get a descriptor of their own, so that nothing a library prints can come between them.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    srs = Path(arguments[0]) if arguments else None
    serve(Worker(srs, SystemRandom()), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main(sys.argv[1:])
