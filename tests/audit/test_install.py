"""What an auditor installs: the folder `crypto/` alone, without anything heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "faiss", "fastapi", "sqlalchemy", "opacus", "numpy", "server", "tenants", "privacy", "crypto")
VENV_BYTES_MAX = 80 << 20


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an empty environment with `pip install ./crypto`."""
    folder = tmp_path_factory.mktemp("auditor") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    found = folder / "bin" / "python"
    subprocess.run([str(found), "-m", "pip", "install", "--quiet", str(ROOT / "crypto")], check=True, cwd=folder)
    return found


def run(python: Path, program: str) -> str:
    found = subprocess.run(
        [str(python), "-I", "-c", program], capture_output=True, text=True, check=True, cwd=python.parent
    )
    return found.stdout.strip()


def test_the_verifiers_package_works_without_the_house(python: Path) -> None:
    program = (
        "from hitproof_verify.canonical import canonical_json, digest_fields\n"
        "from hitproof_verify.manifest import declared_model_version\n"
        "from hitproof_verify.similarity import threshold_integer\n"
        "print(canonical_json({'b': 1, 'a': 'é'}).decode(), threshold_integer(9500, 508 * 508))"
    )
    assert run(python, program) == '{"a":"é","b":1} 246126'


def test_nothing_heavy_comes_with_it(python: Path) -> None:
    program = (
        "import importlib.util, json\n"
        f"print(json.dumps([name for name in {HEAVY!r} if importlib.util.find_spec(name) is not None]))"
    )
    assert json.loads(run(python, program)) == []


def test_the_environment_stays_small(python: Path) -> None:
    folder = python.parents[1]
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    assert size_bytes <= VENV_BYTES_MAX
