"""No changed bundle is accepted, by either implementation, and none makes them raise anything.

Three depths. Changes of the file die at the archive's form, changes of a member at the digests in the manifest. Behind
both, a dishonest gateway signs the changed members anew, or the whole house logs what it changed: only there do the
checks of receipts, hits and openings meet what is broken. The short form goes through every bit of a small bundle.
"""

from __future__ import annotations

import functools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import crypto.checkpoint
import crypto.dsse
import crypto.reference.ed25519
import crypto.trust
from crypto.archive import read_archive
from crypto.canonical import canonical_json
from crypto.checkpoint import Checkpoint, sign_checkpoint
from crypto.dsse import Envelope, EnvelopeSignature
from crypto.errors import VerificationError
from crypto.statement import sign_receipt
from tests.audit.bundles import ORIGIN, HonestBundle, Plan, World, make_world
from tests.audit.mutations import change_bytes, change_json, change_line, change_payload
from tests.audit.random_worlds import random_attempt
from tests.audit.tampering import Attempt, attempt, edit, log_envelope, reseal
from tests.audit.verifiers import ask_first, ask_second

#: As small as a bundle can be that has something of everything.
SMALL = Plan(receipts=1, hits=1, witnesses=1, embeddings=1, earlier_checkpoints=0, seed=3)
#: The second implementation is slow, so of changes that go deep it sees one in so many.
SECOND_SEES = 4
REVOKED = 3
#: Refused before anything is looked at that the gateway's signature would cover.
OUTER = {"archive_unreadable", "archive_not_canonical", "archive_member"}


def bundle_of(plan: Plan) -> HonestBundle:
    """Return a bundle with an earlier checkpoint that only the log signed: cosignatures of it are nobody's question."""
    world = make_world(plan)
    size = world.tree.size - 2
    world.checkpoints.append(sign_checkpoint(Checkpoint(ORIGIN, size, world.tree.root(size)), world.log))
    return world.export()


@pytest.fixture(scope="module")
def bundle() -> HonestBundle:
    return bundle_of(SMALL)


@pytest.fixture(scope="module", autouse=True)
def remembered_signatures() -> Iterator[None]:
    """Verify each signature once: the same key, message and bytes have the same answer every time."""
    with pytest.MonkeyPatch.context() as patched:
        second = crypto.reference.ed25519
        patched.setattr(second, "is_valid", functools.lru_cache(2**14)(second.is_valid))
        patched.setattr(second, "check_public_key", functools.lru_cache(2**10)(second.check_public_key))
        refusal = functools.lru_cache(2**14)(_refusal)

        def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> None:
            refused = refusal(public_key, message, signature)
            if refused is not None:
                raise VerificationError(refused, reason="signature_invalid")

        for module in (crypto.dsse, crypto.checkpoint, crypto.trust):
            patched.setattr(module, "verify_signature", verify_signature)
        yield


def _refusal(public_key: bytes, message: bytes, signature: bytes) -> str | None:
    try:
        crypto.ed25519.verify_signature(public_key, message, signature)
    except VerificationError as error:
        return str(error)
    return None


def reason_of(tried: Attempt, both: bool = True) -> str:
    """Return why an attempt is refused; fails if either implementation accepts it, or stumbles."""
    first = ask_first(tried)
    assert first.exit_code not in (0, REVOKED), "accepted by the first implementation"
    assert first.reason is not None
    if both:
        second = ask_second(tried)
        assert second.exit_code not in (0, REVOKED), (
            f"accepted by the second implementation, not the first: {first.reason}"
        )
        assert second.reason != "unexpected", "the second implementation raised"
        assert second.exit_code == first.exit_code, (first.reason, second.reason)
    return first.reason


def test_the_unchanged_bundle_is_accepted(bundle: HonestBundle) -> None:
    assert ask_first(attempt(bundle)).exit_code == ask_second(attempt(bundle)).exit_code == 0
    assert ask_first(reseal(bundle)).exit_code == ask_second(reseal(bundle)).exit_code == 0


