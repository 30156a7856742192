"""Ways to pass off a hit as close to what was asked, numbers 49 to 60 of the list; matches of the pool have their own tests.

Most need the whole house to lie: it logs what it likes, and the log signs the tree that it gets. What no house has is an
embedding statement of a runner's about another vector, or a proof of something false.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from crypto.applicability.suites import ORDER
from crypto.applicability_lines import ProofLine
from crypto.bundle_lines import EnvelopeLine
from crypto.canonical import canonical_json
from crypto.dsse import PAYLOAD_IN_TOTO, sign_envelope
from crypto.hit import HitRecord
from crypto.leaf import LeafKind, envelope_leaf
from crypto.similarity import inner_product, threshold_integer
from tests.audit.bundles import POLICY, MadeReceipt, World, make_world
from tests.audit.proofs import COSINE, DIMENSION, ProofSide, prove_applicability
from tests.audit.tampering import PLAN, Attempt, Case, attempt, flip, forged, honest, line, lines, put, reseal

APPLICABILITY: list[Case] = []
OTHER = "sha256:" + "7" * 64
#: Two hits by meaning that are proved, on a declared and on an attested receipt.
PROVED_PLAN = replace(PLAN, proved=2)
FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
POINT, SCALAR = 48, 32


def deceit(name: str, *reasons: str, exit_code: int = 1) -> Any:
    """Enter the function below as the case *name*, refused for one of *reasons*."""

    def enter(make: Any) -> Any:
        APPLICABILITY.append(Case(name, make, frozenset(reasons), exit_code))
        return make

    return enter


def told(change: Callable[[ProofSide, World, str], object]) -> Attempt:
    """Put the bundle of a world before a verifier in which *change* happened, which gets the policy too."""
    return attempt(forged(lambda world, policy: change(world.closeness, world, policy)))


def entry(closeness: ProofSide) -> MadeReceipt:
    """Commit to the vector of the attested receipt, and prove that well formed."""
    receipt = closeness.world.receipts[1]
    closeness.add_vector(receipt, closeness.world.runners[0])
    closeness.add_well_formedness(receipt.digest)
    return receipt


def hit(closeness: ProofSide, policy: str, **changes: Any) -> HitRecord:
    """Log a hit on such an entry, with fields of its record changed."""
    record = closeness.make_hit(entry(closeness), policy, **changes)
    closeness.world.add_batch([record])
    return record


def proved(change: Callable[[bytes], bytes]) -> Attempt:
    """Let the house log a hit's proof of which bytes were changed."""

    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = hit(closeness, policy)
        closeness.add_proof(record, proof=change(closeness.applicability(record).proof))

    return told(happen)


def formed(change: Callable[[bytes], bytes]) -> Attempt:
    """Let the house log a proof of well-formedness of which bytes were changed."""

    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        receipt = world.receipts[1]
        closeness.add_vector(receipt, world.runners[0])
        proof = closeness.well_formedness(receipt.digest).proof
        closeness.add_well_formedness(receipt.digest, proof=change(proof))

    return told(happen)


def put_bytes(data: bytes, at: int, found: bytes) -> bytes:
    """Return *data* with *found* at *at*."""
    return data[:at] + found + data[at + len(found) :]


