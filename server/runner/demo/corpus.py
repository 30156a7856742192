# ruff: noqa: SIM905  (running text is easier to read and to extend in lines than in lists)
"""The text that the demo model is trained on, as token documents: written for this project, endless, seeded.

Known questions in many wrappings, conversations that need their earlier turns, system prompts that matter and others
that do not, and unknown prompts, which are answered by quoting their last tokens. The facts are invented: the model is
plumbing, not wisdom.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from crypto.integer.template import ROLES, ChatTemplate
from crypto.integer.tokenizer import ASSISTANT, END, FIRST_BYTE, Tokenizer, learn_merges
from server.runner.demo.corpus_facts import FACTS, NAMES, fact_answers, known_documents
from server.runner.demo.corpus_unknown import invented_word, unknown_prompt, unknown_question

CORPUS_SEED: Final = 11
#: The reply to an unknown prompt quotes its last tokens, or all of it when it has fewer.
QUOTED_TOKENS: Final = 10
REFUSAL_BEFORE: Final = 'I have no answer to "'
REFUSAL_AFTER: Final = '".'

_OPENERS: Final = (
    "Hi, ", "Hello, ", "Please tell me: ", "One question: ", "Excuse me, ", "I have a question. ", "Good morning! ",
    "Sorry, ", "Quick question: ", "Please, ", "Hey, ", "I would like to know: ", "So, ", "Well, ",
)  # fmt: skip
_CLOSERS: Final = (" Thanks.", " Thank you!", " Please.", " please", "?", "!", " thanks", " Thanks in advance.")
_SYSTEM_PROMPTS: Final = (
    "You are a helpful assistant.", "Answer briefly.", "You work at the tool library.", "Be polite.", "Be concise.",
    "You are an expert.", "Answer in English.", "You are a friendly guide of the tool library.", "Do not guess.",
    "You answer questions of our customers.", "Keep answers short and clear.", "You are a demo.",
)  # fmt: skip
_FOLLOW_UPS: Final = {
    "deposit": "And the deposit?|What is its deposit?|How much deposit does it need?|How much deposit do I pay for it?",
    "loan": "And how long may I keep it?|For how long can I borrow it?|And the loan period?|How long can I have it?",
    "shelf": "And where is it?|On which shelf is it?|Where do I find it?|What shelf is it on?",
    "safety": "What should I wear with it?|Is it dangerous?|How do I use it safely?|And the safety gear?",
    "opens": "And when does it open?|What time does it open?|When do you open there?",
    "closes": "And when does it close?|What time does it close?|When do you close there?",
    "rest": "Which day is it shut?|On which day is it closed?|And the day off?",
    "keeper": "Who looks after it?|And who works there?|Who runs it?",
    "phone": "And the phone number?|How do I call them?|Which extension?",
    "job": "And the job?|What do they do?|What can I ask them about?",
}
_NAME_GIVEN: Final = (
    "My name is {z}.|I am {z}.|Call me {z}.|Hello, I am {z}.|Hi, my name is {z}.|You can call me {z}.".split("|")
)
_NAME_ASKED: Final = "What is my name?|Who am I?|Do you know my name?|Tell me my name.|What am I called?".split("|")
_NAME_SET: Final = (
    "Your name is {z}.|You are {z}.|You are called {z}.|Your name is {z}. Be polite.|You are {z}, a guide.".split("|")
)
_NAME_WANTED: Final = "What is your name?|Who are you?|What are you called?|Tell me your name.|What are you?".split("|")


@dataclass(frozen=True, slots=True)
class Document:
    """Token ids of one conversation; `answers[i]` says whether token *i* is one that the model is to produce."""

    tokens: list[int]
    answers: list[bool]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer as text; None stands for the reply to an unknown prompt."""

    question: str
    answer: str | None


