import pytest

from crypto.canonical import canonical_json
from crypto.errors import EncodingError, Error
from crypto.similarity import NORM_BOUND_SQUARED, threshold_integer
from server.reuse.decision import CANDIDATES_MAX, Accept, CandidateView, QueryView, Reject, WouldAccept, decide
from server.reuse.guards import facts_of
from server.reuse.policy import DEFAULT_POLICY, ReusePolicy
from tenants.identifiers import EntryId

NORM = 508**2
TAU = threshold_integer(9_500, NORM)


def query(text: str = "Where is the tram depot?", norm_squared: int = NORM) -> QueryView:
    return QueryView(norm_squared, facts_of(text))


def candidate(
    number: int = 1, product: int = TAU, text: str = "Where is the depot of the tram?", norm_squared: int = NORM
) -> CandidateView:
    return CandidateView(EntryId(number), product, norm_squared, facts_of(text))


def test_a_candidate_at_tau_answers() -> None:
    decision = decide(query(), [candidate()], DEFAULT_POLICY)
    assert isinstance(decision, Accept)
    assert (decision.candidate.entry_id, decision.score, decision.tau) == (1, TAU, TAU)


def test_a_candidate_one_below_tau_does_not_answer() -> None:
    decision = decide(query(), [candidate(product=TAU - 1)], DEFAULT_POLICY)
    assert isinstance(decision, Reject)
    assert decision.reason == "below_threshold"
    assert decision.nearest is not None
    assert decision.explanation.nearest == 1


def test_a_doubted_candidate_does_not_answer_and_the_guard_is_named() -> None:
    decision = decide(query("Is order 48213 late?"), [candidate(text="Is order 48231 late?")], DEFAULT_POLICY)
    assert isinstance(decision, Reject)
    assert (decision.reason, decision.guard) == ("guard", "number")
    assert decision.explanation.nearest_doubts == ("number",)


def test_the_next_best_answers_when_the_best_is_doubted() -> None:
    best = candidate(1, TAU + 9, "Is order 48231 late?")
    second = candidate(2, TAU + 3, "Is order 48213 late?")
    decision = decide(query("Is order 48213 late?"), [second, best], DEFAULT_POLICY)
    assert isinstance(decision, Accept)
    assert decision.candidate.entry_id == 2
    assert decision.explanation.nearest == 1


def test_candidates_are_tried_best_first_whatever_their_order() -> None:
    given = [candidate(1, TAU + 1), candidate(2, TAU + 5), candidate(3, TAU + 3)]
    for shuffled in (given, given[::-1], [given[2], given[0], given[1]]):
        decision = decide(query(), shuffled, DEFAULT_POLICY)
        assert isinstance(decision, Accept)
        assert decision.candidate.entry_id == 2


def test_of_equally_near_candidates_the_older_answers() -> None:
    decision = decide(query(), [candidate(8), candidate(5), candidate(9)], DEFAULT_POLICY)
    assert isinstance(decision, Accept)
    assert decision.candidate.entry_id == 5


def test_steering_can_tighten() -> None:
    decision = decide(query(), [candidate()], DEFAULT_POLICY, steer_threshold_ten_thousandths=9_600)
    assert isinstance(decision, Reject)
    assert decision.explanation.threshold_ten_thousandths == 9_600


@pytest.mark.parametrize("steered", [0, 1, 7_000, 9_499, -5])
def test_steering_cannot_loosen(steered: int) -> None:
    decision = decide(query(), [candidate(product=TAU - 1)], DEFAULT_POLICY, steer_threshold_ten_thousandths=steered)
    assert isinstance(decision, Reject)
    assert decision.explanation.tau == TAU


def test_steering_to_what_is_no_cosine_is_refused() -> None:
    with pytest.raises(EncodingError):
        decide(query(), [candidate()], DEFAULT_POLICY, steer_threshold_ten_thousandths=10_001)


