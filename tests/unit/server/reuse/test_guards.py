import json
from pathlib import Path

import pytest

from crypto.canonical import canonical_json, parse_canonical_json
from crypto.errors import EncodingError
from server.reuse.guards import (
    ALWAYS_GUARDS,
    HARD_GUARDS,
    UNREAD,
    Facts,
    doubts,
    facts_of,
    is_other_language,
    readable,
)
from server.reuse.guards.facts import CHARACTERS_MAX
from tests.effort import cpu_s

PAIRS = json.loads((Path(__file__).parents[3] / "fixtures" / "contrast_pairs.json").read_text(encoding="utf-8"))
WRONG = [(kind, left, right) for kind, pairs in PAIRS.items() if kind != "harmless" for left, right in pairs]


def doubts_of(left: str, right: str) -> tuple[str, ...]:
    return doubts(facts_of(left), facts_of(right))


def vetoes_of(left: str, right: str) -> set[str]:
    return {*doubts_of(left, right)} & {*HARD_GUARDS, *ALWAYS_GUARDS}


@pytest.mark.parametrize(("kind", "left", "right"), WRONG)
def test_a_pair_that_must_not_share_an_answer_is_doubted_for_its_own_reason(kind: str, left: str, right: str) -> None:
    found = vetoes_of(left, right)
    assert kind in found or (kind, found) in ALSO_FINE, f"{left!r} / {right!r}: {found}"


#: A negated state is its opposite, so either name is right for such a pair.
ALSO_FINE: list[tuple[str, set[str]]] = [("opposite", {"negation"}), ("date", {"number"}), ("negation", {"opposite"})]


@pytest.mark.parametrize(("left", "right"), PAIRS["harmless"])
def test_a_harmless_rewording_is_not_doubted(left: str, right: str) -> None:
    assert vetoes_of(left, right) == set()


@pytest.mark.parametrize(("kind", "left", "right"), WRONG)
def test_doubts_do_not_depend_on_the_order_of_the_two_texts(kind: str, left: str, right: str) -> None:
    assert set(doubts_of(left, right)) == set(doubts_of(right, left))


@pytest.mark.parametrize("text", sorted({text for pairs in PAIRS.values() for pair in pairs for text in pair}))
def test_a_text_is_never_doubted_against_itself_unless_it_is_disguised(text: str) -> None:
    assert set(doubts_of(text, text)) <= {"disguise"}


@pytest.mark.parametrize("text", sorted({text for pairs in PAIRS.values() for pair in pairs for text in pair}))
def test_stored_facts_read_back_as_they_were(text: str) -> None:
    taken = facts_of(text)
    assert Facts.from_json(parse_canonical_json(canonical_json(taken.to_json()))) == taken


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Is it un\u200bsafe to dive?", "Is it unsafe to dive?"),
        ("Is it ｕｎｓａｆｅ to dive?", "Is it unsafe to dive?"),
        ("Is it uns\u00adafe to dive?", "Is it unsafe to dive?"),
        ("\u202eIs it unsafe to dive?\u202c", "Is it unsafe to dive?"),
        ("Is it u\u0301nsafe to dive?", "Is it únsafe to dive?"),
        ("IS IT UNSAFE TO DIVE?", "is it unsafe to dive?"),
        ("Is it unsafe to dive?\n", "Is it unsafe to dive?"),
        ("Does Ana’s boat leak?", "Does Ana's boat leak?"),
    ],
)
def test_two_spellings_that_read_the_same_have_the_same_facts(left: str, right: str) -> None:
    assert vetoes_of(left, right) == set()


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Is it un\u200bsafe to dive?", "Is it safe to dive?"),
        ("Is it n\u2060ot allowed to dive?", "Is it allowed to dive?"),
        ("Is it ｕｎｓａｆｅ to dive?", "Is it safe to dive?"),
        ("Can I take 5\u200b0 pills?", "Can I take 5 pills?"),
        ("Is it nоt safe to dive?", "Is it safe to dive?"),
        ("Is it 𝐧𝐨𝐭 safe to dive?", "Is it safe to dive?"),
    ],
)
def test_a_hidden_or_imitated_letter_hides_no_contradiction(left: str, right: str) -> None:
    assert vetoes_of(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("What does step ❶ do?", "What does step ❷ do?"),
        ("What does step ❿ do?", "What does step ⓫ do?"),
        ("What is \U00010a40 and why?", "What is \U00010a41 and why?"),
        ("How large is a file of 10 MB?", "How large is a file of 10 Mb?"),
        ("How large is a file of 10MB?", "How large is a file of 10Mb?"),
        ("Can I return a coat within 14 days?", "Can I return a coat after 14 days?"),
    ],
)
def test_numbers_and_units_told_apart_by_one_sign_are_doubted(left: str, right: str) -> None:
    assert vetoes_of(left, right)


def test_no_numeral_of_any_script_stops_the_reading() -> None:
    numerals = [character for code in range(0x80, 0x11_0000) if (character := chr(code)).isnumeric()]
    for character in numerals:
        assert facts_of(f"What is {character} and 3{character}?").numbers, hex(ord(character))


def test_words_in_two_scripts_are_doubted_even_against_themselves() -> None:
    mixed = "Where is the pаrk?"  # the second letter of the last word is Cyrillic
    assert doubts_of(mixed, mixed) == ("disguise",)


def test_the_unseen_end_of_a_long_text_must_agree_in_every_content_word() -> None:
    start = "Please explain how the irrigation of terraced fields works in dry valleys. " * 8
    assert "tail" in doubts_of(start + "Answer for a child.", start + "Answer for a lawyer.")


