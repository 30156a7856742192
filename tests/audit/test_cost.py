"""What an audit of a thousand receipts and hits of a large log costs (`python -m tests.bench.audit` prints it)."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto.spending import Budget
from tests.audit.bundles import HonestBundle, Plan, make_bundle, make_world
from tests.audit.checking import verify
from tests.bench.audit import count_proof_bytes, make_timeless, measure_process
from tests.effort import cpu_s

pytestmark = pytest.mark.alone
CPU_S_MAX = 2.0
SHARED_PERCENT_MAX = 50
LEDGER_CPU_S_MAX = 1.0


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_timeless(1_000, 1_000, 1, 1_000_000)


def test_a_thousand_receipts_and_hits_of_a_million_leaves_take_two_seconds_of_processor_time(
    honest: HonestBundle, tmp_path: Path
) -> None:
    assert honest.world.tree.size == 1_000_000
    assert measure_process(honest, tmp_path, [], 1)["cpu_s"] <= CPU_S_MAX


def test_the_shared_proof_of_many_leaves_is_at_most_half_of_their_paths(honest: HonestBundle) -> None:
    assert count_proof_bytes(honest)["shared_of_separate_percent"] <= SHARED_PERCENT_MAX


def test_the_cost_of_a_hit_falls_as_a_bundle_grows() -> None:
    sizes = [
        count_proof_bytes(make_bundle(Plan(receipts=n, hits=n, hits_per_batch=1, tree_size=20_000, openings=False)))
        for n in (10, 100, 1_000)
    ]
    shared = [found["shared_bytes_per_hit"] for found in sizes]
    assert shared == sorted(shared, reverse=True)


def test_a_thousand_releases_and_spendings_take_a_second_of_processor_time() -> None:
    world = make_world(Plan(receipts=1, hits=0))
    plenty = Budget(10**15, 10**15, 10**15)
    for _ in range(1_000):
        world.pool.add_spending(budget=plenty)
        world.pool.add_release()
    world.add_status()
    bundle = world.export()
    assert (verify(bundle).report.exit_code, bundle.parts.counts.spendings) == (0, 1_000)
    assert cpu_s(lambda: verify(bundle)) <= LEDGER_CPU_S_MAX
