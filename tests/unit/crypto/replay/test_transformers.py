from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest

from crypto.errors import ReplayUnavailable, VerificationError
from crypto.replay.toploc_runs import points_of_runs
from crypto.replay.transformers import MARGINS, TransformersVerifier
from crypto.toploc import ToplocEvidence, build_proof
from server.runner.engine import Engine
from tests.replay_models import Answered, answer, huggingface_engine, huggingface_folder

TEMPLATE = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}[assistant] "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return huggingface_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return huggingface_engine(folder)


@pytest.fixture(scope="module")
def verifier() -> TransformersVerifier:
    return TransformersVerifier()


@pytest.fixture(scope="module")
def greedy(engine: Engine, folder: Path) -> Answered:
    return answer(engine, folder, tokens_max=40)


@pytest.fixture(scope="module")
def drawn(engine: Engine, folder: Path) -> Answered:
    return answer(engine, folder, tokens_max=40, temperature="0.9", top_p="0.8", seed=11)


def refused(verifier: TransformersVerifier, answered: Answered, match: str, **changes: Any) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        verifier.replay(answered.manifest, answered.folder, **(answered.opened | changes))
    assert caught.value.reason == "replay_failed"


def test_a_greedy_answer_comes_out(verifier: TransformersVerifier, greedy: Answered) -> None:
    outcome = verifier.replay(greedy.manifest, greedy.folder, **greedy.opened)
    assert (outcome.tokens, outcome.exact) == (40, True)
    assert outcome.margin == "40 of 40 tokens are exactly the choice; allowed: 0.000061 of the largest logit"


def test_a_seeded_draw_comes_out(verifier: TransformersVerifier, drawn: Answered) -> None:
    assert verifier.replay(drawn.manifest, drawn.folder, **drawn.opened).exact


def test_another_seed_is_refused(verifier: TransformersVerifier, drawn: Answered) -> None:
    refused(verifier, drawn, "is not within", parameters=drawn.opened["parameters"] | {"seed": 12})


def test_another_token_at_any_place_is_refused(verifier: TransformersVerifier, greedy: Answered) -> None:
    tokens = greedy.opened["output_tokens"]
    for place in range(len(tokens)):
        changed = [*tokens[:place], tokens[place] % 200 + 1, *tokens[place + 1 :]]
        refused(verifier, greedy, "is not within", output_tokens=changed, choices=None)


def test_an_answer_of_other_weights_is_refused(
    verifier: TransformersVerifier, greedy: Answered, tmp_path: Path
) -> None:
    other = answer(huggingface_engine(huggingface_folder(tmp_path / "other", seed=8)), greedy.folder, tokens_max=40)
    with pytest.raises(VerificationError, match="is not within"):
        verifier.replay(greedy.manifest, greedy.folder, **other.opened)


def test_another_prompt_is_refused(verifier: TransformersVerifier, greedy: Answered) -> None:
    refused(verifier, greedy, "template", messages=[{"role": "user", "content": "Another question?"}])
    refused(verifier, greedy, "template", prompt_tokens=greedy.opened["prompt_tokens"][1:])


def test_a_conversation_that_the_models_template_renders_comes_out(
    verifier: TransformersVerifier, tmp_path: Path
) -> None:
    folder = huggingface_folder(tmp_path / "templated", template=TEMPLATE)
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}]
    templated = answer(huggingface_engine(folder), folder, messages=messages, tokens_max=8)
    assert verifier.replay(templated.manifest, folder, **templated.opened).exact
    refused(verifier, templated, "template", messages=messages[1:])


def test_a_template_that_refuses_the_messages_is_a_failure(verifier: TransformersVerifier, tmp_path: Path) -> None:
    folder = huggingface_folder(tmp_path / "strict", template="{{ raise_exception('no') if messages[1] }}x")
    strict = answer(huggingface_engine(folder), folder, tokens_max=4)
    refused(verifier, strict, "refuses the opened", messages=[*strict.messages, *strict.messages])


def test_an_answer_ended_by_a_stop_text_comes_out(
    verifier: TransformersVerifier, engine: Engine, greedy: Answered
) -> None:
    stopped = answer(engine, greedy.folder, stop=(greedy.generated.text[8:11],))
    assert stopped.generated.finish_reason == "stop"
    assert verifier.replay(stopped.manifest, greedy.folder, **stopped.opened).exact


def test_an_answer_cut_before_its_end_is_refused(verifier: TransformersVerifier, greedy: Answered) -> None:
    refused(verifier, greedy, "cut before", output_tokens=greedy.opened["output_tokens"][:-1], choices=None)


def test_an_answer_that_goes_on_behind_its_end_is_refused(verifier: TransformersVerifier, greedy: Answered) -> None:
    refused(verifier, greedy, "behind its end", parameters=greedy.opened["parameters"] | {"tokens_max": 39})


def test_an_answer_that_goes_on_behind_its_end_token_is_refused(
    verifier: TransformersVerifier, greedy: Answered
) -> None:
    tokens = greedy.opened["output_tokens"]
    refused(verifier, greedy, "behind its end", output_tokens=[*tokens[:3], 0, *tokens[4:]], choices=None)


def test_another_text_than_the_tokens_say_is_refused(verifier: TransformersVerifier, greedy: Answered) -> None:
    choice = greedy.opened["choices"][0]
    refused(verifier, greedy, "what its tokens say", choices=[choice | {"finish_reason": "stop"}])


def test_a_stop_text_of_the_template_cannot_be_left_out(verifier: TransformersVerifier, greedy: Answered) -> None:
    refused(verifier, greedy, "stop text", parameters=greedy.opened["parameters"] | {"stop": []})


