"""Every embedder keeps the port's promises, and the three that compute here agree with each other."""

import dataclasses
import json
import re

import httpx2
import numpy as np
import pytest

from server.embedding.errors import EmbeddingError
from server.embedding.folder import read_folder
from server.embedding.onnx_embedder import load_onnx_embedder
from server.embedding.remote import Service, load_remote_embedder
from server.embedding.select import load_default_embedder
from server.embedding.torch_embedder import load_torch_embedder
from server.embedding.transformers_embedder import load_transformers_embedder
from server.embedding.weights import find_default_folder
from tests.unit.server.embedding.tiny_bert import write_tiny_bert

TEXTS = (
    "green",
    "red boat",
    "the red boat sails farther than the blue one",
    "Zürich 東京 🚢 — naïve café",
    "",
    " \t\n",
    "0" * 300,
    "boat " * 400,
)

#: The first components of "red boat" and "green" as sentence-transformers 6.2.0 gives them.
KNOWN = [[-0.0423771, -0.0011040, -0.0762266, 0.0566552], [-0.0377239, 0.0668767, -0.0318775, -0.0266362]]


def remote(model):
    inner = load_onnx_embedder(model)

    def answer(request):
        rows = inner.embed(json.loads(request.content)["input"])
        data = [{"index": index, "embedding": row.tolist()} for index, row in enumerate(rows)]
        return httpx2.Response(200, json={"data": data, "model": "m"})

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return load_remote_embedder(client, Service("https://vectors.example/v1/embeddings", "m"))


ADAPTERS = {
    "onnx": load_onnx_embedder,
    "torch": load_torch_embedder,
    "transformers": load_transformers_embedder,
    "remote": remote,
}


@pytest.fixture(scope="module")
def default_model():
    return read_folder(find_default_folder())


@pytest.fixture(scope="module", params=ADAPTERS)
def embedder(request, default_model):
    return ADAPTERS[request.param](default_model)


def test_rows_are_float32_of_length_one_and_the_stated_shape(embedder):
    rows = embedder.embed(TEXTS)
    assert rows.dtype == np.float32
    assert rows.shape == (len(TEXTS), embedder.dimension)
    np.testing.assert_allclose(np.linalg.norm(rows.astype(np.float64), axis=1), 1, atol=1e-6)


def test_a_text_has_the_same_vector_alone_and_in_any_company(embedder):
    together = embedder.embed(TEXTS)
    backwards = embedder.embed(TEXTS[::-1])[::-1]
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    np.testing.assert_allclose(together, backwards, atol=2e-6)


def test_repeating_a_call_repeats_its_bytes(embedder):
    assert embedder.embed(TEXTS).tobytes() == embedder.embed(TEXTS).tobytes()


def test_no_texts_give_no_rows(embedder):
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_a_lone_surrogate_is_an_embedding_error(embedder):
    with pytest.raises(EmbeddingError, match="surrogate"):
        embedder.embed(["fine", "\ud83d"])


def test_near_meanings_are_nearer_than_far_ones(embedder):
    cat, kitten, tax = embedder.embed(["a cat sleeps", "a kitten is asleep", "file the tax return by may"])
    assert cat @ kitten > cat @ tax + 0.2


def test_the_digest_is_a_lower_case_sha256_and_repeats(embedder):
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", embedder.digest)
    assert embedder.digest == embedder.digest


def test_short_texts_are_covered(embedder):
    assert embedder.covers("red boat")


def test_each_arithmetic_has_its_own_digest(default_model):
    assert len({make(default_model).digest for make in ADAPTERS.values()}) == len(ADAPTERS)


@pytest.mark.parametrize("twin", [load_torch_embedder, load_transformers_embedder])
def test_the_default_vectors_equal_an_independent_implementations(default_model, twin):
    ours = load_onnx_embedder(default_model).embed(TEXTS)
    assert np.abs(ours - twin(default_model).embed(TEXTS)).max() <= 1e-5


@pytest.mark.parametrize("twin", [load_torch_embedder, load_transformers_embedder])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_models_of_either_pooling_give_equal_vectors(tmp_path, twin, pooling, seed):
    model = read_folder(write_tiny_bert(tmp_path / "model", pooling=pooling, seed=seed))
    ours = load_onnx_embedder(model).embed(TEXTS)
    assert np.abs(ours - twin(model).embed(TEXTS)).max() <= 1e-5


def test_the_default_embedder_is_the_one_this_release_was_made_with():
    embedder = load_default_embedder(device="cpu")
    assert embedder.dimension == 384
    assert embedder.digest == "sha256:7f10f468731a86a66d8754a7d33854484d42500c716cca9ddccc6258e1243398"


def test_known_vectors_of_the_default_model_have_not_moved():
    rows = load_default_embedder(device="cpu").embed(["red boat", "green"])
    np.testing.assert_allclose(rows[:, :4], KNOWN, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"pooling": "cls"},
        {"tokens_max": 9},
        {"lowercases": True},
        {"prompt": "red"},
        {"config_sha256": b"\0" * 32},
    ],
)
def test_all_that_decides_a_vector_is_in_the_digest(tmp_path, change):
    model = read_folder(write_tiny_bert(tmp_path / "model"))
    assert load_onnx_embedder(dataclasses.replace(model, **change)).digest != load_onnx_embedder(model).digest


def test_other_weights_and_another_tokenizer_are_in_the_digest(tmp_path):
    model = read_folder(write_tiny_bert(tmp_path / "model"))
    other_weights = read_folder(write_tiny_bert(tmp_path / "other", seed=1))
    other_tokenizer = dataclasses.replace(model, tokenizer_json=model.tokenizer_json + b"\n")
    digests = {load_onnx_embedder(each).digest for each in (model, other_weights, other_tokenizer)}
    assert len(digests) == 3


@pytest.mark.gpu
@pytest.mark.parametrize("load", [load_torch_embedder, load_transformers_embedder])
def test_the_gpu_gives_the_vectors_of_the_cpu(default_model, load):
    on_gpu = load(default_model, device="cuda")
    assert np.abs(on_gpu.embed(TEXTS) - load_onnx_embedder(default_model).embed(TEXTS)).max() <= 1e-5
    assert on_gpu.digest == load(default_model, device="cpu").digest
