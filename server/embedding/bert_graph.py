"""A BERT encoder as an ONNX graph, built straight from its configuration and tensors; no exporter and no torch.

Only standard operators (opset 20), chosen by measurement (docs/reference/embedder.md): states are kept as a matrix of
(rows x width, hidden), so that every dense layer is one `Gemm` with its bias; ONNX Runtime's fused Attention and
SkipLayerNormalization were slower on CPUs than the plain operators. Inputs, `rows` texts of `width` tokens each:

    ids   int32    (rows, width)
    mask  float32  (rows, 1, 1, width)   added to attention scores: 0, or `MASKED` at padding
    pool  float32  (rows, 1, width)      each token's weight in its row's vector: mean and cls pooling are one graph

Output: `pooled` float32 (rows, hidden). Source: Devlin et al. 2019; tensor names as in Hugging Face's BertModel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from server.embedding.errors import ModelFilesError
from server.embedding.folder import SentenceModel
from server.embedding.weights import Tensors

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

Array = npt.NDArray[Any]

#: The one initializer that is not in the graph's bytes: it is only looked up in, so it need not be copied.
WORD_TABLE: Final = "word_table"
#: Far below any score, so that its share after the softmax is exactly zero in single precision.
MASKED: Final = -1e9
_LAYERS_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class BertShape:
    """The numbers that make a BERT encoder; *norm_epsilon* is added to the variance in every layer normalisation."""

    hidden: int
    heads: int
    layers: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    norm_epsilon: float


def is_bert(model: SentenceModel) -> bool:
    """Whether *model* is of the family and the activation that this graph and the torch twin compute."""
    absolute = model.config.get("position_embedding_type", "absolute") == "absolute"
    return model.family == "bert" and model.config.get("hidden_act") == "gelu" and absolute


def read_shape(model: SentenceModel) -> BertShape:
    """Read the shape from config.json. Raises `ModelFilesError` that names the missing or impossible number."""
    shape = BertShape(
        hidden=_count(model, "hidden_size"),
        heads=_count(model, "num_attention_heads"),
        layers=_count(model, "num_hidden_layers"),
        inner=_count(model, "intermediate_size"),
        vocabulary=_count(model, "vocab_size"),
        positions=_count(model, "max_position_embeddings"),
        types=_count(model, "type_vocab_size"),
        norm_epsilon=_epsilon(model, "layer_norm_eps"),
    )
    if shape.hidden % shape.heads or shape.layers > _LAYERS_MAX:
        raise ModelFilesError(
            f"{model.folder / 'config.json'}: hidden_size {shape.hidden} must be a multiple of num_attention_heads "
            f"{shape.heads}, and num_hidden_layers at most {_LAYERS_MAX}"
        )
    return shape


class BertTensors:
    """Tensors by their BertModel names, whatever prefix the file gives them, each checked against its shape."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._prefix = "bert." if any(name.startswith("bert.embeddings.") for name in tensors) else ""

    def get(self, name: str, *shape: int) -> npt.NDArray[np.float32]:
        """Return the tensor *name* of exactly *shape*. Raises `ModelFilesError`."""
        tensor = self._tensors.get(self._prefix + name)
        if tensor is None:
            raise ModelFilesError(
                f"the weights hold no tensor {self._prefix + name}; the file does not fit its config.json"
            )
        if tensor.shape != shape:
            raise ModelFilesError(f"the tensor {name} has shape {tensor.shape}, config.json says {shape}")
        return tensor


def build_graph(shape: BertShape, weights: Tensors) -> tuple[ModelProto, npt.NDArray[np.float32]]:
    """Return the model and its word table, to be given to the session as the initializer `WORD_TABLE`.

    Raises `ModelFilesError` for a tensor that is missing or has another shape than *shape* says.
    """
    from onnx import TensorProto, helper

    tensors = BertTensors(weights)
    graph = _Graph()
    word_table = tensors.get("embeddings.word_embeddings.weight", shape.vocabulary, shape.hidden)
    graph.keep_outside(WORD_TABLE, word_table)
    state = _add_embeddings(graph, shape, tensors)
    for layer in range(shape.layers):
        state = _add_layer(graph, shape, tensors, f"encoder.layer.{layer}", state)
    unfolded = graph.add("Reshape", [state, "state_shape"], "unfolded")
    summed = graph.add("MatMul", ["pool", unfolded], "summed")
    graph.add("Squeeze", [summed, "one"], "pooled")
    made = helper.make_graph(
        graph.nodes,
        "bert",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT32, ["rows", "width"]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["rows", 1, 1, "width"]),
            helper.make_tensor_value_info("pool", TensorProto.FLOAT, ["rows", 1, "width"]),
        ],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["rows", shape.hidden])],
        graph.initializers,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), word_table


