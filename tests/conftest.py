"""Flags and rules of the whole test run, in one process or in workers that report to one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from tests.postgres import PostgresServer, private_server

#: Tests that were left out for want of hardware.
_NOT_RUN: pytest.StashKey[list[str]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--campaign", action="store_true", help="run the long form of every campaign")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NOT_RUN] = []
    # How long an example takes says more about what else the machine does than about the code.
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("patient", hypothesis.settings(), deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest) -> bool:
    """Whether the long form was asked for."""
    return bool(request.config.getoption("--campaign"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this session's own."""
    with private_server() as server:
        yield server


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests out that need a GPU where there is none, and say so."""
    if not any(item.get_closest_marker("gpu") for item in items) or _has_gpu():
        return
    left_out = [item for item in items if item.get_closest_marker("gpu")]
    config.hook.pytest_deselected(items=left_out)
    config.stash[_NOT_RUN] = [item.nodeid for item in left_out]
    items[:] = [item for item in items if not item.get_closest_marker("gpu")]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that this worker reports to what was left out; elsewhere there is none."""
    output: dict[str, Any] = getattr(session.config, "workeroutput", {})
    output["not_run"] = session.config.stash[_NOT_RUN]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear it from a worker; each of them collects the same tests."""
    node.config.stash[_NOT_RUN] = getattr(node, "workeroutput", {}).get("not_run", node.config.stash[_NOT_RUN])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name in config.stash[_NOT_RUN]:
        terminalreporter.write_line(f"not run, no GPU here: {name}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Under CI a skipped test is a failed one: nothing is left out for a missing component."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI: {report.longrepr}"


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
