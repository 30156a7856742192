# ruff: noqa: E501, SIM905  (running text is easier to read and to extend in lines than in lists)
"""The part of the demo's text that has answers: an invented tool library, capitals, small sums."""

from __future__ import annotations

import random
from typing import Final

from server.runner.demo.corpus_topics import TOPICS

ITEMS: Final = (
    "hand drill,tile cutter,belt sander,hedge trimmer,wood chipper,paint sprayer,floor polisher,carpet cleaner,bench vice,"
    "heat gun,nail gun,sewing machine,camping stove,apple press,bicycle stand,leaf blower,pressure washer,telescope,"
    "projector,kayak,bread oven,kite,metal detector,ice cream maker"
).split(",")
VILLAGES: Final = "Larkfell,Mossgate,Tarnby,Underwick,Pennow,Saltcote,Briarholm,Coldbeck,Wrenfield,Oxmere".split(",")
STAFF: Final = "Anwen,Bastian,Celeste,Dorian,Elspeth,Florian,Greta,Henrik,Isolde,Jasper,Katya,Lorcan".split(",")
NAMES: Final = (
    "Alice,Bob,Carla,David,Emma,Frank,Grace,Hassan,Ingrid,Jonas,Karim,Laura,Maria,Noah,Olga,Peter,Quentin,Rosa,Simon,"
    "Tanja,Umar,Vera,Walter,Xenia,Yusuf,Zoe,Rex,Nova,Orion,Pixel,Sunny,Marvin,Juno,Atlas,Luna,Max,Sam,Kim,Lee,Robin"
).split(",")

# attribute: (values, answer, phrasings)
ITEM_FACTS: Final = {
    "deposit": (
        [f"{n} marks" for n in range(10, 95, 5)],
        "The deposit for the {e} is {v}.",
        "What is the deposit for the {e}?|How much deposit do I pay for the {e}?|How much do I leave as a deposit for the {e}?"
        "|Tell me the deposit of the {e}.|Which deposit does the {e} need?|Is there a deposit on the {e}?",
    ),
    "loan": (
        [f"{n} days" for n in (2, 3, 5, 7, 10, 14, 21)],
        "You may keep the {e} for {v}.",
        "How long may I keep the {e}?|For how long can I borrow the {e}?|What is the loan period of the {e}?"
        "|How many days can I have the {e}?|When must I bring back the {e}?|How long is the loan of the {e}?",
    ),
    "shelf": (
        [f"{letter}{n}" for letter in "ABCDEF" for n in range(1, 7)],
        "The {e} is on shelf {v}.",
        "Where is the {e}?|On which shelf is the {e}?|Where do I find the {e}?|Tell me where the {e} is kept."
        "|What shelf is the {e} on?|Where can I pick up the {e}?",
    ),
    "safety": (
        ["gloves", "goggles", "ear covers", "strong shoes", "a helmet", "an apron"],
        "Please wear {v} with the {e}.",
        "What should I wear with the {e}?|Which protection does the {e} need?|How do I use the {e} safely?"
        "|What must I put on for the {e}?|Is the {e} dangerous?|What safety gear goes with the {e}?",
    ),
}
VILLAGE_FACTS: Final = {
    "opens": (
        [f"{n} in the morning" for n in ("six", "seven", "eight", "nine", "ten")],
        "The tool library in {e} opens at {v}.",
        "When does the library in {e} open?|What time do you open in {e}?|At what hour does {e} open?"
        "|Tell me when the {e} branch opens.|How early can I come to the {e} branch?|What are the opening hours in {e}?",
    ),
    "closes": (
        [f"{n} in the evening" for n in ("four", "five", "six", "seven", "eight")],
        "The tool library in {e} closes at {v}.",
        "When does the library in {e} close?|What time do you close in {e}?|At what hour does {e} close?"
        "|Tell me when the {e} branch closes.|How late can I come to the {e} branch?|Until when are you open in {e}?",
    ),
    "rest": (
        [f"on {n}s" for n in ("Monday", "Tuesday", "Wednesday", "Thursday", "Sunday")],
        "The tool library in {e} is shut {v}.",
        "On which day is {e} closed?|Which day does the library in {e} rest?|When is the {e} branch shut all day?"
        "|What day off does the {e} branch have?|Is there a day when {e} does not open?",
    ),
    "keeper": (
        STAFF,
        "{v} looks after the tool library in {e}.",
        "Who looks after the library in {e}?|Who works in {e}?|Who is in charge of the {e} branch?|Who runs the {e} branch?"
        "|Tell me who keeps the library in {e}.|Whom do I ask for in {e}?",
    ),
}
STAFF_FACTS: Final = {
    "phone": (
        [str(n) for n in range(110, 990, 37)],
        "Call {e} on extension {v}.",
        "How do I call {e}?|What is the number of {e}?|How can I reach {e} by phone?|Which extension does {e} have?"
        "|Give me the phone number of {e}.|What is the extension of {e}?",
    ),
    "job": (
        ["repairs", "loans", "deposits", "courses", "the newsletter", "new tools"],
        "{e} takes care of {v}.",
        "What does {e} do?|What is the job of {e}?|What is {e} responsible for?|Tell me what {e} takes care of."
        "|Which work does {e} do?|What can I ask {e} about?",
    ),
}
FACTS: Final = ((ITEMS, ITEM_FACTS), (VILLAGES, VILLAGE_FACTS), (STAFF, STAFF_FACTS))

