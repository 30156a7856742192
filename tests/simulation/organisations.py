"""Some months of organisations that share: a SIMULATION, with invented questions and a clock that is moved.

epoch 1  everybody asks; at its close the pool pays and releases, the runner answers anew, a day later it is live
epoch 2  organisations get answers of the pool to questions they never asked; one of them publishes an entry of its
         own by consent, under noise; the epoch's release takes the rest of the budget
epoch 3  its close finds every budget used up: nothing is released any more, and reading goes on
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from privacy.terms import pool_terms
from server.datafolder import DataFolder
from server.ports import JsonObject
from server.reuse.policy import ReusePolicy
from server.settings import FOLDER_FILE, Settings, load_settings
from tests.simulation.clock import MovedClock
from tests.simulation.questions import Topic, draw_topics, load_topics
from tests.simulation.world import MODEL, Organisation, World, running, set_up, share

EPOCH_S: Final = 30 * 86_400
EPOCHS: Final = 3
#: Releases that a period's budget pays for: fewer than it has epochs, so that it runs out.
PAID_RELEASES: Final = 2
QUESTIONS_PER_EPOCH: Final = (8, 2, 1)
THRESHOLD: Final = 9_500
TOGETHER: Final = 16
#: What one organisation publishes by consent: asked in words that it keeps, found by words that it gives.
LABELLED: Final = "Until when are you open in Larkfell?"
ALIASES: Final = ("What time do you close in Larkfell?", "At what hour does Larkfell close?")
ASKED_OF_LABELLED: Final = "What time do you close in Larkfell?"

POLICY: Final = ReusePolicy(threshold_ten_thousandths=THRESHOLD, sharing="pooled", pool_read=True, pool_clock="fast")
#: What is published lives no longer than its source, so the source is to live on when the simulation is served.
CONSENTING: Final = ReusePolicy(
    threshold_ten_thousandths=THRESHOLD, sharing="noised", pool_read=True, pool_clock="fast", ttl_s=300 * 86_400
)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The epochs that are simulated: the last of them ended before the real present."""

    first: int
    period_epochs: int

    def opens_ms(self, epoch: int) -> int:
        """Return when the *epoch*-th simulated epoch opens."""
        return (self.first + epoch) * EPOCH_S * 1000


def calendar_before(real_now_ms: int) -> Calendar:
    """Choose the last whole epochs before now, and periods so long that all of them lie in one."""
    first = real_now_ms // (EPOCH_S * 1000) - EPOCHS
    for period_epochs in range(EPOCHS, 4 * EPOCHS):
        if first // period_epochs == (first + EPOCHS) // period_epochs:
            return Calendar(first, period_epochs)
    raise RuntimeError("no period holds the simulated epochs")


async def simulate(folder: Path, count: int, seed: int, *, real_now_ms: int) -> JsonObject:
    """Run the simulation and return what came of it; its data folder can be served afterwards."""
    topics, chance = load_topics(), random.Random(seed)
    calendar = calendar_before(real_now_ms)
    settings = write_settings(folder, calendar, [topic.public for topic in topics])
    clock = MovedClock(calendar.opens_ms(0) + 3_600_000)
    organisations = set_up(settings, clock, count)
    for number, organisation in enumerate(organisations):
        share(settings, clock, organisation, CONSENTING if number == 0 else POLICY)
    async with running(settings, clock, organisations) as world:
        story = Story(world, calendar, topics, chance)
        return await story.run()


