from __future__ import annotations

import json
import shutil
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from crypto.errors import ReplayUnavailable
from crypto.replay.embedding import LOADER, FolderEmbedder
from crypto.similarity import quantise_reference
from server.embedding.folder import read_folder
from server.embedding.onnx_embedder import load_onnx_embedder
from server.embedding.weights import find_default_folder
from server.reuse.quantise import quantise
from tests.unit.server.embedding.tiny_bert import write_json, write_tiny_bert

ROOT = Path(__file__).parents[4]
SUBJECTS = ("penguins", "the harbour office", "a parcel", "Zürich", "order 48213", "東京", "my invoice", "a red boat")
ASKED = ("Where do {} spend the winter?", "How much does {} cost, in euros", "why is {} late", "{}", "Cancel {} now!")
OTHERS = (
    "",
    " \t\n",
    "0" * 300,
    "boat " * 400,
    "naïve café 🚢 — “quotes”",
    "UPPER lower",
    "a\nb",
    "?",
    "x" * 2000,
    "1k",
)
TEXTS = [form.format(subject) for subject in SUBJECTS for form in ASKED] + list(OTHERS)


@pytest.fixture(scope="module")
def auditors() -> FolderEmbedder:
    return LOADER.load(find_default_folder())


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_bert(tmp_path / "tiny")


def test_the_digests_are_those_of_the_gateways_embedders(auditors: FolderEmbedder) -> None:
    from server.embedding.torch_embedder import load_torch_embedder

    model = read_folder(find_default_folder())
    assert auditors.digests == (load_onnx_embedder(model).digest, load_torch_embedder(model).digest)


def test_every_component_of_fifty_texts_is_within_one_of_the_gateways(auditors: FolderEmbedder) -> None:
    assert len(TEXTS) == 50
    gateways = quantise(load_onnx_embedder(read_folder(find_default_folder())).embed(TEXTS)).tolist()
    equal = 0
    for text, theirs in zip(TEXTS, gateways, strict=True):
        ours = quantise_reference(auditors.embed(text))
        furthest = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        assert furthest <= 1, text
        equal += not furthest
    # So a proof whose query is closed lets guesses be tested (docs/proofs/applicability.md).
    assert equal > len(TEXTS) // 2


def test_another_text_is_further_than_one_away(auditors: FolderEmbedder) -> None:
    near = [quantise_reference(auditors.embed(text)) for text in ("Where do penguins live?", "Where do penguins eat?")]
    assert max(abs(a - b) for a, b in zip(*near, strict=True)) > 1


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_folder_of_ones_own_is_embedded_as_the_gateway_does(tmp_path: Path, pooling: str) -> None:
    folder = write_tiny_bert(tmp_path / pooling, pooling=pooling)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 6, "do_lower_case": True})
    prompts = {"default_prompt_name": "ask", "prompts": {"ask": "blue "}}
    write_json(folder / "config_sentence_transformers.json", prompts)
    ours, theirs = LOADER.load(folder), load_onnx_embedder(read_folder(folder))
    assert ours.digests[0] == theirs.digest
    for text in ("red boat", "Red BOAT sails far", "green green green green green green", ""):
        assert ours.embed(text) == pytest.approx(theirs.embed([text])[0].tolist(), abs=1e-5)


def test_weights_in_several_files_have_the_gateways_digest(tiny: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(tiny / "model.safetensors")
    (tiny / "model.safetensors").unlink()
    halves = {"a.safetensors": sorted(tensors)[::2], "b.safetensors": sorted(tensors)[1::2]}
    for file, names in halves.items():
        save_file({name: tensors[name] for name in names}, tiny / file, metadata={"format": "pt"})
    places = {name: file for file, names in halves.items() for name in names}
    write_json(tiny / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})
    ours, theirs = LOADER.load(tiny), load_onnx_embedder(read_folder(tiny))
    assert ours.digests[0] == theirs.digest
    assert ours.embed("red boat") == pytest.approx(theirs.embed(["red boat"])[0].tolist(), abs=1e-5)


