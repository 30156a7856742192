import numpy as np
import pytest

from server.reuse.labels import (
    JUDGED_CHARACTERS_MAX,
    EmbeddingJudge,
    Label,
    label_answers,
    plain_answer,
)


class Verdict:
    """A judge that always says the same, and counts."""

    def __init__(self, right: bool | None) -> None:
        self.right = right
        self.asked = 0

    def judge(self, fresh: str, stored: str) -> bool | None:
        self.asked += 1
        return self.right


def judge_at(cosine: float) -> EmbeddingJudge:
    """A judge whose embedder puts any two texts at *cosine*."""
    rows = np.array([[1, 0], [cosine, (1 - cosine**2) ** 0.5]], np.float32)
    return EmbeddingJudge(lambda texts: rows[: len(texts)])


@pytest.mark.parametrize(
    ("fresh", "stored"),
    [
        ("Yes.", "yes"),
        ("The *depot* is\nin Graz.", "the depot is in graz"),
        ("“Graz”", "Graz"),
        ("Ｇraz", "graz"),
    ],
)
def test_answers_that_differ_only_in_dress_are_equal(fresh: str, stored: str) -> None:
    judge = Verdict(False)
    assert label_answers(fresh, stored, judge) == Label(True, "equal")
    assert judge.asked == 0


@pytest.mark.parametrize(
    ("fresh", "stored"),
    [("5", "-5"), ("3.5", "35"), ("a-b", "a+b"), ("x", "!x"), ("1,5", "15"), ("no", "not"), (".5", "5"), ("5%", "5")],
)
def test_a_sign_a_point_or_an_operator_is_part_of_the_answer(fresh: str, stored: str) -> None:
    assert plain_answer(fresh) != plain_answer(stored)


@pytest.mark.parametrize("right", [True, False, None])
def test_unequal_answers_are_the_judges_business(right: bool | None) -> None:
    assert label_answers("In Graz.", "In Linz.", Verdict(right)) == Label(right, "embedding")


def test_without_a_judge_unequal_answers_are_unknown() -> None:
    assert label_answers("In Graz.", "In Linz.", None).right is None


def test_close_answers_without_doubt_say_the_same() -> None:
    assert judge_at(0.95).judge("The depot is in Graz.", "Graz is where the depot is.") is True


def test_distant_answers_say_something_else() -> None:
    assert judge_at(0.5).judge("The depot is in Graz.", "Bees sleep at night.") is False


def test_between_the_thresholds_the_judge_does_not_know() -> None:
    assert judge_at(0.8).judge("The depot is in Graz.", "A depot in Graz exists.") is None


def test_close_answers_with_other_numbers_are_wrong() -> None:
    assert judge_at(0.99).judge("It takes 3 days.", "It takes 5 days.") is False


def test_close_answers_of_which_one_denies_are_unknown() -> None:
    assert judge_at(0.99).judge("Pets may ride along.", "Pets may not ride along.") is None


def test_long_answers_are_not_judged() -> None:
    long = "word " * JUDGED_CHARACTERS_MAX
    assert judge_at(1.0).judge(long, long + "x") is None
