"""Text to token ids, and which texts go through the model together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from server.embedding.errors import ModelFilesError, TextError
from server.embedding.folder import SentenceModel
from server.embedding.texts import check_text

Int32Matrix: TypeAlias = npt.NDArray[np.int32]
Int32Vector: TypeAlias = npt.NDArray[np.int32]

#: Padding that one run may compute in vain: reading the weights once more costs about as much (measured: a further run
#: of all-MiniLM-L6-v2 costs 4 ms, a further token 0.2 ms).
PADDING_TOKENS_MAX: Final = 20
#: English has four to five; more than this is mostly blanks or words that the tokenizer does not know.
CHARACTERS_PER_TOKEN_MAX: Final = 16
#: Bounds the memory of one run: attention scores grow with its tokens times its longest text.
RUN_TOKENS_MAX: Final = 2048


class TextTokenizer:
    """A model's tokenizer as one function; safe to call from several threads."""

    def __init__(self, model: SentenceModel) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_str(model.tokenizer_json.decode("utf-8"))
        except Exception as error:  # noqa: BLE001  # the library raises bare Exception for a malformed file
            raise ModelFilesError(f"{model.folder / 'tokenizer.json'} is not a tokenizer: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(model.tokens_max)
        self._characters_max = CHARACTERS_PER_TOKEN_MAX * model.tokens_max
        self._lowercases = model.lowercases
        self._prompt = model.prompt

    def encode(self, text: str) -> list[int]:
        """Return the ids of *text* with special tokens, cut at the model's limit. Raises `TextError`."""
        return self._encode(text)[0]

    def covers(self, text: str) -> bool:
        """Whether the ids stand for all of *text*, none of it cut off; a no may be a guess for want of time."""
        # Asked on the event loop, so its work is bounded: nearly no text has this many characters to a token.
        if len(text) > self._characters_max:
            return False
        return not self._encode(text)[1]

    def _encode(self, text: str) -> tuple[list[int], bool]:
        check_text(text)
        # One at a time: the batch form starts a thread pool of its own, and tokenizing takes 1 % of the time.
        encoding = self._tokenizer.encode(self._prompt + (text.lower() if self._lowercases else text))
        ids: list[int] = encoding.ids
        if not ids:
            raise TextError("the text has no tokens; send some text")
        return ids, bool(encoding.overflowing)


def plan_runs(lengths: Sequence[int]) -> list[list[int]]:
    """Group positions of *lengths* into runs of like lengths, longest first, so that little padding is computed.

    Every position is in exactly one run; a run holds at most `RUN_TOKENS_MAX` tokens with padding (or one text), of
    which at most `PADDING_TOKENS_MAX` are padding.
    """
    runs: list[list[int]] = []
    width = padding = 0
    for position in sorted(range(len(lengths)), key=lambda each: -lengths[each]):
        length = lengths[position]
        padding += width - length
        if not runs or padding > PADDING_TOKENS_MAX or (len(runs[-1]) + 1) * width > RUN_TOKENS_MAX:
            runs.append([])
            width, padding = length, 0
        runs[-1].append(position)
    return runs


def pad_rows(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Int32Matrix, Int32Vector]:
    """Return *rows* as one matrix filled up on the right with *pad_id*, and the length of each."""
    lengths = np.array([len(row) for row in rows], dtype=np.int32)
    matrix = np.full((len(rows), int(lengths.max())), pad_id, dtype=np.int32)
    for index, row in enumerate(rows):
        matrix[index, : len(row)] = row
    return matrix, lengths
