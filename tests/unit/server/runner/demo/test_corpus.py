from __future__ import annotations

import functools
import itertools
import random

from crypto.integer.shape import DEMO_SHAPE
from crypto.integer.template import ChatTemplate
from crypto.integer.tokenizer import ASSISTANT, END, Tokenizer
from server.runner.demo.corpus import QUOTED_TOKENS, Corpus, Exchange
from server.runner.demo.corpus_facts import known_documents
from server.runner.demo.corpus_unknown import unknown_prompt
from server.runner.demo.engine import load_demo_files
from server.runner.demo.release import TOKENIZER_FILE


@functools.cache
def corpus() -> Corpus:
    return Corpus(Tokenizer.from_bytes(load_demo_files()[TOKENIZER_FILE]), ChatTemplate(DEMO_SHAPE.context))


def test_the_same_seed_gives_the_same_documents() -> None:
    first, second, other = (list(itertools.islice(corpus().stream(seed), 50)) for seed in (1, 1, 2))
    assert first == second != other


def test_no_held_out_question_is_trained_on() -> None:
    trained = {exchange.question for exchange in corpus().known}
    assert corpus().held_out
    assert not trained & {exchange.question for exchange in corpus().held_out}


def test_a_question_has_one_answer() -> None:
    answers: dict[str, set[str]] = {}
    for question, answer, _ in known_documents(11):
        answers.setdefault(question, set()).add(answer)
    assert [question for question, found in answers.items() if len(found) > 1] == []


def test_every_document_fits_the_context_and_ends_within_64_tokens() -> None:
    for document in itertools.islice(corpus().stream(3), 400):
        assert len(document.tokens) == len(document.answers) <= DEMO_SHAPE.context
        assert document.tokens[-1] == END
        start = len(document.tokens) - document.tokens[::-1].index(ASSISTANT)
        assert all(document.answers[start:])
        assert len(document.tokens) - start <= 64


def test_only_answers_are_learned() -> None:
    document = corpus().document([Exchange("Hello", "Hi."), Exchange("xyzzy plugh", None)])
    learned = [token for token, answer in zip(document.tokens, document.answers, strict=True) if answer]
    assert corpus().tokenizer.decode(learned) == 'Hi.I have no answer to "xyzzy plugh".'


def test_a_long_unknown_prompt_is_quoted_by_its_last_tokens() -> None:
    question = corpus().tokenizer.encode("zig zag " * 40 + "end")
    reply = corpus().reply(None, question)
    assert question[-QUOTED_TOKENS:] == [token for token in reply if token in question][-QUOTED_TOKENS:]
    assert len(reply) < 30


def test_unknown_prompts_are_of_many_kinds_and_hardly_ever_repeat() -> None:
    rng = random.Random(1)
    prompts = [unknown_prompt(rng) for _ in range(1000)]
    assert len(set(prompts)) > 950
    assert any("def " in prompt for prompt in prompts)
    assert any(not prompt.isascii() for prompt in prompts)
    assert max(map(len, prompts)) > 400
