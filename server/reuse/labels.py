"""Free labels: would the candidate's stored answer have been right? The answer just fetched says so.

Labels calibrate thresholds; they never make an entry unusable (feedback does). Unknown is a label too, and better than
a wrong one, because a judge's error adds to the error of whatever is calibrated on it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from crypto.similarity import COSINE_ONE
from server.ports import Float32Matrix
from server.reuse.guards import doubts, facts_of

LabelKind = Literal["equal", "embedding"]

#: Answers of at least this cosine, with no doubt between them, say the same.
SAME_ANSWER_TEN_THOUSANDTHS: Final = 9_000
#: Answers below this cosine say different things.
OTHER_ANSWER_TEN_THOUSANDTHS: Final = 6_500
#: Longer answers are compared for equality only: an encoder sees no more than their beginning.
JUDGED_CHARACTERS_MAX: Final = 1_000
#: Doubts between two answers that make them different answers, however alike they sound.
CONTRADICTING: Final = frozenset(("number", "date", "unit", "negation", "opposite", "entity_clash", "reversal", "code"))

#: What stands around a word without being part of it, on both sides or behind it only.
AROUND: Final = "\"'“”‘’«»*_`"
BEHIND: Final = ".,;:!?…"


@dataclass(frozen=True, slots=True)
class Label:
    """Whether the stored answer was right for the new query, None when nobody can tell, and how that was found."""

    right: bool | None
    kind: LabelKind


class AnswerJudge(Protocol):
    """Compares two answers to two questions that may be the same question."""

    def judge(self, fresh: str, stored: str) -> bool | None:
        """Say whether *stored* serves as well as *fresh*, or None when that cannot be told."""
        ...


def label_answers(fresh: str, stored: str, judge: AnswerJudge | None) -> Label:
    """Label the stored answer against the *fresh* one: equal but for case and punctuation, else as *judge* says."""
    if fresh == stored or plain_answer(fresh) == plain_answer(stored):
        return Label(True, "equal")
    if judge is None:
        return Label(None, "equal")
    return Label(judge.judge(fresh, stored), "embedding")


def plain_answer(answer: str) -> str:
    """Return *answer* in the form in which equal answers are equal: NFKC, lower case, one space, bare words.

    Only what surrounds a word goes: quotes, emphasis, the end of a sentence. Signs, points and operators inside stay,
    because "-5", "a-b" and "3.5" are the answer.
    """
    folded = unicodedata.normalize("NFKC", answer).casefold()
    return " ".join(chunk.strip(AROUND).rstrip(BEHIND).strip(AROUND) or chunk for chunk in folded.split())


class EmbeddingJudge:
    """Judges by the cosine of the answers' sentence vectors, and by the guards, which see what a cosine cannot.

    *embed* maps texts to unit rows. Between the two thresholds, and for long answers, it does not know.
    """

    def __init__(self, embed: Callable[[list[str]], Float32Matrix]) -> None:
        self._embed = embed

    def judge(self, fresh: str, stored: str) -> bool | None:
        """Say whether the two answers say the same. Raises what *embed* raises."""
        if max(len(fresh), len(stored)) > JUDGED_CHARACTERS_MAX:
            return None
        vectors = self._embed([fresh, stored])
        cosine_ten_thousandths = int(float(vectors[0] @ vectors[1]) * COSINE_ONE)
        if cosine_ten_thousandths < OTHER_ANSWER_TEN_THOUSANDTHS:
            return False
        found = CONTRADICTING.intersection(doubts(facts_of(fresh), facts_of(stored)))
        if cosine_ten_thousandths < SAME_ANSWER_TEN_THOUSANDTHS:
            return None
        return False if found & {"number", "date", "unit"} else (None if found else True)