def test_no_bundle_with_a_changed_bit_or_byte_is_accepted(bundle: HonestBundle) -> None:
    """Every bit flipped; every byte taken out; a byte put in everywhere; cut off everywhere."""
    chance, data, tried = random.Random(1), bundle.data, attempt(bundle)
    reasons: Counter[str] = Counter()

    def changed() -> Iterator[bytes]:
        for place in range(len(data)):
            front, byte, back = data[:place], data[place], data[place + 1 :]
            yield from (front + bytes([byte ^ 1 << bit]) + back for bit in range(8))
            yield front + back
            yield front + chance.randbytes(1) + data[place:]
            yield front

    for other in changed():
        if other != data:
            reasons[reason_of(replace(tried, data=other))] += 1
    assert reasons.total() > 100_000
    assert reasons.keys() <= OUTER


def test_no_changed_member_is_accepted_under_the_old_manifest(bundle: HonestBundle, campaign: bool) -> None:
    """The archive is right again, so what refuses is the manifest's digest, or a signature."""
    chance, reasons = random.Random(2), Counter[str]()
    members = {name: data for name, data in read_archive(bundle.data).items() if data}
    for number in range(50_000 if campaign else 1_500):
        name = chance.choice(sorted(members))
        other = change_bytes(chance, members[name])
        tried = edit(bundle, **{name.replace(".", "_"): lambda _, other=other: other})
        reasons[reason_of(tried, both=campaign or number % SECOND_SEES == 0)] += 1
    assert reasons["member_digest"] > reasons.total() // 2
    assert not reasons.keys() & OUTER


#: How each member is changed before the gateway signs the bundle anew.
DEEP: dict[str, tuple[Callable[[random.Random, bytes], bytes], ...]] = {
    "bodies_jsonl": (change_line,),
    "checkpoint": (change_bytes,),
    "checkpoints_jsonl": (change_line, change_bytes),
    "evidence_jsonl": (change_line, functools.partial(change_line, inside=change_payload)),
    "hits_jsonl": (change_line,),
    "leaves": (change_bytes,),
    "models_jsonl": (change_line,),
    "multiproof": (change_bytes,),
    "openings_jsonl": (change_line, change_bytes),
    "policies_jsonl": (change_line,),
    "receipts_jsonl": (change_line, functools.partial(change_line, inside=change_payload)),
    "releases_jsonl": (change_line,),
    "spendings_jsonl": (change_line,),
    "status_json": (lambda chance, data: canonical_json(change_json(chance, json.loads(data))), change_bytes),
}


def test_no_changed_member_is_accepted_when_the_gateway_signs_it(bundle: HonestBundle, campaign: bool) -> None:
    """Nothing but the checks behind the manifest stands against these; a third of them must get behind its form too."""
    chance, reasons = random.Random(3), Counter[str]()
    deep = bundle_of(replace(SMALL, tree_size=30, releases=3, pool_hits=1))
    for number in range(100_000 if campaign else 3_000):
        name = chance.choice(sorted(DEEP))
        how = chance.choice(DEEP[name])
        tried = reseal(deep, **{name: functools.partial(_different, chance, how)})
        reasons[reason_of(tried, both=campaign or number % SECOND_SEES == 0)] += 1
    behind = reasons.total() - reasons["malformed"] - reasons["counts_wrong"]
    assert behind > reasons.total() // 3, reasons
    assert not reasons.keys() & {*OUTER, "member_digest", "manifest_malformed", "signer_unknown"}
    assert len(reasons) > 12, reasons


def _different(chance: random.Random, how: Callable[[random.Random, bytes], bytes], data: bytes) -> bytes:
    while True:
        other = how(chance, data)
        if other != data:
            return other