def write_settings(folder: Path, calendar: Calendar, public: Sequence[str]) -> Settings:
    """Write the settings that every later command on this folder goes by, and the public list of questions."""
    DataFolder(folder).create()
    anchors = (folder / "public-questions.txt").resolve()
    anchors.write_text("\n".join(public) + "\n", encoding="utf-8")
    terms = pool_terms(unit="question", vector_source="dp_mean", period_epochs=calendar.period_epochs)
    whole = terms.period_cost()
    noised_rho_nano = 1_000_000_000
    values = {
        "pool_models": [MODEL],
        "pool_vector_source": "dp_mean",
        "pool_anchors": str(anchors),
        "pool_epoch_s": EPOCH_S,
        "pool_period_epochs": calendar.period_epochs,
        "pool_budget_epsilon_micro": whole.epsilon_micro * PAID_RELEASES // calendar.period_epochs,
        "pool_budget_rho_nano": whole.rho_nano * PAID_RELEASES // calendar.period_epochs + noised_rho_nano,
        "pool_budget_delta_atto": whole.delta_atto * PAID_RELEASES // calendar.period_epochs,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    (folder / FOLDER_FILE).write_text("# Written by a SIMULATION.\n" + "\n".join(lines) + "\n", encoding="utf-8")
    overrides: dict[str, Any] = {
        "data": folder,
        "log_interval_s": 0.2,
        "pool_interval_s": 86_400,
        "pool_answer_batch_max": 1_000,
    }
    return load_settings(environ={}, overrides=overrides)


class Story:
    """What happens, epoch by epoch, and what is told of it."""

    def __init__(self, world: World, calendar: Calendar, topics: Sequence[Topic], chance: random.Random) -> None:
        self._world = world
        self._calendar = calendar
        self._topics = list(topics)
        self._chance = chance
        self._asked: dict[str, set[str]] = {who.name: set() for who in world.organisations}
        self._places = asyncio.Semaphore(TOGETHER)
        self._told: list[str] = []
        self._hits: list[JsonObject] = []

    async def run(self) -> JsonObject:
        await self._work()
        await self._everybody_asks(0)
        self._tell(f"epoch 1: {self._count()} organisations asked {QUESTIONS_PER_EPOCH[0]} questions each")
        await self._close(0)
        pooled = await self._ask_what_was_never_asked()
        await self._label()
        await self._everybody_asks(1)
        noised = await self._publish_and_ask()
        await self._close(1)
        await self._everybody_asks(2)
        await self._close(2)
        await self._settle()
        await self._tell_epochs()
        return {
            "label": "SIMULATION: invented organisations and questions, a clock that was moved",
            "organisations": [asdict(who) for who in self._world.organisations],
            "pool_hits": self._hits,
            "hits": {"pooled": pooled, "noised": noised},
            "told": self._told,
        }

    async def _everybody_asks(self, epoch: int) -> None:
        """Have everybody ask topics of their own choice, the popular ones mostly, each in some phrasing."""
        work = []
        for who in self._world.organisations:
            for topic in draw_topics(self._topics, QUESTIONS_PER_EPOCH[epoch], self._chance):
                self._asked[who.name].add(topic.public)
                work.append(self._ask(who, self._chance.choice((topic.public, *topic.phrasings))))
        await asyncio.gather(*work)

    async def _ask_what_was_never_asked(self) -> int:
        """Have organisations ask about topics that they never asked about; count and keep the pool's answers."""
        work = []
        for who in self._world.organisations:
            fresh = [topic for topic in self._topics if topic.public not in self._asked[who.name]]
            if fresh:
                work.append(self._ask_never_asked(who, fresh[0]))
        found = [answer for answer in await asyncio.gather(*work) if answer is not None]
        self._hits += found[:3]
        self._tell(
            f"epoch 2: {len(work)} organisations asked something that they had never asked; the pool answered {len(found)}"
        )
        return len(found)

    async def _ask_never_asked(self, who: Organisation, topic: Topic) -> JsonObject | None:
        text = topic.phrasings[0] if len(topic.phrasings) == 1 else topic.phrasings[1]
        return _of_the_pool(await self._ask(who, text), who, text)

    async def _label(self) -> None:
        """Have the consenting organisation ask something of its own and label the answer shareable."""
        who = self._world.organisations[0]
        await self._ask(who, LABELLED, hitproof={"share": {"aliases": list(ALIASES)}})

    async def _publish_and_ask(self) -> int:
        """Let a day pass, so that what was labelled is published, and have somebody else ask for it."""
        await self._work()
        self._world.clock.move_to(self._world.clock.now_ms() + 2 * 86_400_000)
        await self._work()
        who = self._world.organisations[-1]
        found = _of_the_pool(await self._ask(who, ASKED_OF_LABELLED), who, ASKED_OF_LABELLED)
        self._hits += [found] if found is not None else []
        self._tell(
            f"one organisation published an entry under noise; another asked for it: {'a hit' if found else 'no hit'}"
        )
        return int(found is not None)

    async def _close(self, epoch: int) -> None:
        """Move behind the end of an epoch, let the pool release, answer, and look again a day later."""
        self._world.clock.move_to(self._calendar.opens_ms(epoch + 1) + 3_600_000)
        await self._work()
        if epoch + 1 < EPOCHS:
            self._world.clock.move_to(self._world.clock.now_ms() + 2 * 86_400_000)
            await self._work()

    async def _ask(self, who: Organisation, text: str, **options: Any) -> JsonObject:
        async with self._places:
            return await self._world.ask(who, text, **options)

    async def _work(self) -> None:
        """Let the pool take its votes and do what is due."""
        await self._world.pool_work()

    async def _settle(self) -> None:
        await self._world.settle()

    async def _tell_epochs(self) -> None:
        """Tell what became of every epoch, as the pool itself wrote it down."""
        for number, ended in enumerate(await self._world.ended_epochs(), 1):
            paid = "" if ended.release is None else f", release {ended.release}"
            self._tell(
                f"epoch {number} ended: {ended.state}{paid}{'' if ended.reason is None else f' ({ended.reason})'}"
            )

    def _count(self) -> int:
        return len(self._world.organisations)

    def _tell(self, text: str) -> None:
        self._told.append(text)
        print(f"SIMULATION  {text}", flush=True)


def _of_the_pool(answer: JsonObject, who: Organisation, text: str) -> JsonObject | None:
    """Return what is kept of an answer that the pool gave; None for any other."""
    account = answer["hitproof"]
    if account["outcome"] != "hit" or account["tier"] != "pool":
        return None
    return {
        "organisation": who.name,
        "question": text,
        "answer": answer["choices"][0]["message"]["content"],
        "hit": account["hit"],
        "receipt": account["receipt"],
    }