def test_shadow_mode_never_accepts_and_says_what_it_would_have() -> None:
    decision = decide(query(), [candidate()], ReusePolicy(mode="shadow"))
    assert isinstance(decision, WouldAccept)
    assert decision.candidate.entry_id == 1


@pytest.mark.parametrize("mode", ["off", "exact"])
def test_a_mode_without_meaning_compares_nothing(mode: str) -> None:
    decision = decide(query(), [candidate()], ReusePolicy(mode=mode))  # type: ignore[arg-type]
    assert isinstance(decision, Reject)
    assert (decision.reason, decision.nearest) == ("mode", None)


@pytest.mark.parametrize("norm_squared", [0, NORM_BOUND_SQUARED + 1])
def test_a_query_without_direction_or_beyond_the_bound_matches_nothing(norm_squared: int) -> None:
    decision = decide(query(norm_squared=norm_squared), [candidate(product=10**9)], DEFAULT_POLICY)
    assert isinstance(decision, Reject)
    assert decision.reason == "query_vector"


@pytest.mark.parametrize("norm_squared", [0, NORM_BOUND_SQUARED + 1])
def test_an_entry_without_direction_or_beyond_the_bound_is_no_candidate(norm_squared: int) -> None:
    decision = decide(query(), [candidate(product=10**9, norm_squared=norm_squared)], DEFAULT_POLICY)
    assert isinstance(decision, Reject)
    assert decision.reason == "no_candidate"


def test_no_candidates_are_a_reject_with_nothing_near() -> None:
    decision = decide(query(), [], DEFAULT_POLICY)
    assert isinstance(decision, Reject)
    assert (decision.reason, decision.nearest, decision.explanation.nearest) == ("no_candidate", None, None)


def test_a_guard_that_the_policy_leaves_out_does_not_veto() -> None:
    decision = decide(
        query("Is order 48213 late?"), [candidate(text="Is order 48231 late?")], ReusePolicy(guards=("date",))
    )
    assert isinstance(decision, Accept)
    assert decision.explanation.nearest_doubts == ("number",)


def test_an_optional_guard_vetoes_only_where_the_policy_names_it() -> None:
    asked, stored = query("When was the tram depot built?"), candidate(text="Why was the tram depot built?")
    assert isinstance(decide(asked, [stored], DEFAULT_POLICY), Accept)
    decision = decide(asked, [stored], ReusePolicy(guards=("question",)))
    assert isinstance(decision, Reject)
    assert decision.guard == "question"


def test_a_disguised_text_is_doubted_under_every_policy() -> None:
    decision = decide(query("Is the pаrk open?"), [candidate(text="Is the park open?")], ReusePolicy(guards=()))
    assert isinstance(decision, Reject)
    assert decision.guard == "disguise"


def test_a_query_in_another_language_matches_nothing_by_default() -> None:
    asked, stored = query("Wo ist das Depot und wie komme ich hin?"), candidate(text="Wo ist das Depot?")
    decision = decide(asked, [stored], DEFAULT_POLICY)
    assert isinstance(decision, Reject)
    assert decision.reason == "query_language"
    assert isinstance(decide(asked, [stored], ReusePolicy(other_languages="allow")), Accept)


def test_a_stored_text_in_another_language_answers_nothing_by_default() -> None:
    decision = decide(query(), [candidate(text="Wo ist das Depot und wie komme ich hin?")], DEFAULT_POLICY)
    assert isinstance(decision, Reject)
    assert decision.guard == "language"


def test_too_many_candidates_are_a_fault() -> None:
    with pytest.raises(Error, match=str(CANDIDATES_MAX)):
        decide(query(), [candidate()] * (CANDIDATES_MAX + 1), DEFAULT_POLICY)


def test_an_explanation_has_a_canonical_form_with_text_identifiers() -> None:
    decision = decide(query(), [candidate(2**62)], DEFAULT_POLICY)
    told = decision.explanation.to_json()
    assert told["nearest"] == str(2**62)
    assert told["certified"] is False
    assert told["nearest_cosine_ten_thousandths"] == TAU * 10_000 // NORM
    assert canonical_json(told)
