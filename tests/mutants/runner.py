"""Runs tests on trees that a defence was taken out of. Loads what is not ours once, then forks for each tree.

Reads lines `TREE<TAB>TEST<TAB>TEST…` and answers each with one line: pytest's exit code, or a negative signal number.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback

#: What every test run loads and no mutant touches; loading it is most of a short run's time.
OUTSIDE = (
    "alembic.command", "cryptography.hazmat.primitives.ciphers.aead", "fastapi", "httpx2", "hypothesis",
    "limits.strategies", "limits.aio.strategies", "numpy", "orjson", "prometheus_client", "pydantic_settings",
    "sqlalchemy", "structlog", "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite", "typer", "uvicorn",
)  # fmt: skip
#: Exit codes of ours, apart from pytest's.
CRASHED, WRONG_TREE = 91, 90
RUN_S_MAX = 120


def main() -> None:
    for name in OUTSIDE:
        importlib.import_module(name)
    for line in sys.stdin:
        tree, *tests = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            signal.alarm(RUN_S_MAX)
            try:
                code = run(tree, tests)
            except BaseException:
                traceback.print_exc()
                code = CRASHED
            os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(tree: str, tests: list[str]) -> int:
    """Be pytest in *tree*."""
    import pytest

    os.chdir(tree)
    sys.path[:] = [tree, *(path for path in sys.path if path)]
    with open(os.path.join(tree, "output"), "w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    options = ["-q", "-x", "-p", "no:cacheprovider", "--basetemp", f"{tree}-files"]
    code = int(pytest.main([*options, "--rootdir", tree, "-c", f"{tree}/pyproject.toml", *tests]))
    import server

    assert server.__file__ is not None
    # Whatever else is installed: the tree under test is the one that was tested.
    return code if server.__file__.startswith(tree) else WRONG_TREE


if __name__ == "__main__":
    main()
