"""What is read as a line of an export, and what is refused before anything of it is stored."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from server.cli.cache import CacheCommandError
from server.cli.importing import _check, _lines
from server.reuse.replay import client_response
from server.settings import Settings

LINE: dict[str, Any] = {
    "schema": "hitproof/cache-export/v1",
    "id": "ent_0000000000001",
    "model": "m",
    "model_version": "sha256:" + "0" * 64,
    "messages": [{"role": "user", "content": "?"}],
    "parameters": {},
    "response": {},
    "tags": [],
    "expires_at_ms": 1,
}


def read(*lines: dict[str, Any]) -> list[dict[str, Any]]:
    return list(_lines(io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in lines))))


def test_a_field_that_a_later_release_added_is_ignored() -> None:
    assert len(read(LINE, {**LINE, "later": 1})) == 2


@pytest.mark.parametrize("missing", sorted(LINE))
def test_a_line_without_a_field_is_refused_by_its_number_whatever_else_it_has(missing: str) -> None:
    broken = {name: value for name, value in LINE.items() if name != missing}
    with pytest.raises(CacheCommandError, match="line 2"):
        read(LINE, {**broken, "another": 1})


def test_a_line_of_another_schema_is_refused() -> None:
    with pytest.raises(CacheCommandError, match="line 1"):
        read({**LINE, "schema": "hitproof/cache-export/v2"})


def whole(**changed: Any) -> dict[str, Any]:
    return {**LINE, "response": client_response("m", "an answer", created_s=1), **changed}


def test_a_whole_line_is_an_entry() -> None:
    checked, body = _check(whole(parameters={"temperature": 0.5}), 1, Settings())
    assert body == {"temperature": 0.5, "model": "m", "messages": LINE["messages"]}
    assert checked.expires_at_ms == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expires_at_ms", "soon"),
        ("tags", "a tag"),
        ("parameters", []),
        ("parameters", {"temperature": "hot"}),
        ("messages", []),
        ("messages", [{"role": "user", "content": [{"type": "text"}]}]),
        ("response", []),
        ("response", {}),
        ("response", {"choices": [{"message": {"content": "cut"}, "finish_reason": "length"}]}),
    ],
)
def test_a_line_that_no_export_could_have_written_is_refused_by_its_number(field: str, value: Any) -> None:
    with pytest.raises(CacheCommandError, match="line 7"):
        _check(whole(**{field: value}), 7, Settings())
