"""`hitproof trust` and `hitproof audit` as people type them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crypto.bundle import parse_bundle
from crypto.dsse import parse_envelope
from crypto.errors import Error
from crypto.trust import parse_trust
from crypto.verify import AuditOptions, verify_bundle
from server.cli import app
from server.cli.auditing import TimeUnreadable, parse_time
from server.cli.context import opened, settings_from
from server.cli.trust import TrustCommandError
from server.store.errors import Conflict
from server.store.maintenance import list_audit
from tenants.errors import UnsealError


def run(*words: str) -> Any:
    """Run a command and return what it printed; its error is raised."""
    done = CliRunner().invoke(app, [*words, "--json"])
    if isinstance(done.exception, Error | OSError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    run("org", "create", "org", "--data", str(data))
    run("tenant", "create", "org", "tenant", "--data", str(data))
    return data


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, str]:
    """Public root keys by the name of their files."""
    return {name: run("trust", "key", str(tmp_path / name))["public_key"] for name in ("alice", "bob")}


def export(folder: Path, name: str = "bundle.zip") -> Path:
    file = folder.parent / name
    run("audit", "export", "org/tenant", str(file), "--data", str(folder))
    return file


def drafted(folder: Path, roots: dict[str, str], *, threshold: int = 2, name: str = "trust.json") -> Path:
    file = folder.parent / name
    flags = [flag for key in roots.values() for flag in ("--root", key)]
    run("trust", "draft", str(file), *flags, "--threshold", str(threshold), "--data", str(folder))
    return file


def test_a_root_key_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    run("trust", "key", str(tmp_path / "alice"))
    assert (tmp_path / "alice").stat().st_mode & 0o777 == 0o400
    with pytest.raises(FileExistsError):
        run("trust", "key", str(tmp_path / "alice"))


def test_a_bundle_passes_once_enough_people_signed_and_not_before(folder: Path, roots: dict[str, str]) -> None:
    bundle = export(folder).read_bytes()
    file = drafted(folder, roots)
    made_at_ms = parse_bundle(bundle).parts.made_at_ms
    verdicts = []
    for signer in (None, "alice", "bob"):
        if signer is not None:
            run("trust", "sign", str(file), "--key", str(folder.parent / signer))
        verdicts.append(verify_bundle(bundle, file.read_bytes(), AuditOptions(now_ms=made_at_ms)).report.exit_code)
    assert verdicts == [1, 1, 0]


def test_a_bundle_is_not_written_over_another_and_then_nothing_left(folder: Path) -> None:
    export(folder)
    with pytest.raises(FileExistsError):
        export(folder)
    with opened(settings_from(folder, None)) as store:
        rows = store.database.read_now(lambda c: list_audit(c, tenant=None, after=0, limit=100))
    assert [row.action for row in rows].count("audit.export") == 1


def test_a_stranger_cannot_sign_and_one_person_counts_once(folder: Path, roots: dict[str, str]) -> None:
    file = drafted(folder, roots)
    run("trust", "key", str(folder.parent / "mallory"))
    with pytest.raises(Error, match="none of its root keys"):
        run("trust", "sign", str(file), "--key", str(folder.parent / "mallory"))
    for _ in range(2):
        run("trust", "sign", str(file), "--key", str(folder.parent / "alice"))
    assert len(parse_trust(file.read_bytes())[0].signatures) == 1
    assert "needed" not in run("trust", "show", str(file))["state"]
    assert run("trust", "show", str(file))["state"] != "in force"


def test_an_older_trust_file_is_refused_once_a_newer_one_is_published(folder: Path, roots: dict[str, str]) -> None:
    first = drafted(folder, {"alice": roots["alice"]}, threshold=1, name="first.json")
    run("trust", "sign", str(first), "--key", str(folder.parent / "alice"))
    run("trust", "publish", str(first), "--data", str(folder))
    second = drafted(folder, {"alice": roots["alice"]}, threshold=1, name="second.json")
    run("trust", "sign", str(second), "--key", str(folder.parent / "alice"))
    assert run("trust", "publish", str(second), "--data", str(folder))["version"] == 2
    bundle = export(folder).read_bytes()
    options = AuditOptions(now_ms=parse_bundle(bundle).parts.made_at_ms)
    found = [verify_bundle(bundle, file.read_bytes(), options).report for file in (first, second)]
    assert [report.exit_code for report in found] == [1, 0]
    assert [failure.reason for check in found[0].checks for failure in check.failures] == ["trust_rollback"]
    with pytest.raises(Conflict, match="higher"):
        run("trust", "publish", str(first), "--data", str(folder))


def test_nothing_unsigned_is_published(folder: Path, roots: dict[str, str]) -> None:
    with pytest.raises(Error):
        run("trust", "publish", str(drafted(folder, roots)), "--data", str(folder))


def test_a_draft_that_cannot_be_signed_is_not_written(folder: Path, roots: dict[str, str]) -> None:
    file = str(folder.parent / "trust.json")
    with pytest.raises(TrustCommandError, match="no public key"):
        run("trust", "draft", file, "--root", "alice", "--threshold", "1", "--data", str(folder))
    with pytest.raises(Error, match="threshold"):
        run("trust", "draft", file, "--root", roots["alice"], "--threshold", "2", "--data", str(folder))
    assert not Path(file).exists()


def test_a_draft_holds_no_signature(folder: Path, roots: dict[str, str]) -> None:
    data = drafted(folder, roots).read_bytes()
    with pytest.raises(Error):
        parse_envelope(data, payload_type="application/vnd.hitproof.trust+json")
    assert parse_trust(data)[0].signatures == ()


def test_a_bundle_is_never_written_over_a_file(folder: Path) -> None:
    export(folder)
    with pytest.raises(FileExistsError):
        export(folder)


def test_an_erased_tenant_cannot_be_exported(folder: Path) -> None:
    run("tenant", "erase", "org/tenant", "--confirm", "org/tenant", "--data", str(folder))
    with pytest.raises(UnsealError, match="erased"):
        export(folder)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "1969-12-31", "24.11.2026"])
def test_a_time_that_is_none_is_told_so(text: str) -> None:
    with pytest.raises(TimeUnreadable):
        parse_time(text)


def test_a_time_without_a_zone_is_utc() -> None:
    assert parse_time("2026-11-24") == parse_time("2026-11-24T00:00:00Z") == parse_time("2026-11-24T01:00:00+01:00")
