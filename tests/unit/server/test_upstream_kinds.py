"""Which adapter serves which kind of upstream, and what it keeps apart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.serving import build_outside
from server.settings import load_settings
from server.store.records import UpstreamRecord
from server.upstream.openai import OpenAIUpstream
from server.upstream.runner import RunnerUpstream
from tenants.key_files import create_key_file
from tenants.key_providers import FileKeyProvider
from tests.fakes import SeededRandom, WordEmbedder


@pytest.mark.parametrize(
    ("kind", "adapter", "salted"),
    [("openai", OpenAIUpstream, False), ("vllm", OpenAIUpstream, True), ("runner", RunnerUpstream, None)],
)
def test_only_a_vllm_upstream_gets_a_cache_salt_of_the_tenant(
    tmp_path: Path, kind: str, adapter: type, salted: bool | None
) -> None:
    (tmp_path / "keys").mkdir()
    create_key_file(tmp_path / "keys" / "kek", SeededRandom(1))
    settings = load_settings(environ={}, overrides={"data": tmp_path})
    outside = build_outside(settings, WordEmbedder(), FileKeyProvider(tmp_path / "keys" / "kek"))

    async def play() -> None:
        record = UpstreamRecord("one", kind, "https://upstream.example/v1", None, False, 0)
        built = outside.build_upstream(record, "a-token-that-is-long-enough-for-a-runner")
        assert type(built) is adapter
        if isinstance(built, OpenAIUpstream):
            assert (built._salt("tenant-salt") == "tenant-salt") is salted
        await built.close()

    asyncio.run(play())
