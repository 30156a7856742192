"""What is recorded of a lookup, opened again: the material that policies are replayed and calibrated on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.reuse.accounting import open_detail
from server.store.lookups import LookupRepository
from tenants.errors import UnsealError
from tests.fakes import fake_gateway


def test_a_recorded_lookup_holds_the_vector_and_the_scores_it_was_decided_by_and_opens_for_its_tenant_alone(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        async with fake_gateway(tmp_path) as gateway:
            await gateway.ask("How deep is the lake?")
            await gateway.ask("How deep is that lake?")
            await gateway.settle()
            own, other = [await gateway.gateway.tenants.get(tenant.id) for tenant in gateway.tenants]
            last = gateway.gateway.database.read_now(lambda c: LookupRepository(c, own.id).list_since(0))[-1]
            assert last.detail is not None
            detail = open_detail(own, last.id, last.detail)
            assert len(bytes.fromhex(detail["vector"])) == gateway.embedder.dimension
            ((entry, score),) = detail["candidates"]
            assert detail["explanation"]["nearest"] == str(entry)
            assert detail["explanation"]["nearest_inner_product"] == score
            with pytest.raises(UnsealError):
                open_detail(other, last.id, last.detail)

    asyncio.run(play())