CAPITALS: Final = (
    "France:Paris,Germany:Berlin,Italy:Rome,Spain:Madrid,Portugal:Lisbon,England:London,Ireland:Dublin,Norway:Oslo,"
    "Sweden:Stockholm,Finland:Helsinki,Denmark:Copenhagen,Poland:Warsaw,Austria:Vienna,Hungary:Budapest,Greece:Athens,"
    "Egypt:Cairo,Japan:Tokyo,China:Beijing,India:New Delhi,Canada:Ottawa,Kenya:Nairobi,Peru:Lima,Chile:Santiago,Cuba:Havana"
).split(",")
_CAPITAL_PHRASINGS: Final = (
    "What is the capital of {e}?|Which city is the capital of {e}?|Name the capital of {e}.|Tell me the capital of {e}."
    "|What is the capital city of {e}?|Which is {e}'s capital?"
)


def fact_answers(seed: int) -> dict[tuple[str, str], str]:
    """Return the answer for every (entity, attribute) of the tool library, drawn once from *seed*."""
    rng = random.Random(seed)
    return {
        (entity, attribute): answer.format(e=entity, v=rng.choice(values))
        for entities, facts in FACTS
        for attribute, (values, answer, _) in facts.items()
        for entity in entities
    }


def known_documents(seed: int) -> list[tuple[str, str, bool]]:
    """Return (question, answer, held out) for everything that has an answer, the same for the same *seed*.

    Of each fact one phrasing, and of the sums one in ten, is held out: never trained on, only measured.
    """
    rng, answers = random.Random(seed + 1), fact_answers(seed)
    documents: list[tuple[str, str, bool]] = []
    for entities, facts in FACTS:
        for attribute, (_, _, phrasings) in facts.items():
            for entity in entities:
                documents += _phrased(phrasings, answers[entity, attribute], rng, entity)
    for country, city in (pair.split(":") for pair in CAPITALS):
        documents += _phrased(_CAPITAL_PHRASINGS, f"The capital of {country} is {city}.", rng, country)
    for answer, phrasings in TOPICS:
        documents += [(question, answer, False) for question in phrasings.split("|")]
    return documents + _sums(rng)


def _phrased(phrasings: str, answer: str, rng: random.Random, entity: str) -> list[tuple[str, str, bool]]:
    questions = phrasings.split("|")
    held = rng.randrange(len(questions))
    return [(question.format(e=entity), answer, index == held) for index, question in enumerate(questions)]


def _sums(rng: random.Random) -> list[tuple[str, str, bool]]:
    documents = []
    for a in range(13):
        for b in range(13):
            answer, held = f"{a} plus {b} is {a + b}.", rng.random() < 0.1
            documents += [(f"What is {a} plus {b}?", answer, held), (f"{a} + {b}", answer, held)]
            documents.append((f"Add {a} and {b}.", answer, held))
    for a in range(11):
        for b in range(11):
            answer, held = f"{a} times {b} is {a * b}.", rng.random() < 0.1
            documents += [(f"What is {a} times {b}?", answer, held), (f"{a} * {b}", answer, held)]
    return documents
