"""A semantic hit in quickstart, its applicability proof, and an auditor with files alone: accepted, and nothing else is."""

from __future__ import annotations

import io
import json
import random
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from crypto.canonical import canonical_json, parse_canonical_json
from crypto.tlog_proof import format_tlog_proof, parse_tlog_proof
from server.embedding.select import load_default_embedder
from tests.api.test_quickstart import Quickstart, ask, quickstart_on
from tests.audit.test_acceptance import hitproof, verify
from tests.audit.test_install import make_auditor_environment

STORED = "Where do penguins spend the winter?"
ASKED = "Where do penguins spend their winter?"
OTHER_STORED = "How many legs does a spider have?"
OTHER_ASKED = "How many legs do spiders have?"
FLIPS = 12


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_auditor_environment(tmp_path_factory.mktemp("auditor")).parent / "hitproof-verify"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("house") / "data"


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Quickstart]:
    with quickstart_on(folder) as found:
        yield found


@pytest.fixture(scope="module")
def hits(running: Quickstart) -> dict[str, str]:
    """The ids of the semantic hits, by the question that was asked, and of an exact one."""
    client = running.client(0)
    found = {}
    for stored, asked in ((STORED, ASKED), (OTHER_STORED, OTHER_ASKED)):
        ask(client, stored)
        account = ask(client, asked).hitproof
        assert (account["outcome"], account["tier"]) == ("hit", "private"), account
        found[asked] = account["hit"]
    found[STORED] = ask(client, STORED).hitproof["hit"]
    return found


@pytest.fixture(scope="module")
def get(running: Quickstart) -> Iterator[Callable[[str], httpx2.Response]]:
    key = running.ready["tenants"][0]["api_key"]
    with httpx2.Client(headers={"authorization": f"Bearer {key}"}, base_url=running.ready["url"], timeout=60) as client:

        def fetch(hit: str) -> httpx2.Response:
            until_s = time.monotonic() + 60
            while (answer := client.get(f"/v1/hits/{hit}/proof?applicability=1")).status_code == 202:
                assert time.monotonic() < until_s, answer.text
                time.sleep(0.3)
            return answer

        yield fetch


@pytest.fixture(scope="module")
def proofs(hits: dict[str, str], get: Callable[[str], httpx2.Response]) -> dict[str, str]:
    found = {}
    for asked in (ASKED, OTHER_ASKED):
        answer = get(hits[asked])
        assert answer.status_code == 200, answer.text
        found[asked] = answer.text
    return found


