"""docs/reference/scenarios.md names every row once, and only tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "scenarios.md"
ROWS = {"B": 37, "A": 15}


def test_every_row_stands_on_the_page_once_with_a_test_or_a_reason() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for letter, count in ROWS.items():
        found = re.findall(rf"^\| ({letter}-\d\d) \|.*\| (.+) \|$", text, re.MULTILINE)
        assert [row for row, _ in found] == [f"{letter}-{number:02}" for number in range(1, count + 1)]
        assert all("::test_" in shown or "not here yet" in shown for _, shown in found)


def test_every_named_test_exists() -> None:
    names = re.findall(r"`([\w/]+\.py)::(test_\w+)", PAGE.read_text(encoding="utf-8"))
    assert names
    for path, name in names:
        tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
        tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in tests, f"{path}::{name}"
