from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from privacy.terms import PoolTerms, pool_terms
from server.pool.counting import Tally, draw_release, give_vectors, join_key, split_key, tally
from server.pool.tags import Vote, open_vote, seal_vote, voted_tag, voter_tag
from server.store.pool_records import StoredVote
from tenants.errors import UnsealError
from tenants.identifiers import OrganisationId
from tenants.sealing import DataKey
from tests.fakes import SeededRandom, WordEmbedder
from tests.pool_houses import KnownNoise

KEY, OTHER = DataKey(7, bytes(range(32))), DataKey(7, bytes(range(1, 33)))
RANDOM = SeededRandom(3)
ORGANISATIONS = [OrganisationId(f"org_{number:02d}") for number in range(30)]
VOTERS = [voter_tag(KEY, one) for one in ORGANISATIONS]
PLACES = 3
TERMS = pool_terms(unit="question")
MEANS = pool_terms(unit="question", vector_source="dp_mean")


def votes(*texts_of: Sequence[str], vector: bytes | None = None) -> list[StoredVote]:
    """Return the votes of organisation 0, 1, … for their texts, in the order in which a store gives them."""
    found = [
        StoredVote(VOTERS[number], place, seal_vote(KEY, VOTERS[number], Vote(text, "plain", vector), random=RANDOM))
        for number, texts in enumerate(texts_of)
        for place, text in enumerate(texts)
    ]
    return sorted(found, key=lambda vote: (vote.voter, vote.place))


def test_several_places_of_one_organisation_with_one_key_count_once() -> None:
    counted = tally(votes(["a", "a", "b"], ["a"]), KEY, VOTERS, keys_max=PLACES, with_vectors=False)
    assert counted.counts == {join_key("plain", "a"): 2, join_key("plain", "b"): 1}


def test_places_beyond_those_that_are_paid_for_do_not_count() -> None:
    counted = tally(votes(["a", "b", "c"], ["c"]), KEY, VOTERS, keys_max=2, with_vectors=False)
    assert counted.counts == {join_key("plain", "a"): 1, join_key("plain", "b"): 1, join_key("plain", "c"): 1}


def test_a_vector_of_another_length_is_left_out_of_a_mean_and_stops_nothing() -> None:
    counted = Tally({join_key("plain", "a"): 2}, {join_key("plain", "a"): [b"\x01\x02", b"\x01\x02\x03\x04"]})
    noise = KnownNoise(19)
    assert draw_release(counted, MEANS, noise, dimension=4)[0].mean is not None
    assert noise.calls == [1, 4]


def test_votes_of_those_who_did_not_pay_are_not_counted() -> None:
    assert tally(votes(["a"], ["a"]), KEY, VOTERS[1:], keys_max=PLACES, with_vectors=False).counts == {
        join_key("plain", "a"): 1
    }


def test_the_first_places_vector_stands_for_the_organisation() -> None:
    first, second = votes(["a"], vector=b"\x01\x02")[0], votes(["a"], vector=b"\x03\x04")[0]
    later = StoredVote(second.voter, 1, second.sealed)
    assert tally([first, later], KEY, VOTERS, keys_max=PLACES, with_vectors=True).vectors == {
        join_key("plain", "a"): [b"\x01\x02"]
    }


def test_a_vote_that_does_not_open_stops_the_count() -> None:
    with pytest.raises(UnsealError):
        tally(votes(["a"]), OTHER, VOTERS, keys_max=PLACES, with_vectors=False)


def test_a_vote_opens_for_its_own_voter_alone() -> None:
    sealed = votes(["a"])[0].sealed
    with pytest.raises(UnsealError):
        open_vote(KEY, VOTERS[1], sealed)


def drawn(counts: dict[str, int], terms: PoolTerms, noise: KnownNoise) -> list[Any]:
    return draw_release(
        Tally({join_key("plain", key): count for key, count in counts.items()}), terms, noise, dimension=4
    )


def test_a_key_comes_out_from_the_threshold_on() -> None:
    noise = KnownNoise()
    assert [one.text for one in drawn({"at": TERMS.threshold, "below": TERMS.threshold - 1}, TERMS, noise)] == ["at"]
    assert noise.calls == [2]


def test_a_mean_is_made_where_the_noisy_count_and_not_the_true_one_reaches_twenty() -> None:
    up, down = KnownNoise(1), KnownNoise(-1)
    assert drawn({"a": 19}, MEANS, up)[0].mean is not None and up.calls == [1, 4]
    assert drawn({"a": 20}, MEANS, down)[0].mean is None and down.calls == [1]


def test_a_mean_without_any_vector_is_noise_and_not_an_absence() -> None:
    assert drawn({"a": 25}, MEANS, KnownNoise(3))[0].mean is not None


def test_a_text_that_has_no_mean_gets_its_own_vector() -> None:
    embedder, ids = WordEmbedder(), iter(range(10))
    selected = drawn({"how deep is the lake": 30}, TERMS, KnownNoise())
    released = give_vectors(selected, embedder.embed, lambda: next(ids), embedder=embedder.digest)
    assert [(one.id, one.texts, one.embedder) for one in released] == [(0, ("how deep is the lake",), embedder.digest)]
    assert np.count_nonzero(released[0].row) > 300


def test_a_key_splits_into_what_it_was_joined_from() -> None:
    assert split_key(join_key("brief", "a\nb")) == ("brief", "a\nb")


def test_tags_differ_by_organisation_text_period_and_key() -> None:
    one = voted_tag(KEY.secret, 1, ORGANISATIONS[0], "a")
    others = [
        voted_tag(KEY.secret, 2, ORGANISATIONS[0], "a"),
        voted_tag(KEY.secret, 1, ORGANISATIONS[1], "a"),
        voted_tag(KEY.secret, 1, ORGANISATIONS[0], "b"),
        voted_tag(OTHER.secret, 1, ORGANISATIONS[0], "a"),
    ]
    assert len({one, *others}) == 5
    assert len({*VOTERS, voter_tag(OTHER, ORGANISATIONS[0])}) == len(VOTERS) + 1
