"""What a text must be before any embedder looks at it."""

from __future__ import annotations

from typing import Final

from server.embedding.errors import TextError

#: About four times what 8192 tokens of English need, the most that common models read; bounds the tokenizer's work.
TEXT_CHARACTERS_MAX: Final = 131_072


def check_text(text: str) -> None:
    """Raise `TextError` if *text* is longer than `TEXT_CHARACTERS_MAX` or has no UTF-8 form."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise TextError(f"the text has {len(text)} characters, more than the {TEXT_CHARACTERS_MAX} that are embedded")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise TextError("the text holds a lone surrogate; send valid Unicode") from None
