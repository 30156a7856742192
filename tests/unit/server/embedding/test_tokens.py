import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.embedding.errors import ModelFilesError, TextError
from server.embedding.folder import read_folder
from server.embedding.texts import TEXT_CHARACTERS_MAX
from server.embedding.tokens import (
    CHARACTERS_PER_TOKEN_MAX,
    PADDING_TOKENS_MAX,
    RUN_TOKENS_MAX,
    TextTokenizer,
    pad_rows,
    plan_runs,
)
from tests.unit.server.embedding.tiny_bert import WORDS, write_tiny_bert


@pytest.fixture
def model(tmp_path):
    return read_folder(write_tiny_bert(tmp_path / "model"))


def test_ids_stand_between_the_special_tokens_without_padding(model):
    expected = [WORDS.index(word) for word in ("[CLS]", "red", "boat", "[SEP]")]
    assert TextTokenizer(model).encode("red boat") == expected


def test_a_long_text_is_cut_at_the_limit_and_keeps_its_end_token(model):
    ids = TextTokenizer(model).encode("red " * 50)
    assert len(ids) == model.tokens_max
    assert ids[-1] == WORDS.index("[SEP]")


def test_a_text_is_covered_exactly_up_to_the_limit(model):
    tokenizer = TextTokenizer(model)
    assert tokenizer.covers("red " * (model.tokens_max - 2))
    assert not tokenizer.covers("red " * (model.tokens_max - 1))


def test_a_text_of_very_many_characters_is_not_called_covered(model):
    tokenizer = TextTokenizer(model)
    limit = CHARACTERS_PER_TOKEN_MAX * model.tokens_max
    assert tokenizer.covers("red".ljust(limit))
    assert not tokenizer.covers("red".ljust(limit + 1))


def test_a_text_beyond_the_limit_of_characters_is_refused(model):
    tokenizer = TextTokenizer(model)
    tokenizer.encode("red".ljust(TEXT_CHARACTERS_MAX))
    with pytest.raises(TextError, match="more than the 131072"):
        tokenizer.encode("red".ljust(TEXT_CHARACTERS_MAX + 1))


def test_lower_casing_happens_only_where_the_model_asks_for_it(model):
    lower = dataclasses.replace(model, lowercases=True)
    assert TextTokenizer(model).encode("Red")[1] == WORDS.index("Red")
    assert TextTokenizer(lower).encode("Red")[1] == WORDS.index("red")


def test_the_models_prompt_stands_in_front(model):
    prompted = TextTokenizer(dataclasses.replace(model, prompt="blue "))
    assert prompted.encode("boat") == TextTokenizer(model).encode("blue boat")


def test_a_lone_surrogate_is_a_text_error(model):
    with pytest.raises(TextError, match="surrogate"):
        TextTokenizer(model).encode("red \ud800 boat")


def test_a_broken_tokenizer_file_is_named(model):
    with pytest.raises(ModelFilesError, match=r"tokenizer\.json is not a tokenizer"):
        TextTokenizer(dataclasses.replace(model, tokenizer_json=b'{"version": "1.0"}'))


@given(st.lists(st.integers(1, 3000), max_size=200))
def test_runs_hold_every_text_once_and_little_padding(lengths):
    runs = plan_runs(lengths)
    assert sorted(position for run in runs for position in run) == list(range(len(lengths)))
    for run in runs:
        width = max(lengths[position] for position in run)
        assert len(run) * width <= RUN_TOKENS_MAX or len(run) == 1
        assert sum(width - lengths[position] for position in run) <= PADDING_TOKENS_MAX


def test_texts_of_one_length_share_a_run():
    assert plan_runs([14] * 8) == [[0, 1, 2, 3, 4, 5, 6, 7]]


def test_rows_are_padded_on_the_right():
    matrix, lengths = pad_rows([[5, 6], [7]], pad_id=9)
    np.testing.assert_array_equal(matrix, [[5, 6], [7, 9]])
    np.testing.assert_array_equal(lengths, [2, 1])
    assert matrix.dtype == lengths.dtype == np.int32
