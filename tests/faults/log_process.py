"""Sequencers in processes of their own that may be killed: `python -m tests.faults.log_process`.

Loads the house once, then forks a sequencer for each line `{"folder", "steps", "crash", "passing", "now_ms"}`. It adds
leaves and steps, or kills itself: *crash* names an operation of the disk, the store or the key, and *passing* how many of
them to let pass. Every body that it signs goes out on a line, before the signature exists; last comes its exit code.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from crypto.ed25519 import Signer
from server.log.disk import RealDisk
from server.log.keys import load_signing_key
from server.log.storage import DirectoryStorage
from server.log.transactions import DirectTransactions, Result
from tests.fakes import FakeClock, SystemLikeRandom
from tests.faults.forking import fork_for_each_line
from tests.log_worlds import LogWorld


class Killer:
    """Kills this process, without warning, at the operation it waits for."""

    def __init__(self, operation: str, passing: int) -> None:
        self._operation = operation
        self._passing = passing

    def at(self, operation: str) -> None:
        """Note that *operation* is about to happen."""
        if operation == self._operation:
            if self._passing == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._passing -= 1


class KilledDisk(RealDisk):
    """A real disk that reports what it is about to do."""

    def __init__(self, killer: Killer) -> None:
        self._killer = killer

    def write(self, path: Path, data: bytes) -> None:
        self._killer.at("write")
        super().write(path, data)
        self._killer.at("written")

    def sync_file(self, path: Path) -> None:
        self._killer.at("sync")
        super().sync_file(path)

    def rename(self, before: Path, after: Path) -> None:
        self._killer.at("rename")
        super().rename(before, after)
        self._killer.at("renamed")

    def sync_folder(self, path: Path) -> None:
        self._killer.at("sync folder")
        super().sync_folder(path)

    def remove(self, path: Path) -> None:
        self._killer.at("remove")
        super().remove(path)


class KilledTransactions(DirectTransactions):
    """Transactions that report that they begin, that they are about to commit, and that they have."""

    def __init__(self, world: LogWorld, killer: Killer) -> None:
        super().__init__(world.database)
        self._killer = killer

    def write(self, run: Any) -> Any:
        self._killer.at("transaction")

        def run_and_report(connection: Any) -> Result:
            found: Result = run(connection)
            self._killer.at("commit")
            return found

        done = super().write(run_and_report)
        self._killer.at("committed")
        return done


class ToldSigner:
    """Says what it signs before it does."""

    def __init__(self, inner: Signer, killer: Killer) -> None:
        self._inner = inner
        self._killer = killer

    @property
    def public_key(self) -> bytes:
        return self._inner.public_key

    @property
    def key_id(self) -> str:
        return self._inner.key_id

    def sign(self, message: bytes) -> bytes:
        print(json.dumps({"signed": message.decode()}), flush=True)
        self._killer.at("sign")
        return self._inner.sign(message)


def sequence(folder: Path, steps: int, crash: str, passing: int, now_ms: int) -> None:
    """Add 70 leaves before each of *steps* steps, so that tiles fill now and then."""
    killer = Killer(crash, passing)
    world = LogWorld(folder, clock=FakeClock(now_ms), random=SystemLikeRandom())
    world.disk = KilledDisk(killer)
    sequencer = world.new_sequencer(
        storage=DirectoryStorage(folder / "log", world.disk),
        signer=ToldSigner(load_signing_key(world.key_file, world.random), killer),
        transactions=KilledTransactions(world, killer),
    )
    for _ in range(steps):
        world.add_leaves(70)
        sequencer.step()
    world.close()


if __name__ == "__main__":
    fork_for_each_line(lambda asked: sequence(Path(asked.pop("folder")), **asked))
