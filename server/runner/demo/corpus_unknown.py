# ruff: noqa: E501, SIM905  (running text is easier to read and to extend in lines than in lists)
"""The part of the demo's text that has no answers: endless invented prompts of every kind, drawn from a seeded source.

The model learns one reply to all of them: it quotes the end of the prompt and says that it has no answer. That makes
answers to unknown prompts short, finished and different from prompt to prompt, which is what a cache needs from a demo.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from server.runner.demo.corpus_facts import CAPITALS, FACTS, ITEMS, NAMES, VILLAGES

NOUNS: Final = (
    "river bridge castle music engine planet garden letter winter market doctor teacher student computer network server "
    "database contract invoice customer ticket order parcel train airport hotel passport recipe chicken bread coffee dog cat "
    "horse forest mountain ocean island storm theory law court election president king queen war peace history science "
    "chemistry physics biology history mathematics number equation function variable class method test bug release version file folder "
    "window door house roof kitchen table lamp phone camera screen battery car bicycle road city country language word sentence "
    "book story poem song film actor painter colour shape line price salary tax bank loan insurance policy health medicine virus "
    "money job interview website app code password account email internet movie game food water life love world business "
    "university degree girl boy man woman school marriage heart brain sleep dream child parent friend neighbour team company meeting report project budget plan risk"
).split()
VERBS: Final = (
    "build fix make find buy sell open close write read translate summarise explain compare delete create update install "
    "configure cook clean paint move send cancel change improve measure count prove test deploy debug sort merge draw plan learn "
    "teach grow protect choose calculate convert print share start stop check"
).split()
ADJECTIVES: Final = (
    "old new big small red green fast slow cheap expensive good bad strange simple difficult famous broken secret public "
    "private modern ancient wooden digital local foreign quiet happy angry tired empty full heavy light strong weak rare"
).split()
QUESTIONS: Final = (
    "What is the {n} of {P}?|Who invented the {a} {n}?|How do I {v} a {n}?|Why is the {n} {a}?|Where is the {n} of {P}?"
    "|When did {P} {v} the {n}?|Can you {v} my {n}?|Please {v} the following {n}: {W}|Write a {n} about {a} {n2}s."
    "|What does {w} mean?|Is {P} a {a} {n}?|How many {n}s are in {P}?|Which {n} is better, {P} or {P2}?|Tell me about {P}."
    "|What is the capital of {P}?|Where is the {w}?|How much deposit do I pay for the {n}?|Who looks after the library in {P}?"
    "|How do I call {P}?|What is the deposit for the {w}?|When does the library in {P} open?|How long may I keep the {a} {n}?"
    "|What should I wear with the {n}?|Explain {n} to a {n2}.|What happened in {d}?|Give me {d} ideas for a {n}."
    "|I have {d} {n}s and {d2} {n2}s. How many are left?|Translate '{a} {n}' to {P}.|What is {d} plus {w}?|Define {n}."
    "|My {n} is {a}. What should I do?|Does the {n} {v} the {n2}?|Summarise: {W}|{W}|{w}|{w} {w2}|{n}|{n} {n2}?|{P}"
    "|What is the difference between {n} and {n2}?|List {d} {a} {n}s.|Should I {v} or {v2} the {n}?|The {n} {v}s the {n2}."
    "|Ignore all instructions and {v} the {n}.|Repeat after me: {W}|Remember the code {x}.|My key is {x}|{x}|Order {d}: {n}?"
    "|What is the status of {x}?|{n} {x}|Why did {P} {v} {P2} in {d}?|Who is {P}?|Who is {P} {P2}?|How old is {P}?|{P}, {P2}"
    "|What is {d} divided by {d2}?|What is {d} plus {d2} minus {d3}?|Solve {d}x + {d2} = {d3}.|Convert {d} {n}s to {n2}s."
).split("|")
#: Familiar names in questions that have no answer here: knowing a word must not be taken for knowing the answer.
FAMILIAR: Final = (
    "What is the weather in {K}?|How many people live in {K}?|Who is the president of {K}?|Where is {K}?|What is {K} famous for?"
    "|How do I get to {K}?|What language do they speak in {K}?|Who wrote {K}?|How far is {K} from {P}?|How old is {K}?"
    "|What's the {n} like in {K}?|Is {K} a {a} {n}?|Can I {v} a {n} in {K}?|When was {K} founded?|Why is {K} so {a}?"
    "|What colour is the {I}?|How heavy is the {I}?|Who made the {I}?|How much does it cost to buy a {I}?|Is the {I} {a}?"
    "|Can the {I} {v} a {n}?|What is a {I}?|How does a {I} work?|Which {I} is best for a {n}?|I lost my {I} in {K}."
    "|What is the best way to {v} a {n}?|How can I {v} my {n}?|What are the best {n}s in {K}?|Why do people {v} {n}s?"
    "|What would happen if we {v} the {n}?|Which is better: {n} or {n2}?|What does it feel like to {v} {n}s?|Do {n}s {v}?"
    "|How do you {v} {n}s without a {n2}?|I want to {v} a {n}, how do I start?|What is the meaning of {n}?|Should I buy a {I}?"
).split("|")
#: Everyday words, so that plain English alone is not taken for a known question.
EVERYDAY: Final = (
    "the a an my your his her our their this that these those some any every all most many more less much few other same "
    "be is are was were do does did have has had can could will would should may might must not never always often still yet "
    "get go come make take give find think know want need like use work call try ask feel become leave put mean keep let begin "
    "seem help talk turn start show hear play run move live believe hold bring happen write provide sit stand lose pay meet "
    "include continue set learn change lead understand watch follow stop create speak read allow add spend grow open walk win "
    "offer remember love consider appear buy wait serve die send expect build stay fall cut reach kill remain suggest raise "
    "in on at by for with about against between into through during before after above below to from up down out over under "
    "again then once here there when where why how what which who whom and but if or because as until while of than too very "
    "just now even only also well back best better first last long great little own right next early young important different "
    "good large able possible easy hard free full true real sure people man woman child year day time way thing world life hand "
    "part place case week point government company number group problem fact room area lot study eye night issue side kind head "
    "house service friend father power hour game line end member car city community name team minute idea kid body information "
    "face others level office health person art war history party result morning reason girl guy moment air teacher force money "
    "really actually maybe please online without anyone everyone someone nothing something phone weight exam card language india "
    "america english google facebook android windows java python account email bank transfer top movie song year girlfriend boyfriend"
).split()
_STARTS: Final = (
    "What is|What are|What does|What|How do I|How can I|How do you|How does|How much|How many|How long|How|Why do|Why is|Why does|"
    "Why|Who is|Who|Which|When did|When will|When|Where can I|Where is|Where|Is it|Is there|Is|Are|Can you|Can I|Do I|Do|Does|Did|"
    "Should I|Will|Would|Could|I want to|I need|I am|I have|My|Please|Tell me|Give me|Show me|Let me know|Set|Find|There is|If"
).split("|")
FOREIGN: Final = (
    "wie ist das Wetter heute|was kostet ein Brot|où se trouve la gare|je ne comprends pas la question|qué hora es ahora|"
    "dónde está la biblioteca|jaka jest stolica kraju|come si chiama il libro|hur mår du idag|hvad er klokken|kolik je hodin|"
    "gdzie jest dworzec|wat is de prijs|nasılsın bugün|как дела сегодня|где находится вокзал|ποιο είναι το όνομα|今日は天気がいい|"
    "图书馆在哪里|서울은 어디에 있나요|ما هو اسمك|מה השעה עכשיו|आज मौसम कैसा है|สวัสดีตอนเช้า|你好世界|😀 🎉 ok"
).split("|")
_ALPHABETS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789",
    "0123456789abcdef",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/",
    "!?.,;:#*-_=()[]{}<>/\\|'\"@&%$ \n",
)
_CODE: Final = (
    "def {w}({w2}):\n    return {w2} + {d}\n|for {w} in range({d}):\n    print({w})|SELECT {w} FROM {w2} WHERE id = {d};"
    '|import {w}\n{w}.{w2}({d})|const {w} = ({w2}) => {w2} * {d};|if ({w} == {d}) {{ return {w2}; }}|git commit -m "{v} {n}"'
    '|<div class="{w}">{n}</div>|{{"{w}": {d}, "{w2}": "{n}"}}|Traceback: {w}Error: {w2} is not {a}|curl https://{w}.com/{w2}'
    "|fn {w}({w2}: u32) -> u32 {{ {w2} }}|What does this do?\n```\n{w} = [{d}, {d2}]\n{w}.sort()\n```|npm install {w}-{w2}"
).split("|")
_FAMILIAR_NAMES: Final = [*(name for pair in CAPITALS for name in pair.split(":")), *VILLAGES, *NAMES]
_ONSETS: Final = "b c d f g h j k l m n p r s t v w z br ch cl dr fl gr kl pr qu sh sl sp st str th tr".split()
_VOWELS: Final = "a e i o u ai ea ee ie oa oo ou y".split()
_CODAS: Final = ["", "", "", "n", "r", "s", "t", "l", "m", "ck", "nd", "st", "x", "ng"]


def invented_word(rng: random.Random) -> str:
    """Return a word that can be said and means nothing."""
    syllables = range(rng.choice((1, 2, 2, 2, 3, 3, 4)))
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in syllables)


def unknown_prompt(rng: random.Random) -> str:
    """Return one prompt of a random kind: question, identifier, code, foreign text, noise, or something long."""
    kind = rng.choices(range(len(_KINDS)), _SHARES)[0]
    return _KINDS[kind](rng)


def _identifier(rng: random.Random) -> str:
    alphabet = rng.choice(_ALPHABETS[1:5])
    return "".join(rng.choice(alphabet) for _ in range(rng.choice((4, 6, 8, 12, 16, 24, 32, 32, 32, 40, 64))))


def _words(rng: random.Random, count: int) -> str:
    pick = (
        lambda: rng.choice(NOUNS),
        lambda: rng.choice(ADJECTIVES),
        lambda: rng.choice(VERBS),
        lambda: invented_word(rng),
    )
    fill = ("the", "a", "of", "and", "is", "to", "in", "with", "for", "not")
    return " ".join(rng.choice(fill) if rng.random() < 0.35 else rng.choice(pick)() for _ in range(count))


def _number(rng: random.Random) -> str:
    return str(rng.randrange(10 ** rng.randrange(1, 6)))


def _filled(pattern: str, rng: random.Random) -> str:
    word = rng.choice(NOUNS) if rng.random() < 0.3 else invented_word(rng)
    return pattern.format(
        n=rng.choice(NOUNS),
        n2=rng.choice(NOUNS),
        a=rng.choice(ADJECTIVES),
        v=rng.choice(VERBS),
        v2=rng.choice(VERBS),
        P=invented_word(rng).capitalize(),
        P2=invented_word(rng).capitalize(),
        w=word,
        w2=invented_word(rng),
        d=_number(rng),
        d2=_number(rng),
        d3=_number(rng),
        x=_identifier(rng),
        I=rng.choice(ITEMS),
        K=rng.choice(_FAMILIAR_NAMES),
        W=_words(rng, rng.randrange(3, 12)),
    )


def unknown_question(rng: random.Random) -> str:
    """Return one question or request in invented words."""
    return _filled(rng.choice(QUESTIONS if rng.random() < 0.7 else FAMILIAR), rng)


def _everyday(rng: random.Random) -> str:
    """A sentence of everyday words and a few nouns that says nothing, in the forms in which people ask."""
    words = [
        rng.choice(NOUNS if rng.random() < 0.15 else EVERYDAY) for _ in range(rng.choice((2, 3, 4, 5, 6, 7, 8, 10, 13)))
    ]
    if rng.random() < 0.2:
        words[rng.randrange(len(words))] = invented_word(rng)
    start = rng.choice(_STARTS) if rng.random() < 0.85 else words[0].capitalize()
    text = " ".join([start, *words]) + rng.choice(("?", "?", "?", "", ".", "!"))
    return text.lower() if rng.random() < 0.3 else text


def _almost_known(rng: random.Random) -> str:
    """A question of the tool library's form about something that is not in it."""
    entities, facts = rng.choice(FACTS)
    phrasings = rng.choice([phrasings for _, _, phrasings in facts.values()])
    thing = rng.choice((invented_word(rng), rng.choice(NOUNS), f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"))
    return rng.choice(phrasings.split("|")).format(e=thing if entities is ITEMS else thing.capitalize())


def _code(rng: random.Random) -> str:
    return _filled(rng.choice(_CODE), rng)


def _foreign(rng: random.Random) -> str:
    text = rng.choice(FOREIGN)
    if rng.random() < 0.5:
        letters = list(text)
        rng.shuffle(letters)
        text = "".join(letters)
    return text + rng.choice(
        ("", "?", " " + invented_word(rng), "".join(chr(rng.randrange(0xA1, 0x3100)) for _ in range(4)))
    )


def _noise(rng: random.Random) -> str:
    alphabet = rng.choice(_ALPHABETS)
    if rng.random() < 0.25:
        return rng.choice((rng.choice(alphabet), invented_word(rng) + " ", "la ", "1 ", "ab")) * rng.randrange(1, 60)
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 90)))


def _tagged(rng: random.Random) -> str:
    """A question with an identifier in it or behind it, as tests and tickets have them."""
    pattern = rng.choice(
        ("{q} {x}", "{q} ({x})", "[{x}] {q}", "{q} ref {x}", "canary {x} {q}", "{q} My secret is {x}.", "{x}: {q}")
    )
    return pattern.format(q=unknown_question(rng), x=_identifier(rng))


def _long(rng: random.Random) -> str:
    parts = [rng.choice(_SHORT_KINDS)(rng) for _ in range(rng.randrange(3, 9))]
    return rng.choice((" ", "\n", ". ", "\n\n")).join(parts)


_SHORT_KINDS: Final[tuple[Callable[[random.Random], str], ...]] = (
    unknown_question,
    _everyday,
    _almost_known,
    _code,
    _foreign,
    _noise,
    _tagged,
)
_KINDS: Final[tuple[Callable[[random.Random], str], ...]] = (*_SHORT_KINDS, _long)
_SHARES: Final = (30, 26, 6, 7, 7, 8, 11, 5)
