"""One prover for all of these tests: what it prepares per suite takes longer than a proof."""

from __future__ import annotations

import pytest

from crypto.applicability.setup import Setup, load_setup
from server.prover.basis import Powers
from server.prover.prover import Prover
from server.prover.workbench import Workbench
from tests.applicability_examples import SUITE


@pytest.fixture(scope="session")
def setup() -> Setup:
    return load_setup()


@pytest.fixture(scope="session")
def prover(setup: Setup) -> Prover:
    return Prover(setup)


@pytest.fixture(scope="session")
def bench(setup: Setup) -> Workbench:
    return Workbench(Powers(setup), SUITE)