def test_two_long_texts_with_the_same_content_words_are_not_doubted() -> None:
    start = "Please explain how the irrigation of terraced fields works in dry valleys. " * 8
    assert doubts_of(start, start.replace("Please explain", "please, explain")) == ()


def test_many_invisible_characters_make_a_text_long() -> None:
    assert "tail" in doubts_of("\U0001f600" * 120 + " delete it", "\U0001f600" * 120 + " keep it")


def test_a_text_beyond_the_limit_is_not_read_and_doubted_against_itself() -> None:
    text = "a" * (CHARACTERS_MAX + 1)
    assert facts_of(text) is UNREAD
    assert doubts_of(text, text) == ("unread",)


def test_facts_of_another_version_doubt_every_match() -> None:
    stored = facts_of("Where is the key?").to_json() | {"v": 0}
    assert doubts(Facts.from_json(stored), facts_of("Where is the key?")) == ("unread",)


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {},
        {"v": "1"},
        {"v": 1},
        {"v": 1, "flags": 3},
        {"v": 1, "flags": "w", "numbers": "12"},
        {"v": 1, "flags": "w", "numbers": [12]},
        {"v": 1, "flags": "w", "order": [["a", "b"]]},
        {"v": 1, "flags": "w", "order": "ab"},
        {"v": 1, "flags": "w", "negations": "0"},
    ],
)
def test_facts_that_no_version_wrote_are_refused(stored: object) -> None:
    with pytest.raises(EncodingError):
        Facts.from_json(stored)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "Ist der See sicher oder nicht?",
        "¿Cómo puedo cancelar mi cuenta?",
        "Comment est-ce que je peux annuler mon compte ?",
        "Как мне закрыть счёт?",
        "如何关闭我的账户？",
        "كيف أغلق حسابي؟",
    ],
)
def test_other_languages_are_recognised(text: str) -> None:
    assert is_other_language(text)
    assert facts_of(text).is_other_language


@pytest.mark.parametrize(
    "text",
    [
        "How do I say naïve in a letter to Zoë?",
        "What does la vita e bella mean?",
        "order 48213",
        "die hard sequel",
        "👍",
    ],
)
def test_english_with_foreign_words_stays_english(text: str) -> None:
    assert not is_other_language(text)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,000", {"1000"}),
        ("1e3", {"1000"}),
        ("2k", {"2000"}),
        ("2.5 million", {"2500000"}),
        ("$3m", {"3000000"}),
        ("two hundred and five", {"205"}),
        ("twenty-first", {"21"}),
        ("nineteen eighty four", {"19", "84"}),
        ("3.10", {"3.10"}),
        ("5.00", {"5"}),
        ("1,5", {"1", "5"}),
        ("12,34,567", {"1234567"}),
        ("007", {"007"}),
        ("3rd", {"3"}),
        ("half", {"0.5"}),
        ("Henry VIII", {"8"}),
        ("3x", {"x3"}),
        ("1990s", {"1990s"}),
    ],
)
def test_a_number_has_one_spelling(text: str, numbers: set[str]) -> None:
    assert facts_of(text).numbers == numbers


def test_one_hour_meets_1_hour_and_not_2_hours() -> None:
    assert vetoes_of("Is one hour enough?", "Is 1 hour enough?") == set()
    assert "number" in vetoes_of("Is one hour enough?", "Is 2 hours enough?")


@pytest.mark.parametrize(
    "text",
    [
        "1" * 8000,
        "1." * 4000,
        "1,000," * 1300,
        "1:" * 4000,
        "1e9" * 2600,
        "9e99 " * 1600,
        "a'" * 4000,
        "-" * 8000,
        "-1" * 4000,
        "hundred " * 1000,
        "million " * 1000,
        "not " * 2000,
        "isn't " * 1300,
        "to " * 2600,
        "a to b " * 1100,
        "__" * 4000,
        "/a" * 4000,
        "aA" * 4000,
        "é" * 4000,
        "\u0301" * 8000,
        "\u200b" * 8000,
        "x" * 8000,
        "new york " * 880,
        "price of the current " * 380,
    ],
)
def test_reading_a_hostile_text_takes_bounded_time(text: str) -> None:
    assert cpu_s(lambda: doubts(facts_of(text), facts_of(text[:-1]))) < 0.5


def test_reading_a_text_of_a_quarter_million_characters_takes_no_time() -> None:
    text = "w" * 250_000
    assert cpu_s(lambda: facts_of(text)) < 0.01


@pytest.mark.alone
def test_reading_takes_time_in_proportion_to_the_length() -> None:
    sentence = "How do I move 3 boxes from the old flat in Graz to the new one by Monday, not later? "

    def cost(text: str) -> float:
        return cpu_s(lambda: facts_of(text), tries=7)

    assert cost(sentence * 80) < 8 * 3 * cost(sentence * 10)


@pytest.mark.parametrize(
    ("raw", "seen"),
    [("a\u200bb", "ab"), ("a\u00a0b", "a b"), ("ﬁn", "fin"), ("a\x00b", "a b"), ("“x”", '"x"'), ("naïve", "naive")],
)
def test_readable_shows_what_a_reader_sees(raw: str, seen: str) -> None:
    assert readable(raw) == seen


def test_not_only_denies_only_unless_but_follows() -> None:
    only, not_only = "Is the pool open to only adults?", "Is the pool open to not only adults?"
    assert "negation" in doubts(facts_of(only), facts_of(not_only))
    assert not doubts(facts_of("Is it not only fast but also cheap?"), facts_of("Is it fast and also cheap?"))


def test_a_brief_answer_is_not_a_detailed_one() -> None:
    assert "opposite" in doubts(facts_of("Answer briefly."), facts_of("Answer in detail."))
