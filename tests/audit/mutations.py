"""Random changes of bytes and of JSON values, from a seed; what comes out is always something else than what went in."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

from crypto.canonical import canonical_json


def change_bytes(chance: random.Random, data: bytes) -> bytes:
    """Flip a bit, insert, delete or replace a byte, or cut something off, but not everything."""
    place = chance.randrange(len(data))
    match chance.randrange(5):
        case 0:
            return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
        case 1:
            return data[:place] + chance.randbytes(1) + data[place:]
        case 2:
            return data[:place] + data[place + 1 :]
        case 3:
            return data[:place] + bytes([data[place] ^ chance.randrange(1, 256)]) + data[place + 1 :]
        case _:
            return data[: max(1, place)] if place > 1 else data + b"\x00"


def change_json(chance: random.Random, value: Any) -> Any:
    """Change one value at some depth; the result still has a canonical form."""
    while True:
        copy = json.loads(json.dumps(value))
        places = list(_places(copy))
        holder, key = places[chance.randrange(len(places))]
        _change(chance, holder, key)
        if copy != value:
            return copy


def change_line(chance: random.Random, data: bytes, inside: Callable[[random.Random, Any], Any] = change_json) -> bytes:
    """Change one line of a JSON Lines member."""
    lines = data.splitlines()
    number = chance.randrange(len(lines))
    lines[number] = canonical_json(inside(chance, json.loads(lines[number])))
    return b"".join(line + b"\n" for line in lines)


def change_payload(chance: random.Random, line: Any) -> Any:
    """Change the payload of a line's envelope behind its signature, as JSON or byte by byte."""
    envelope = line["envelope"]
    payload = base64.b64decode(envelope["payload"])
    if chance.random() < 0.7:
        changed = canonical_json(change_json(chance, json.loads(payload)))
    else:
        changed = change_bytes(chance, payload)
    return {**line, "envelope": {**envelope, "payload": base64.b64encode(changed).decode()}}


def _places(value: Any) -> Any:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _change(chance: random.Random, holder: Any, key: Any) -> None:
    value = holder[key]
    if chance.random() < 0.15:
        _change_holder(chance, holder, key)
    elif isinstance(value, bool) or value is None:
        holder[key] = chance.choice([0, "", [], {}, True])
    elif isinstance(value, int):
        holder[key] = chance.choice([value + 1, value - 1, -value, 0, 2**53 - 1, str(value), None])
    elif isinstance(value, str):
        holder[key] = _change_text(chance, value)
    elif isinstance(value, list):
        holder[key] = chance.choice([value[::-1], value[1:], value * 2, [*value, None], {}, None])
    else:
        holder[key] = chance.choice([{}, None, [value], {**value, "x": 1}])


def _change_text(chance: random.Random, text: str) -> Any:
    if not text:
        return chance.choice(["0", None, 0])
    place = chance.randrange(len(text))
    other = chance.choice("0123456789abcdefXYZ \u00e9\n")
    return chance.choice(
        [text[:place] + other + text[place + 1 :]] * 4
        + [text[:place] + text[place + 1 :], text[:place] + other + text[place:], text.upper(), "", None]
    )


def _change_holder(chance: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder.insert(key, holder[key]) if chance.random() < 0.5 else holder.pop(key)
    elif chance.random() < 0.5:
        del holder[key]
    else:
        holder[f"{key}x"] = holder[key]
