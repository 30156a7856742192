"""Opening the commitments that proofs are about, to an auditor who may read: that a proof's vector is the stored one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from crypto.bundle import parse_bundle
from crypto.bundle_lines import OpeningLine
from crypto.reference.verify import verify as second_opinion
from server.reuse.evidence_opening import seal_opening, unseal_opening
from server.store.log_tables import evidence
from tests.api.in_process import GENEROUS, InProcess, in_process
from tests.api.test_applicability import (
    SETTINGS,
    audited,
    exported,
    hit_by_meaning,
    owner,
    refused,
    trust_of,
    wait_for_file,
)
from tests.fakes import Options, SeededRandom


@pytest.fixture
def house(tmp_path: Path) -> Iterator[InProcess]:
    """A house in which one hit by meaning was proved."""
    with in_process(tmp_path, Options(quota=GENEROUS, settings=SETTINGS)) as running:
        wait_for_file(running, hit_by_meaning(running))
        yield running


def opened(data: bytes) -> dict[str, OpeningLine]:
    lines = parse_bundle(data).parts.openings
    assert len({line.statement for line in lines}) <= 1
    return {line.kind: line for line in lines}


def reseed(house: InProcess) -> None:
    """Seal another seed in the place of the one that opens the commitment."""

    async def change() -> None:
        tenant = await house.gateway.gateway.tenants.get(owner(house))
        database = house.gateway.gateway.database
        stored = select(evidence.c.id, evidence.c.opening).where(evidence.c.opening.is_not(None))
        row = database.read_now(lambda c: c.execute(stored).one())
        salts = unseal_opening(tenant.data_key, tenant.id, row.id, row.opening)
        salts["commitment"] = bytes(32)
        sealed = seal_opening(tenant.data_key, tenant.id, row.id, salts, random=SeededRandom(5))
        statement = update(evidence).where(evidence.c.id == row.id).values(opening=sealed)
        database.write_now(lambda c: c.execute(statement))

    house.run(change())


def test_a_commitment_is_opened_beside_the_vector_and_both_verifiers_find_it_the_same(house: InProcess) -> None:
    job, data = exported(house, {"open": ["commitment", "vector"]})
    lines = opened(data)
    assert set(lines) == {"commitment", "vector"}
    assert lines["commitment"].value == lines["vector"].value
    assert lines["commitment"].salt != lines["vector"].salt
    found = audited(house, data)
    assert found.report.exit_code == 0, found.report
    second = second_opinion(data, trust_of(house), now_ms=house.gateway.clock.now_ms())
    assert (second.exit_code, second.reason) == (0, None)
    assert job["scope"]["kinds"] == ["commitment", "vector"]


def test_a_commitment_is_opened_alone_and_never_unless_it_is_asked_for(house: InProcess) -> None:
    _, alone = exported(house, {"open": ["commitment"]})
    assert set(opened(alone)) == {"commitment"}
    _, without = exported(house, {"open": ["text", "vector"]})
    assert set(opened(without)) == {"text", "vector"}


def test_a_commitment_is_opened_to_those_alone_who_may_read(house: InProcess) -> None:
    answer = house.call("POST", "/v1/audit/export", json={"open": ["commitment"]}, key=house.key("auditor"))
    refused(answer, 403, "missing_scope")


def test_commitments_of_receipts_that_are_not_named_stay_closed(house: InProcess) -> None:
    _, data = exported(house, {"open": ["commitment"], "receipts": []})
    assert opened(data) == {}


def test_a_commitment_that_its_seed_does_not_open_stays_closed_and_the_vector_does_not(house: InProcess) -> None:
    reseed(house)
    _, data = exported(house, {"open": ["commitment", "vector"]})
    assert set(opened(data)) == {"vector"}
    assert audited(house, data).report.exit_code == 0
