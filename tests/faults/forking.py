"""A process that does what it is told, line by line, each time in a child that may be killed."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any


def fork_for_each_line(work: Callable[[dict[str, Any]], None]) -> None:
    """Have a fresh child do *work* for each line of standard input, and tell on standard output how it ended."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _be_child(work, json.loads(line))
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


def _be_child(work: Callable[[dict[str, Any]], None], asked: dict[str, Any]) -> None:
    """Do as *asked*, and end this process however that ends."""
    try:
        work(asked)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
