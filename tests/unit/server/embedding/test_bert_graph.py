import dataclasses

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from server.embedding.bert_graph import WORD_TABLE, build_graph, is_bert, read_shape
from server.embedding.errors import ModelFilesError
from server.embedding.folder import read_folder
from server.embedding.onnx_embedder import mask_scores, pool_weights
from server.embedding.torch_embedder import TorchBert, TorchForward
from tests.unit.server.embedding.tiny_bert import tiny_tensors, write_tiny_bert


@pytest.fixture
def model(tmp_path):
    return read_folder(write_tiny_bert(tmp_path / "model"))


def test_the_graph_as_the_onnx_standard_reads_it_equals_the_torch_twin(model):
    shape, tensors = read_shape(model), tiny_tensors(0)
    graph, word_table = build_graph(shape, tensors)
    inside = next(each for each in graph.graph.initializer if each.name == WORD_TABLE)
    inside.CopyFrom(onnx.numpy_helper.from_array(word_table, WORD_TABLE))
    onnx.checker.check_model(graph, full_check=True)
    ids, lengths = np.array([[2, 4, 7, 8, 3], [2, 6, 3, 0, 0]], np.int32), np.array([5, 3], np.int32)
    counted = np.arange(5) < lengths[:, None]
    inputs = {"ids": ids, "mask": mask_scores(counted), "pool": pool_weights("mean", counted)}
    pooled = ReferenceEvaluator(graph).run(["pooled"], inputs)[0]
    expected = TorchForward(TorchBert(shape, tensors, device="cpu"), "mean")(ids, lengths)
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


def test_the_graph_holds_no_copy_of_the_word_table(model):
    graph, word_table = build_graph(read_shape(model), tiny_tensors(0))
    inside = next(each for each in graph.graph.initializer if each.name == WORD_TABLE)
    assert not inside.raw_data
    assert list(inside.dims) == list(word_table.shape)


def test_a_missing_tensor_is_named(model):
    tensors = tiny_tensors(0)
    del tensors["encoder.layer.1.output.dense.bias"]
    with pytest.raises(ModelFilesError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        build_graph(read_shape(model), tensors)


def test_a_tensor_of_another_shape_is_named(model):
    tensors = tiny_tensors(0)
    tensors["embeddings.LayerNorm.bias"] = np.zeros(9, np.float32)
    with pytest.raises(ModelFilesError, match=r"embeddings\.LayerNorm\.bias has shape \(9,\)"):
        build_graph(read_shape(model), tensors)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", 9),
        ("hidden_size", "8"),
        ("num_hidden_layers", 0),
        ("num_hidden_layers", 129),
        ("num_attention_heads", True),
        ("vocab_size", None),
        ("layer_norm_eps", "1e-12"),
        ("layer_norm_eps", -1.0),
    ],
)
def test_an_impossible_number_in_the_configuration_is_named(model, name, value):
    with pytest.raises(ModelFilesError, match=name):
        read_shape(dataclasses.replace(model, config={**model.config, name: value}))


@pytest.mark.parametrize(
    ("family", "change"),
    [("roberta", {}), ("bert", {"hidden_act": "relu"}), ("bert", {"position_embedding_type": "relative_key"})],
)
def test_other_families_and_activations_are_not_taken_for_bert(model, family, change):
    assert is_bert(model)
    assert not is_bert(dataclasses.replace(model, family=family, config={**model.config, **change}))
