"""The BERT family through torch: the embedder on GPUs, and the independent twin of the ONNX graph in tests.

It reads the same tensors and shares no arithmetic with `bert_graph`. Single precision throughout; TF32 stays off, which
is torch's own default and checked at load, because it would change the vectors under the same digest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from server.embedding.bert_graph import BertShape, BertTensors, is_bert, read_shape
from server.embedding.errors import ModelFilesError, VectorError
from server.embedding.folder import Pooling, SentenceModel
from server.embedding.local_embedder import LocalEmbedder
from server.embedding.tokens import Int32Matrix, Int32Vector
from server.embedding.weights import Tensors, load_weights

if TYPE_CHECKING:
    import torch

VARIANT: Final = "torch-fp32"


class TorchBert:
    """A BERT encoder as plain tensor arithmetic; *device* is a torch device name such as `cpu` or `cuda`."""

    def __init__(self, shape: BertShape, weights: Tensors, *, device: str) -> None:
        import torch

        self.shape = shape
        self.device = torch.device(device)
        self._tensors = BertTensors(weights)
        self._placed: dict[str, torch.Tensor] = {}
        self._place_all()

    def encode(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the last layer's states, shape (rows, width, hidden), for int64 *ids* and *lengths*."""
        import torch

        width = ids.shape[1]
        word = self._placed["embeddings.word_embeddings.weight"][ids]
        position = self._placed["embeddings.position_embeddings.weight"][:width]
        kind = self._placed["embeddings.token_type_embeddings.weight"][0]
        state = self._norm("embeddings.LayerNorm", word + position + kind)
        counted = torch.arange(width, device=ids.device)[None, :] < lengths[:, None]
        for layer in range(self.shape.layers):
            state = self._layer(f"encoder.layer.{layer}", state, counted[:, None, None, :])
        return state

    def _layer(self, name: str, state: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        rows, width, hidden = state.shape
        query, key, value = (
            self._dense(f"{name}.attention.self.{part}", state).view(rows, width, self.shape.heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=counted)
        joined = attended.transpose(1, 2).reshape(rows, width, hidden)
        mixed = self._norm(
            f"{name}.attention.output.LayerNorm", self._dense(f"{name}.attention.output.dense", joined) + state
        )
        bent = functional.gelu(self._dense(f"{name}.intermediate.dense", mixed))
        return self._norm(f"{name}.output.LayerNorm", self._dense(f"{name}.output.dense", bent) + mixed)

    def _dense(self, name: str, state: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        return functional.linear(state, self._placed[f"{name}.weight"], self._placed[f"{name}.bias"])

    def _norm(self, name: str, state: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        weight, bias = self._placed[f"{name}.weight"], self._placed[f"{name}.bias"]
        return functional.layer_norm(state, (self.shape.hidden,), weight, bias, self.shape.norm_epsilon)

    def _place_all(self) -> None:
        shape = self.shape
        hidden, inner = shape.hidden, shape.inner
        self._place("embeddings.word_embeddings.weight", shape.vocabulary, hidden)
        self._place("embeddings.position_embeddings.weight", shape.positions, hidden)
        self._place("embeddings.token_type_embeddings.weight", shape.types, hidden)
        self._place_pair("embeddings.LayerNorm", hidden)
        for layer in range(shape.layers):
            name = f"encoder.layer.{layer}"
            for part in (
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
            ):
                self._place_pair(f"{name}.{part}", hidden, hidden)
            self._place_pair(f"{name}.intermediate.dense", inner, hidden)
            self._place_pair(f"{name}.output.dense", hidden, inner)
            self._place_pair(f"{name}.attention.output.LayerNorm", hidden)
            self._place_pair(f"{name}.output.LayerNorm", hidden)

    def _place_pair(self, name: str, *weight_shape: int) -> None:
        self._place(f"{name}.weight", *weight_shape)
        self._place(f"{name}.bias", weight_shape[0])

    def _place(self, name: str, *shape: int) -> None:
        import torch

        self._placed[name] = torch.tensor(self._tensors.get(name, *shape), device=self.device)


class TorchForward:
    """`ForwardPass` over a `TorchBert`."""

    def __init__(self, bert: TorchBert, pooling: Pooling) -> None:
        self._bert = bert
        self._pooling = pooling

    def __call__(self, ids: Int32Matrix, lengths: Int32Vector) -> npt.NDArray[np.float32]:
        """Return pooled rows. Raises `VectorError` if the device fails, for lack of memory say."""
        import torch

        try:
            with torch.inference_mode():
                placed = torch.from_numpy(ids).to(self._bert.device, torch.int64)
                counts = torch.from_numpy(lengths).to(self._bert.device, torch.int64)
                pooled = pool_states(self._bert.encode(placed, counts), counts, self._pooling)
                rows: npt.NDArray[np.float32] = pooled.cpu().numpy()
        except RuntimeError as error:
            raise VectorError(f"torch could not run the embedding model: {error}") from error
        return rows


def pool_states(states: torch.Tensor, lengths: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Return one vector per row: the mean over its tokens, or its first token's state."""
    import torch

    if pooling == "cls":
        return states[:, 0]
    counted = torch.arange(states.shape[1], device=states.device)[None, :] < lengths[:, None]
    return (states * counted[:, :, None]).sum(dim=1) / lengths[:, None]


def check_device(device: str) -> None:
    """Raise `ModelFilesError` if torch cannot compute in single precision on *device*."""
    import torch

    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ModelFilesError(
                "the embedder is set to device cuda but torch finds no GPU; set device to cpu or auto"
            )
        if torch.backends.cuda.matmul.allow_tf32:
            raise ModelFilesError("TF32 is switched on in this process; the embedder needs full single precision")


def load_torch_embedder(
    model: SentenceModel, *, device: str = "cpu", expected_sha256: str | None = None
) -> LocalEmbedder:
    """Load *model*, of the BERT family, onto *device* (`cpu` or `cuda`).

    Raises `ModelFilesError` for another family, a missing GPU, and weights other than *expected_sha256* (hexadecimal).
    """
    if not is_bert(model):
        raise ModelFilesError(f"{model.folder / 'config.json'}: the family {model.family!r} is not computed here")
    check_device(device)
    weights = load_weights(model.weight_files, expected_sha256=expected_sha256)
    bert = TorchBert(read_shape(model), weights.tensors, device=device)
    return LocalEmbedder(
        model,
        TorchForward(bert, model.pooling),
        weights_sha256=weights.sha256,
        dimension=bert.shape.hidden,
        variant=VARIANT,
    )