def outside_subgroup() -> bytes:
    """Return the encoding of a point on the curve that is not in the group: of nearly all points one may name."""
    x = next(x for x in range(1, 99) if pow(x**3 + 4, (FIELD - 1) // 2, FIELD) == 1)
    return flagged(x)


def off_curve() -> bytes:
    """Return the encoding of an x that no point of the curve has."""
    return flagged(next(x for x in range(1, 99) if pow(x**3 + 4, (FIELD - 1) // 2, FIELD) != 1))


def flagged(x: int, flags: int = 0x80) -> bytes:
    """Return the compressed form of the point with *x* whose y is the smaller one."""
    data = x.to_bytes(POINT, "big")
    return bytes([data[0] | flags]) + data[1:]


IDENTITY = flagged(0, 0xC0)


# 49: τ


@deceit("49a-tau-lowered-below-the-policy", "tau_below_policy")
def _() -> Attempt:
    return told(lambda closeness, world, policy: closeness.add_proof(hit(closeness, policy, tau=200_000)))


@deceit("49b-tau-one-below-the-policy", "tau_below_policy")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        receipt = entry(closeness)
        query = closeness.near(closeness.vectors[receipt.digest].vector)
        tau = threshold_integer(COSINE, inner_product(query, query)) - 1
        record = closeness.make_hit(receipt, policy, query=query, tau=tau)
        world.add_batch([record])
        closeness.add_proof(record)

    return told(happen)


@deceit("49c-tau-raised-after-it-was-proved", "applicability_invalid")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = closeness.make_hit(entry(closeness), policy)
        raised = replace(record, tau=(record.tau or 0) + 1)
        world.add_batch([raised])
        closeness.open_query(raised)
        closeness.log(closeness.applicability(record), record.receipt)

    return told(happen)


@deceit("49d-tau-changed-behind-the-batch", "batch_invalid")
def _() -> Attempt:
    return reseal(honest(PROVED_PLAN), hits_jsonl=line(-1, put("records", 0, "tau", to=lambda tau: tau + 1)))


@deceit("49e-policy-raised-and-tau-not", "tau_below_policy")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        stricter = world.add_policy({**POLICY, "threshold_ten_thousandths": COSINE + 1}, version=2)
        closeness.add_proof(hit(closeness, stricter))

    return told(happen)


@deceit("49f-policy-without-a-threshold-that-can-be-read", "tau_below_policy")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        vague = world.add_policy({**POLICY, "threshold_ten_thousandths": "9500"}, version=2)
        closeness.add_proof(hit(closeness, vague))

    return told(happen)


@deceit("49g-tau-above-what-a-product-can-reach", "malformed")
def _() -> Attempt:
    return reseal(honest(PROVED_PLAN), hits_jsonl=line(-1, put("records", 0, "tau", to=260_101)))


# 50: q


@deceit("50a-query-opened-as-another", "opening_mismatch")
def _() -> Attempt:
    return reseal(honest(PROVED_PLAN), queries_jsonl=line(0, put("vector", 3, to=lambda part: part - 1)))


@deceit("50b-query-opened-by-another-salt", "opening_mismatch")
def _() -> Attempt:
    return reseal(honest(PROVED_PLAN), queries_jsonl=line(0, put("salt", to="5" * 64)))


@deceit("50c-query-with-a-component-that-is-no-byte", "opening_mismatch")
def _() -> Attempt:
    return reseal(honest(PROVED_PLAN), queries_jsonl=line(0, put("vector", 0, to=lambda part: part + 256)))


@deceit("50d-query-of-a-hit-that-is-not-here", "opening_unknown")
def _() -> Attempt:
    return reseal(honest(PROVED_PLAN), queries_jsonl=line(0, put("hit", to="hit_" + "0" * 32)))


@deceit("50e-query-of-an-exact-hit", "opening_unknown")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = closeness.make_hit(entry(closeness), policy, tier="exact", query_vector=None, tau=None)
        world.add_batch([record])
        closeness.open_query(record)

    return told(happen)


def asked(change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Attempt:
    """Let the house prove a hit and log that it was asked with something else, which it also opens."""

    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        receipt = entry(closeness)
        query = closeness.near(closeness.vectors[receipt.digest].vector)
        claimed = closeness.make_hit(receipt, policy, query=change(query), tau=250_000)
        world.add_batch([claimed])
        closeness.open_query(claimed)
        statement = closeness.state(claimed, query=query, tau=240_000)
        made = closeness.vectors[receipt.digest]
        proof = prove_applicability(statement, made.vector, made.seed)
        closeness.log(closeness.document(claimed, proof), receipt.digest)

    return told(happen)


@deceit("50f-proof-of-another-query", "applicability_invalid")
def _() -> Attempt:
    return asked(lambda query: (query[0] - 1, *query[1:]))


@deceit("50g-query-of-another-length", "applicability_invalid")
def _() -> Attempt:
    return asked(lambda query: query[:-1])


@deceit("50h-query-padded-with-zeros", "applicability_invalid")
def _() -> Attempt:
    return asked(lambda query: (*query, 0))


@deceit("50i-query-with-a-component-of-minus-128", "applicability_invalid")
def _() -> Attempt:
    return asked(lambda query: (-128, *query[1:]))


@deceit("50j-query-of-zeros", "applicability_invalid")
def _() -> Attempt:
    return asked(lambda query: (0,) * DIMENSION)


@deceit("50k-query-longer-than-the-bound", "applicability_invalid", "tau_below_policy")
def _() -> Attempt:
    return asked(lambda query: (127,) * DIMENSION)


# 51: another entry


@deceit("51a-proof-about-another-entry", "applicability_mismatch")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = hit(closeness, policy)
        other = closeness.add_vector(world.receipts[2], world.runners[0])
        closeness.add_well_formedness(other.receipt)
        closeness.open_query(record)
        closeness.log(closeness.applicability(record, embedding=other.embedding), other.receipt)

    return told(happen)


@deceit("51b-proof-moved-to-another-commitment-of-the-entry", "applicability_invalid")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = hit(closeness, policy)
        proof = closeness.applicability(record).proof
        other = closeness.add_vector(world.receipts[1], world.runners[0])
        closeness.add_well_formedness(other.receipt)
        closeness.open_query(record)
        closeness.log(closeness.document(record, proof), other.receipt)

    return told(happen)


@deceit("51c-proof-about-a-statement-that-is-not-here", "applicability_mismatch")
def _() -> Attempt:
    return told(lambda closeness, world, policy: closeness.add_proof(hit(closeness, policy), embedding=OTHER))


@deceit("51d-vector-stated-by-the-gateway-about-an-attested-answer", "signer_role")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        receipt = world.receipts[1]
        closeness.add_vector(receipt, world.gateway)
        closeness.add_well_formedness(receipt.digest)
        record = closeness.make_hit(receipt, policy)
        world.add_batch([record])
        closeness.add_proof(record)

    return told(happen)


# 52: another hit


@deceit("52a-proof-of-another-hit", "applicability_invalid")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        receipt = entry(closeness)
        query = closeness.near(closeness.vectors[receipt.digest].vector)
        records = [closeness.make_hit(receipt, policy, query=query) for _ in range(2)]
        world.add_batch(records)
        closeness.add_proof(records[1], proof=closeness.applicability(records[0]).proof)

    return told(happen)


@deceit("52b-proof-of-an-exact-hit", "applicability_mismatch")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = closeness.make_hit(entry(closeness), policy)
        exact = replace(record, tier="exact", query_vector=None, tau=None)
        world.add_batch([exact])
        closeness.log(closeness.applicability(record), record.receipt)

    return told(happen)


@deceit("52c-proof-of-a-hit-that-is-not-here", "applicability_mismatch")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = closeness.make_hit(entry(closeness), policy)
        closeness.log(closeness.applicability(record), record.receipt)

    return told(happen)


@deceit("52d-body-about-another-receipt", "applicability_mismatch")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = hit(closeness, policy)
        closeness.open_query(record)
        closeness.log(closeness.applicability(record), world.receipts[2].digest)

    return told(happen)


@deceit("52e-two-documents-of-one-hit", "applicability_mismatch")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = hit(closeness, policy)
        closeness.add_proof(record)
        made = closeness.vectors[record.receipt]
        again = prove_applicability(closeness.state(record), made.vector, made.seed, 1)
        closeness.log(closeness.document(record, again), record.receipt)

    return told(happen)


@deceit("52f-two-documents-of-one-commitment", "applicability_mismatch")
def _() -> Attempt:
    return told(lambda closeness, world, policy: closeness.add_well_formedness(entry(closeness).digest))


@deceit("52g-body-without-its-document", "applicability_mismatch")
def _() -> Attempt:
    bundle = honest(PROVED_PLAN)
    return reseal(bundle, proofs_jsonl=lines(lambda found: found.pop()), manifest=put("counts", "proofs", to=3))


@deceit("52h-document-at-a-leaf-of-something-else", "applicability_mismatch")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = hit(closeness, policy)
        closeness.add_proof(record)
        status = closeness.proofs[-1].index + 1
        closeness.proofs.append(ProofLine(status, closeness.applicability(record)))

    return told(happen)


@deceit("52i-document-changed-behind-its-leaf", "applicability_mismatch")
def _() -> Attempt:
    def change(proof: str) -> str:
        return flip(bytes.fromhex(proof), at=300).hex()

    return reseal(honest(PROVED_PLAN), proofs_jsonl=line(-1, put("document", "proof", to=change)))


@deceit("52j-body-of-the-other-kind", "applicability_mismatch")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = hit(closeness, policy)
        closeness.open_query(record)
        closeness.log(closeness.applicability(record), record.receipt, kind="well-formedness")

    return told(happen)


def elsewhere() -> tuple[ProofSide, HitRecord]:
    """Return a proved hit of another house's bundle."""
    world = make_world(replace(PROVED_PLAN, seed=8))
    return world.closeness, world.hit_lines[-1].records[1]


@deceit("52k-document-of-another-bundle", "applicability_mismatch")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        other, record = elsewhere()
        closeness.log(other.applicability(record), world.receipts[1].digest)

    return told(happen)


@deceit("52l-proof-of-another-bundle-under-the-names-of-this-one", "applicability_invalid")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        other, record = elsewhere()
        closeness.add_proof(hit(closeness, policy), proof=other.applicability(record).proof)

    return told(happen)


@deceit("52m-body-says-another-digest", "applicability_mismatch")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = hit(closeness, policy)
        closeness.open_query(record)
        closeness.log(closeness.applicability(record), record.receipt, digest=OTHER)

    return told(happen)


@deceit("52n-proof-under-another-policy", "applicability_invalid")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        record = closeness.make_hit(entry(closeness), policy)
        other = world.add_policy({**POLICY, "ttl_s": 60}, version=2)
        moved = replace(record, policy=other)
        world.add_batch([moved])
        closeness.open_query(moved)
        closeness.log(closeness.applicability(record), record.receipt)

    return told(happen)


# 53: not well formed


@deceit("53a-no-proof-that-it-is-well-formed", "well_formedness_missing")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        receipt = world.receipts[1]
        closeness.add_vector(receipt, world.runners[0])
        record = closeness.make_hit(receipt, policy)
        world.add_batch([record])
        closeness.add_proof(record)

    return told(happen)


@deceit("53b-well-formedness-of-another-commitment", "well_formedness_invalid")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        first = closeness.add_vector(world.receipts[1], world.runners[0])
        second = closeness.add_vector(world.receipts[2], world.runners[0])
        proof = closeness.well_formedness(first.receipt).proof
        closeness.add_well_formedness(second.receipt, proof=proof)

    return told(happen)


@deceit("53c-well-formedness-with-a-changed-value", "well_formedness_invalid")
def _() -> Attempt:
    return formed(lambda proof: flip(proof, at=575))


@deceit("53d-document-of-another-suite", "applicability_mismatch")
def _() -> Attempt:
    suite = "hitproof/kzg-bls12381-512/v1"
    return told(lambda closeness, world, policy: closeness.add_proof(hit(closeness, policy), suite=suite))


@deceit("53e-suite-that-does-not-fit-the-dimension", "statement_malformed")
def _() -> Attempt:
    suite = "hitproof/kzg-bls12381-512/v1"
    fields = {"commitment": "ab" * POINT, "suite": suite}
    return attempt(forged(lambda world, policy: log_embedding(world, **fields)))


@deceit("53f-commitment-without-a-suite", "statement_malformed")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: log_embedding(world, commitment="ab" * POINT, suite=None)))


@deceit("53g-bound-above-the-one-that-is-proved", "statement_malformed")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: log_embedding(world, norm_bound=260_101)))


@deceit("53h-commitment-that-is-no-point", "well_formedness_invalid")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        receipt = world.receipts[1]
        made = closeness.add_vector(receipt, world.runners[0], commitment=off_curve().hex())
        closeness.log(closeness.well_formedness(made.receipt), made.receipt)

    return told(happen)


def log_embedding(world: World, **fields: Any) -> None:
    """Let the runner sign an embedding statement with fields that no reader accepts, beside an honest one."""
    world.add_embedding(world.receipts[1], world.runners[0])
    _, honest_one = next(reversed(world.statements.values()))
    value = json.loads(honest_one.payload)
    value["predicate"] |= fields
    envelope = sign_envelope(PAYLOAD_IN_TOTO, canonical_json(value), world.runners[0])
    index = world.append(envelope_leaf(LeafKind.EVIDENCE, envelope, value["predicate"]["issued_at_ms"]).encode())
    world.evidence.append(EnvelopeLine(index, envelope.to_json()))


# 54 to 57: bytes of a proof


@deceit("54a-scalar-of-a-hits-proof-not-reduced", "applicability_invalid")
def _() -> Attempt:
    def change(proof: bytes) -> bytes:
        value = int.from_bytes(proof[-SCALAR:], "big") + ORDER
        return proof[:-SCALAR] + (value if value < 2**256 else ORDER).to_bytes(SCALAR, "big")

    return proved(change)


@deceit("54b-scalar-of-well-formedness-not-reduced", "well_formedness_invalid")
def _() -> Attempt:
    return formed(lambda proof: proof[:-SCALAR] + ORDER.to_bytes(SCALAR, "big"))


@deceit("55a-point-off-the-curve", "applicability_invalid")
def _() -> Attempt:
    return proved(lambda proof: put_bytes(proof, POINT, off_curve()))


@deceit("55b-point-outside-the-subgroup", "applicability_invalid")
def _() -> Attempt:
    return proved(lambda proof: put_bytes(proof, 2 * POINT, outside_subgroup()))


@deceit("55c-point-without-its-flag", "applicability_invalid")
def _() -> Attempt:
    return proved(lambda proof: flip(proof, mask=0x80))


@deceit("55d-point-with-the-other-sign", "applicability_invalid")
def _() -> Attempt:
    return proved(lambda proof: flip(proof, mask=0x20))


@deceit("55e-point-with-a-coordinate-that-is-not-reduced", "applicability_invalid")
def _() -> Attempt:
    return proved(lambda proof: put_bytes(proof, 3 * POINT, flagged(FIELD + 1)))


@deceit("55f-point-of-well-formedness-outside-the-subgroup", "well_formedness_invalid")
def _() -> Attempt:
    return formed(lambda proof: put_bytes(proof, 7 * POINT, outside_subgroup()))


@deceit("56a-identity", "applicability_invalid")
def _() -> Attempt:
    return proved(lambda proof: put_bytes(proof, 0, IDENTITY))


@deceit("56b-identity-in-another-form", "applicability_invalid")
def _() -> Attempt:
    return proved(lambda proof: put_bytes(proof, 5 * POINT, b"\xff" * POINT))


@deceit("56c-identity-in-well-formedness", "well_formedness_invalid")
def _() -> Attempt:
    return formed(lambda proof: put_bytes(proof, 4 * POINT, IDENTITY))


def rewritten(change: Callable[[str], str]) -> Attempt:
    """Let the gateway sign a bundle in which the text of the last proof was changed."""
    return reseal(honest(PROVED_PLAN), proofs_jsonl=line(-1, put("document", "proof", to=change)))


@deceit("57a-proof-truncated", "malformed")
def _() -> Attempt:
    return rewritten(lambda proof: proof[:-2])


@deceit("57b-proof-with-a-trailing-byte", "malformed")
def _() -> Attempt:
    return rewritten(lambda proof: proof + "00")


@deceit("57c-proof-in-capital-letters", "malformed")
def _() -> Attempt:
    return rewritten(str.upper)


@deceit("57d-proof-of-the-other-length", "malformed")
def _() -> Attempt:
    return rewritten(lambda proof: proof + "00" * 160)


# 60: one bad among many


@deceit("60a-one-bad-proof-among-eight", "applicability_invalid")
def _() -> Attempt:
    return told(lambda closeness, world, policy: one_bad(closeness, world, policy, 8))


def one_bad(closeness: ProofSide, world: World, policy: str, count: int) -> HitRecord:
    """Log the proofs of *count* hits on one entry, of which the third from the end is another hit's; return that one."""
    receipt = entry(closeness)
    query = closeness.near(closeness.vectors[receipt.digest].vector)
    records = [closeness.make_hit(receipt, policy, query=query) for _ in range(count)]
    world.add_batch(records)
    bad, other = records[-3], records[0]
    for record in records:
        changes = {"proof": closeness.applicability(other).proof} if record is bad else {}
        closeness.add_proof(record, **changes)
    return bad
