"""What every embedder that runs here shares: tokens in, runs of like lengths through a model, checked rows out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crypto.canonical import digest_fields
from server.embedding.folder import SentenceModel
from server.embedding.rows import unit_rows
from server.embedding.tokens import Int32Matrix, Int32Vector, TextTokenizer, pad_rows, plan_runs
from server.ports import Float32Matrix


class ForwardPass(Protocol):
    """A loaded model: token ids to one pooled vector per row, of any length; may be called by one thread at a time."""

    def __call__(self, ids: Int32Matrix, lengths: Int32Vector) -> npt.NDArray[np.float32]:
        """Return shape (rows, dimension) for ids of shape (rows, width), of which the first *lengths* count."""
        ...


class LocalEmbedder:
    """`server.ports.Embedder` over a model in this process."""

    def __init__(
        self, model: SentenceModel, forward: ForwardPass, *, weights_sha256: bytes, dimension: int, variant: str
    ) -> None:
        self._tokenizer = TextTokenizer(model)
        self._forward = forward
        self._pad_id = model.pad_id
        self._tokens_max = model.tokens_max
        self._dimension = dimension
        self._digest = model_digest(model, weights_sha256=weights_sha256, variant=variant)

    @property
    def digest(self) -> str:
        """`sha256:…`, see `model_digest`."""
        return self._digest

    @property
    def dimension(self) -> int:
        """Components per vector."""
        return self._dimension

    @property
    def tokens_max(self) -> int:
        """Tokens of a text, special ones included, that decide its vector; what stands behind them does not."""
        return self._tokens_max

    def covers(self, text: str) -> bool:
        """Whether the vector of *text* stands for all of it: False where its end is, or could be, cut off."""
        return self._tokenizer.covers(text)

    def embed(self, texts: Sequence[str]) -> Float32Matrix:
        """Return unit rows of shape (len(texts), dimension). Raises `TextError` and `VectorError`."""
        ids = [self._tokenizer.encode(text) for text in texts]
        rows = np.empty((len(ids), self._dimension), dtype=np.float32)
        for run in plan_runs([len(each) for each in ids]):
            pooled = self._forward(*pad_rows([ids[position] for position in run], self._pad_id))
            rows[run] = unit_rows(pooled, count=len(run), dimension=self._dimension)
        return rows


def model_digest(model: SentenceModel, *, weights_sha256: bytes, variant: str) -> str:
    """Return `sha256:…` over all that decides a vector (docs/reference/embedder.md).

    *variant* names the arithmetic: two of them differ in the last bits, and one index must not mix them.
    """
    digest = digest_fields(
        "hitproof/embedder/v1",
        variant.encode("ascii"),
        weights_sha256,
        model.tokenizer_sha256,
        model.config_sha256,
        model.pooling.encode("ascii"),
        str(model.tokens_max).encode("ascii"),
        b"lower" if model.lowercases else b"as-is",
        model.prompt.encode("utf-8"),
    )
    return f"sha256:{digest.hex()}"
