from __future__ import annotations

import time

import pytest

from privacy.personal import entropy_bits, find_personal, is_card, is_iban

HELD = {
    "email": [
        "Why did jane.doe+x@example.org not get my mail",
        "write to jane (at) example (dot) org please",
    ],
    "url": [
        "What is on https://intranet/page now",
        "Is payroll.example.com down again",
        "Who runs www.example",
        "why does db-1.prod.internal time out",
        "mailto:someone is blocked",
    ],
    "iban": ["Did the transfer to DE89 3704 0044 0532 0130 00 arrive", "pay GB82WEST12345698765432 today"],
    "card": ["Why was 4111 1111 1111 1111 declined", "charge 5500-0055-5555-5559 again"],
    "ip": [
        "Why is 10.0.12.7 unreachable",
        "ping fe80:0:0:0:1:2:3:4 fails",
        "what is 2001:db8::1 doing",
        "who owns 00:1a:2b:3c:4d:5e",
    ],
    "secret": [
        "is sk-proj-abcdefghijklmnop still valid",
        "my password is hunter2! why does it fail",
        "api key: 83hf",
        "what does eyJhbGciOiJIUzI1NiJ9 mean",
        "decode 9f86d081884c7d659a2feaa0c55ad015 for me",
        "does Zk3xWq8LmP2vTn5Rb7 work",
    ],
    "id": [
        "Where is order 48213",
        "who is 123-45-6789",
        "what happened to 550e8400-e29b-41d4-a716-446655440000",
        "status of ticket INC0012345",
        "where is parcel 1Z999AA1",
    ],
    "date": ["What is my sign, born 12 March 1984", "is 1984-03-12 a Monday", "born on 3/12/84", "on March 12th, 1984"],
    "phone": ["Who called me from +44 20 7946 0958", "is (415) 555-0132 a scam", "call 555-0132 back"],
    "address": [
        "What happened at 221b Baker Street",
        "who lives in 10 Downing Close",
        "Hauptstrasse 12 in Berlin",
        "weather at 48.85837, 2.29448",
        "deliver to SW1A 2AA",
    ],
    "handle": ["Who is @jane_doe on there"],
    "path": ["why is /srv/jane/notes.txt missing", r"open C:\Users\jane"],
    "name": ["my name is Jane", "Why did Mrs. Smith leave", "Is Mr Jones ill"],
}

CLEAN = [
    "How do I reset my router to factory settings?",
    "What is the difference between TCP and UDP?",
    "How much is 250000 yen in dollars?",
    "What happened in 1984?",
    "Was the 2016-2017 season a good one?",
    "How do I use ASP.NET with node.js?",
    "Is 3.5 larger than 3.25?",
    "Which is better, iPhone 7 or Galaxy S8?",
    "What does the error 0x80 or 404 mean?",
    "Why is my pin blocked?",
    "My password isn't being accepted, what now?",
    "What is my password policy?",
    "How do I divide 500/1000?",
    "Can you survive on 2 meals a day?",
    "Is World War 3 on the way?",
    "What is 1,000,000 divided by 7?",
    "How do I install version 1.9.2 of it?",
]


@pytest.mark.parametrize(("reason", "text"), [(reason, text) for reason, texts in HELD.items() for text in texts])
def test_what_points_at_somebody_or_opens_something_is_found(reason: str, text: str) -> None:
    assert find_personal(text) == reason


@pytest.mark.parametrize("text", CLEAN)
def test_ordinary_questions_are_left_alone(text: str) -> None:
    assert find_personal(text) is None


def test_a_card_number_must_hold_its_check_digit() -> None:
    assert is_card("4111 1111 1111 1111")
    assert not is_card("4111 1111 1111 1112")


def test_an_account_number_must_hold_its_check_digits() -> None:
    assert is_iban("DE89 3704 0044 0532 0130 00")
    assert not is_iban("DE88 3704 0044 0532 0130 00")


def test_an_account_number_is_found_with_words_behind_it() -> None:
    assert find_personal("is DE89370400440532013000 the right account for this") == "iban"


def test_entropy_counts_the_bits_of_a_character() -> None:
    assert entropy_bits("aaaa") == 0.0
    assert entropy_bits("abcd") == 2.0
    assert entropy_bits("") == 0.0


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "1",
        "1 ",
        "a.",
        "a-",
        "1.",
        "1:",
        "a@",
        "@a",
        "12/",
        "+1 (",
        "a1",
        "DE12 ",
        "0 aa ",
        "jan 1 ",
        "/home",
        "f:",
        "A1 ",
    ],
)
def test_the_time_of_every_pattern_is_linear(unit: str) -> None:
    started = time.perf_counter()
    find_personal(unit * (8_192 // len(unit)))
    assert time.perf_counter() - started < 1.0
