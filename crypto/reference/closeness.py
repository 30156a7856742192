"""Checks that hits by meaning were close to what they were answered with: check 15, and the queries of check 10."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import isqrt

from . import matches
from .applicability import NORM_MAX, Closeness, Commitment, Equation, find_invalid, form_equation, hit_equation
from .audit import Audit
from .ceremony import load_ceremony
from .errors import NotInForm, Refused, named
from .json_text import Json
from .ledger import is_said
from .polynomials import SUITES
from .proof_documents import APPLICABILITY, WELL_FORMEDNESS, ProofDocument
from .receipts import RELEASE_EVIDENCE
from .records import Hit

EVIDENCE = 7
#: What a policy has that does not say it.
THRESHOLD_DEFAULT, THRESHOLD_MAX = 9_500, 10_000


@dataclass(slots=True)
class _Sound:
    """Documents of suites that are known, with which nothing is wrong but perhaps the proof."""

    #: By embedding statement.
    forms: dict[str, ProofDocument] = field(default_factory=dict)
    #: By hit.
    hits: dict[str, ProofDocument] = field(default_factory=dict)


def check_query(audit: Audit, hit: str) -> None:
    """Accept the opened query of a hit, or raise Refused."""
    record = audit.hits.get(hit)
    if record is None or record.query_vector is None:
        raise Refused("opening_unknown", hit)
    query = audit.contents.queries[hit]
    if not query.opens(record.query_vector):
        raise Refused("opening_mismatch", hit)
    audit.queries[hit] = query.vector


def check_closeness(audit: Audit) -> Iterator[Refused]:
    """Everything that is wrong, in the order of the page; nothing where a bundle shows nothing of that sort."""
    sound = _Sound()
    yield from _check_documents(audit, sound)
    held = holding(_equations(audit, sound))
    for embedding, document in sound.forms.items():
        if document.digest not in held:
            yield Refused("well_formedness_invalid", embedding)
    for hit, document in sound.hits.items():
        form = sound.forms.get(document.embedding)
        try:
            _check_hit(audit, hit, document, form is not None and form.digest in held, document.digest in held)
        except Refused as refused:
            yield refused
    for hit, match in audit.contents.matches.items():
        try:
            _check_match(audit, hit, match)
        except Refused as refused:
            yield refused


def holding(equations: Mapping[str, Equation]) -> frozenset[str]:
    """The names of those equations that hold; raises NotInForm where the ceremony's file is another."""
    if not equations:
        return frozenset()
    # The library of the curve takes a while to load, and most bundles have no proofs.
    from .pairing import SlowCurve

    invalid = find_invalid(list(equations.values()), SlowCurve(), load_ceremony())
    return frozenset(name for place, name in enumerate(equations) if place not in invalid)


def _check_documents(audit: Audit, sound: _Sound) -> Iterator[Refused]:
    """a: every document is what its body says, about an embedding statement that was accepted, and the only one."""
    known: set[tuple[str, str]] = set()
    for index, document in audit.contents.proofs.items():
        embedding = audit.embeddings.get(document.embedding) if document.embedding in audit.embedded else None
        if embedding is None or embedding.algebraic is None or embedding.algebraic[0] != document.suite:
            yield Refused("applicability_mismatch", f"the document at {index}")
            continue
        said: dict[str, Json] = {"kind": document.kind, "digest": document.digest, "statement": embedding.of}
        if not is_said(audit.contents.bodies.get(index), EVIDENCE, said):
            yield Refused("applicability_mismatch", f"the body at {index} says something else")
            continue
        about = (document.kind, document.hit or document.embedding)
        if about in known:
            yield Refused("applicability_mismatch", f"the document at {index} is a second one of the same")
            continue
        known.add(about)
        if document.suite in SUITES and document.hit is None:
            sound.forms[document.embedding] = document
        elif document.suite in SUITES and document.hit is not None:
            sound.hits[document.hit] = document
    for index, body in audit.contents.bodies.items():
        is_ours = body.kind == EVIDENCE and body.value["kind"] in (WELL_FORMEDNESS, APPLICABILITY)
        if is_ours and index not in audit.contents.proofs:
            yield Refused("applicability_mismatch", f"the body at {index} has no document")


