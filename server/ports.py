"""The seams of the server: what runs behind each is a constructor argument, so tests bring their own.

One adapter each to begin with; a contract test in tests/contract/ holds every adapter to its port.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Float32Matrix: TypeAlias = npt.NDArray[np.float32]
Int8Matrix: TypeAlias = npt.NDArray[np.int8]
Int32Matrix: TypeAlias = npt.NDArray[np.int32]
Int64Vector: TypeAlias = npt.NDArray[np.int64]
Int64Matrix: TypeAlias = npt.NDArray[np.int64]

JsonObject: TypeAlias = dict[str, Any]


class Clock(Protocol):
    """Both times of the house: `now_ms` for what people read and for expiry, `monotonic_s` for durations."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back."""
        ...


class RandomSource(Protocol):
    """Cryptographic randomness."""

    def token_bytes(self, count: int) -> bytes:
        """Return *count* unpredictable bytes."""
        ...


class Embedder(Protocol):
    """Text to unit vectors, in batches, without waiting for anything but its own arithmetic or network call."""

    @property
    def digest(self) -> str:
        """`sha256:…` over everything that decides a vector: weights, tokenizer, pooling, numeric variant."""
        ...

    @property
    def dimension(self) -> int:
        """Components per vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Float32Matrix:
        """Return unit rows of shape (len(texts), dimension). Raises `server.embedding.errors.EmbeddingError`."""
        ...


class VectorIndex(Protocol):
    """Exact integer inner products between int8 vectors under 63-bit ids; never mutated while a reader can see it."""

    def add(self, ids: Int64Vector, vectors: Int8Matrix) -> None:
        """Add rows; an id that is already there is replaced."""
        ...

    def remove(self, ids: Int64Vector) -> None:
        """Make rows unfindable at once; their memory may be reclaimed later."""
        ...

    def search(self, queries: Int8Matrix, k: int) -> tuple[Int64Matrix, Int32Matrix]:
        """Return the *k* best ids per query and their exact inner products, best first; -1 pads missing ids."""
        ...

    def __len__(self) -> int:
        """Live rows."""
        ...

    @property
    def size_bytes(self) -> int:
        """Resident memory, measured or bounded from above."""
        ...


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a runner says about an answer beside the answer itself (docs/formats.md, runner protocol v1).

    *statement* is a DSSE envelope and *openings* its salts, both as JSON and not yet verified; None where nothing was
    signed.
    """

    model_version: str
    prompt_token_ids: tuple[int, ...] | None
    output_token_ids: tuple[int, ...] | None
    parameters: Mapping[str, Any]
    statement: JsonObject | None = None
    openings: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer: the whole `chat.completion` object as the upstream gave it, and where it came from."""

    response: JsonObject
    provenance: Provenance | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One streamed `chat.completion.chunk` object."""

    event: JsonObject


@dataclass(frozen=True, slots=True)
class UpstreamModel:
    """A model that an upstream offers, and the version it would answer with now.

    *model_version* is `sha256:…`: a manifest's digest where *manifest* is there (a runner), else the declared digest
    of upstream and requested name. *signing_key* is the public key, in hexadecimal, that a runner announces.
    """

    name: str
    model_version: str
    manifest: JsonObject | None
    signing_key: str | None = None


class Upstream(Protocol):
    """Computes what the cache could not answer."""

    @property
    def name(self) -> str:
        """The operator's name for it."""
        ...

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Ask which models it offers. Raises `server.upstream.errors.UpstreamError`."""
        ...

    async def complete(self, request: JsonObject, *, tenant_salt: str) -> Completion:
        """Send a validated OpenAI chat request (no `stream`); *tenant_salt* isolates provider-side prefix caches."""
        ...

    def stream(self, request: JsonObject, *, tenant_salt: str) -> AsyncIterator[Chunk | Completion]:
        """Yield chunks as they come and, last, exactly one `Completion` assembled from them if the stream was whole.

        A stream that ends without `Completion` was cut; it raises `UpstreamError` instead of ending quietly.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