def test_another_family_has_the_digest_of_its_own_arithmetic(tiny: Path) -> None:
    from server.embedding.transformers_embedder import load_transformers_embedder

    config = json.loads((tiny / "config.json").read_text())
    write_json(tiny / "config.json", config | {"hidden_act": "relu"})
    ours, theirs = LOADER.load(tiny), load_transformers_embedder(read_folder(tiny))
    assert ours.digests == (theirs.digest,)
    assert ours.embed("red boat") == pytest.approx(theirs.embed(["red boat"])[0].tolist(), abs=1e-5)


@pytest.mark.parametrize("changed", ["config.json", "tokenizer.json", "model.safetensors", "sentence_bert_config.json"])
def test_whatever_decides_a_vector_changes_the_digest(tiny: Path, changed: str) -> None:
    before = LOADER.load(tiny).digests[0]
    if changed == "model.safetensors":
        shutil.copy(write_tiny_bert(tiny.with_name("other"), seed=1) / changed, tiny / changed)
    elif changed == "sentence_bert_config.json":
        write_json(tiny / changed, {"max_seq_length": 9, "do_lower_case": False})
    else:
        (tiny / changed).write_bytes((tiny / changed).read_bytes() + b"\n")
    assert LOADER.load(tiny).digests[0] != before


@pytest.mark.parametrize(
    ("file", "content", "match"),
    [
        ("modules.json", None, "cannot be read"),
        ("modules.json", b"{}", "names no Transformer"),
        ("modules.json", b'[{"type": "x.Dense", "path": ""}]', "'dense' that is not computed"),
        ("modules.json", b'[{"type": "x.Transformer", "path": ".."}]', "outside its folder"),
        ("1_Pooling/config.json", b'{"pooling_mode": "max"}', "pooling 'max'"),
        ("config.json", b"[", "not JSON"),
        ("config.json", b"[]", "not a JSON object"),
        ("config.json", b'{"model_type": "nothing"}', "cannot load"),
        ("tokenizer.json", b"{}", "not a tokenizer"),
        ("sentence_bert_config.json", b"{}", "no usable token limit"),
        ("sentence_bert_config.json", b'{"max_seq_length": 99}', "99 tokens and its model has 12"),
        ("config_sentence_transformers.json", b'{"default_prompt_name": "ask"}', "prompt has no text"),
        ("model.safetensors", None, r"\*\.safetensors"),
        ("model.safetensors", b"\0" * 64, "cannot load"),
    ],
)
def test_a_folder_that_cannot_be_run_says_why(tiny: Path, file: str, content: bytes | None, match: str) -> None:
    if content is None:
        (tiny / file).unlink()
    else:
        (tiny / file).write_bytes(content)
    with pytest.raises(ReplayUnavailable, match=match):
        LOADER.load(tiny)


def test_weights_that_lack_a_tensor_are_not_filled_up_at_random(tiny: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(tiny / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.bias"]
    save_file(tensors, tiny / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ReplayUnavailable, match="lack 1 tensors"):
        LOADER.load(tiny)


@pytest.mark.parametrize("text", ["a\ud800", "x" * 131_073], ids=["lone surrogate", "too long"])
def test_a_text_without_a_vector_is_refused(tiny: Path, text: str) -> None:
    with pytest.raises(ReplayUnavailable, match="131072 characters"):
        LOADER.load(tiny).embed(text)


@pytest.mark.parametrize(
    ("project", "package"), [("pyproject.toml", "crypto"), ("crypto/pyproject.toml", "hitproof_verify")]
)
def test_both_distributions_register_the_loader(project: str, package: str) -> None:
    registered = tomllib.loads((ROOT / project).read_text(encoding="utf-8"))["project"]["entry-points"]
    value = registered["hitproof.embedders"]["transformers"]
    assert value == f"{package}.replay.embedding:LOADER"
    assert EntryPoint("transformers", value.replace(package, "crypto", 1), "hitproof.embedders").load() is LOADER