def _equations(audit: Audit, sound: _Sound) -> dict[str, Equation]:
    """What the proofs come to, by the digests of their documents, without those that are refused before any pairing."""
    found: dict[str, Equation] = {}
    for document in sound.forms.values():
        with suppress(NotInForm):
            found[document.digest] = form_equation(_commitment(audit, document), document.proof)
    for hit, document in sound.hits.items():
        record = audit.hits.get(hit)
        query = audit.queries.get(hit)
        if record is None or record.tau is None or query is None:
            continue
        statement = Closeness(_commitment(audit, document), document.embedding, record.data, query, record.tau)
        with suppress(NotInForm):
            found[document.digest] = hit_equation(statement, document.proof)
    return found


def _commitment(audit: Audit, document: ProofDocument) -> Commitment:
    embedding = audit.embeddings[document.embedding]
    if embedding.algebraic is None:
        raise NotInForm("an embedding statement without a commitment")
    suite, point = embedding.algebraic
    return Commitment(suite, point, embedding.dimension)


def _check_hit(audit: Audit, hit: str, document: ProofDocument, is_formed: bool, holds: bool) -> None:
    """c: accept what a document shows about its hit, or raise Refused."""
    record = audit.hits.get(hit)
    if record is None or record.tier != "private" or record.receipt != audit.embeddings[document.embedding].of:
        raise Refused("applicability_mismatch", hit)
    if not is_formed:
        raise Refused("well_formedness_missing", hit)
    query = audit.queries.get(hit)
    if query is None:
        return
    _check_threshold(audit, record, query)
    if not holds:
        raise Refused("applicability_invalid", hit)
    audit.applicable.add(hit)


def _check_match(audit: Audit, hit: str, value: Json) -> None:
    """d: accept what a hit of the pool matched, or raise Refused."""
    record = audit.hits.get(hit)
    if record is None or record.tier != "pool" or record.tau is None:
        raise Refused("match_invalid", hit)
    _, receipt = audit.receipts[record.receipt]
    line = audit.released[dict(receipt.evidence)[RELEASE_EVIDENCE]]
    query = audit.queries.get(hit)
    with named("match_invalid"):
        match = matches.read_match(value)
        matches.check_match(match, line.release, None, record.tau)
        if query is not None:
            _check_threshold(audit, record, query)
            matches.check_match(match, line.release, query, record.tau)
            audit.applicable.add(hit)


def _check_threshold(audit: Audit, record: Hit, query: tuple[int, ...]) -> None:
    """Raise Refused for a τ below the smallest t with t² · 10^8 ≥ c² · |q|² · U, where the policy asks for c.

    A query that may not be matched at all has no such t, and what is said to be close to it is refused for that.
    """
    norm = sum(component * component for component in query)
    if not 0 < norm <= NORM_MAX:
        return
    cosine = audit.contents.policies[record.policy].get("threshold_ten_thousandths", THRESHOLD_DEFAULT)
    if not isinstance(cosine, int) or isinstance(cosine, bool) or not 0 <= cosine <= THRESHOLD_MAX:
        raise Refused("tau_below_policy", "a policy without a threshold")
    if record.tau is None or record.tau < least_threshold(cosine, norm):
        raise Refused("tau_below_policy", record.hit)


def least_threshold(cosine: int, norm: int) -> int:
    """The smallest τ of a cosine in ten-thousandths and a query whose square is *norm*."""
    least = cosine * cosine * norm * NORM_MAX
    # (10^4 · t)² ≥ least, so 10^4 · t is at least the root of it, rounded up.
    root = isqrt(least)
    root += root * root < least
    return -(-root // 10_000)
