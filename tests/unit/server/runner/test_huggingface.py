"""A tiny model with random weights, made here, loaded from its folder like any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crypto.canonical import canonical_json, parse_canonical_json
from crypto.closed import read_free
from crypto.manifest import model_version, openssf_digest, validate_manifest
from server.runner.engine import Engine, Generated, GenerationRequest, Piece, Turn
from server.runner.errors import ModelFolderError, RequestInvalid, RequestTooLong
from server.runner.huggingface import load_huggingface_engine
from tests.runner_fakes import FakeRandom

WINDOW = 96


def build_model(folder: Path, *, safe: bool = True, template: str | None = None, seed: int = 7) -> Path:
    """Write a two-layer GPT-2 over bytes with random weights drawn from *seed* to *folder*."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir(exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<end>": 0} | {letter: place for place, letter in enumerate(alphabet, start=1)}
    words = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=len(vocabulary), n_positions=WINDOW, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config)
    if safe:
        model.save_pretrained(folder)
    else:
        config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("models") / "tiny")


def load(folder: Path) -> Engine:
    return load_huggingface_engine(folder, device="cpu", name="tiny", random_source=FakeRandom())


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return load(folder)


def asking(text: str = "hello", **fields: Any) -> GenerationRequest:
    defaults: dict[str, Any] = {"tokens_max": 12, "temperature": None, "top_p": None, "seed": None, "stop": ()}
    return GenerationRequest((Turn("user", text),), **defaults | fields)


def run(engine: Engine, request: GenerationRequest) -> tuple[list[Piece], Generated]:
    *pieces, last = engine.generate(request)
    assert isinstance(last, Generated)
    assert all(isinstance(piece, Piece) for piece in pieces)
    return [piece for piece in pieces if isinstance(piece, Piece)], last


def test_greedy_tokens_are_those_that_transformers_generates(engine: Engine, folder: Path) -> None:
    import torch
    import transformers

    _, generated = run(engine, asking(tokens_max=30))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    expected = model.generate(
        torch.tensor([generated.prompt_token_ids]), max_new_tokens=30, do_sample=False, pad_token_id=0
    )
    assert list(generated.prompt_token_ids + generated.output_token_ids) == expected[0].tolist()


def test_the_pieces_make_up_the_answer_token_by_token(engine: Engine) -> None:
    pieces, generated = run(engine, asking(temperature=Decimal("1.5"), seed=1, tokens_max=40))
    assert tuple(piece.token_id for piece in pieces) == generated.output_token_ids
    assert "".join(piece.text for piece in pieces) == generated.text
    assert generated.finish_reason == "length"
    assert len(pieces) == 40


def test_a_seed_gives_the_same_answer_again_and_another_seed_another(engine: Engine) -> None:
    hot = {"temperature": Decimal(1), "tokens_max": 20}
    first, again, other = (run(engine, asking(**hot, seed=seed))[1] for seed in (5, 5, 6))
    assert first == again
    assert first.output_token_ids != other.output_token_ids


def test_the_parameters_say_exactly_what_was_used(engine: Engine) -> None:
    _, generated = run(engine, asking(temperature=Decimal("0.70"), top_p=Decimal("0.9"), seed=3, stop=("never",)))
    assert generated.parameters == {
        "tokens_max": 12,
        "temperature": "0.7",
        "top_p": "0.9",
        "seed": 3,
        "stop": ["never", "\nUser:"],
        "sampler": "hitproof/float-sampler/v1",
    }


@pytest.mark.parametrize("fields", [{}, {"temperature": Decimal("0.7"), "top_p": Decimal("0.9")}])
def test_the_parameters_can_be_signed(engine: Engine, fields: Any) -> None:
    _, generated = run(engine, asking(tokens_max=2, **fields))
    read_free(generated.parameters, "the parameters")
    assert parse_canonical_json(canonical_json(generated.parameters)) == generated.parameters


def test_a_seed_that_was_drawn_is_stated_and_gives_the_answer_again(engine: Engine) -> None:
    _, drawn = run(engine, asking(temperature=Decimal(1)))
    seed = drawn.parameters["seed"]
    assert isinstance(seed, int)
    _, again = run(engine, asking(temperature=Decimal(1), seed=seed))
    assert again.output_token_ids == drawn.output_token_ids


def test_a_stop_text_ends_the_answer_before_it(engine: Engine) -> None:
    _, free = run(engine, asking(temperature=Decimal(1), seed=2, tokens_max=60))
    middle = next(letter for letter in free.text[3:] if letter.isascii() and letter not in free.text[:3])
    _, stopped = run(engine, asking(temperature=Decimal(1), seed=2, tokens_max=60, stop=(middle,)))
    assert stopped.finish_reason == "stop"
    assert stopped.text == free.text[: free.text.index(middle)]


