import json

import numpy as np
import pytest

from server.embedding.errors import ModelFilesError, VectorError
from server.embedding.folder import read_folder
from server.embedding.onnx_embedder import load_onnx_embedder, mask_scores, pool_weights
from tests.unit.server.embedding.tiny_bert import tiny_config, tiny_tensors, write_json, write_tiny_bert


def test_each_counted_token_weighs_the_same_and_padding_nothing():
    counted = np.array([[True, True, False], [True, False, False]])
    np.testing.assert_allclose(pool_weights("mean", counted)[:, 0], [[0.5, 0.5, 0], [1, 0, 0]])


def test_only_the_first_token_weighs_under_cls_pooling():
    counted = np.array([[True, True, True], [True, False, False]])
    np.testing.assert_array_equal(pool_weights("cls", counted)[:, 0], [[1, 0, 0], [1, 0, 0]])


def test_padding_loses_all_attention():
    scores = np.array([30.0, -30.0], np.float32) + mask_scores(np.array([[True, False]]))[0, 0, 0]
    assert np.exp(scores - scores.max())[1] == 0


def test_a_prefix_in_the_tensor_names_changes_no_vector(tmp_path):
    plain = load_onnx_embedder(read_folder(write_tiny_bert(tmp_path / "plain")))
    prefixed = load_onnx_embedder(read_folder(write_tiny_bert(tmp_path / "prefixed", prefix="bert.")))
    np.testing.assert_array_equal(plain.embed(["red boat"]), prefixed.embed(["red boat"]))


def test_another_family_is_refused(tmp_path):
    folder = write_tiny_bert(tmp_path / "model")
    write_json(folder / "config.json", {**tiny_config(), "model_type": "distilbert"})
    with pytest.raises(ModelFilesError, match="'distilbert' has no ONNX graph"):
        load_onnx_embedder(read_folder(folder))


def test_weights_that_overflow_give_an_error_and_no_vector(tmp_path):
    from safetensors.numpy import save_file

    folder = write_tiny_bert(tmp_path / "model")
    tensors = tiny_tensors(0)
    tensors["encoder.layer.1.output.LayerNorm.bias"][:] = np.nan
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(VectorError, match="NaN"):
        load_onnx_embedder(read_folder(folder)).embed(["red boat"])


def test_token_ids_outside_the_table_give_an_error_and_no_vector(tmp_path):
    folder = write_tiny_bert(tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["boat"] = 700
    write_json(folder / "tokenizer.json", tokenizer)
    with pytest.raises(VectorError, match="ONNX Runtime could not run"):
        load_onnx_embedder(read_folder(folder)).embed(["red boat"])
