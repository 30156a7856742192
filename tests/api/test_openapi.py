"""The OpenAPI document is whole, and what runs keeps to it under inputs made from it (schemathesis)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from server.api.contract import OPERATIONS
from server.app import ROUTERS
from server.setup import create_key, put_model
from server.store.records import ModelRecord
from tests.api.in_process import GENEROUS, InProcess, in_process
from tests.api.raw_http import Served, serve
from tests.fakes import PEPPER, Options, SeededRandom

#: Exports wait for a checkpoint, so there is a log that moves.
LOGGED = {"drain_s": 2, "log_sequencer": True, "log_interval_s": 0.02}
#: Seconds and examples of one run; with --campaign the longer ones.
SHORT_S, SHORT_EXAMPLES = 10, 12
LONG_S, LONG_EXAMPLES = 300, 300
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,ignored_auth,"
    "missing_required_header"
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process(tmp_path_factory.mktemp("openapi")) as found:
        yield found


@pytest.fixture(scope="module")
def document(house: InProcess) -> dict[str, Any]:
    found: dict[str, Any] = house.call("GET", "/openapi.json", key="").json()
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("schemathesis"), Options(quota=GENEROUS, settings=LOGGED)) as found:
        yield found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_route_is_in_the_contract_and_nothing_else_is() -> None:
    routes = {
        (method, re.sub(r":[a-z]+}", "}", route.path))
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }
    assert routes == set(OPERATIONS)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document))):
        found: Any = document
        for part in reference.split("/"):
            assert part in found, reference
            found = found[part]


def test_every_operation_says_what_it_is_who_may_call_it_and_how_it_refuses(document: dict[str, Any]) -> None:
    seen = set()
    for method, path, operation in operations(document):
        seen.add((method, path))
        assert operation["summary"] and operation["description"].strip() and operation["tags"], path
        assert ("security" in operation) and (operation["security"] != [] or path in OPEN), path
        if operation["security"]:
            assert {"400", "401", "403", "503"} <= set(operation["responses"]), path
        if "requestBody" in operation:
            assert {"408", "413", "415"} <= set(operation["responses"]), path
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert schema["$ref"].startswith("#/components/schemas/")
        assert "422" not in operation["responses"] or path.startswith("/admin/"), path
    assert seen == set(OPERATIONS)


OPEN = {"/healthz", "/readyz", "/metrics", "/log/checkpoint", "/log/tile/{path}"}


def test_every_tag_is_described(document: dict[str, Any]) -> None:
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}
    assert all(tag["description"] for tag in document["tags"])


def test_an_error_that_names_no_status_of_the_contract_would_be_seen(document: dict[str, Any]) -> None:
    chat = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert set(chat) == {"200", "400", "401", "403", "404", "408", "409", "413", "414", "415", "429", "431", "502",
                         "503", "504"}  # fmt: skip


#: What a run must not call, because it would end the key or the model that the rest of the run needs.
ENDING = ("DELETE /admin/v1/keys/{key_id}", "POST /admin/v1/keys/{key_id}/rotate", "DELETE /admin/v1/models/{alias}",
          "DELETE /admin/v1/tenants/{tenant_id}", "PATCH /admin/v1/tenants/{tenant_id}")  # fmt: skip


@pytest.mark.parametrize(
    ("role", "share", "excluded"),
    [
        ("owner", 1.0, ENDING),
        ("platform", 0.7, ENDING),
        ("auditor", 0.4, ()),
        ("nobody", 0.4, ()),
        ("platform", 0.4, ()),
    ],
)
def test_inputs_made_from_the_document_never_break_it(
    served: Served, role: str, share: float, excluded: tuple[str, ...], campaign: bool, tmp_path: Path
) -> None:
    seconds, examples = (LONG_S, LONG_EXAMPLES) if campaign else (int(SHORT_S * share), SHORT_EXAMPLES)
    command = [
        sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run",
        f"http://127.0.0.1:{served.port}/openapi.json", "--phases", "examples,coverage,fuzzing,stateful",
        "--checks", CHECKS, "--max-time", str(seconds), "--max-examples", str(examples), "--seed", "20260101",
        "--warnings", "off", "--no-color", "--suppress-health-check", "all", "--continue-on-failure",
    ]  # fmt: skip
    for name in excluded:
        command += ["--exclude-name", name]
    if role != "nobody":
        command += ["-H", f"Authorization:Bearer {key_of(served, role)}"]
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 120, cwd=tmp_path, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert "No issues found" in ran.stdout, ran.stdout[-2000:]
    healthy, _ = served.exchange(b"GET /readyz HTTP/1.1\r\nHost: gateway\r\n\r\n")
    assert healthy is not None and healthy.status == 200


def key_of(served: Served, role: str) -> str:
    """Return a key of *role*, and open the model that the document's examples ask for."""
    gateway = served.gateway
    now_ms, random = gateway.clock.now_ms(), SeededRandom(len(role))
    example = ModelRecord("hitproof-demo", "fake", "fake-model", None, None, 0, 0, now_ms)
    gateway.gateway.database.write_now(lambda c: put_model(c, example, actor="test", now_ms=now_ms))
    asyncio.run_coroutine_threadsafe(gateway.gateway.models.refresh(), served.loop).result(10)
    if role == "platform":
        return gateway.platform_key
    _, key = gateway.gateway.database.write_now(
        lambda c: create_key(
            c, gateway.tenants[0].id, role=role, scopes=None, label="", expires_at_ms=None, pepper=PEPPER, actor="test",
            now_ms=now_ms, random=random,
        )
    )  # fmt: skip
    return key
