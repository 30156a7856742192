"""A byte-level byte-pair tokenizer: 4 special tokens, 256 bytes, then merges in the order they were learned in."""

from __future__ import annotations

import codecs
import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

from ..canonical import JsonValue, canonical_json, parse_canonical_json
from ..errors import EncodingError
from .errors import WeightsRefused

TOKENIZER_KIND: Final = "hitproof-byte-bpe/v1"
END, SYSTEM, USER, ASSISTANT = 0, 1, 2, 3
FIRST_BYTE: Final = 4
FIRST_MERGE: Final = FIRST_BYTE + 256
MERGES_MAX: Final = 4096
#: A piece is a run of Latin letters with at most one space before it, or any one character. The limit on a run keeps
#: the quadratic merging of one piece cheap for any text.
PIECE: Final = re.compile(r" ?[A-Za-z]{1,32}|[\s\S]")
_CACHED_PIECES: Final = 8192
_UNRANKED: Final = 1 << 30


class Tokenizer:
    """Text to token ids and back; the same for everybody who holds the same merges."""

    def __init__(self, merges: Sequence[tuple[int, int]]) -> None:
        self.merges = tuple(merges)
        self._rank = {pair: rank for rank, pair in enumerate(self.merges)}
        self._bytes = [b""] * FIRST_BYTE + [bytes([value]) for value in range(256)]
        for left, right in self.merges:
            if not FIRST_BYTE <= min(left, right) <= max(left, right) < len(self._bytes):
                raise WeightsRefused(f"the tokenizer merges ({left}, {right}), which are not tokens made before it")
            self._bytes.append(self._bytes[left] + self._bytes[right])
        self._merge_cached = lru_cache(maxsize=_CACHED_PIECES)(self._merge_piece)

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        return len(self._bytes)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of *text*; lone surrogates, which have no bytes, become question marks."""
        return [token for piece in PIECE.findall(text) for token in self._merge_cached(piece)]

    def encode_tail(self, text: str, count: int) -> list[int]:
        """Return the last *count* ids of `encode(text)`, in memory that does not grow with the text."""
        if count <= 0:
            return []
        pieces = deque((match.group() for match in PIECE.finditer(text)), maxlen=count)
        return [token for piece in pieces for token in self._merge_cached(piece)][-count:]

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of *tokens*; special tokens have none, and bytes that form no character are left out."""
        return b"".join(self._bytes[token] for token in tokens).decode("utf-8", "ignore")

    def stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one answer, token by token."""
        return StreamDecoder(self._bytes)

    def to_bytes(self) -> bytes:
        """Return the canonical file form, whose SHA-256 is the tokenizer's identity."""
        return canonical_json({"kind": TOKENIZER_KIND, "merges": [list(pair) for pair in self.merges]})

    @classmethod
    def from_bytes(cls, data: bytes) -> Tokenizer:
        """Read what `to_bytes` wrote. Raises `WeightsRefused`."""
        try:
            value = parse_canonical_json(data)
        except EncodingError as error:
            raise WeightsRefused(f"the tokenizer file cannot be read: {error}") from None
        if not isinstance(value, dict) or value.get("kind") != TOKENIZER_KIND or set(value) != {"kind", "merges"}:
            raise WeightsRefused(f"the tokenizer file is not of kind {TOKENIZER_KIND}")
        return cls(_pairs(value["merges"]))

    def _merge_piece(self, piece: str) -> tuple[int, ...]:
        ids = [FIRST_BYTE + value for value in piece.encode("utf-8", "replace")]
        while len(ids) > 1:
            ranks = [self._rank.get(pair, _UNRANKED) for pair in pairwise(ids)]
            best = min(range(len(ranks)), key=ranks.__getitem__)
            if ranks[best] == _UNRANKED:
                break
            ids[best : best + 2] = [FIRST_MERGE + ranks[best]]
        return tuple(ids)


class StreamDecoder:
    """Gives each token's text as soon as it is whole; joined, the same text as `Tokenizer.decode` of all tokens."""

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self._bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def push(self, token: int) -> str:
        """Return the text that became complete with *token*."""
        return self._decoder.decode(self._bytes[token])

    def finish(self) -> str:
        """Return the text that the end of the answer completes (a cut character has none)."""
        return self._decoder.decode(b"", final=True)


def learn_merges(texts: Iterable[str], count: int) -> Tokenizer:
    """Learn *count* merges: always the most frequent neighbouring pair, the lower ids on a tie."""
    words = Counter(piece for text in texts for piece in PIECE.findall(text))
    spelled = {word: [FIRST_BYTE + value for value in word.encode("utf-8", "replace")] for word in words}
    merges: list[tuple[int, int]] = []
    for new in range(FIRST_MERGE, FIRST_MERGE + count):
        pairs: Counter[tuple[int, int]] = Counter()
        for word, ids in spelled.items():
            for pair in pairwise(ids):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for ids in spelled.values():
            _replace(ids, best, new)
    return Tokenizer(merges)


def _replace(ids: list[int], pair: tuple[int, int], new: int) -> None:
    index = 0
    while index < len(ids) - 1:
        if (ids[index], ids[index + 1]) == pair:
            ids[index : index + 2] = [new]
        index += 1


def _pairs(value: JsonValue) -> list[tuple[int, int]]:
    if not isinstance(value, list) or len(value) > MERGES_MAX:
        raise WeightsRefused(f"the tokenizer file must list at most {MERGES_MAX} merges")
    pairs: list[tuple[int, int]] = []
    for item in value:
        match item:
            case [int(left), int(right)] if not isinstance(left, bool) and not isinstance(right, bool):
                pairs.append((left, right))
            case _:
                raise WeightsRefused("a merge in the tokenizer file is not a pair of token ids")
    return pairs
