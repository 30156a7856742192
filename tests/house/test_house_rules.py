"""The rules of the house, kept by the test run: types, lint, import direction, sizes, and what must not be committed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("crypto", "privacy", "tenants", "server")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def modules() -> Iterator[Path]:
    for package in (*PACKAGES, "migrations"):
        yield from sorted((ROOT / package).rglob("*.py"))


def test_types_hold_under_mypy_strict() -> None:
    found = run(sys.executable, "-m", "mypy")
    assert found.returncode == 0, found.stdout[-4000:]


def test_ruff_finds_nothing() -> None:
    found = run(sys.executable, "-m", "ruff", "check", "--no-cache", *PACKAGES, "migrations", "tests")
    assert found.returncode == 0, found.stdout[-4000:]


def test_code_is_formatted() -> None:
    found = run(sys.executable, "-m", "ruff", "format", "--check", "--no-cache", *PACKAGES, "migrations", "tests")
    assert found.returncode == 0, found.stdout[-4000:]


def test_imports_point_downwards_only() -> None:
    found = run(str(Path(sys.executable).parent / "lint-imports"), "--no-cache")
    assert found.returncode == 0, found.stdout[-4000:]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("guilty.py", "import server"),
        ("guilty.py", "from . import replay"),
        ("guilty.py", "from . import reference"),
        ("reference/guilty.py", "from .. import innocent"),
        ("../server/prover/guilty.py", "import crypto.applicability.verifier"),
    ],
    ids=["upward", "replay", "second implementation", "first implementation", "the verifier from the prover"],
)
def test_an_import_in_a_forbidden_direction_would_be_caught(tmp_path: Path, place: str, line: str) -> None:
    for package in (*PACKAGES, "crypto/replay", "crypto/reference", "crypto/applicability", "server/prover"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "crypto" / "innocent.py").write_text("")
    for module in ("arkworks", "claims", "evaluation", "verifier"):
        (tmp_path / "crypto" / "applicability" / f"{module}.py").write_text("")
    (tmp_path / "crypto" / place).write_text(line + "\n")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    found = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(tmp_path)}
    )
    assert found.returncode != 0
    assert "guilty ->" in found.stdout


def test_crypto_imports_itself_only_relatively_and_nothing_of_the_house() -> None:
    for path in sorted((ROOT / "crypto").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names.append(node.module or "")
            for name in names:
                assert name.partition(".")[0] not in PACKAGES, f"{path}: imports {name} absolutely"


@pytest.mark.parametrize("package", [*PACKAGES, "migrations"])
def test_modules_and_functions_fit_on_a_few_screens(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.parent.name == "versions":
            continue
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= MODULE_LINES_MAX, f"{path} is too long: give it one reason to exist"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= FUNCTION_LINES_MAX, f"{path}:{node.lineno} {node.name} has {lines} lines"


def test_nothing_unfinished_is_left_in_the_code() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|raise NotImplementedError)\b")
    for path in modules():
        assert not marks.search(path.read_text(encoding="utf-8")), path


def test_heavy_libraries_are_not_loaded_by_the_command_line() -> None:
    heavy = ("torch", "faiss", "opacus", "transformers", "onnx", "onnxruntime")
    program = f"import sys, server.cli; print([name for name in {heavy!r} if name in sys.modules])"
    found = run(sys.executable, "-c", program)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr


def test_no_machine_path_stands_in_a_tracked_file() -> None:
    listed = run("git", "ls-files", "-z")
    if listed.returncode != 0:
        pytest.fail("the house is checked in a git checkout")
    pattern = re.compile(r"(^|[^A-Za-z0-9_.])/(wor[k]|hom[e]|User[s]|roo[t])/")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".sh", ".json", ".mako"} and path.exists():
            assert not pattern.search(path.read_text(encoding="utf-8")), name
