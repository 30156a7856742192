from __future__ import annotations

import functools

from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.integer.reference import ReferenceModel
from crypto.integer.stops import StopFilter
from crypto.integer.template import ChatTemplate
from crypto.integer.tokenizer import ASSISTANT, END, Tokenizer
from server.runner.demo.engine import load_demo_files
from server.runner.demo.release import TOKENIZER_FILE
from server.runner.engine import Turn
from server.runner.integer.serving import ServingModel
from tests.integer_models import SMALL, differing_tensors, random_weights

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
TEMPLATE = ChatTemplate(context=64, answer_reserve=24)


@functools.cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_bytes(load_demo_files()[TOKENIZER_FILE])


@functools.cache
def models() -> tuple[ReferenceModel, ServingModel]:
    weights = random_weights(SMALL, 3)
    return ReferenceModel.build(SMALL, weights), ServingModel(SMALL, weights)


@given(TEXT)
@settings(max_examples=200, deadline=None)
def test_decoding_what_was_encoded_gives_the_text_back(text: str) -> None:
    assert tokenizer().decode(tokenizer().encode(text)) == text


@given(st.lists(st.integers(0, 511), max_size=60))
@settings(max_examples=200, deadline=None)
def test_streamed_text_joined_is_the_decoded_text_for_any_tokens(tokens: list[int]) -> None:
    decoder = tokenizer().stream_decoder()
    assert "".join([*map(decoder.push, tokens), decoder.finish()]) == tokenizer().decode(tokens)


@given(TEXT, st.integers(0, 250))
@settings(max_examples=100, deadline=None)
def test_a_tail_is_the_end_of_the_whole_encoding(text: str, count: int) -> None:
    whole = tokenizer().encode(text)
    assert tokenizer().encode_tail(text, count) == whole[max(0, len(whole) - count) :]


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXT), max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_prompt_is_the_newest_part_of_the_whole_conversation(turns: list[tuple[str, str]]) -> None:
    given_turns = [Turn(role, text) for role, text in turns]
    whole = ChatTemplate(context=100_000).render(given_turns, tokenizer())
    prompt = TEMPLATE.render(given_turns, tokenizer())
    assert prompt.tokens == whole.tokens[-TEMPLATE.prompt_tokens_max :]
    assert prompt.truncated == (len(whole.tokens) > TEMPLATE.prompt_tokens_max)
    assert prompt.tokens[-1] == ASSISTANT


@given(st.lists(st.text("ab#", max_size=4), max_size=12), st.lists(st.text("ab#", min_size=1, max_size=4), max_size=3))
@settings(max_examples=300, deadline=None)
def test_stopping_in_a_stream_shows_what_stopping_in_the_whole_text_would(texts: list[str], stops: list[str]) -> None:
    stop_filter, shown = StopFilter(stops), ""
    for text in texts:
        shown += stop_filter.push(text)
        if stop_filter.stopped:
            break
    else:
        shown += stop_filter.finish()
    whole = "".join(texts)
    ends = [whole.index(stop) + len(stop) for stop in stops if stop in whole]
    if not ends:
        assert (shown, stop_filter.stopped) == (whole, False)
    else:
        assert stop_filter.stopped
        assert whole.startswith(shown)
        assert not any(stop in shown for stop in stops)


@given(st.lists(st.lists(st.integers(0, SMALL.vocabulary - 1), min_size=1, max_size=24), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_both_implementations_compute_the_same_tensors(rows: list[list[int]]) -> None:
    assert differing_tensors(*models(), rows) == []


@given(st.lists(st.integers(1, SMALL.vocabulary - 1), min_size=1, max_size=20))
@settings(max_examples=15, deadline=None)
def test_generating_with_a_cache_gives_what_recomputing_everything_gives(prompt: list[int]) -> None:
    reference, model = models()
    found = model.generate([prompt], 6, END, lambda logits, row, step: logits.index(max(logits)))
    assert found == [reference.generate(prompt, 6, END)]