def force(engine: Engine, tokens: Sequence[int]) -> Callable[[], None]:
    """Make the model say *tokens*, whatever it computes; returns what undoes it."""
    script = iter(tokens)

    def chosen(module: Any, arguments: Any, output: Any) -> Any:
        output.logits[0, -1] = 0
        output.logits[0, -1, next(script)] = 100
        return output

    handle = engine._model.register_forward_hook(chosen)  # type: ignore[attr-defined]
    undo: Callable[[], None] = handle.remove
    return undo


def ids(engine: Engine, text: str) -> list[int]:
    found: list[int] = engine._tokenizer(text)["input_ids"]  # type: ignore[attr-defined]
    return found


def test_the_end_token_ends_the_answer_and_has_no_text(engine: Engine) -> None:
    undo = force(engine, [*ids(engine, "dä"), 0, 5])
    try:
        pieces, generated = run(engine, asking())
    finally:
        undo()
    assert [piece.text for piece in pieces] == ["d", "", "ä", ""]
    assert (generated.text, generated.finish_reason) == ("dä", "stop")
    assert generated.output_token_ids[-1] == 0


def test_a_plain_answer_ends_where_the_user_would_speak_again(engine: Engine) -> None:
    undo = force(engine, ids(engine, "ok\nUser: more"))
    try:
        _, generated = run(engine, asking(tokens_max=30))
    finally:
        undo()
    assert (generated.text, generated.finish_reason) == ("ok", "stop")


def test_an_answer_fills_the_window_at_most(engine: Engine) -> None:
    _, generated = run(engine, asking("x" * 40, tokens_max=10_000))
    assert len(generated.prompt_token_ids) + len(generated.output_token_ids) <= WINDOW
    assert generated.parameters["tokens_max"] == WINDOW - len(generated.prompt_token_ids)


def test_a_prompt_longer_than_the_window_is_refused(engine: Engine) -> None:
    with pytest.raises(RequestTooLong) as caught:
        run(engine, asking("x" * WINDOW))
    assert caught.value.tokens_max == WINDOW


def test_the_plain_template_names_each_role(engine: Engine) -> None:
    turns = (Turn("system", "be kind"), Turn("user", "hi"), Turn("assistant", "hello"), Turn("user", "bye"))
    _, generated = run(engine, GenerationRequest(turns, 1, None, None, None, ()))
    text = "System: be kind\nUser: hi\nAssistant: hello\nUser: bye\nAssistant:"
    assert list(generated.prompt_token_ids) == ids(engine, text)


def test_the_manifest_binds_every_file(engine: Engine, folder: Path) -> None:
    validate_manifest(engine.manifest)
    names = [resource["name"] for resource in engine.manifest["resources"]]
    assert names == sorted(path.name for path in folder.iterdir())
    assert engine.manifest["chat_template"] == {"source": "hitproof/plain-template/v1", "sha256": None}
    assert engine.manifest["numerics"] is None
    assert engine.manifest["openssf_digest"] == openssf_digest(engine.manifest["resources"])


def test_the_same_files_give_the_same_version_and_other_weights_another(engine: Engine, tmp_path: Path) -> None:
    same, other = build_model(tmp_path / "same"), build_model(tmp_path / "other", seed=8)
    assert model_version(load(same).manifest) == model_version(engine.manifest)
    assert model_version(load(other).manifest) != model_version(engine.manifest)


TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
)


def test_a_models_own_template_is_used_and_its_refusals_are_the_callers(tmp_path: Path) -> None:
    engine = load(build_model(tmp_path / "chat", template=TEMPLATE))
    _, generated = run(engine, asking("hi"))
    assert list(generated.prompt_token_ids) == ids(engine, "[user]hi[assistant]")
    assert generated.parameters["stop"] == []
    assert engine.manifest["chat_template"]["source"] == "model"
    with pytest.raises(RequestInvalid, match="no system turns"):
        run(engine, GenerationRequest((Turn("system", "x"),), 1, None, None, None, ()))


def test_pickled_weights_are_never_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="safetensors"):
        load(build_model(tmp_path / "pickled", safe=False))


def test_pickled_weights_beside_another_file_in_safetensors_are_never_loaded(tmp_path: Path) -> None:
    folder = build_model(tmp_path / "pickled", safe=False)
    (folder / "other.safetensors").write_bytes(b"")
    with pytest.raises(ModelFolderError):
        load(folder)


def test_code_in_the_folder_is_never_run(tmp_path: Path) -> None:
    import json

    folder = build_model(tmp_path / "code")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Model", "AutoConfig": "own.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
    with pytest.raises(ModelFolderError):
        load(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = build_model(tmp_path / "damaged")
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(ModelFolderError):
        load(folder)


def test_weights_with_a_tensor_missing_are_refused_and_never_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = build_model(tmp_path / "missing")
    tensors = load_file(folder / "model.safetensors")
    removed = next(name for name in tensors if name.endswith("h.1.mlp.c_fc.weight"))
    del tensors[removed]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFolderError, match="lack 1 tensors"):
        load(folder)
