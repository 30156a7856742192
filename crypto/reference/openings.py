"""Recomputes commitments from opened salts and values."""

from __future__ import annotations

from . import json_text, shape
from .contents import Opening
from .errors import NotInForm
from .hashing import fields, hmac_sha256, sha256
from .json_text import Json

SALT_BYTES = 32
TOKENS_MAX = json_text.LINE_VALUES_MAX


def commitment(opening: Opening, dimension: int | None = None) -> bytes:
    """What this opening commits to; raises NotInForm for a salt of another length and a value of another kind.

    *dimension* is the length of a vector, by its embedding statement.
    """
    if len(opening.salt) != SALT_BYTES:
        raise NotInForm("a salt has 32 bytes")
    salt, value = opening.salt, opening.value
    if opening.kind in ("output", "prompt"):
        if not isinstance(value, list):
            raise NotInForm("choices and messages are arrays")
        _check_stated(value)
        stated = json_text.write(value)
        if opening.kind == "output":
            return sha256(fields("hitproof/output/v1", salt, stated))
        return hmac_sha256(salt, fields("hitproof/prompt/v1", stated))
    if opening.kind in ("prompt_tokens", "output_tokens"):
        tokens = [shape.integer(item, 0, 2**31 - 1) for item in shape.items(value, TOKENS_MAX)]
        packed = b"".join(token.to_bytes(4, "big") for token in tokens)
        tag = "hitproof/prompt-tokens/v1" if opening.kind == "prompt_tokens" else "hitproof/output-tokens/v1"
        return hmac_sha256(salt, fields(tag, packed))
    if opening.kind == "text":
        return hmac_sha256(salt, fields("hitproof/embedded-text/v1", shape.text(value, 2**22).encode("utf-8")))
    numbers = [shape.integer(item, -128, 127) for item in shape.items(value, TOKENS_MAX)]
    if len(numbers) != dimension:
        raise NotInForm("a vector of another length than its statement says")
    return sha256(
        fields("hitproof/vector/v1", salt, b"".join(number.to_bytes(1, "big", signed=True) for number in numbers))
    )


def _check_stated(value: Json) -> None:
    """What is stated has no object fields that are null, at any depth; floats have no canonical form anyway."""
    if isinstance(value, dict):
        if None in value.values():
            raise NotInForm("a field that is null is left out when a value is stated")
        for item in value.values():
            _check_stated(item)
    if isinstance(value, list):
        for item in value:
            _check_stated(item)
