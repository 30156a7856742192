"""A broken source of randomness stops everything that needs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tenants.api_keys import mint_api_key
from tenants.data_keys import new_wrapped_key
from tenants.errors import RandomnessError, TenantError
from tenants.identifiers import TenantId
from tenants.key_files import create_key_file
from tenants.key_providers import EnvironmentKeyProvider
from tenants.key_shares import split_key
from tenants.randomness import RandomSource, draw
from tenants.sealing import DataKey, SealContext, seal
from tests.unit.tenants.fakes import CountingRandom, FailingRandom, ScriptedRandom

PROVIDER = EnvironmentKeyProvider("KEK", {"KEK": bytes(range(32)).hex()})
USES: dict[str, Callable[[RandomSource], object]] = {
    "minting an API key": mint_api_key,
    "sealing": lambda random: seal(DataKey(1, bytes(32)), SealContext(TenantId("t"), 1, "f", 1), b"p", random=random),
    "making a data key": lambda random: new_wrapped_key(PROVIDER, TenantId("t"), 1, random),
}
BROKEN: dict[str, RandomSource] = {
    "failing": FailingRandom(),
    "empty": ScriptedRandom(b""),
    "short": ScriptedRandom(os.urandom(7)),
    "long": ScriptedRandom(os.urandom(1000)),
}


@pytest.mark.parametrize("source", BROKEN)
@pytest.mark.parametrize("use", USES)
def test_a_broken_source_makes_nothing(use: str, source: str) -> None:
    with pytest.raises(RandomnessError, match="nothing was made"):
        USES[use](BROKEN[source])


@pytest.mark.parametrize("byte", [0, 1, 255])
def test_a_source_that_repeats_one_byte_is_refused(byte: int) -> None:
    with pytest.raises(RandomnessError, match="repeats one byte"):
        draw(ScriptedRandom(bytes((byte,)) * 32), 32)


def test_a_few_equal_bytes_are_luck_and_pass() -> None:
    assert draw(ScriptedRandom(bytes(2)), 2) == bytes(2)


def test_a_working_source_is_passed_on_unchanged() -> None:
    assert draw(CountingRandom("a"), 48) == CountingRandom("a").token_bytes(48)


def test_no_key_file_is_left_when_randomness_fails(tmp_path: Path) -> None:
    with pytest.raises(RandomnessError):
        create_key_file(tmp_path / "kek", FailingRandom())
    assert list(tmp_path.iterdir()) == []


def test_splitting_a_key_fails_loudly_without_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_entropy(count: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("Crypto.Protocol.SecretSharing.rng", no_entropy)
    with pytest.raises(TenantError, match="no randomness"):
        split_key(bytes(range(32)), 2, 3)
