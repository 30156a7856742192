"""Encoder families other than BERT, through transformers, from a local folder.

Nothing is fetched, only safetensors are read, and code that a model brings along is not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from server.embedding.errors import ModelFilesError, VectorError
from server.embedding.folder import Pooling, SentenceModel
from server.embedding.local_embedder import LocalEmbedder
from server.embedding.tokens import Int32Matrix, Int32Vector
from server.embedding.torch_embedder import check_device, pool_states
from server.embedding.weights import hash_weights

if TYPE_CHECKING:
    import torch

VARIANT: Final = "transformers-fp32"


class TransformersForward:
    """`ForwardPass` over whatever `AutoModel` makes of a folder."""

    def __init__(self, network: Any, pooling: Pooling, device: torch.device) -> None:
        self._network = network
        self._pooling = pooling
        self._device = device

    def __call__(self, ids: Int32Matrix, lengths: Int32Vector) -> npt.NDArray[np.float32]:
        """Return pooled rows. Raises `VectorError` if the network fails."""
        import torch

        try:
            with torch.inference_mode():
                placed = torch.from_numpy(ids).to(self._device, torch.int64)
                counts = torch.from_numpy(lengths).to(self._device, torch.int64)
                mask = torch.arange(placed.shape[1], device=self._device)[None, :] < counts[:, None]
                states = self._network(input_ids=placed, attention_mask=mask.to(torch.int64)).last_hidden_state
                rows: npt.NDArray[np.float32] = pool_states(states, counts, self._pooling).cpu().numpy()
        except (RuntimeError, IndexError) as error:
            raise VectorError(f"transformers could not run the embedding model: {error}") from error
        return rows


def load_transformers_embedder(model: SentenceModel, *, device: str = "cpu") -> LocalEmbedder:
    """Load *model* of any encoder family that transformers knows by itself onto *device* (`cpu` or `cuda`).

    Raises `ModelFilesError` for a family it does not know, and for folders it cannot load.
    """
    import torch
    from transformers import AutoModel

    check_device(device)
    place = torch.device(device)
    sha256 = hash_weights(model.weight_files)
    try:
        network = AutoModel.from_pretrained(
            str(model.folder),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelFilesError(f"transformers cannot load the model in {model.folder}: {error}") from error
    network = network.eval().to(place)
    return LocalEmbedder(
        model,
        TransformersForward(network, model.pooling, place),
        weights_sha256=sha256,
        dimension=int(network.config.hidden_size),
        variant=VARIANT,
    )
