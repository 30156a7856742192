"""`hitproof audit export --applicability`, where no gateway runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crypto.bundle import Bundle, parse_bundle
from server.cli import app
from tests.fakes import Options, fake_gateway

QUESTION = "Which lantern hangs over the northern gate of the harbour?"
ALIKE = "Which lantern hangs over the northern gate of our harbour?"


def folder_with_a_hit(folder: Path, *, is_stated: bool = True) -> tuple[str, str]:
    """Leave a data folder behind in which one hit by meaning was given; return its tenant and the hit."""

    async def work() -> tuple[str, str]:
        async with fake_gateway(folder, Options(settings={"embedding_statement_batch_max": 16})) as gateway:
            await gateway.ask(QUESTION)
            hit: str = (await gateway.ask(ALIKE))["hitproof"]["hit"]
            await gateway.settle()
            if is_stated:
                assert await gateway.gateway.embedding_statements.step() == 1
            return gateway.tenants[0].id, hit

    return asyncio.run(work())


def export(folder: Path, tenant: str, *flags: str) -> tuple[dict[str, Any], Bundle]:
    file = folder / "bundle.zip"
    file.unlink(missing_ok=True)
    words = ["audit", "export", tenant, str(file), "--data", str(folder), "--json", *flags]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout), parse_bundle(file.read_bytes())


def test_an_export_makes_missing_proofs_in_a_process_of_its_own(tmp_path: Path) -> None:
    tenant, hit = folder_with_a_hit(tmp_path)
    shown, bundle = export(tmp_path, tenant, "--applicability", "--open", "all", "--open-kinds", "query_vector,vector")
    assert (shown["proofs"], shown["queries"], shown["unproved"]) == (2, 1, 0)
    assert [line.hit for line in bundle.parts.queries] == [hit]
    assert [line.kind for line in bundle.parts.openings] == ["vector"]


def test_proofs_bring_the_queries_that_they_are_about_of_named_receipts_alone(tmp_path: Path) -> None:
    tenant, hit = folder_with_a_hit(tmp_path)
    shown, bundle = export(tmp_path, tenant, "--applicability", "--open", "rcp_" + "0" * 32)
    assert (shown["proofs"], shown["queries"]) == (0, 0)
    shown, bundle = export(tmp_path, tenant, "--applicability")
    assert (shown["proofs"], [line.hit for line in bundle.parts.queries], bundle.parts.openings) == (2, [hit], ())


def test_an_export_makes_none_unless_it_is_told_to(tmp_path: Path) -> None:
    tenant, _ = folder_with_a_hit(tmp_path)
    shown, bundle = export(tmp_path, tenant)
    assert (shown["proofs"], shown["unproved"], bundle.parts.proofs) == (0, 1, ())


@pytest.mark.parametrize("flags", [(), ("--applicability",)])
def test_what_nobody_stated_stays_unproved_and_is_counted(tmp_path: Path, flags: tuple[str, ...]) -> None:
    tenant, _ = folder_with_a_hit(tmp_path, is_stated=False)
    shown, _ = export(tmp_path, tenant, *flags)
    assert (shown["proofs"], shown["unproved"]) == (0, 1)
