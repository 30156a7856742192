import pytest

from server.reuse.policy import ReusePolicy
from server.reuse.query import canonical_query, may_match_by_meaning
from tests.effort import cpu_s


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("cafe\u0301", "caf\u00e9"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("  Where?\n", "Where?"),
        ("\u00a0Where?\u2003", "Where?"),
    ],
)
def test_spellings_of_the_same_characters_are_one_query(left: str, right: str) -> None:
    assert canonical_query(left) == canonical_query(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Where?", "where?"),
        ("a  b", "a b"),
        ("ﬁn", "fin"),
        ("x\u200by", "xy"),
        ("10\u00b2", "102"),
        ("Where", "Where?"),
        ("a\n\nb", "a\nb"),
    ],
)
def test_nothing_else_is_folded(left: str, right: str) -> None:
    assert canonical_query(left) != canonical_query(right)


def test_canonical_form_is_stable() -> None:
    once = canonical_query(" \u1100\u1161\r\n e\u0301 \u2003")
    assert canonical_query(once) == once


@pytest.mark.parametrize("text", ["Where is the depot?", "order 48213", "naïve Bayes explained", "π"])
def test_an_ordinary_question_may_match(text: str) -> None:
    policy = ReusePolicy(other_languages="allow")
    assert may_match_by_meaning(text, has_earlier_turns=False, policy=policy) is None


@pytest.mark.parametrize("text", ["", "   ", "\u200b\u200d", "?!", "👍", "—", "\u0301"])
def test_a_query_without_words_may_not(text: str) -> None:
    assert may_match_by_meaning(text, has_earlier_turns=False) == "query_without_words"


def test_a_query_beyond_the_limit_may_not() -> None:
    assert may_match_by_meaning("a" * 2_000, has_earlier_turns=False) is None
    assert may_match_by_meaning("a" * 2_001, has_earlier_turns=False) == "query_too_long"


def test_a_quarter_million_characters_are_refused_at_once() -> None:
    text = "z" * 250_000
    assert may_match_by_meaning(text, has_earlier_turns=True) == "query_too_long"
    assert cpu_s(lambda: may_match_by_meaning(text, has_earlier_turns=True)) < 0.01


@pytest.mark.parametrize("text", ["Где находится депо?", "Wo ist das Depot und wie komme ich hin?", "車庫はどこですか"])
def test_another_language_is_exact_only_unless_the_policy_allows_it(text: str) -> None:
    assert may_match_by_meaning(text, has_earlier_turns=False) == "query_language"
    allowed = ReusePolicy(other_languages="allow")
    assert may_match_by_meaning(text, has_earlier_turns=False, policy=allowed) is None


FOLLOW_UPS = [
    "How old is he?",
    "and in Oslo?",
    "Why?",
    "What about the second one?",
    "Tell me more",
    "Shorter please",
    "42",
]


@pytest.mark.parametrize("text", FOLLOW_UPS)
def test_a_follow_up_may_not_match_behind_earlier_turns(text: str) -> None:
    assert may_match_by_meaning(text, has_earlier_turns=True) == "follow_up"


@pytest.mark.parametrize("text", FOLLOW_UPS)
def test_without_earlier_turns_nothing_is_a_follow_up(text: str) -> None:
    assert may_match_by_meaning(text, has_earlier_turns=False) is None


def test_a_question_that_stands_for_itself_may_match_behind_earlier_turns() -> None:
    assert (
        may_match_by_meaning("How do bees find their way home to a hive?".replace("their", "a"), has_earlier_turns=True)
        is None
    )


@pytest.mark.parametrize(
    "text",
    [
        "What is the weather today?",
        "latest tram strike",
        "What time is it in Oslo?",
        "price of oil right now",
        "current price of tin",
    ],
)
def test_a_question_about_now_is_exact_only_unless_the_policy_allows_it(text: str) -> None:
    assert may_match_by_meaning(text, has_earlier_turns=False) == "time_sensitive"
    assert may_match_by_meaning(text, has_earlier_turns=False, policy=ReusePolicy(time_sensitive="allow")) is None


@pytest.mark.parametrize(
    "text", ["How do I know now and then?", "What is alternating current?", "What is the date of the battle?"]
)
def test_words_that_only_sound_like_now_do_not_matter(text: str) -> None:
    assert may_match_by_meaning(text, has_earlier_turns=False) is None


@pytest.mark.parametrize("piece", ["price a ", "what is the ", "current ", "weather now", "and "])
def test_a_hostile_query_takes_bounded_time(piece: str) -> None:
    text, policy = (piece * 2_000)[:2_000], ReusePolicy(query_characters_max=2_000)
    assert cpu_s(lambda: may_match_by_meaning(text, has_earlier_turns=True, policy=policy)) < 0.2
