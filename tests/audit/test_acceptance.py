"""From a gateway to an auditor who has nothing but three files: some answers, an export, a verdict, and no forgery."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_quickstart import Quickstart, ask, quickstart_on
from tests.audit.test_install import make_auditor_environment

FLIPS = 60


def hitproof(folder: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", *arguments, "--data", str(folder), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `hitproof-verify` of an environment that has only `./crypto`."""
    return make_auditor_environment(tmp_path_factory.mktemp("auditor")).parent / "hitproof-verify"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("house") / "data"


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Quickstart]:
    with quickstart_on(folder) as found:
        client = found.client(0)
        for text in ("Where do penguins spend the winter?", "How tall is a lighthouse?"):
            ask(client, text)
            ask(client, text)
        ask(client, "Where do penguins spend their winter?")
        list(ask(client, "Do owls sleep by day?", stream=True))
        list(ask(client, "Do owls sleep by day?", stream=True))
        ask(found.client(1), "Where do penguins spend the winter?")
        yield found


@pytest.fixture(scope="module")
def tenant(running: Quickstart) -> str:
    first = running.ready["tenants"][0]
    return f"{first['organisation']}/{first['name']}"


@pytest.fixture(scope="module")
def bundle(running: Quickstart, folder: Path, tenant: str) -> Path:
    path = folder.parent / "bundle.zip"
    exported = hitproof(folder, "audit", "export", tenant, str(path), "--open", "all")
    assert (exported["receipts"], exported["hits"]) == (3, 4)
    return path


def verify(auditor: Path, file: Path, trust: str, *flags: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [str(auditor), str(file), "--trust", trust, "--json", *flags], capture_output=True, text=True, cwd=file.parent
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def test_an_honest_export_passes_with_the_grade_that_was_reached(
    auditor: Path, bundle: Path, running: Quickstart
) -> None:
    code, report = verify(auditor, bundle, running.ready["trust"], "--cross-check", "--max-age", "1h")
    assert code == 0, report
    assert report["verdict"] == "passed"
    assert report["grades"] == {"declared": 0, "attested": 3, "replayed": 0, "proved": 0}
    assert report["counts"]["hits"] == 4
    assert report["cross_check"]["agrees"]


def test_the_same_export_is_the_same_for_the_api(auditor: Path, running: Quickstart, tmp_path: Path) -> None:
    import httpx2

    key = running.ready["tenants"][0]["api_key"]
    answer = httpx2.get(
        running.ready["url"] + "/v1/audit/export", headers={"authorization": f"Bearer {key}"}, timeout=60
    )
    assert answer.status_code == 200
    (tmp_path / "bundle.zip").write_bytes(answer.content)
    assert verify(auditor, tmp_path / "bundle.zip", running.ready["trust"])[0] == 0


def test_any_changed_removed_or_added_byte_is_refused(
    auditor: Path, bundle: Path, running: Quickstart, tmp_path: Path
) -> None:
    data = bundle.read_bytes()
    chance = random.Random(20261124)
    changed = tmp_path / "changed.zip"
    for number in range(FLIPS):
        place = chance.randrange(len(data))
        other = bytes([data[place] ^ (1 << chance.randrange(8))])
        forms = (
            data[:place] + other + data[place + 1 :],
            data[:place] + data[place + 1 :],
            data[:place] + other + data[place:],
        )
        changed.write_bytes(forms[number % 3])
        code, _ = verify(auditor, changed, running.ready["trust"])
        assert code in (1, 2), f"byte {place}, form {number % 3}"


def test_a_removed_or_added_member_is_refused(auditor: Path, bundle: Path, running: Quickstart, tmp_path: Path) -> None:
    names = zipfile.ZipFile(bundle).namelist()
    for gone in names:
        rewritten(bundle, tmp_path / "less.zip", lambda name, gone=gone: name != gone, {})  # type: ignore[misc]
        assert verify(auditor, tmp_path / "less.zip", running.ready["trust"])[0] in (1, 2), gone
    rewritten(bundle, tmp_path / "more.zip", lambda _: True, {"zz-more": b"x"})
    assert verify(auditor, tmp_path / "more.zip", running.ready["trust"])[0] in (1, 2)


def rewritten(source: Path, target: Path, keep: Any, added: dict[str, bytes]) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(buffer, "w") as new:
        for item in old.infolist():
            if keep(item.filename):
                new.writestr(item, old.read(item))
        for name, data in added.items():
            new.writestr(name, data)
    target.write_bytes(buffer.getvalue())


def test_the_built_in_model_is_replayed_token_by_token(bundle: Path, running: Quickstart, folder: Path) -> None:
    house, model = Path(__file__).parents[2], folder.parent / "model"
    subprocess.run([sys.executable, "-m", "server.cli", "model", "files", str(model)], check=True, cwd=house)
    files = [str(bundle), "--trust", running.ready["trust"], "--model-dir", str(model)]
    done = subprocess.run(
        [sys.executable, "-m", "crypto.cli", *files, "--json"], capture_output=True, text=True, cwd=house
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["grades"] == {"declared": 0, "attested": 0, "replayed": 3, "proved": 0}


def test_a_proof_of_one_hit_is_verified_on_its_own(auditor: Path, running: Quickstart, tmp_path: Path) -> None:
    import httpx2

    key = running.ready["tenants"][0]["api_key"]
    hit = ask(running.client(0), "How tall is a lighthouse?").hitproof
    with httpx2.Client(headers={"authorization": f"Bearer {key}"}, base_url=running.ready["url"]) as client:
        deadline = 40
        while (answer := client.get(f"/v1/hits/{hit['hit']}/proof")).status_code == 202 and deadline:
            subprocess.run(["sleep", "0.5"], check=True)
            deadline -= 1
    assert answer.status_code == 200, answer.text
    (tmp_path / "hit.proof").write_bytes(answer.content)
    assert verify(auditor, tmp_path / "hit.proof", running.ready["trust"])[0] == 0


def test_a_withdrawn_model_is_exit_3_and_its_hits_stop(
    auditor: Path, running: Quickstart, folder: Path, tenant: str, tmp_path: Path
) -> None:
    version = ask(running.client(0), "How tall is a lighthouse?").hitproof["model_version"]
    hitproof(folder, "model", "revoke", version)
    assert ask(running.client(0), "How tall is a lighthouse?").hitproof["outcome"] != "hit"
    hitproof(folder, "audit", "export", tenant, str(tmp_path / "after.zip"))
    code, report = verify(auditor, tmp_path / "after.zip", running.ready["trust"])
    assert (code, report["verdict"]) == (3, "revoked")
