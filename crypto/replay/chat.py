"""How a Hugging Face model reads a conversation and ends an answer; the runner and the replay share these words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

#: For models without a chat template: roles by name, one line each, and the next turn of the user ends the answer.
PLAIN_TEMPLATE: Final = "hitproof/plain-template/v1"
PLAIN_STOP: Final = "\nUser:"


class Turn(Protocol):
    """One message of a conversation."""

    @property
    def role(self) -> str:
        """System, user or assistant."""
        ...

    @property
    def text(self) -> str:
        """What was said."""
        ...


def read_prompt(tokenizer: Any, turns: Sequence[Turn]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the prompt's token ids and the stop texts that the template brings.

    Raises `jinja2.TemplateError` or `ValueError` where the model's own template refuses the conversation.
    """
    stops: tuple[str, ...] = ()
    if tokenizer.chat_template is None:
        lines = [f"{turn.role.capitalize()}: {turn.text}" for turn in turns]
        text, stops = "\n".join([*lines, "Assistant:"]), (PLAIN_STOP,)
    else:
        conversation = [{"role": turn.role, "content": turn.text} for turn in turns]
        text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    return tuple(int(token) for token in tokenizer(text, add_special_tokens=False)["input_ids"]), stops


def decode_tokens(tokenizer: Any, tokens: Sequence[int]) -> str:
    """Return the text of *tokens*, special ones left out."""
    text: str = tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: those of the generation settings, and the tokenizer's own."""
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(end for end in [*listed, tokenizer.eos_token_id] if isinstance(end, int))
