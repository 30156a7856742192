"""The second implementation's check of closeness: its arithmetic, its own reading of the ceremony, and changed bundles."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.reference import ceremony, polynomials
from crypto.reference.applicability import FOUND_MAX, Equation, Transcript, find_invalid
from crypto.reference.ceremony import load_ceremony
from crypto.reference.closeness import least_threshold
from crypto.reference.errors import NotInForm
from crypto.reference.polynomials import ORDER, SUITES, Domain, suite_for
from crypto.reference.proof_documents import OpenedQuery, read_document
from crypto.similarity import threshold_integer
from tests.audit.bundles import HonestBundle, Plan, make_bundle
from tests.audit.mutations import change_line
from tests.audit.tampering import reseal
from tests.audit.verifiers import ask_first, ask_second

SIZES = sorted(SUITES.values())
scalars = st.integers(min_value=0, max_value=ORDER - 1)
outside = scalars.filter(lambda at: pow(at, 256, ORDER) != 1)


# The field and the domains


@pytest.mark.parametrize("size", SIZES)
def test_a_domains_root_has_exactly_its_order(size: int) -> None:
    root = Domain(size).root
    assert pow(root, size, ORDER) == 1
    assert pow(root, size // 2, ORDER) == ORDER - 1


@settings(max_examples=20, deadline=None)
@given(at=outside, degree=st.integers(min_value=0, max_value=255))
def test_the_interpolation_of_a_power_is_that_power(at: int, degree: int) -> None:
    domain = Domain(256)
    values = [pow(domain.root, place * degree, ORDER) for place in range(256)]
    assert domain.value(values, at) == pow(at, degree, ORDER)


@settings(deadline=None)
@given(at=outside, left=st.lists(scalars, max_size=20), right=st.lists(scalars, max_size=20))
def test_an_interpolation_is_linear_and_goes_on_with_zeros(at: int, left: list[int], right: list[int]) -> None:
    domain = Domain(256)
    length = max(len(left), len(right))
    padded = [numbers + [0] * (length - len(numbers)) for numbers in (left, right)]
    both = [one + other for one, other in zip(*padded, strict=True)]
    assert domain.value(both, at) == (domain.value(left, at) + domain.value(right, at)) % ORDER


def test_a_place_of_the_domain_is_refused_as_a_challenge() -> None:
    domain = Domain(512)
    for exponent in (0, 1, 511):
        at = pow(domain.root, exponent, ORDER)
        with pytest.raises(NotInForm):
            domain.vanishing(at)
        with pytest.raises(NotInForm):
            domain.value([1], at)


def test_more_values_than_places_are_refused() -> None:
    with pytest.raises(NotInForm):
        Domain(256).value([1] * 257, 5)


def test_every_value_of_a_component_is_in_every_table_and_no_other() -> None:
    for size in SIZES:
        assert set(Domain(size).table()) == set(range(-127, 128))
        assert len(Domain(size).table()) == size


def test_a_dimension_has_the_smallest_suite_that_has_room_for_it() -> None:
    for dimension, size in ((1, 256), (256, 256), (257, 512), (384, 512), (1_024, 1_024), (2_048, 2_048)):
        assert suite_for(dimension) == f"hitproof/kzg-bls12381-{size}/v1"
    assert suite_for(2_049) is None


def test_the_order_is_that_of_the_curves_library() -> None:
    from crypto.reference import pairing

    assert polynomials.ORDER == pairing.ORDER


# Transcripts and thresholds


def test_a_transcript_depends_on_every_byte_and_every_boundary_of_what_was_said() -> None:
    def challenge(*statement: bytes, absorbed: tuple[tuple[str, bytes], ...] = (("B", b"ab"),)) -> int:
        transcript = Transcript("label", *statement)
        for name, data in absorbed:
            transcript.absorb(name, data)
        return transcript.challenge("alpha")

    drawn = [
        challenge(b"ab", b"c"),
        challenge(b"a", b"bc"),
        challenge(b"abc"),
        challenge(b"ab", b"c", absorbed=(("M", b"ab"),)),
        challenge(b"ab", b"c", absorbed=(("B", b"a"), ("B", b"b"))),
        challenge(b"ab", b"c", absorbed=()),
    ]
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= scalar < ORDER for scalar in drawn)


def test_a_second_challenge_is_another_than_the_first() -> None:
    transcript = Transcript("label")
    assert transcript.challenge("alpha") != transcript.challenge("alpha")


@given(cosine=st.integers(min_value=0, max_value=10_000), norm=st.integers(min_value=1, max_value=260_100))
def test_the_threshold_of_a_policy_is_that_of_the_first_implementation(cosine: int, norm: int) -> None:
    assert least_threshold(cosine, norm) == threshold_integer(cosine, norm)


# The ceremony's file


def test_the_ceremonys_file_is_read_from_another_place_too(tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(ceremony.FILE.read_bytes())
    assert ceremony.load_ceremony(copy) == ceremony.load_ceremony()


@pytest.mark.parametrize("change", ["first", "last", "cut", "longer"])
def test_another_file_than_the_ceremonys_is_refused(change: str) -> None:
    data = ceremony.FILE.read_bytes()
    changed = {
        "first": b"5" + data[1:],
        "last": data[:-2] + bytes([data[-2] ^ 1]) + data[-1:],
        "cut": data[:-1],
        "longer": data + b"\n",
    }[change]
    with pytest.raises(NotInForm):
        ceremony.read_ceremony(changed)


# Documents and queries


def test_a_query_opens_nothing_where_the_record_has_none_or_a_component_is_no_byte() -> None:
    assert not OpenedQuery(bytes(32), (1, 2)).opens(None)
    assert not OpenedQuery(bytes(32), (1, 200)).opens(bytes(32))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema", "hitproof/applicability/v2"),
        ("schema", "hitproof/well-formedness/v1"),
        ("embedding", "0" * 64),
        ("hit", "hit_" + "A" * 32),
        ("hit", "hit_" + "a" * 31),
        ("proof", "0" * 830),
        ("proof", "A" * 832),
        ("suite", None),
        ("suite", "e\u0301"),
        ("suite", "x" * 1_025),
        ("extra", 1),
    ],
)
def test_a_document_out_of_form_is_refused(name: str, value: object) -> None:
    document = {
        "schema": "hitproof/applicability/v1", "embedding": "sha256:" + "0" * 64, "hit": "hit_" + "a" * 32,
        "proof": "0" * 832, "suite": "hitproof/kzg-bls12381-256/v1",
    }  # fmt: skip
    assert read_document(dict(document)).kind == "applicability"
    with pytest.raises(NotInForm):
        read_document({**document, name: value})  # type: ignore[dict-item]


# Bundles whose gateway changed what shows closeness


@pytest.fixture(scope="module")
def bundle() -> HonestBundle:
    plan = Plan(
        receipts=1, hits=0, embeddings=0, earlier_checkpoints=0, releases=1, proved=1, matched=1, openings=False
    )  # fmt: skip
    return make_bundle(plan)


@pytest.mark.campaign
def test_both_judge_a_changed_line_alike(bundle: HonestBundle, campaign: bool) -> None:
    chance, reasons = random.Random(40), Counter[str | None]()
    for _ in range(2_000 if campaign else 40):
        member = chance.choice(("proofs_jsonl", "queries_jsonl", "matches_jsonl"))
        changes: Any = {member: lambda data: change_line(chance, data)}
        tried = reseal(bundle, **changes)
        first, second = ask_first(tried), ask_second(tried)
        assert first == second
        reasons[first.reason] += 1
    assert {"malformed", "match_invalid", "opening_mismatch", "applicability_mismatch"} <= set(reasons)


class OnlyRightPoints:
    """A curve on which every equation fails, and which counts what it is asked."""

    def __init__(self) -> None:
        self.read, self.checked = 0, 0

    def read_g1(self, data: bytes) -> bytes:
        self.read += 1
        return data

    def read_g2(self, data: bytes) -> bytes:
        return data

    def combine(self, points: Sequence[bytes], scalars: Sequence[int]) -> bytes:
        return b""

    def is_product_one(self, pairs: object) -> bool:
        self.checked += 1
        return False


def test_of_very_many_broken_proofs_only_the_first_are_looked_at_and_none_counts_as_holding() -> None:
    """A point takes 7 ms to read here, and a check a fifth of a second: 100,000 broken proofs would take a day."""
    curve = OnlyRightPoints()
    broken = [Equation(((place.to_bytes(48, "big"), 1),), (), 0, bytes(32)) for place in range(100_000)]
    assert find_invalid(broken, cast(Any, curve), load_ceremony()) == frozenset(range(100_000))
    assert curve.read <= 2 * FOUND_MAX
    assert curve.checked <= 4 * FOUND_MAX


def test_what_py_ecc_does_to_the_limit_of_recursion_is_undone() -> None:
    """It lifts the limit of the whole process, and the next text that nests deep would overflow the stack and end it."""
    program = (
        "import sys; before = sys.getrecursionlimit(); import crypto.reference.pairing; "
        "assert 'py_ecc' in sys.modules and sys.getrecursionlimit() == before"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, timeout=60).returncode == 0