def test_a_changed_manifest_is_accepted_only_for_what_is_the_gateways_own_word(
    bundle: HonestBundle, campaign: bool
) -> None:
    chance, accepted, reasons = random.Random(4), 0, Counter[str]()
    for _ in range(20_000 if campaign else 600):
        kept: list[tuple[Any, Any]] = []

        def change(value: dict[str, Any], kept: list[tuple[Any, Any]] = kept) -> None:
            before = json.loads(json.dumps(value))
            after = change_json(chance, value)
            kept.append((before, after))
            value.clear()
            value.update(after)

        tried = reseal(bundle, manifest=change)
        first, second = ask_first(tried), ask_second(tried)
        assert first.exit_code == second.exit_code, (first.reason, second.reason)
        reasons[str(first.reason)] += 1
        if first.exit_code == 0:
            accepted += 1
            before, after = kept[0]
            # A wider or narrower time that still covers everything is no lie about what is in the bundle.
            assert {**before, "made_at_ms": 0, "scope": 0} == {**after, "made_at_ms": 0, "scope": 0}
            assert before["scope"]["tenant"] == after["scope"]["tenant"]
    assert accepted < reasons.total() // 4
    assert len(reasons) > 6, reasons


def test_no_receipt_is_accepted_that_was_changed_before_the_house_logged_it(campaign: bool) -> None:
    """The log, the gateway and the witnesses all lie; the runner's signature is what is left."""
    chance, reasons = random.Random(5), Counter[str]()
    for number in range(5_000 if campaign else 400):
        world = make_world(replace(SMALL, hits=0, openings=False, seed=number % 7))
        _log_changed(world, chance)
        world.add_status()
        made = world.export()
        reasons[reason_of(attempt(made), both=campaign or number % SECOND_SEES == 0)] += 1
    assert reasons["signature_invalid"] + reasons["statement_malformed"] > reasons.total() * 3 // 4, reasons
    assert reasons["signature_invalid"] > reasons.total() // 5, reasons


def _log_changed(world: World, chance: random.Random) -> None:
    policy = next(iter(world.policies))
    made = world.make_statement(world.runners[0], policy)
    envelope = sign_receipt(made, world.runners[0])
    if chance.random() < 0.3:
        only = envelope.signatures[0]
        signature = change_bytes(chance, only.signature)[:64].ljust(64, b"\x00")
        changed = replace(envelope, signatures=(EnvelopeSignature(only.key_id, signature),))
    else:
        changed = _with_changed_payload(chance, envelope)
    if changed == envelope:
        changed = replace(envelope, payload=envelope.payload + b" ")
    log_envelope(world, changed, made)


def _with_changed_payload(chance: random.Random, envelope: Envelope) -> Envelope:
    line = change_payload(chance, {"envelope": envelope.to_json()})
    return crypto.dsse.parse_envelope(line["envelope"], payload_type=envelope.payload_type)


def test_both_come_to_the_same_end_in_worlds_where_anything_may_have_happened(campaign: bool) -> None:
    """Well signed throughout, so only the rules decide; a part is honest, and both accept the same of it."""
    ends: Counter[str] = Counter()
    for seed in range(20_000 if campaign else 80):
        tried = random_attempt(seed)
        first, second = ask_first(tried), ask_second(tried)
        assert first.exit_code == second.exit_code, (seed, first.reason, second.reason)
        ends[str(first.reason)] += 1
        if first.exit_code in (0, REVOKED):
            assert first == second, seed
    assert ends["None"] > ends.total() // 5, ends
    assert len(ends) > 8, ends


def test_no_changed_trust_file_is_accepted(bundle: HonestBundle, campaign: bool) -> None:
    chance, reasons = random.Random(6), Counter[str]()
    for number in range(20_000 if campaign else 2_000):
        trust = change_bytes(chance, bundle.trust_data)
        if trust != bundle.trust_data:
            reasons[reason_of(attempt(bundle, trust=trust), both=campaign or number % SECOND_SEES == 0)] += 1
    assert reasons.keys() <= {"trust_malformed", "trust_threshold", "trust_expired"}
    assert reasons["trust_threshold"] > 0
