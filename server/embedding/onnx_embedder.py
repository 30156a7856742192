"""The default embedder on CPUs: ONNX Runtime in single precision over the graph of `bert_graph`."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from server.embedding.bert_graph import MASKED, WORD_TABLE, build_graph, is_bert, read_shape
from server.embedding.errors import ModelFilesError, VectorError
from server.embedding.folder import Pooling, SentenceModel
from server.embedding.local_embedder import LocalEmbedder
from server.embedding.tokens import Int32Matrix, Int32Vector
from server.embedding.weights import Tensors, load_weights

VARIANT: Final = "onnx-fp32"
_ERRORS_ONLY: Final = 3


class OnnxForward:
    """A BERT encoder in one ONNX Runtime session; a session may run in several threads at once."""

    def __init__(self, model: SentenceModel, tensors: Tensors, *, threads: int) -> None:
        import onnxruntime

        shape = read_shape(model)
        graph, word_table = build_graph(shape, tensors)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # Idle threads that spin burn a core between questions.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._word_table = onnxruntime.OrtValue.ortvalue_from_numpy(np.array(word_table))
        options.add_external_initializers([WORD_TABLE], [self._word_table])
        self._session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._pooling: Pooling = model.pooling
        self._outputs = ["pooled"]
        self.dimension = shape.hidden

    def __call__(self, ids: Int32Matrix, lengths: Int32Vector) -> npt.NDArray[np.float32]:
        """Return pooled rows, see `ForwardPass`. Raises `VectorError` if the run fails."""
        counted = np.arange(ids.shape[1]) < lengths[:, None]
        inputs = {"ids": ids, "mask": mask_scores(counted), "pool": pool_weights(self._pooling, counted)}
        try:
            pooled: npt.NDArray[np.float32] = self._session.run(self._outputs, inputs)[0]
        except Exception as error:  # the runtime's errors share no narrower class
            raise VectorError(f"ONNX Runtime could not run the embedding model: {error}") from error
        return pooled


def mask_scores(counted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return what is added to attention scores, shape (rows, 1, 1, width), for *counted* of shape (rows, width)."""
    return np.where(counted, np.float32(0), np.float32(MASKED))[:, None, None, :]


def pool_weights(pooling: Pooling, counted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return each token's weight in its row's vector, shape (rows, 1, width); padding has none."""
    if pooling == "cls":
        counted = np.arange(counted.shape[1]) == np.zeros((len(counted), 1))
    weights: npt.NDArray[np.float32] = (counted / counted.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights[:, None, :]


def load_onnx_embedder(model: SentenceModel, *, threads: int = 1, expected_sha256: str | None = None) -> LocalEmbedder:
    """Load *model*, of the BERT family, onto the CPU with *threads* threads per run.

    Raises `ModelFilesError` for another family, and for weights whose SHA-256 is not *expected_sha256* (hexadecimal).
    """
    if not is_bert(model):
        raise ModelFilesError(f"{model.folder / 'config.json'}: the family {model.family!r} has no ONNX graph here")
    weights = load_weights(model.weight_files, expected_sha256=expected_sha256)
    forward = OnnxForward(model, weights.tensors, threads=threads)
    return LocalEmbedder(model, forward, weights_sha256=weights.sha256, dimension=forward.dimension, variant=VARIANT)