class Corpus:
    """All documents, drawn with a seeded source, in the form that the chat template gives them."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate, seed: int = CORPUS_SEED) -> None:
        self.tokenizer = tokenizer
        self.template = template
        known = known_documents(seed)
        self.known = [Exchange(question, answer) for question, answer, held in known if not held]
        self.held_out = [Exchange(question, answer) for question, answer, held in known if held]
        self._answers = fact_answers(seed)

    def stream(self, seed: int) -> Iterator[Document]:
        """Yield documents for ever; the same *seed* gives the same documents."""
        rng = random.Random(seed)
        kinds = (self._single, self._unknown, self._several, self._follow_up, self._names, self._under_system)
        while True:
            if rng.random() < 0.08:
                yield self._tokens_without_sense(rng)
            else:
                system, exchanges = rng.choices(kinds, (36, 36, 9, 6, 5, 8))[0](rng)
                yield self.document(exchanges, system)

    def document(self, exchanges: list[Exchange], system: str | None = None) -> Document:
        """Return the tokens of a conversation; of one that is too long only the last answer is learned."""
        tokens: list[int] = []
        answers: list[bool] = []
        if system is not None:
            tokens += [ROLES["system"], *self.tokenizer.encode(system)]
            answers += [False] * len(tokens)
        for exchange in exchanges:
            question = self.tokenizer.encode(exchange.question)
            answer = [*self.reply(exchange.answer, question), END]
            prompt = [ROLES["user"], *question, ASSISTANT]
            if len(tokens) + len(prompt) > self.template.prompt_tokens_max:
                tokens = (tokens + prompt)[-self.template.prompt_tokens_max :]
                answers = [False] * len(tokens)
            else:
                tokens, answers = tokens + prompt, answers + [False] * len(prompt)
            tokens, answers = tokens + answer, answers + [True] * len(answer)
        return Document(tokens, answers)

    def reply(self, answer: str | None, question: list[int]) -> list[int]:
        """Return the tokens of *answer*, or those of the reply that quotes the end of an unknown *question*."""
        if answer is not None:
            return self.tokenizer.encode(answer)
        before, after = self.tokenizer.encode(REFUSAL_BEFORE), self.tokenizer.encode(REFUSAL_AFTER)
        return before + question[-QUOTED_TOKENS:] + after

    def _tokens_without_sense(self, rng: random.Random) -> Document:
        """Any tokens at all, often few of them and often repeated: quoting must not depend on what is quoted."""
        choice = rng.choices(range(FIRST_BYTE, self.tokenizer.vocabulary), k=rng.choice((2, 4, 16, 64)))
        question = rng.choices(choice, k=rng.choice((*range(1, QUOTED_TOKENS), 12, 20, 40)))
        answer = [*self.reply(None, question), END]
        prompt = [ROLES["user"], *question, ASSISTANT]
        return Document(prompt + answer, [False] * len(prompt) + [True] * len(answer))

    def _single(self, rng: random.Random) -> tuple[str | None, list[Exchange]]:
        exchange = rng.choice(self.known)
        return None, [Exchange(_wrapped(exchange.question, rng), exchange.answer)]

    def _unknown(self, rng: random.Random) -> tuple[str | None, list[Exchange]]:
        if rng.random() < 0.12:  # a known question with an identifier in or behind it: answered by the quotation too
            code = f"{rng.getrandbits(rng.choice((16, 32, 64, 128))):x}"
            pattern = rng.choice(("{q} {x}", "{q} ({x})", "{q} ref {x}", "{q} [{x}]", "{q} canary {x}"))
            return None, [Exchange(pattern.format(q=rng.choice(self.known).question, x=code), None)]
        return None, [Exchange(unknown_prompt(rng), None)]

    def _any(self, rng: random.Random) -> Exchange:
        return (self._single if rng.random() < 0.7 else self._unknown)(rng)[1][0]

    def _several(self, rng: random.Random) -> tuple[str | None, list[Exchange]]:
        system = rng.choice(_SYSTEM_PROMPTS) if rng.random() < 0.3 else None
        return system, [self._any(rng) for _ in range(rng.choice((2, 2, 3, 4)))]

    def _follow_up(self, rng: random.Random) -> tuple[str | None, list[Exchange]]:
        entities, facts = rng.choice(FACTS)
        entity, (first, second) = rng.choice(entities), rng.sample(sorted(facts), 2)
        question = rng.choice(facts[first][2].split("|")).format(e=entity)
        further = rng.choice(_FOLLOW_UPS[second].split("|"))
        opening = Exchange(_wrapped(question, rng), self._answers[entity, first])
        return None, [opening, Exchange(further, self._answers[entity, second])]

    def _names(self, rng: random.Random) -> tuple[str | None, list[Exchange]]:
        name = rng.choice(NAMES) if rng.random() < 0.7 else invented_word(rng).capitalize()
        asked = rng.choice(_NAME_ASKED)
        if rng.random() < 0.2:
            return None, [Exchange(asked, "You have not told me your name.")]
        if rng.random() < 0.5:
            answer = Exchange(_wrapped(rng.choice(_NAME_WANTED), rng), f"My name is {name}.")
            return rng.choice(_NAME_SET).format(z=name), [self._any(rng), answer] if rng.random() < 0.3 else [answer]
        given = Exchange(rng.choice(_NAME_GIVEN).format(z=name), f"Nice to meet you, {name}.")
        between = [self._any(rng)] if rng.random() < 0.4 else []
        return None, [given, *between, Exchange(asked, f"Your name is {name}.")]

    def _under_system(self, rng: random.Random) -> tuple[str | None, list[Exchange]]:
        system = rng.choice(_SYSTEM_PROMPTS) if rng.random() < 0.6 else unknown_prompt(rng)
        return system, [self._any(rng)]


def learn_tokenizer(vocabulary_merges: int, seed: int = CORPUS_SEED) -> Tokenizer:
    """Learn the merges from what is known, refusals and a sample of unknown questions."""
    rng = random.Random(seed)
    texts = [f"{question} {answer}" for question, answer, held in known_documents(seed) if not held]
    return learn_merges(texts + [REFUSAL_BEFORE + unknown_question(rng) for _ in range(len(texts))], vocabulary_merges)


def _wrapped(question: str, rng: random.Random) -> str:
    if rng.random() < 0.25:
        question = question.rstrip("?.!")
    if rng.random() < 0.25:
        question = rng.choice(_OPENERS) + (question[:1].lower() + question[1:] if rng.random() < 0.6 else question)
    if rng.random() < 0.15:
        question = question.lower()
    if rng.random() < 0.12:
        question += rng.choice(_CLOSERS)
    return question
