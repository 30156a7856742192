"""Mistakes in the platform's set-up are the caller's to mend, and the answer says how."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.fakes import fake_gateway


def test_a_reference_to_a_key_that_is_not_there_is_a_400_that_names_it(tmp_path: Path) -> None:
    async def play() -> None:
        async with fake_gateway(tmp_path) as gateway:
            body = {"kind": "openai", "base_url": "https://api.example/v1", "key": "env:HITPROOF_SECRET_NOT_SET"}
            answer = await gateway.call("PUT", "/admin/v1/upstreams/vendor", tenant=None, json=body)
            assert answer.status_code == 400, answer.text
            assert answer.json()["type"] == "urn:hitproof:problem:invalid_key_reference"
            assert "HITPROOF_SECRET_NOT_SET" in answer.json()["detail"]

    asyncio.run(play())
