from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from crypto.errors import VerificationError
from crypto.replay.integer import VERIFIER, IntegerVerifier
from server.runner.engine import Engine
from tests.replay_models import Answered, answer, demo_engine, demo_folder


@pytest.fixture(scope="module")
def engine() -> Engine:
    return demo_engine()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_folder(tmp_path_factory.mktemp("models") / "demo")


@pytest.fixture(scope="module")
def greedy(engine: Engine, folder: Path) -> Answered:
    return answer(engine, folder)


def refused(answered: Answered, match: str, **changes: Any) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        VERIFIER.replay(answered.manifest, answered.folder, **(answered.opened | changes))
    assert caught.value.reason == "replay_failed"


def refused_parameter(answered: Answered, match: str, **changes: Any) -> None:
    refused(answered, match, parameters=answered.opened["parameters"] | changes)


def refused_manifest(answered: Answered, match: str, manifest: dict[str, Any]) -> None:
    with pytest.raises(VerificationError, match=match):
        IntegerVerifier().replay(manifest, answered.folder, **answered.opened)


def test_a_greedy_answer_comes_out_exactly(greedy: Answered) -> None:
    outcome = VERIFIER.replay(greedy.manifest, greedy.folder, **greedy.opened)
    assert (outcome.tokens, outcome.exact) == (len(greedy.generated.output_token_ids), True)


@pytest.mark.parametrize("seed", [None, 5, -3])
def test_a_seeded_draw_comes_out_exactly(engine: Engine, folder: Path, seed: int | None) -> None:
    drawn = answer(engine, folder, temperature="1.5", top_p="0.9", seed=seed, tokens_max=24)
    assert VERIFIER.replay(drawn.manifest, folder, **drawn.opened).exact


def test_an_answer_cut_by_its_length_comes_out(engine: Engine, folder: Path) -> None:
    cut = answer(engine, folder, tokens_max=3)
    assert cut.generated.finish_reason == "length"
    assert VERIFIER.replay(cut.manifest, folder, **cut.opened).tokens == 3


def test_an_answer_ended_by_a_stop_text_comes_out(engine: Engine, folder: Path, greedy: Answered) -> None:
    stopped = answer(engine, folder, stop=(greedy.generated.text[8:11],))
    assert stopped.generated.text == greedy.generated.text[:8]
    assert VERIFIER.replay(stopped.manifest, folder, **stopped.opened).exact


def test_a_conversation_of_which_older_tokens_were_dropped_comes_out(engine: Engine, folder: Path) -> None:
    messages = [{"role": "user", "content": "an old story. " * 200}, {"role": "user", "content": "What is a receipt?"}]
    long = answer(engine, folder, messages=messages, tokens_max=4)
    assert long.generated.parameters["prompt_truncated"] is True
    assert VERIFIER.replay(long.manifest, folder, **long.opened).exact
    refused_parameter(long, "left out", prompt_truncated=False)


def test_tokens_alone_are_enough(greedy: Answered) -> None:
    opened = greedy.opened | {"messages": None, "choices": None}
    assert VERIFIER.replay(greedy.manifest, greedy.folder, **opened).exact


def test_every_token_that_is_not_the_choice_is_refused(greedy: Answered) -> None:
    tokens = greedy.opened["output_tokens"]
    for place in range(len(tokens) - 1):
        changed = [*tokens[:place], (tokens[place] + 1) % 400 or 1, *tokens[place + 1 :]]
        refused(greedy, f"token {place} of", output_tokens=changed, choices=None)


def test_a_prompt_of_other_tokens_is_refused(greedy: Answered) -> None:
    others = greedy.opened["prompt_tokens"][1:]
    refused(greedy, "the seed is", prompt_tokens=others)
    refused(greedy, "template", prompt_tokens=others, parameters=greedy.opened["parameters"] | {"seed": "1"})


def test_other_messages_than_those_of_the_tokens_are_refused(greedy: Answered) -> None:
    refused(greedy, "template", messages=[{"role": "user", "content": "What is a receipt!"}])


def test_another_text_than_the_tokens_say_is_refused(greedy: Answered) -> None:
    choice = greedy.opened["choices"][0]
    message = choice["message"]
    for changed in (
        [],
        [choice, choice],
        [choice | {"message": message | {"content": message["content"] + "."}}],
        [choice | {"finish_reason": "length"}],
        [choice | {"message": message | {"tool_calls": [{"id": "1"}]}}],
        [choice | {"logprobs": {"content": []}}],
    ):
        refused(greedy, "what its tokens say", choices=changed)


