import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from crypto.canonical import canonical_json, parse_canonical_json
from server.reuse.guards import ALWAYS_GUARDS, HARD_GUARDS, Facts, doubts, facts_of, readable
from server.reuse.guards.characters import words
from server.reuse.query import canonical_query, may_match_by_meaning

PAIRS = json.loads((Path(__file__).parents[1] / "fixtures" / "contrast_pairs.json").read_text(encoding="utf-8"))
SENTENCES = sorted({text for kind, pairs in PAIRS.items() if kind != "disguise" for pair in pairs for text in pair})
VETOES = {*HARD_GUARDS, *ALWAYS_GUARDS}
LOOKALIKES = dict(zip("aceiopsxy", "асеіорѕху", strict=True))
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202a\u202e\u2066"
#: Pieces that meet every rule of the guards, mixed with anything else that Unicode has.
PIECES = st.one_of(
    st.sampled_from(
        words(
            "not n't don't no 5 5pm 17:00 1,000 2k $ € % kg may monday on off in out log to from than before World War II "
            "iPhone a_b --x /a/b un safe unsafe the a is was , . ? ! ' ( ) - + = \u0301 \u200b а é ß 你 👍 1e3 3:2 half one"
        )
    ),
    st.text(max_size=8),
)
TEXTS = st.lists(PIECES, max_size=25).map(" ".join)


@given(TEXTS)
def test_any_text_has_facts_that_survive_storage(text: str) -> None:
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        return  # no request can carry a lone surrogate: the body's parser refuses it
    taken = facts_of(text)
    assert Facts.from_json(parse_canonical_json(canonical_json(taken.to_json()))) == taken


@given(TEXTS, TEXTS)
@example("a not b", "a b not")
def test_doubts_are_symmetric(left: str, right: str) -> None:
    one, other = facts_of(left), facts_of(right)
    assert set(doubts(one, other)) == set(doubts(other, one))


@given(TEXTS)
def test_a_text_is_not_doubted_against_itself_unless_it_is_disguised(text: str) -> None:
    taken = facts_of(text)
    assert set(doubts(taken, taken)) <= {"disguise"}


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.sampled_from(["order {}", "Is {} mg safe?", "room {} key"]))
@example(48_213, 48_231, "order {}")
def test_two_different_numbers_are_doubted(left: int, right: int, frame: str) -> None:
    found = set(doubts(facts_of(frame.format(left)), facts_of(frame.format(right))))
    assert bool(found & VETOES) == (left != right)


@given(st.sampled_from(SENTENCES), st.data())
def test_an_imitated_letter_is_doubted(sentence: str, data: st.DataObject) -> None:
    places = [
        place
        for place, character in enumerate(sentence)
        if character in LOOKALIKES and len(_word_around(sentence, place)) > 1
    ]
    place = data.draw(st.sampled_from(places))
    forged = sentence[:place] + LOOKALIKES[sentence[place]] + sentence[place + 1 :]
    assert set(doubts(facts_of(forged), facts_of(sentence))) & VETOES


@given(st.sampled_from(SENTENCES), st.data())
def test_invisible_characters_change_nothing_that_is_compared(sentence: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(sentence)))
    hidden = data.draw(st.text(INVISIBLE, min_size=1, max_size=5))
    forged = sentence[:place] + hidden + sentence[place:]
    assert readable(forged) == readable(sentence)
    assert doubts(facts_of(forged), facts_of(sentence)) == ()


@given(TEXTS)
def test_the_canonical_query_is_stable(text: str) -> None:
    once = canonical_query(text)
    assert canonical_query(once) == once


@given(TEXTS, st.booleans())
def test_eligibility_never_fails(text: str, has_earlier_turns: bool) -> None:
    reason = may_match_by_meaning(text, has_earlier_turns=has_earlier_turns)
    assert reason in (None, "query_too_long", "query_without_words", "query_language", "follow_up", "time_sensitive")


def _word_around(sentence: str, place: int) -> str:
    start = end = place
    while start and sentence[start - 1].isalpha():
        start -= 1
    while end < len(sentence) and sentence[end].isalpha():
        end += 1
    return sentence[start:end]
