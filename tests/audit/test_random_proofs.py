"""Both implementations come to the same end, for the same reason, whatever a house says about the closeness of its hits."""

from __future__ import annotations

from collections import Counter

from tests.audit.random_proofs import random_proved_attempt
from tests.audit.verifiers import ask_first, ask_second


def test_both_come_to_the_same_end_for_the_same_reason_whatever_is_said_of_closeness(campaign: bool) -> None:
    ends: Counter[str] = Counter()
    shown = 0
    for seed in range(2_000 if campaign else 20):
        tried = random_proved_attempt(seed)
        first, second = ask_first(tried), ask_second(tried)
        assert (first.exit_code, first.reason) == (second.exit_code, second.reason), seed
        if first.exit_code == 0:
            assert first == second, seed
        ends[str(first.reason)] += 1
        shown += len(first.applicable)
    assert ends["None"] > ends.total() // 8, ends
    assert len(ends) > 4, ends
    assert shown > 10
