"""How much processor time something takes, told apart from what else happens in the process and on the machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def cpu_s(work: Callable[[], object], *, tries: int = 3) -> float:
    """Return the least processor time, in seconds, that *work* took in some *tries*.

    Threads beside it, a cache that is cold and a collection of the whole heap only ever add to what it needs.
    """
    return min(_once(work) for _ in range(tries))


def _once(work: Callable[[], object]) -> float:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        started_s = time.process_time()
        work()
        return time.process_time() - started_s
    finally:
        if was_enabled:
            gc.enable()