def _add_embeddings(graph: _Graph, shape: BertShape, tensors: BertTensors) -> str:
    for name, value in (("zero", 0), ("one", 1), ("two", 2), ("hidden", shape.hidden)):
        graph.constant(name, np.array([value], dtype=np.int64))
    graph.constant("folded_shape", np.array([-1, shape.hidden], dtype=np.int64))
    graph.constant("head_shape", np.array([shape.heads, shape.hidden // shape.heads], dtype=np.int64))
    graph.add("Shape", ["ids"], "ids_shape")
    graph.add("Concat", ["ids_shape", "hidden"], "state_shape", axis=0)
    graph.add("Concat", ["ids_shape", "head_shape"], "split_shape", axis=0)
    # Every token of a single text has type 0, so its vector joins the positions' and one addition per token is saved.
    types = tensors.get("embeddings.token_type_embeddings.weight", shape.types, shape.hidden)
    positions = tensors.get("embeddings.position_embeddings.weight", shape.positions, shape.hidden) + types[0]
    words = graph.add("Gather", [WORD_TABLE, "ids"], "words", axis=0)
    width = graph.add("Slice", ["ids_shape", "one", "two"], "width")
    places = graph.add("Slice", [graph.constant("positions", positions), "zero", width, "zero"], "places")
    placed = graph.add("Add", [words, places], "placed_words")
    folded = graph.add("Reshape", [placed, "folded_shape"], "folded_words")
    return _add_norm(graph, shape, tensors, "embeddings.LayerNorm", folded)


def _add_layer(graph: _Graph, shape: BertShape, tensors: BertTensors, name: str, state: str) -> str:
    hidden, inner = shape.hidden, shape.inner
    attended = _add_attention(graph, shape, tensors, f"{name}.attention.self", state)
    mixed = _add_dense(graph, tensors, f"{name}.attention.output.dense", attended, (hidden, hidden))
    summed = graph.add("Add", [mixed, state], f"{name}.attention.sum")
    middle = _add_norm(graph, shape, tensors, f"{name}.attention.output.LayerNorm", summed)
    widened = _add_dense(graph, tensors, f"{name}.intermediate.dense", middle, (inner, hidden))
    bent = graph.add("Gelu", [widened], f"{name}.gelu")
    narrowed = _add_dense(graph, tensors, f"{name}.output.dense", bent, (hidden, inner))
    summed = graph.add("Add", [narrowed, middle], f"{name}.sum")
    return _add_norm(graph, shape, tensors, f"{name}.output.LayerNorm", summed)


def _add_attention(graph: _Graph, shape: BertShape, tensors: BertTensors, name: str, state: str) -> str:
    # Scores are divided by the root of the head's width; doing that to the weights once leaves nothing to do per text.
    scales = {"query": (shape.hidden // shape.heads) ** -0.5, "key": 1.0, "value": 1.0}
    order = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}
    heads = {}
    for part, scale in scales.items():
        dense = _add_dense(graph, tensors, f"{name}.{part}", state, (shape.hidden, shape.hidden), scale=scale)
        split = graph.add("Reshape", [dense, "split_shape"], f"{name}.{part}.split")
        heads[part] = graph.add("Transpose", [split], f"{name}.{part}.heads", perm=order[part])
    scores = graph.add("MatMul", [heads["query"], heads["key"]], f"{name}.scores")
    masked = graph.add("Add", [scores, "mask"], f"{name}.masked")
    shares = graph.add("Softmax", [masked], f"{name}.shares", axis=-1)
    context = graph.add("MatMul", [shares, heads["value"]], f"{name}.context")
    joined = graph.add("Transpose", [context], f"{name}.joined", perm=[0, 2, 1, 3])
    return graph.add("Reshape", [joined, "folded_shape"], f"{name}.folded")


def _add_dense(
    graph: _Graph, tensors: BertTensors, name: str, source: str, size: tuple[int, int], *, scale: float = 1.0
) -> str:
    """Multiply by the transposed weight of shape *size* and add the bias, both times *scale*."""
    factor = np.float32(scale)
    weight = graph.constant(f"{name}.weight", tensors.get(f"{name}.weight", *size).T * factor)
    bias = graph.constant(f"{name}.bias", tensors.get(f"{name}.bias", size[0]) * factor)
    return graph.add("Gemm", [source, weight, bias], name)


def _add_norm(graph: _Graph, shape: BertShape, tensors: BertTensors, name: str, source: str) -> str:
    inputs = [source]
    inputs += [
        graph.constant(f"{name}.{part}", tensors.get(f"{name}.{part}", shape.hidden)) for part in ("weight", "bias")
    ]
    return graph.add("LayerNormalization", inputs, name, axis=-1, epsilon=shape.norm_epsilon)


class _Graph:
    """Nodes and initializers in the making."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def add(self, operator: str, inputs: list[str], output: str, **attributes: float | list[int]) -> str:
        """Append a node and return the name of its output."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: Array) -> str:
        """Put *value* into the graph's own bytes and return *name*."""
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def keep_outside(self, name: str, value: npt.NDArray[np.float32]) -> None:
        """Declare *value* without its bytes: the session gets them by reference."""
        from onnx import TensorProto

        declared = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=value.shape)
        declared.data_location = TensorProto.EXTERNAL
        for key, text in (("location", "given-to-the-session"), ("offset", "0"), ("length", str(value.nbytes))):
            entry = declared.external_data.add()
            entry.key, entry.value = key, text
        self.initializers.append(declared)


def _count(model: SentenceModel, name: str) -> int:
    value = model.config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelFilesError(f"{model.folder / 'config.json'}: {name} is {value!r}, not a whole number above zero")
    return value


def _epsilon(model: SentenceModel, name: str) -> float:
    value = model.config.get(name)
    if not isinstance(value, float) or not 0 < value < 1:
        raise ModelFilesError(f"{model.folder / 'config.json'}: {name} is {value!r}, not a number between 0 and 1")
    return value