def test_nulls_in_the_opened_answer_say_nothing(greedy: Answered) -> None:
    choice = greedy.opened["choices"][0]
    stated = choice | {"logprobs": None, "message": choice["message"] | {"refusal": None}}
    assert VERIFIER.replay(greedy.manifest, greedy.folder, **(greedy.opened | {"choices": [stated]})).exact


def test_an_answer_cut_before_its_end_is_refused(greedy: Answered) -> None:
    refused(greedy, "cut before", output_tokens=greedy.opened["output_tokens"][:-1], choices=None)


def test_an_answer_that_goes_on_behind_its_end_is_refused(greedy: Answered) -> None:
    count = len(greedy.opened["output_tokens"]) - 1
    refused_parameter(greedy, "behind its end", tokens_max=count)


@pytest.mark.parametrize("tokens", [[], [512], [-1], [True], [1] * 512])
def test_what_cannot_be_tokens_of_this_model_is_refused(greedy: Answered, tokens: list[int]) -> None:
    refused(greedy, "token", output_tokens=tokens)


def test_other_parameters_give_another_answer(engine: Engine, folder: Path) -> None:
    drawn = answer(engine, folder, temperature="2", seed=1, tokens_max=24)
    refused_parameter(drawn, "does not choose", seed="2")
    refused_parameter(drawn, "does not choose", temperature_sixteenths=0)


@pytest.mark.parametrize(
    "change",
    [
        {"sampler": "hitproof/sampler/v2"},
        {"top_k": 17},
        {"seed": "derived:00"},
        {"seed": "01"},
        {"seed": 1},
        {"temperature_sixteenths": 33},
        {"temperature_sixteenths": True},
        {"top_p_1024ths": 0},
        {"tokens_max": 0},
        {"tokens_max": 512},
        {"stop": [""]},
        {"stop": "end"},
        {"prompt_truncated": 0},
        {"extra": 1},
    ],
)
def test_parameters_that_this_model_does_not_have_are_refused(greedy: Answered, change: dict[str, Any]) -> None:
    refused_parameter(greedy, "sampler|seed|parameter|stop", **change)


def test_a_missing_parameter_is_refused(greedy: Answered) -> None:
    parameters = greedy.opened["parameters"]
    for key in parameters:
        refused(greedy, "parameters", parameters={name: parameters[name] for name in parameters if name != key})


def test_a_changed_weight_is_refused(greedy: Answered, tmp_path: Path) -> None:
    folder = demo_folder(tmp_path / "changed")
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)
    with pytest.raises(VerificationError, match="another digest"):
        VERIFIER.replay(greedy.manifest, folder, **greedy.opened)


@pytest.mark.parametrize("part", ["numerics", "chat_template", "quantisation", "runtime"])
def test_a_manifest_that_states_another_arithmetic_is_refused(greedy: Answered, part: str) -> None:
    manifest = copy.deepcopy(dict(greedy.manifest))
    if isinstance(manifest[part], dict):
        manifest[part] = manifest[part] | {"version" if part == "runtime" else "kind": "another"}
    else:
        manifest[part] = "int4"
    refused_manifest(greedy, part, manifest)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 256},
        {"heads": 3},
        {"heads": 0},
        {"layers": 65},
        {"vocabulary": 1 << 40},
        {"context": True},
        {"context": 65_536},
        {"other": 1},
    ],
)
def test_sizes_that_the_files_do_not_have_are_refused(greedy: Answered, change: dict[str, Any]) -> None:
    manifest = copy.deepcopy(dict(greedy.manifest))
    manifest["config"] |= change
    refused_manifest(greedy, "size|config|parameter|tensors|proved", manifest)


def test_a_manifest_without_its_tokenizer_among_the_files_is_refused(greedy: Answered) -> None:
    manifest = copy.deepcopy(dict(greedy.manifest))
    manifest["tokenizer"]["sha256"] = "0" * 64
    refused_manifest(greedy, "two files", manifest)


def test_the_integer_runtime_and_no_other_is_its_business(greedy: Answered) -> None:
    assert VERIFIER.supports(greedy.manifest)
    assert not VERIFIER.supports({"runtime": {"engine": "transformers"}})
    assert not VERIFIER.supports({"runtime": None})