@pytest.fixture(scope="module")
def check(
    auditor: Path, running: Quickstart, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[int, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("proofs")

    def run(text: str, *flags: str) -> tuple[int, dict[str, Any]]:
        (folder / "hit.proof").write_text(text)
        return verify(auditor, folder / "hit.proof", running.ready["trust"], *flags)

    return run


def query_file(folder: Path, text: str) -> str:
    vector = load_default_embedder().embed([text])[0].tolist()
    (folder / "query.json").write_text(json.dumps({"vector": vector}))
    return str(folder / "query.json")


def status_of(report: dict[str, Any], name: str) -> str:
    return next(one["status"] for one in report["checks"] if one["check"] == name)


def reasons(report: dict[str, Any]) -> set[str]:
    return {failure["reason"] for one in report["checks"] for failure in one["failures"]}


def changed(text: str, change: Callable[[dict[str, Any]], None]) -> str:
    proof = parse_tlog_proof(text)
    extra: Any = parse_canonical_json(proof.extra or b"")
    change(extra)
    return format_tlog_proof(replace(proof, extra=canonical_json(extra)))


def test_a_proof_is_accepted_by_both_implementations_and_tells_nothing_of_the_stored_question(
    proofs: dict[str, str], check: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    code, report = check(proofs[ASKED], "--cross-check")
    assert code == 0, report
    assert status_of(report, "applicability") == "passed"
    assert report["cross_check"]["agrees"]
    extra = parse_tlog_proof(proofs[ASKED]).extra or b""
    assert b"penguin" not in extra


def test_the_query_of_the_proof_is_held_against_one_that_the_auditor_brings(
    proofs: dict[str, str], check: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    assert check(proofs[ASKED], "--query", query_file(tmp_path, ASKED))[0] == 0
    code, report = check(proofs[ASKED], "--query", query_file(tmp_path, OTHER_ASKED))
    assert (code, reasons(report)) == (1, {"query_mismatch"})


def test_a_proof_is_refused_for_another_entry_query_threshold_or_hit(
    proofs: dict[str, str], check: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    other: Any = parse_canonical_json(parse_tlog_proof(proofs[OTHER_ASKED]).extra or b"")

    def with_others(*names: str) -> str:
        return changed(
            proofs[ASKED],
            lambda extra: extra["applicability"].update({name: other["applicability"][name] for name in names}),
        )

    embedding = ("embedding", "embedding_index", "embedding_path", "well_formedness")
    for names in (("proof",), ("well_formedness",), ("query",), embedding, (*embedding, "proof")):
        code, report = check(with_others(*names), "--cross-check")
        assert code == 1, names
        assert report["cross_check"]["agrees"], names
    for step in (1, -1):

        def move(extra: dict[str, Any], step: int = step) -> None:
            extra["record"]["tau"] += step

        assert check(changed(proofs[ASKED], move))[0] == 1


def test_one_flipped_bit_of_either_proof_is_refused(
    proofs: dict[str, str], check: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    chance = random.Random(20261124)
    for number in range(FLIPS):
        name = ("proof", "well_formedness")[number % 2]

        def flip(extra: dict[str, Any], name: str = name) -> None:
            data = bytearray.fromhex(extra["applicability"][name])
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            extra["applicability"][name] = bytes(data).hex()

        code, report = check(changed(proofs[ASKED], flip))
        assert code == 1, report


def test_an_exact_hit_has_nothing_to_show(hits: dict[str, str], get: Callable[[str], httpx2.Response]) -> None:
    answer = get(hits[STORED])
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_by_meaning")


def test_a_bundle_carries_proofs_only_where_it_opens_their_queries(
    hits: dict[str, str], proofs: dict[str, str], running: Quickstart, folder: Path, auditor: Path, tmp_path: Path
) -> None:
    first = running.ready["tenants"][0]
    tenant, trust = f"{first['organisation']}/{first['name']}", running.ready["trust"]
    opened, closed = tmp_path / "opened.zip", tmp_path / "closed.zip"
    hitproof(folder, "audit", "export", tenant, str(opened), "--applicability")
    code, report = verify(auditor, opened, trust, "--cross-check")
    assert code == 0, report
    assert status_of(report, "applicability") == "passed"
    hitproof(folder, "audit", "export", tenant, str(closed))
    code, report = verify(auditor, closed, trust, "--cross-check")
    assert code == 0, report
    assert status_of(report, "applicability") == "not_covered"
    members = zipfile.ZipFile(closed)
    assert (members.read("queries.jsonl"), members.read("proofs.jsonl")) == (b"", b"")


def test_an_auditor_who_may_not_read_gets_no_proof(
    hits: dict[str, str], proofs: dict[str, str], running: Quickstart, folder: Path
) -> None:
    first = running.ready["tenants"][0]
    tenant = f"{first['organisation']}/{first['name']}"
    key = hitproof(folder, "key", "create", tenant, "--role", "auditor")["api_key"]
    with httpx2.Client(headers={"authorization": f"Bearer {key}"}, base_url=running.ready["url"], timeout=60) as client:
        for path in (f"/v1/hits/{hits[ASKED]}/proof?applicability=1", "/v1/audit/export?applicability=1"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")
        bundle = client.get("/v1/audit/export")
    assert zipfile.ZipFile(io.BytesIO(bundle.content)).read("proofs.jsonl") == b""
