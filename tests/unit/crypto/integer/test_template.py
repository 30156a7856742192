from __future__ import annotations

import pytest

from crypto.integer.errors import SettingRefused
from crypto.integer.template import ChatTemplate
from crypto.integer.tokenizer import ASSISTANT, END, SYSTEM, USER, Tokenizer
from server.runner.engine import Turn

TOKENIZER = Tokenizer([])
TEMPLATE = ChatTemplate(context=40, answer_reserve=10)


def test_turns_are_told_apart_by_role_tokens_and_answers_end() -> None:
    turns = [Turn("system", "s"), Turn("user", "u"), Turn("assistant", "a"), Turn("user", "v")]
    s, u, a, v = (TOKENIZER.encode(letter)[0] for letter in "suav")
    prompt = TEMPLATE.render(turns, TOKENIZER)
    assert prompt.tokens == (SYSTEM, s, USER, u, ASSISTANT, a, END, USER, v, ASSISTANT)
    assert not prompt.truncated


@pytest.mark.parametrize("letters", [28, 29, 100, 5000])
def test_of_a_long_conversation_the_oldest_tokens_are_dropped(letters: int) -> None:
    text = "".join(chr(ord("a") + index % 26) for index in range(letters))
    prompt = TEMPLATE.render([Turn("system", "old"), Turn("user", text)], TOKENIZER)
    whole = [SYSTEM, *TOKENIZER.encode("old"), USER, *TOKENIZER.encode(text), ASSISTANT]
    assert prompt.tokens == tuple(whole[-30:])
    assert prompt.truncated


def test_a_conversation_that_just_fits_is_not_truncated() -> None:
    prompt = TEMPLATE.render([Turn("user", "x" * 28)], TOKENIZER)
    assert (len(prompt.tokens), prompt.truncated) == (30, False)
    assert TEMPLATE.render([Turn("user", "x" * 29)], TOKENIZER).truncated


def test_every_prompt_leaves_the_reserve_for_the_answer() -> None:
    turns = [Turn("user", "x" * 100), Turn("assistant", "y" * 100)] * 30
    assert len(TEMPLATE.render(turns, TOKENIZER).tokens) == 30


def test_an_unknown_role_is_refused_even_where_it_would_be_dropped() -> None:
    with pytest.raises(SettingRefused, match="tool"):
        TEMPLATE.render([Turn("tool", "result"), Turn("user", "x" * 100)], TOKENIZER)


def test_the_manifest_states_the_truncation_rule() -> None:
    stated = TEMPLATE.as_manifest()
    assert stated["truncation"] == "the oldest tokens are dropped"
    assert stated["prompt_tokens_max"] == 30
