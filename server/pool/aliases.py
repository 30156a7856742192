"""Public questions that a published answer is found by: written by the tenant, or derived from the answer alone.

The question that was asked is in no prompt here. A model that derives questions sees the answer, which is about to be
public, and nothing else; every line that it writes must pass the gate that questions pass before they are voted for.

Whoever writes an alias chooses what others get this answer to. So each is asked of the model that gave the answer, and
stands only where that says the same again: nothing of this depends on the question that was asked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Final

from privacy.gate import refuse
from privacy.text import normalise
from server.pool.eligibility import Profile
from server.ports import JsonObject
from server.reuse.completeness import reason_not_to_store
from server.reuse.labels import AnswerJudge, label_answers
from server.reuse.models import ModelRegistry, ResolvedModel

ALIASES_MAX: Final = 16
DERIVED_TOKENS_MAX: Final = 400
#: What a list of questions may have in front of a line.
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s*")
_ASK: Final = (
    "Write at most eight short, different questions that the following text answers completely. "
    "One question per line, nothing else.\n\n"
)


def admit_aliases(texts: Iterable[str]) -> tuple[str, ...]:
    """Return those of *texts* that may be public questions, each spelling once, at most `ALIASES_MAX`."""
    admitted: dict[str, str] = {}
    for text in texts:
        plain = " ".join(text.split())
        if refuse(plain) is None:
            admitted.setdefault(normalise(plain), plain)
    return tuple(admitted.values())[:ALIASES_MAX]


class AliasWriter:
    """Has questions derived from answers by the model under *alias*; an empty one derives none."""

    def __init__(self, models: ModelRegistry, alias: str) -> None:
        self._models = models
        self._alias = alias

    async def derive(self, answer: str, *, salt: str) -> tuple[str, ...]:
        """Return public questions that *answer* answers; raises `UnknownModel`, `UpstreamError`."""
        if not self._alias:
            return ()
        model = self._models.resolve(self._alias)
        body: JsonObject = {
            "model": model.record.requested,
            "messages": [{"role": "user", "content": _ASK + answer}],
            "max_tokens": DERIVED_TOKENS_MAX,
            "temperature": 0,
        }
        completion = await model.upstream.complete(body, tenant_salt=salt)
        return admit_aliases(read_questions(completion.response))


class AliasTrial:
    """Asks aliases of the model whose answer they are to be answered with; *judge* compares answers that differ."""

    def __init__(self, judge: AnswerJudge) -> None:
        self._judge = judge

    async def keep(
        self, texts: Sequence[str], answer: str, *, profile: Profile, model: ResolvedModel, salt: str
    ) -> tuple[str, ...]:
        """Return those of *texts* that *model* answers as *answer* does under *profile*; raises `UpstreamError`."""
        said = await asyncio.gather(*(self._ask(text, profile, model, salt) for text in texts))
        verdicts = await asyncio.to_thread(self._compare, said, answer)
        return tuple(text for text, stands in zip(texts, verdicts, strict=True) if stands)

    async def _ask(self, text: str, profile: Profile, model: ResolvedModel, salt: str) -> str | None:
        messages = [*profile.context, {"role": "user", "content": text}]
        body: JsonObject = {**profile.parameters, "model": model.record.requested, "messages": messages}
        response = (await model.upstream.complete(body, tenant_salt=salt)).response
        return None if reason_not_to_store(response) else str(response["choices"][0]["message"]["content"])

    def _compare(self, said: Sequence[str | None], answer: str) -> list[bool]:
        return [text is not None and label_answers(text, answer, self._judge).right is True for text in said]


def read_questions(response: JsonObject) -> list[str]:
    """Return the lines of a model's answer that are questions, without bullets and numbers."""
    try:
        content = response["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return []
    if not isinstance(content, str):
        return []
    lines = [_BULLET.sub("", line).strip() for line in content.splitlines()[: 4 * ALIASES_MAX]]
    return [line for line in lines if line.endswith("?")]
