"""What goes into a transcript determines what comes out of it, wherever its pieces begin and end."""

from __future__ import annotations

from crypto.applicability.suites import ORDER
from crypto.applicability.transcript import Transcript


def drawn(*steps: tuple[str, bytes], label: str = "example", fields: tuple[bytes, ...] = (b"one", b"two")) -> int:
    transcript = Transcript.start(label, *fields)
    for name, data in steps:
        transcript.absorb(name, data)
    return transcript.challenge("gamma")


def test_the_same_words_draw_the_same_challenge() -> None:
    assert drawn(("B", b"12")) == drawn(("B", b"12"))


def test_whatever_differs_before_a_challenge_changes_it() -> None:
    challenges = {
        drawn(),
        drawn(("B", b"12")),
        drawn(("M", b"12")),
        drawn(("B", b"1"), ("B", b"2")),
        drawn(("B", b"12"), ("B", b"")),
        drawn(("B1", b"2")),
        drawn(("B", b"12"), label="another"),
        drawn(("B", b"12"), fields=(b"onetwo",)),
        drawn(("B", b"12"), fields=(b"one", b"two", b"")),
    }
    assert len(challenges) == 9


def test_a_challenge_is_taken_in_itself() -> None:
    transcript = Transcript.start("example")
    first, second = transcript.challenge("gamma"), transcript.challenge("gamma")
    assert first != second


def test_a_challenge_depends_on_its_name() -> None:
    assert Transcript.start("example").challenge("zeta") != Transcript.start("example").challenge("nu")


def test_challenges_are_scalars_of_full_length() -> None:
    transcript = Transcript.start("example")
    values = [transcript.challenge("gamma") for _ in range(64)]
    assert all(0 <= value < ORDER for value in values)
    assert max(values) > ORDER // 2 > min(values)
