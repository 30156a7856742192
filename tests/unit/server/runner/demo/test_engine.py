from __future__ import annotations

import functools
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

import server.runner.demo
from crypto.canonical import canonical_json
from crypto.integer.errors import WeightsRefused
from crypto.integer.reference import ReferenceModel
from crypto.integer.shape import DEMO_SHAPE
from crypto.integer.tokenizer import END
from crypto.manifest import model_version, openssf_digest, validate_manifest
from server.runner.demo.engine import DemoEngine, load_demo_engine
from server.runner.demo.release import TOKENIZER_FILE, WEIGHTS_FILE
from server.runner.engine import Engine, Generated, GenerationRequest, Piece, Turn
from server.runner.errors import RequestInvalid
from tests.integer_models import demo_weights

FOLDER = Path(server.runner.demo.__file__).parent


@functools.cache
def engine() -> DemoEngine:
    return load_demo_engine()


def asked(
    *texts: str,
    tokens_max: int | None = None,
    temperature: str | None = None,
    top_p: str | None = None,
    seed: int | None = None,
    stop: tuple[str, ...] = (),
) -> GenerationRequest:
    roles = ("user", "assistant")
    return GenerationRequest(
        turns=tuple(Turn(roles[index % 2], text) for index, text in enumerate(texts)),
        tokens_max=tokens_max,
        temperature=None if temperature is None else Decimal(temperature),
        top_p=None if top_p is None else Decimal(top_p),
        seed=seed,
        stop=stop,
    )


def answered(request: GenerationRequest) -> tuple[list[Piece], Generated]:
    *pieces, last = engine().generate(request)
    assert isinstance(last, Generated)
    return [piece for piece in pieces if isinstance(piece, Piece)], last


UNSEEN = "Please describe the zorbulan flange 7c1e90d2"


def test_the_engine_fits_the_runners_seam() -> None:
    fitting: Engine = engine()
    assert fitting.name == "hitproof-demo"


def test_the_pieces_joined_are_the_answer() -> None:
    for text in (UNSEEN, "你好，世界 🙂", "Hello"):
        pieces, answer = answered(asked(text))
        assert "".join(piece.text for piece in pieces) == answer.text
        assert tuple(piece.token_id for piece in pieces) == answer.output_token_ids


def test_a_greedy_answer_is_the_one_that_the_definition_gives() -> None:
    _, answer = answered(asked(UNSEEN))
    reference = ReferenceModel.build(DEMO_SHAPE, demo_weights())
    assert list(answer.output_token_ids) == reference.generate(answer.prompt_token_ids, 96, END)


def test_an_unknown_prompt_is_answered_to_its_end() -> None:
    _, answer = answered(asked(UNSEEN))
    assert (answer.finish_reason, answer.output_token_ids[-1]) == ("stop", END)
    assert answer.text


def test_two_unknown_prompts_get_two_answers() -> None:
    assert answered(asked(UNSEEN))[1].text != answered(asked(UNSEEN.replace("90d2", "41ab")))[1].text


def test_earlier_turns_change_the_answer() -> None:
    first = answered(asked("My name is Rosa.", "Nice to meet you, Rosa.", "What is my name?"))[1].text
    second = answered(asked("My name is Karim.", "Nice to meet you, Karim.", "What is my name?"))[1].text
    assert first != second


def test_a_prompt_of_a_million_characters_is_answered() -> None:
    _, answer = answered(asked("so it goes " * 100_000))
    assert answer.parameters["prompt_truncated"] is True
    assert len(answer.prompt_token_ids) == DEMO_SHAPE.context - 96


def test_an_answer_cut_short_says_so_and_loses_nothing() -> None:
    pieces, answer = answered(asked(UNSEEN, tokens_max=3))
    assert (answer.finish_reason, len(pieces), answer.parameters["tokens_max"]) == ("length", 3, 3)
    assert answered(asked(UNSEEN))[1].text.startswith(answer.text)


def test_a_stop_string_ends_the_answer_before_it() -> None:
    whole = answered(asked(UNSEEN))[1].text
    stop = whole[6:9]
    pieces, answer = answered(asked(UNSEEN, stop=(stop,)))
    assert answer.text == whole[: whole.index(stop)] == "".join(piece.text for piece in pieces)
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("tokens_max", [None, 6])
def test_an_answer_that_ends_within_a_begun_stop_string_is_shown_whole(tokens_max: int | None) -> None:
    whole = answered(asked(UNSEEN, tokens_max=tokens_max))[1].text
    pieces, answer = answered(asked(UNSEEN, tokens_max=tokens_max, stop=(whole[-2:] + "\x7f",)))
    assert answer.text == whole == "".join(piece.text for piece in pieces)


def test_a_seeded_draw_is_repeated_and_another_seed_draws_otherwise() -> None:
    request = asked("Tell me something.", temperature="2", seed=7)
    first = answered(request)[1]
    assert answered(request)[1] == first
    others = {answered(asked("Tell me something.", temperature="2", seed=seed))[1].text for seed in range(8)}
    assert len(others) > 1


def test_the_parameters_name_the_seed_that_was_derived() -> None:
    derived = answered(asked(UNSEEN, temperature="1", top_p="0.9"))[1].parameters
    assert derived["seed"].startswith("derived:")
    assert (derived["temperature_sixteenths"], derived["top_p_1024ths"]) == (16, 922)
    assert answered(asked(UNSEEN, seed=5))[1].parameters["seed"] == "5"
    canonical_json(derived)  # no float among them


@pytest.mark.parametrize(
    "request_", [asked("x", temperature="3"), asked("x", top_p="2"), asked("x", tokens_max=0), asked("x", stop=("",))]
)
def test_a_setting_without_meaning_is_refused(request_: GenerationRequest) -> None:
    with pytest.raises(RequestInvalid) as refusal:
        next(iter(engine().generate(request_)))
    assert refusal.value.param is not None


def test_the_manifest_is_valid_and_says_what_the_model_is() -> None:
    manifest = engine().manifest
    validate_manifest(manifest)
    assert manifest["description"].startswith("Plumbing, not wisdom")
    assert manifest["numerics"]["kind"] == "hitproof-integer/v1"
    assert manifest["config"]["context"] == 512
    assert manifest["openssf_digest"] == openssf_digest(manifest["resources"])
    assert model_version(manifest) == model_version(load_demo_engine().manifest)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, TOKENIZER_FILE])
def test_one_changed_byte_in_a_model_file_is_refused(name: str, tmp_path: Path) -> None:
    for file in (WEIGHTS_FILE, TOKENIZER_FILE):
        shutil.copy(FOLDER / file, tmp_path / file)
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsRefused, match=name):
        load_demo_engine(tmp_path)


def test_the_released_files_stay_small() -> None:
    assert sum((FOLDER / file).stat().st_size for file in (WEIGHTS_FILE, TOKENIZER_FILE)) < 1_500_000
