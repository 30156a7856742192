"""A BERT encoder as an ONNX graph, built straight from its configuration and tensors.

No exporter and no torch: each layer is six nodes, four of them operators that ONNX Runtime fuses by hand for CPUs
(`com.microsoft`: Attention, SkipLayerNormalization, BiasGelu, EmbedLayerNormalization). Inputs: `ids` int32
(rows, width), `lengths` int32 (rows,), `pool` float32 (rows, 1, width), the weight of each token in its row's vector,
so that mean and cls pooling are one graph. Output: `pooled` float32 (rows, hidden).

Source: Devlin et al. 2019; tensor names as in Hugging Face's BertModel.
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
_FUSED: Final = "com.microsoft"
_STANDARD: Final = ("MatMul", "Squeeze")
_LAYERS_MAX: Final = 128
_PROJECTIONS: Final = ("query", "key", "value")


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
    """Return the model and its word table, to be given to the session as the initializer `WORD_TABLE`."""
    from onnx import TensorProto, helper

    tensors = BertTensors(weights)
    graph = _Graph()
    word_table = tensors.get("embeddings.word_embeddings.weight", shape.vocabulary, shape.hidden)
    graph.keep_outside(WORD_TABLE, word_table)
    state = _add_embeddings(graph, shape, tensors)
    for layer in range(shape.layers):
        state = _add_layer(graph, shape, tensors, layer, state)
    summed = graph.add("MatMul", ["pool", state], "summed")
    graph.add("Squeeze", [summed, graph.constant("pooled_axis", np.array([1], np.int64))], "pooled")
    made = helper.make_graph(
        graph.nodes,
        "bert",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT32, ["rows", "width"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, ["rows"]),
            helper.make_tensor_value_info("pool", TensorProto.FLOAT, ["rows", 1, "width"]),
        ],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["rows", shape.hidden])],
        graph.initializers,
    )
    operators = [helper.make_opsetid("", 18), helper.make_opsetid(_FUSED, 1)]
    return helper.make_model(made, opset_imports=operators, ir_version=9), word_table


def _add_embeddings(graph: _Graph, shape: BertShape, tensors: BertTensors) -> str:
    # Every token of a single text has type 0, so its vector joins the positions' and one addition per token is saved.
    types = tensors.get("embeddings.token_type_embeddings.weight", shape.types, shape.hidden)
    positions = tensors.get("embeddings.position_embeddings.weight", shape.positions, shape.hidden) + types[0]
    inputs = ["ids", "", WORD_TABLE, graph.constant("positions", positions), ""]
    inputs += _norm(graph, tensors, "embeddings.LayerNorm", shape)
    # Its second output would describe a mask; nothing reads it, but the operator declares it.
    return graph.add("EmbedLayerNormalization", inputs, "state_0", "unused_mask", epsilon=shape.norm_epsilon)


def _add_layer(graph: _Graph, shape: BertShape, tensors: BertTensors, layer: int, state: str) -> str:
    prefix = f"encoder.layer.{layer}."
    own = "attention.self."
    hidden, inner = shape.hidden, shape.inner
    stacked = np.concatenate([tensors.get(f"{prefix}{own}{each}.weight", hidden, hidden) for each in _PROJECTIONS])
    biases = np.concatenate([tensors.get(f"{prefix}{own}{each}.bias", hidden) for each in _PROJECTIONS])
    attended = graph.add(
        "Attention",
        [state, graph.constant(f"{prefix}qkv", stacked.T), graph.constant(f"{prefix}qkv_bias", biases), "lengths"],
        f"{prefix}attended",
        num_heads=shape.heads,
    )
    mixed = _add_residual(graph, shape, tensors, f"{prefix}attention.output", attended, hidden, state)
    weight = tensors.get(f"{prefix}intermediate.dense.weight", inner, hidden)
    bias = tensors.get(f"{prefix}intermediate.dense.bias", inner)
    widened = graph.add("MatMul", [mixed, graph.constant(f"{prefix}widen", weight.T)], f"{prefix}widened")
    bent = graph.add("BiasGelu", [widened, graph.constant(f"{prefix}widen_bias", bias)], f"{prefix}bent")
    return _add_residual(graph, shape, tensors, f"{prefix}output", bent, inner, mixed)


def _add_residual(
    graph: _Graph, shape: BertShape, tensors: BertTensors, name: str, source: str, width: int, skipped: str
) -> str:
    """Dense layer, its bias, the sum with what was skipped, and the normalisation: two nodes."""
    weight = tensors.get(f"{name}.dense.weight", shape.hidden, width)
    bias = tensors.get(f"{name}.dense.bias", shape.hidden)
    dense = graph.add("MatMul", [source, graph.constant(f"{name}.weight", weight.T)], f"{name}.dense")
    inputs = [dense, skipped, *_norm(graph, tensors, f"{name}.LayerNorm", shape), graph.constant(f"{name}.bias", bias)]
    return graph.add("SkipLayerNormalization", inputs, f"{name}.state", epsilon=shape.norm_epsilon)


def _norm(graph: _Graph, tensors: BertTensors, name: str, shape: BertShape) -> list[str]:
    return [
        graph.constant(f"{name}.{part}", tensors.get(f"{name}.{part}", shape.hidden)) for part in ("weight", "bias")
    ]


class _Graph:
    """Nodes and initializers in the making."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def add(self, operator: str, inputs: list[str], *outputs: str, **attributes: float) -> str:
        """Append a node and return the name of its first output."""
        from onnx import helper

        domain = "" if operator in _STANDARD else _FUSED
        self.nodes.append(helper.make_node(operator, inputs, list(outputs), domain=domain, **attributes))
        return outputs[0]

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
