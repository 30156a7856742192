"""What an auditor installs: the folder `crypto/` alone, without anything heavy, and what it then verifies offline."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crypto.applicability.suites import ORDER
from crypto.canonical import INTEGER_MAX
from tests.audit.bundles import Plan, make_bundle

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "faiss", "fastapi", "sqlalchemy", "opacus", "numpy", "server", "tenants", "privacy", "crypto")
#: Python's own pip and setuptools are a third of it; py-ecc's compiled helpers are the next largest part.
VENV_BYTES_MAX = 96 << 20
LONG_AGO_MS = 1_600_000_000_000
#: Ends the process at the first thing that could leave it.
OFFLINE = """
import sys
def watch(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.system", "urllib.")):
        raise SystemExit(f"touched the outside: {event}")
sys.addaudithook(watch)
from hitproof_verify.cli import main
sys.exit(main(sys.argv[1:]))
"""


def make_auditor_environment(folder: Path) -> Path:
    """Return the interpreter of an empty environment in *folder* with `pip install ./crypto`."""
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    found = environment / "bin" / "python"
    command = [str(found), "-m", "pip", "install", "--quiet", str(ROOT / "crypto")]
    subprocess.run(command, check=True, cwd=environment)
    return found


@dataclass(frozen=True, slots=True)
class Files:
    """A bundle, a trust file, and the same bundle with one byte changed."""

    bundle: Path
    trust: Path
    broken: Path


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_auditor_environment(tmp_path_factory.mktemp("auditor"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write_files(tmp_path_factory.mktemp("bundle"), Plan(receipts=5, hits=7, declared=1, tree_size=100))


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Files of a world with hits that are proved to have been near enough."""
    return write_files(tmp_path_factory.mktemp("proved"), Plan(receipts=3, hits=2, proved=2))


def write_files(folder: Path, plan: Plan) -> Files:
    """Write files that no clock makes stale."""
    honest = make_bundle(replace(plan, start_ms=LONG_AGO_MS, expires_at_ms=INTEGER_MAX))
    found = Files(folder / "bundle.zip", folder / "trust.json", folder / "broken.zip")
    found.bundle.write_bytes(honest.data)
    found.trust.write_bytes(honest.trust_data)
    broken = bytearray(honest.data)
    broken[len(broken) // 2] ^= 1
    found.broken.write_bytes(bytes(broken))
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


def test_the_ceremonys_file_comes_with_it_and_is_the_pinned_one(python: Path) -> None:
    program = "from hitproof_verify.applicability.setup import load_setup; print(len(load_setup().powers))"
    assert run(python, program) == "4096"


def test_both_curve_libraries_come_with_it(python: Path) -> None:
    program = "import py_arkworks_bls12381, py_ecc.optimized_bls12_381 as curve; print(curve.curve_order)"
    assert int(run(python, program)) == ORDER


def test_its_types_come_with_it(python: Path) -> None:
    program = (
        "import hitproof_verify, pathlib; print((pathlib.Path(hitproof_verify.__file__).parent / 'py.typed').exists())"
    )
    assert run(python, program) == "True"


def test_the_command_verifies_a_bundle_and_refuses_a_broken_one(python: Path, files: Files) -> None:
    command = str(python.parent / "hitproof-verify")
    passed = subprocess.run([command, files.bundle, "--trust", files.trust, "--json"], capture_output=True, check=False)
    assert passed.returncode == 0, passed.stderr
    found = json.loads(passed.stdout)
    assert found["counts"]["hits"] == 7
    assert found["grades"] == {"attested": 4, "declared": 1, "proved": 0, "replayed": 0}
    refused = subprocess.run([command, files.broken, "--trust", files.trust], capture_output=True, check=False)
    assert refused.returncode in (1, 2)


def test_both_implementations_verify_it_without_touching_the_outside(python: Path, files: Files) -> None:
    found = subprocess.run(
        [str(python), "-I", "-c", OFFLINE, files.bundle, "--trust", files.trust, "--cross-check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr + found.stdout
    assert "a second implementation agrees" in found.stdout


def test_both_implementations_verify_that_hits_were_near_without_touching_the_outside(
    python: Path, proved: Files
) -> None:
    found = subprocess.run(
        [str(python), "-I", "-c", OFFLINE, proved.bundle, "--trust", proved.trust, "--cross-check", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr + found.stdout
    report = json.loads(found.stdout)
    assert next(one["status"] for one in report["checks"] if one["check"] == "applicability") == "passed"
    assert report["cross_check"]["agrees"]


@pytest.mark.parametrize("flags", [[], ["--cross-check"]], ids=["one", "both"])
def test_libraries_for_pairings_are_loaded_only_where_a_proof_is(
    python: Path, files: Files, proved: Files, flags: list[str]
) -> None:
    expected = sorted(["py_arkworks_bls12381", *(["py_ecc"] if flags else [])])
    assert loaded(python, files, flags) == []
    assert loaded(python, proved, flags) == expected


def loaded(python: Path, files: Files, flags: list[str]) -> list[str]:
    """Return the libraries for pairings that a run of the command had loaded when it ended."""
    program = (
        "import sys; from hitproof_verify.cli import main; code = main(sys.argv[1:])\n"
        "print(*sorted({'py_arkworks_bls12381', 'py_ecc'} & set(sys.modules)), code, file=sys.stderr)"
    )
    command = [str(python), "-I", "-c", program, str(files.bundle), "--trust", str(files.trust), *flags]
    *names, code = subprocess.run(command, capture_output=True, text=True, check=True).stderr.split()
    assert code == "0"
    return names


def test_the_watch_would_notice_an_open_socket(python: Path) -> None:
    program = OFFLINE.replace("from hitproof_verify.cli import main", "import socket; socket.socket()")
    found = subprocess.run([str(python), "-I", "-c", program], capture_output=True, text=True, check=False)
    assert "touched the outside: socket." in found.stderr


def test_a_replay_that_is_not_installed_is_not_covered(python: Path, files: Files, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"abc")
    found = subprocess.run(
        [
            str(python.parent / "hitproof-verify"),
            files.bundle,
            "--trust",
            files.trust,
            "--json",
            "--model-dir",
            tmp_path,
        ],
        capture_output=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    check = next(one for one in json.loads(found.stdout)["checks"] if one["check"] == "replay")
    assert check["status"] == "not_covered"
    assert "hitproof-verify[replay]" in check["detail"]
