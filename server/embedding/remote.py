"""Vectors from an OpenAI-compatible embeddings URL, believed only after every check that can be made from here.

The weights behind a URL cannot be seen. The digest therefore covers what can: URL, requested and reported model,
dimension, and a revision that the operator raises when the service changes silently. A reported model that changes
while running is an error, never another digest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from crypto.canonical import digest_fields
from server.embedding.errors import RemoteEmbeddingError, VectorError
from server.embedding.rows import unit_rows
from server.embedding.texts import TEXT_CHARACTERS_MAX, check_text
from server.ports import Float32Matrix

if TYPE_CHECKING:
    import httpx2

DIMENSION_MAX: Final = 8192
TEXTS_PER_REQUEST: Final = 64
#: A JSON number of a float32 has at most some 25 characters; the rest of an answer is small.
_BYTES_PER_COMPONENT: Final = 32
_BYTES_BESIDE: Final = 65_536
_PROBE_TEXT: Final = "dimension"


@dataclass(frozen=True, slots=True)
class Service:
    """Where vectors come from; *url* is the full endpoint, *timeout_s* bounds one request as a whole."""

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    revision: str = ""
    timeout_s: float = 10.0


class RemoteEmbedder:
    """`server.ports.Embedder` over an embeddings service; build it with `load_remote_embedder`."""

    def __init__(
        self,
        client: httpx2.Client,
        service: Service,
        *,
        dimension: int,
        reported_model: str,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._service = service
        self._dimension = dimension
        self._reported_model = reported_model
        self._monotonic_s = monotonic_s
        fields = (service.url, service.model, reported_model, str(dimension), service.revision)
        digest = digest_fields("hitproof/remote-embedder/v1", *(each.encode("utf-8") for each in fields))
        self._digest = f"sha256:{digest.hex()}"

    @property
    def digest(self) -> str:
        """`sha256:…` over URL, requested and reported model, dimension and revision."""
        return self._digest

    @property
    def dimension(self) -> int:
        """Components per vector."""
        return self._dimension

    def covers(self, text: str) -> bool:
        """Whether *text* is short enough to be sent; what the service itself cuts off cannot be seen from here."""
        return len(text) <= TEXT_CHARACTERS_MAX

    def embed(self, texts: Sequence[str]) -> Float32Matrix:
        """Return unit rows of shape (len(texts), dimension), without retries: doubt means bypass.

        Raises `TextError`, `RemoteEmbeddingError`, and `VectorError` for rows that are no directions.
        """
        for text in texts:
            check_text(text)
        rows = np.empty((len(texts), self._dimension), dtype=np.float32)
        for start in range(0, len(texts), TEXTS_PER_REQUEST):
            part = texts[start : start + TEXTS_PER_REQUEST]
            bytes_max = len(part) * self._dimension * _BYTES_PER_COMPONENT + _BYTES_BESIDE
            answer = _fetch(self._client, self._service, part, bytes_max, self._monotonic_s)
            if _reported_model(answer) != self._reported_model:
                raise RemoteEmbeddingError(
                    f"the embeddings service now reports another model than {self._reported_model[:64]!r}; "
                    "its vectors must not be mixed: restart to start a new index"
                )
            raw = _read_rows(answer, len(part))
            rows[start : start + len(part)] = unit_rows(raw, count=len(part), dimension=self._dimension)
        return rows


def load_remote_embedder(
    client: httpx2.Client,
    service: Service,
    *,
    dimension: int | None = None,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> RemoteEmbedder:
    """Ask *service* for one vector, to learn its dimension and the model it reports.

    Raises `RemoteEmbeddingError` if it does not answer as agreed, and `VectorError` if the vector is none or has not
    the *dimension* that the operator states.
    """
    bytes_max = DIMENSION_MAX * _BYTES_PER_COMPONENT + _BYTES_BESIDE
    answer = _fetch(client, service, [_PROBE_TEXT], bytes_max, monotonic_s)
    raw = _read_rows(answer, 1)
    found = raw.shape[1]
    if not 2 <= found <= DIMENSION_MAX:
        raise VectorError(f"the embeddings service gives {found} components; 2 to {DIMENSION_MAX} can be indexed")
    if dimension is not None and dimension != found:
        raise VectorError(f"the embeddings service gives {found} components but the settings say {dimension}")
    unit_rows(raw, count=1, dimension=found)
    return RemoteEmbedder(
        client, service, dimension=found, reported_model=_reported_model(answer), monotonic_s=monotonic_s
    )


def _fetch(
    client: httpx2.Client, service: Service, texts: Sequence[str], bytes_max: int, monotonic_s: Callable[[], float]
) -> dict[str, Any]:
    import httpx2

    # No compression: the limit on bytes then also bounds the work of unpacking them.
    headers = {"accept-encoding": "identity", "accept": "application/json"}
    if service.api_key is not None:
        headers["authorization"] = f"Bearer {service.api_key}"
    body = {"model": service.model, "input": list(texts), "encoding_format": "float"}
    deadline_s = monotonic_s() + service.timeout_s
    content = bytearray()
    try:
        with client.stream(
            "POST", service.url, json=body, headers=headers, timeout=service.timeout_s, follow_redirects=False
        ) as response:
            if response.status_code != 200:
                raise RemoteEmbeddingError(
                    f"the embeddings service answered with HTTP {response.status_code}", status=response.status_code
                )
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise RemoteEmbeddingError("the embeddings service compressed its answer although asked not to")
            for block in response.iter_bytes():
                content += block
                if len(content) > bytes_max:
                    raise RemoteEmbeddingError(f"the embeddings service sent more than {bytes_max} bytes")
                if monotonic_s() > deadline_s:
                    raise RemoteEmbeddingError(f"the embeddings service took longer than {service.timeout_s:g} s")
    except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
        raise RemoteEmbeddingError(f"the embeddings service cannot be reached: {type(error).__name__}") from error
    return _read_object(bytes(content))


def _read_object(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise RemoteEmbeddingError("the embeddings service did not answer with JSON") from None
    if not isinstance(answer, dict):
        raise RemoteEmbeddingError("the embeddings service did not answer with a JSON object")
    return answer


def _reported_model(answer: dict[str, Any]) -> str:
    model = answer.get("model")
    return model if isinstance(model, str) and len(model) <= 256 else ""


def _read_rows(answer: dict[str, Any], count: int) -> npt.NDArray[np.float64]:
    """Return the vectors in the order of their texts, which `index` gives and the list's order need not."""
    data = answer.get("data")
    if not isinstance(data, list) or len(data) != count:
        found = len(data) if isinstance(data, list) else "no"
        raise RemoteEmbeddingError(f"the embeddings service gave {found} vectors for {count} texts")
    rows: dict[int, npt.NDArray[np.float64]] = {}
    for item in data:
        index = item.get("index") if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < count or index in rows:
            raise RemoteEmbeddingError("the embeddings service numbered its vectors wrongly (field `index`)")
        rows[index] = _read_vector(item.get("embedding"))
    if len({len(row) for row in rows.values()}) != 1:
        raise VectorError("the embeddings service gave vectors of different dimensions in one answer")
    return np.stack([rows[index] for index in range(count)])


def _read_vector(value: object) -> npt.NDArray[np.float64]:
    # Python's own types first: numpy would read numbers out of strings and booleans.
    if not isinstance(value, list) or not all(type(each) is float or type(each) is int for each in value):
        raise RemoteEmbeddingError("the embeddings service gave an `embedding` that is no list of numbers")
    try:
        return np.array(value, dtype=np.float64)
    except OverflowError:
        raise VectorError("the embeddings service gave a number beyond all floating point") from None