def test_a_changed_file_is_refused(verifier: TransformersVerifier, greedy: Answered, tmp_path: Path) -> None:
    folder = huggingface_folder(tmp_path / "changed", seed=8)
    with pytest.raises(VerificationError, match=r"model\.safetensors has another digest"):
        verifier.replay(greedy.manifest, folder, **greedy.opened)


def test_a_file_that_the_manifest_does_not_name_is_not_read(
    verifier: TransformersVerifier, engine: Engine, tmp_path: Path
) -> None:
    folder = huggingface_folder(tmp_path / "more")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    answered = answer(engine, folder, tokens_max=4)
    assert verifier.replay(answered.manifest, folder, **answered.opened).exact


def test_a_manifest_with_another_template_than_its_files_is_refused(greedy: Answered) -> None:
    manifest = copy.deepcopy(dict(greedy.manifest))
    manifest["chat_template"] = {"source": "model", "sha256": "0" * 64}
    with pytest.raises(VerificationError, match="chat template"):
        TransformersVerifier().replay(manifest, greedy.folder, **greedy.opened)


@pytest.mark.parametrize("change", [{"dtype": "float8_e4m3fn"}, {"dtype": None}, {"sampler": "another/v1"}])
def test_a_format_without_a_known_margin_is_not_replayed(greedy: Answered, change: dict[str, Any]) -> None:
    manifest = copy.deepcopy(dict(greedy.manifest))
    manifest["runtime"] |= change
    with pytest.raises(ReplayUnavailable, match="no margin"):
        TransformersVerifier().replay(manifest, greedy.folder, **greedy.opened)


@pytest.mark.parametrize("change", [{"torch": "2.12.0"}, {"machine": "riscv64"}])
def test_a_draw_of_another_generator_is_not_replayed_but_a_greedy_answer_is(
    greedy: Answered, drawn: Answered, change: dict[str, Any]
) -> None:
    manifest = copy.deepcopy(dict(greedy.manifest))
    manifest["runtime"] |= change
    verifier = TransformersVerifier()
    with pytest.raises(ReplayUnavailable, match="drawn again"):
        verifier.replay(manifest, drawn.folder, **drawn.opened)
    assert verifier.replay(manifest, greedy.folder, **greedy.opened).exact


def test_a_bfloat16_answer_comes_out_within_its_margin(tmp_path: Path) -> None:
    folder = huggingface_folder(tmp_path / "half", dtype="bfloat16")
    half = answer(huggingface_engine(folder), folder, tokens_max=60)
    outcome = TransformersVerifier().replay(half.manifest, folder, **half.opened)
    assert half.manifest["runtime"]["dtype"] == "bfloat16"
    assert f"allowed: {MARGINS['bfloat16']:.6f}" in outcome.margin


def test_an_answer_of_second_best_tokens_within_the_margin_is_refused(tmp_path: Path) -> None:
    folder = huggingface_folder(tmp_path / "half", dtype="bfloat16")
    engine = huggingface_engine(folder)
    steered = second_best(engine, folder, 40)
    with pytest.raises(VerificationError, match="only near the model's choice"):
        TransformersVerifier().replay(engine.manifest, folder, **steered)


def second_best(engine: Engine, folder: Path, tokens_max: int) -> dict[str, Any]:
    """Write the second best token wherever it lies within the margin, the best one elsewhere."""
    import torch
    import transformers

    opened = answer(engine, folder, tokens_max=1).opened | {"messages": None, "choices": None}
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="bfloat16").eval()
    output: list[int] = []
    while len(output) < tokens_max:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*opened["prompt_tokens"], *output]])).logits[0, -1].double()
        logits = logits.clone()
        logits[0] = -1e9  # the end
        best, second = logits.topk(2).indices.tolist()
        near = float(logits[best] - logits[second]) < MARGINS["bfloat16"] / 2 * float(logits[1:].abs().max())
        output.append(second if near else best)
    return opened | {"output_tokens": output, "parameters": opened["parameters"] | {"tokens_max": tokens_max}}


def toploc_of(answered: Answered, folder: Path) -> ToplocEvidence:
    """What a runner that keeps its last hidden states would prove."""
    import torch
    import transformers

    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    prompt, output = answered.opened["prompt_tokens"], answered.opened["output_tokens"]
    with torch.inference_mode():
        found = model(input_ids=torch.tensor([[*prompt, *output[:-1]]]), output_hidden_states=True)
    runs = points_of_runs(found.hidden_states[-1][0], len(prompt), len(output))
    proofs = b"".join(build_proof(points).encode() for points in runs)
    return ToplocEvidence("sha256:" + hashlib.sha256(proofs).hexdigest(), proofs)


def test_toploc_proofs_of_the_model_are_accepted(verifier: TransformersVerifier, greedy: Answered) -> None:
    evidence = toploc_of(greedy, greedy.folder)
    assert verifier.replay(greedy.manifest, greedy.folder, **greedy.opened, toploc=evidence).exact


def test_toploc_proofs_of_other_weights_are_refused(
    verifier: TransformersVerifier, greedy: Answered, tmp_path: Path
) -> None:
    evidence = toploc_of(greedy, huggingface_folder(tmp_path / "other", seed=8))
    refused(verifier, greedy, "TOPLOC", toploc=evidence)


def test_toploc_proofs_under_another_digest_are_refused(verifier: TransformersVerifier, greedy: Answered) -> None:
    evidence = ToplocEvidence("sha256:" + "0" * 64, toploc_of(greedy, greedy.folder).proofs)
    refused(verifier, greedy, "named", toploc=evidence)


def test_models_of_the_engine_transformers_and_no_other_are_its_business(greedy: Answered) -> None:
    assert TransformersVerifier().supports(greedy.manifest)
    assert not TransformersVerifier().supports({"runtime": {"kind": "hitproof-integer"}})
