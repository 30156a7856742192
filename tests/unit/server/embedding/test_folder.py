import json

import pytest

from server.embedding.errors import ModelFilesError
from server.embedding.folder import read_folder
from tests.unit.server.embedding.tiny_bert import tiny_config, write_json, write_tiny_bert


@pytest.fixture
def folder(tmp_path):
    return write_tiny_bert(tmp_path / "model")


def test_a_folder_is_read_as_its_files_describe_it(folder):
    model = read_folder(folder)
    assert (model.family, model.pooling, model.tokens_max, model.pad_id) == ("bert", "mean", 10, 0)
    assert (model.lowercases, model.prompt) == (False, "")
    assert [file.name for file in model.weight_files] == ["model.safetensors"]


@pytest.mark.parametrize(
    "written", [{"pooling_mode": "cls"}, {"pooling_mode": ["cls"]}, {"pooling_mode_cls_token": True}]
)
def test_both_spellings_of_the_pooling_are_understood(folder, written):
    write_json(folder / "1_Pooling" / "config.json", written)
    assert read_folder(folder).pooling == "cls"


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"pooling_mode": "max"},
        {"pooling_mode": ["mean", "cls"]},
        {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
    ],
)
def test_a_pooling_that_is_not_computed_is_refused_by_name(folder, written):
    write_json(folder / "1_Pooling" / "config.json", written)
    with pytest.raises(ModelFilesError, match=r"pooling .* only mean or cls"):
        read_folder(folder)


def test_a_step_that_is_not_computed_is_refused_by_name(folder):
    modules = json.loads((folder / "modules.json").read_text())
    write_json(folder / "modules.json", [*modules, {"path": "3_Dense", "type": "sentence_transformers.models.Dense"}])
    with pytest.raises(ModelFilesError, match="'dense'"):
        read_folder(folder)


def test_a_step_outside_the_folder_is_refused(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = "../elsewhere"
    write_json(folder / "modules.json", modules)
    with pytest.raises(ModelFilesError, match="outside its own folder"):
        read_folder(folder)


@pytest.mark.parametrize("name", ["modules.json", "config.json", "tokenizer.json", "1_Pooling/config.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelFilesError, match=name):
        read_folder(folder)


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, "\udcff"])
def test_a_file_that_is_not_an_object_is_named(folder, content):
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelFilesError, match=r"config\.json is not"):
        read_folder(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelFilesError, match="nowhere"):
        read_folder(tmp_path / "nowhere")


def test_pickled_weights_are_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelFilesError, match="safe_serialization"):
        read_folder(folder)


def test_the_tokenizers_own_limit_counts_where_the_model_states_none(folder):
    (folder / "sentence_bert_config.json").unlink()
    write_json(folder / "tokenizer_config.json", {"model_max_length": 7})
    assert read_folder(folder).tokens_max == 7


def test_no_limit_at_all_is_refused(folder):
    (folder / "sentence_bert_config.json").unlink()
    write_json(folder / "tokenizer_config.json", {"model_max_length": 10**30})
    with pytest.raises(ModelFilesError, match="max_seq_length"):
        read_folder(folder)


def test_a_limit_beyond_the_models_positions_is_refused(folder):
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 13})
    with pytest.raises(ModelFilesError, match=r"13 tokens but its config\.json has 12 positions"):
        read_folder(folder)


def test_a_default_prompt_is_read_and_an_unknown_one_refused(folder):
    file = folder / "config_sentence_transformers.json"
    write_json(file, {"prompts": {"query": "ask: "}, "default_prompt_name": "query"})
    assert read_folder(folder).prompt == "ask: "
    write_json(file, {"prompts": {"query": "ask: "}, "default_prompt_name": "other"})
    with pytest.raises(ModelFilesError, match="default prompt 'other'"):
        read_folder(folder)


@pytest.mark.parametrize("value", [-1, "0", True, None])
def test_a_padding_token_that_is_no_number_is_refused(folder, value):
    write_json(folder / "config.json", {**tiny_config(), "pad_token_id": value})
    with pytest.raises(ModelFilesError, match="pad_token_id"):
        read_folder(folder)
