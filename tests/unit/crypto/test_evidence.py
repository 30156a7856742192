from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from crypto.evidence import GROUP, find_verifiers, load_verifiers

GOOD = """
class Verifier:
    name = "good"
    def supports(self, manifest): return True
    def replay(self, manifest, folder, **opened): return None
VERIFIER = Verifier()
NOT_ONE = object()
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "evidence_good.py").write_text(GOOD)
    (tmp_path / "evidence_broken.py").write_text("import a_library_that_is_not_installed\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("evidence_good", "evidence_broken"):
        sys.modules.pop(name, None)


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


@pytest.mark.usefixtures("modules")
def test_a_registered_verifier_is_found_by_its_name() -> None:
    found = find_verifiers([point("good", "evidence_good:VERIFIER")])
    assert [verifier.name for verifier in found.usable.values()] == ["good"]
    assert found.unusable == {}


@pytest.mark.usefixtures("modules")
def test_a_verifier_that_cannot_be_imported_is_reported_and_not_used() -> None:
    found = find_verifiers([point("good", "evidence_good:VERIFIER"), point("broken", "evidence_broken:VERIFIER")])
    assert list(found.usable) == ["good"]
    assert "a_library_that_is_not_installed" in found.unusable["broken"]


@pytest.mark.usefixtures("modules")
def test_something_that_is_no_verifier_is_reported_and_not_used() -> None:
    found = find_verifiers([point("odd", "evidence_good:NOT_ONE")])
    assert (dict(found.usable), list(found.unusable)) == ({}, ["odd"])


@pytest.mark.usefixtures("modules")
def test_neither_of_two_verifiers_of_one_name_is_used() -> None:
    found = find_verifiers([point("same", "evidence_good:VERIFIER"), point("same", "evidence_good:NOT_ONE")])
    assert (dict(found.usable), list(found.unusable)) == ({}, ["same"])


def test_the_same_code_under_its_other_name_is_left_alone() -> None:
    found = find_verifiers([point("integer", "hitproof_verify.replay.integer:VERIFIER")])
    assert (dict(found.usable), dict(found.unusable)) == ({}, {})


def test_the_house_registers_its_own_verifiers() -> None:
    assert {"integer", "transformers"} <= set(load_verifiers())
    assert find_verifiers(entry_points(group=GROUP)).unusable == {}
