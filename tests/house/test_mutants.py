"""Take a defence out and its test goes red: a test that stays green without what it tests shows nothing.

The mutants are data (tests/mutants/mutants.toml). Each is applied to a copy of the tree; first all named tests run on a
copy that nothing was taken out of, and must be green there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("server", "crypto", "privacy", "tenants", "migrations", "tests")
#: Not needed by any test that a mutant names.
LEFT_OUT = ("__pycache__", "bench", "console", "vectors")
#: What must not reach the tests: where they would find the house itself, and what keeps them from reusing compiled modules.
NOT_INHERITED = ("PYTHONPATH", "CI", "PYTHONDONTWRITEBYTECODE")
MUTANTS: list[dict[str, Any]] = tomllib.loads((ROOT / "tests/mutants/mutants.toml").read_text())["mutant"]
QUICK = [mutant for mutant in MUTANTS if not mutant.get("slow")]
KILLED_LEAST = 12


class Runner:
    """The process of tests/mutants/runner.py."""

    def __init__(self, log: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests/mutants/runner.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**environment, "OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
                cwd=log.parent,
            )

    def run(self, tree: Path, tests: list[str]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\t".join((str(tree), *tests)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the runner of mutants has died"
        return int(answer)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("runner") / "log")
    yield runner
    runner.close()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory, runner: Runner) -> Path:
    """A copy of the tree on which every test that a mutant names is green; its compiled modules are reused."""
    tree = tmp_path_factory.mktemp("healthy") / "tree"
    tree.mkdir()
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copy2(ROOT / "pyproject.toml", tree)
    tests = sorted({test for mutant in QUICK for test in mutant["tests"]})
    code = runner.run(tree, tests)
    assert code == 0, f"red without any mutant ({code}):\n{(tree / 'output').read_text()[-4_000:]}"
    (tree / "output").unlink()
    return tree


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant["id"]))
def test_a_defence_that_is_taken_out_is_missed(
    mutant: dict[str, Any], healthy: Path, runner: Runner, tmp_path: Path, campaign: bool
) -> None:
    for edit in mutant["edits"]:
        found = (healthy / edit["file"]).read_text().count(edit["old"])
        assert found == 1, (
            f"mutant {mutant['id']} ({mutant['what']}): its old text stands {found} times in {edit['file']} instead of "
            f"once; the code moved on, so change tests/mutants/mutants.toml:\n{edit['old']}"
        )
    if mutant.get("slow") and not campaign:
        return
    tree = tmp_path / "tree"
    shutil.copytree(healthy, tree, copy_function=os.link)
    for edit in mutant["edits"]:
        path = tree / edit["file"]
        text = path.read_text()
        path.unlink()  # the link, not what the healthy tree has
        path.write_text(text.replace(edit["old"], edit["new"]))
    for test in mutant["tests"]:
        code = runner.run(tree, [test])
        # 1 is a failed test; anything else is a mutant that cannot run at all, or a test that is not there.
        assert code == 1, f"{mutant['what']}, and {test} ended with {code}:\n{(tree / 'output').read_text()[-3_000:]}"
    shutil.rmtree(tree)


def test_there_are_enough_mutants_and_none_is_listed_twice() -> None:
    assert len(QUICK) >= KILLED_LEAST
    assert len({mutant["id"] for mutant in MUTANTS}) == len(MUTANTS)
