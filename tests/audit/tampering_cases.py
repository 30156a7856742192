"""The numbered ways to deceive an auditor, each a broken bundle that a verifier must refuse for a stated reason.

Where an attacker without any key can do it, nothing is signed anew. Where the point lies deeper, the gateway signs the
manifest anew, or the whole house lies, so that the check that is meant is the one that refuses. Numbers are kept when
cases are added.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from Crypto.Hash import SHA512
from Crypto.PublicKey import ECC

from crypto.bodies import PolicyEvent
from crypto.bundle import BundleParts
from crypto.canonical import canonical_json
from crypto.checkpoint import Checkpoint, append_cosignature, cosign_checkpoint, sign_checkpoint
from crypto.dsse import PAYLOAD_IN_TOTO, PAYLOAD_RECEIPT_BATCH, EnvelopeSignature, pae, sign_envelope
from crypto.ed25519 import SigningKey
from crypto.leaf import LeafKind, body_leaf, envelope_leaf
from crypto.merkle import MemoryTree, leaf_hash
from crypto.multiproof import make_multiproof
from crypto.note import WITNESS_ALGORITHM, make_vkey
from crypto.policy import policy_digest
from crypto.statement import sign_receipt
from tests.audit.applicability_tampering import APPLICABILITY
from tests.audit.bundles import DAY_MS, ORIGIN, POLICY, START_MS, HonestBundle, Plan, World
from tests.audit.ledger_tampering import LEDGER
from tests.audit.opening_tampering import OPENINGS
from tests.audit.tampering import (
    PLAN,
    Attempt,
    Case,
    Object,
    attempt,
    body_of,
    decomposed,
    edit,
    flip,
    flip_text,
    forged,
    honest,
    last_seen,
    line,
    lines,
    log_envelope,
    log_line,
    log_payload,
    note,
    put,
    reseal,
    resigned,
    runners,
    signature_lines,
    statement,
    trusting,
    whole,
)

ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
#: A point of order 8, and the neutral element.
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
NEUTRAL = (1).to_bytes(32, "little")
#: In `PLAN`, receipt 0 is declared by the gateway, the others are attested by the runner.
ATTESTED = 1
ALL: list[Case] = []


def deceit(name: str, *reasons: str, exit_code: int = 1) -> Any:
    """Enter the function below as the case *name*, refused for one of *reasons*."""

    def enter(make: Any) -> Any:
        ALL.append(Case(name, make, frozenset(reasons), exit_code))
        return make

    return enter


def opening(kind: str, *path: str | int, to: Any) -> Attempt:
    """Change the attested receipt's opening of a kind and let the gateway sign the bundle anew."""

    def change(found: list[Object]) -> None:
        digest = bundle.world.receipts[ATTESTED].digest
        put(*path, to=to)(next(one for one in found if one["kind"] == kind and one["statement"] == digest))

    bundle = honest()
    return reseal(bundle, openings_jsonl=lines(change))


# Receipt and signature


@deceit("01a-output-byte-changed-and-nothing-signed", "member_digest")
def _() -> Attempt:
    return edit(honest(), openings_jsonl=lambda data: data.replace(b'"content":"a1"', b'"content":"b1"'))


@deceit("01b-output-byte-changed", "opening_mismatch")
def _() -> Attempt:
    return opening("output", "value", 0, "message", "content", to="b1")


@deceit("01c-output-commitment-changed-in-the-receipt", "leaf_mismatch")
def _() -> Attempt:
    bundle = honest()
    return reseal(
        bundle,
        receipts_jsonl=line(ATTESTED, statement("subject", 0, "digest", "sha256", to=flip_text)),
        openings_jsonl=lambda data: b"",
        bundle_json=lambda data: data,
        manifest=put("counts", "openings", to=0),
    )


def relogged(change: Any) -> HonestBundle:
    """Log a receipt whose payload was changed behind the runner's signature."""

    def add(world: World, policy: str) -> None:
        made = world.make_statement(world.runners[0], policy)
        envelope = sign_receipt(made, world.runners[0])
        log_envelope(world, replace(envelope, payload=whole(change)(envelope.payload)), made)

    return forged(add)


@deceit("01d-output-commitment-changed-and-logged-anew", "signature_invalid")
def _() -> Attempt:
    return attempt(relogged(put("subject", 0, "digest", "sha256", to=flip_text)))


@deceit("02a-output-truncated", "opening_mismatch")
def _() -> Attempt:
    return opening("output", "value", 0, "message", "content", to=lambda text: text[:-1])


@deceit("02b-line-end-added-to-output", "opening_mismatch")
def _() -> Attempt:
    return opening("output", "value", 0, "message", "content", to=lambda text: text + "\n")


@deceit("02c-null-field-added-to-output", "opening_mismatch")
def _() -> Attempt:
    return opening("output", "value", 0, "message", "refusal", to=None)


@deceit("03a-model-swapped-behind-the-signature", "signature_invalid")
def _() -> Attempt:
    return attempt(relogged(put("predicate", "model", "version", to="sha256:" + "3" * 64)))


@deceit("03b-model-that-the-runner-may-not-attest", "model_not_allowed")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.add_answer(world.runners[0], policy, model_version=OTHER_MODEL)))


OTHER_MODEL = "sha256:" + "3" * 64


@deceit("03c-model-allowed-without-its-manifest", "manifest_missing")
def _() -> Attempt:
    bundle = forged(lambda world, policy: world.add_answer(world.runners[0], policy, model_version=OTHER_MODEL))
    return trusting(bundle, runners=runners(bundle, models=tuple(sorted((OTHER_MODEL, bundle.world.model)))))


@deceit("03d-other-runtime-than-the-manifests", "manifest_mismatch")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.add_answer(world.runners[0], policy, runtime=OTHER_MODEL)))


@deceit("04a-file-names-of-the-model-changed", "manifest_mismatch")
def _() -> Attempt:
    return reseal(honest(), models_jsonl=line(0, put("manifest", "resources", 0, "name", to="weights_x.bin")))


@deceit("04b-another-openssf-digest-than-the-manifests", "manifest_mismatch")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.add_answer(world.runners[0], policy, openssf_digest="4" * 64)))


@deceit("05a-seed-added-to-the-parameters", "leaf_mismatch")
def _() -> Attempt:
    return reseal(honest(), receipts_jsonl=line(ATTESTED, statement("predicate", "parameters", "seed", to=5)))


@deceit("05b-seed-added-and-logged-anew", "signature_invalid")
def _() -> Attempt:
    return attempt(relogged(put("predicate", "parameters", "seed", to=5)))


@deceit("06a-payload-type-changed", "leaf_mismatch", "statement_malformed")
def _() -> Attempt:
    return reseal(honest(), receipts_jsonl=line(ATTESTED, put("envelope", "payloadType", to=PAYLOAD_RECEIPT_BATCH)))


@deceit("06b-statement-signed-under-another-payload-type", "statement_malformed", "leaf_kind")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        made = world.make_statement(world.runners[0], policy)
        log_envelope(world, sign_envelope(PAYLOAD_RECEIPT_BATCH, made.to_payload(), world.runners[0]), made)

    return attempt(forged(add))


@deceit("06c-signature-over-another-payload-type", "signature_invalid")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        made = world.make_statement(world.runners[0], policy)
        signed = sign_envelope("application/json", made.to_payload(), world.runners[0])
        log_envelope(world, replace(signed, payload_type=PAYLOAD_IN_TOTO), made)

    return attempt(forged(add))


@deceit("07a-attested-by-the-gateway", "signer_role")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.add_answer(world.gateway, policy)))


@deceit("07b-attested-by-the-log", "signer_unknown")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.add_answer(world.log, policy)))


@deceit("07c-bundle-signed-by-a-runner", "signer_unknown")
def _() -> Attempt:
    bundle = honest()
    runner = bundle.world.runners[0]
    return reseal(bundle, signer=runner, manifest=put("signer", to=runner.key_id))


@deceit("07d-bundle-signed-by-another-key-under-the-gateways-id", "signature_invalid")
def _() -> Attempt:
    bundle = honest()

    def name_gateway(data: bytes) -> bytes:
        return data.replace(bundle.world.runners[0].key_id.encode(), bundle.world.gateway.key_id.encode())

    made = reseal(bundle, signer=bundle.world.runners[0])
    return replace(made, data=rebuilt(made.data, "bundle.json", name_gateway))


def rebuilt(data: bytes, name: str, change: Any) -> bytes:
    """Change a member's bytes and nothing else."""
    from crypto.archive import read_archive, write_archive

    members = read_archive(data)
    return write_archive({**members, name: change(members[name])})


@deceit("08a-runner-of-another-house", "signer_unknown")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.add_answer(SigningKey(b"8" * 32), policy)))


@deceit("08b-vector-attested-by-the-gateway", "signer_role")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.add_embedding(world.receipts[1], world.gateway)))


@deceit("09a-key-expired-at-issue", "signer_expired")
def _() -> Attempt:
    bundle = honest()
    issued_at_ms = bundle.world.receipts[ATTESTED].statement.issued_at_ms
    return trusting(bundle, runners=runners(bundle, until_ms=issued_at_ms))


@deceit("09b-key-not-yet-good-at-issue", "signer_expired")
def _() -> Attempt:
    bundle = honest()
    issued_at_ms = bundle.world.receipts[ATTESTED].statement.issued_at_ms
    return trusting(bundle, runners=runners(bundle, from_ms=issued_at_ms + 1))


@deceit("10a-key-compromised-before-the-leaf", "signer_compromised")
def _() -> Attempt:
    return attempt(
        forged(lambda world, policy: world.retire_key(world.runners[0].key_id, "compromised", since_index=2))
    )


def after_end_of_key(status: str) -> HonestBundle:
    """Log a back-dated receipt behind the index at which its key ended."""

    def add(world: World, policy: str) -> None:
        before_ms = world.now_ms
        world.retire_key(world.runners[0].key_id, status)
        world.add_answer(world.runners[0], policy, issued_at_ms=before_ms)

    return forged(add)


@deceit("11a-back-dated-behind-the-compromise", "signer_compromised")
def _() -> Attempt:
    return attempt(after_end_of_key("compromised"))


@deceit("11b-back-dated-behind-the-retirement", "signer_retired")
def _() -> Attempt:
    return attempt(after_end_of_key("retired"))


@deceit("12a-two-signatures-on-a-receipt", "statement_malformed", "malformed", "leaf_mismatch")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        made = world.make_statement(world.runners[0], policy)
        envelope = sign_receipt(made, world.runners[0])
        second = EnvelopeSignature(world.gateway.key_id, bytes(64))
        both = sorted([*envelope.signatures, second], key=lambda one: one.key_id)
        log_envelope(world, replace(envelope, signatures=tuple(both)), made)

    return attempt(forged(add))


TWO_ROOTS = replace(PLAN, root_keys=2, root_threshold=2)


def trust_signed(change: Any, plan: Plan = TWO_ROOTS) -> Attempt:
    """Change the signatures of a trust file that needs two."""
    bundle = honest(plan)
    return attempt(bundle, trust=whole(lambda value: change(value["signatures"]))(bundle.trust_data))


@deceit("12b-one-root-key-counted-twice", "trust_malformed", "trust_threshold", exit_code=2)
def _() -> Attempt:
    return trust_signed(put(1, to=lambda _: None) and (lambda found: found.__setitem__(1, found[0])))


@deceit("12c-one-root-key-under-two-key-ids", "trust_threshold")
def _() -> Attempt:
    def change(found: list[Object]) -> None:
        found[1] = {"keyid": "f" * 64, "sig": found[0]["sig"]}

    return trust_signed(change)


def with_signature(change: Any) -> HonestBundle:
    """Log a receipt whose signature's bytes were changed."""

    def add(world: World, policy: str) -> None:
        made = world.make_statement(world.runners[0], policy)
        log_envelope(world, resigned(sign_receipt(made, world.runners[0]), change), made)

    return forged(add)


@deceit("13a-scalar-not-below-the-order", "signature_invalid")
def _() -> Attempt:
    def add_order(signature: bytes) -> bytes:
        return signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")

    return attempt(with_signature(add_order))


@deceit("13b-commitment-of-small-order", "signature_invalid")
def _() -> Attempt:
    return attempt(with_signature(lambda signature: NEUTRAL + signature[32:]))


@deceit("13c-commitment-that-is-not-canonical", "signature_invalid")
def _() -> Attempt:
    return attempt(with_signature(lambda signature: (PRIME + 1).to_bytes(32, "little") + signature[32:]))


@deceit("13d-key-of-small-order-in-the-trust-file", "trust_malformed", exit_code=2)
def _() -> Attempt:
    bundle = honest()
    runner = bundle.world.runners[0].public_key.hex().encode()
    return attempt(
        bundle, trust=resigned_trust(bundle, lambda payload: payload.replace(runner, ORDER_8.hex().encode()))
    )


@deceit("13e-key-that-is-not-canonical-in-the-trust-file", "trust_malformed", exit_code=2)
def _() -> Attempt:
    bundle = honest()
    runner, other = bundle.world.runners[0].public_key.hex(), (PRIME + 3).to_bytes(32, "little").hex()
    return attempt(
        bundle, trust=resigned_trust(bundle, lambda payload: payload.replace(runner.encode(), other.encode()))
    )


@deceit("13f-commitment-with-a-part-of-small-order", "signature_invalid")
def _() -> Attempt:
    """Libraries that multiply by the cofactor accept this signature, others refuse it."""

    def add(world: World, policy: str) -> None:
        seed = b"f" * 32
        runner = SigningKey(seed)
        world.runners.append(runner)
        made = world.make_statement(runner, policy)
        payload = made.to_payload()
        signature = mixed_signature(seed, runner.public_key, pae(PAYLOAD_IN_TOTO, payload))
        envelope = replace(sign_receipt(made, runner), signatures=(EnvelopeSignature(runner.key_id, signature),))
        log_envelope(world, envelope, made)

    return attempt(forged(add))


def mixed_signature(seed: bytes, public_key: bytes, message: bytes) -> bytes:
    """Sign with the secret key, and add a point of order 8 to R before the challenge is drawn."""
    expanded = SHA512.new(seed).digest()
    secret = int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    draw = int.from_bytes(SHA512.new(expanded[32:] + message).digest(), "little") % ORDER
    base = ECC.EccPoint(
        15112221349535400772501151409588531511454012693041857206046113283949847762202, 4 * pow(5, -1, PRIME) % PRIME,
        curve="Ed25519",
    )  # fmt: skip
    x, y = order_8()
    commitment = base * draw + ECC.EccPoint(x, y, curve="Ed25519")
    encoded = (int(commitment.y) | (int(commitment.x) & 1) << 255).to_bytes(32, "little")
    challenge = int.from_bytes(SHA512.new(encoded + public_key + message).digest(), "little") % ORDER
    return encoded + ((draw + challenge * secret) % ORDER).to_bytes(32, "little")


def order_8() -> tuple[int, int]:
    """Return the coordinates of the point of order 8."""
    y = int.from_bytes(ORDER_8, "little") & (2**255 - 1)
    d = -121665 * pow(121666, -1, PRIME) % PRIME
    square = (y * y - 1) * pow(d * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    return (x if x & 1 == ORDER_8[31] >> 7 else PRIME - x), y


def resigned_trust(bundle: HonestBundle, change: Any) -> bytes:
    """Change a trust file's payload and let every root key sign what comes of it."""
    payload = change(bundle.trust.to_payload())
    signatures = sorted(
        (
            {"keyid": root.key_id, "sig": base64.b64encode(root.sign(pae(TRUST, payload))).decode()}
            for root in bundle.world.roots
        ),
        key=lambda one: one["keyid"],
    )
    return canonical_json(
        {"payload": base64.b64encode(payload).decode(), "payloadType": TRUST, "signatures": list(signatures)}
    )


TRUST = "application/vnd.hitproof.trust+json"


def payload_case(name: str, change: Any) -> None:
    """Enter a case in which the runner itself signed a payload out of form."""

    def make() -> Attempt:
        return attempt(forged(lambda world, policy: log_payload(world, change, policy)))

    ALL.append(Case(name, make, frozenset({"statement_malformed"})))


def once(old: bytes, new: bytes) -> Any:
    """Replace bytes that stand in a payload."""

    def change(payload: bytes) -> bytes:
        assert old in payload
        return payload.replace(old, new, 1)

    return change


payload_case("14a-key-twice-in-a-statement", once(b'"grade":', b'"grade":"declared","grade":'))


@deceit("14b-key-twice-in-a-manifest", "manifest_malformed", exit_code=2)
def _() -> Attempt:
    return reseal(honest(), payload=once(b'"size":', b'"size":1,"size":'))


@deceit("14c-key-twice-in-a-line", "malformed")
def _() -> Attempt:
    return reseal(honest(), policies_jsonl=once(b'"document":', b'"document":{},"document":'))


payload_case("15a-unknown-field-in-a-statement", whole(put("predicate", "critical", to=1)))
payload_case("15b-unknown-field-around-a-predicate", whole(put("extra", to=None)))
payload_case("15c-higher-version-of-a-statement", once(b"/inference/v1", b"/inference/v2"))


@deceit("15d-higher-version-of-a-manifest", "manifest_malformed", exit_code=2)
def _() -> Attempt:
    return reseal(honest(), manifest=put("schema", to="hitproof/bundle/v2"))


@deceit("15e-unknown-field-in-a-manifest", "manifest_malformed", exit_code=2)
def _() -> Attempt:
    return reseal(honest(), manifest=put("critical", to=True))


@deceit("15f-unknown-field-in-a-body", "malformed")
def _() -> Attempt:
    return reseal(honest(), bodies_jsonl=line(0, put("body", "critical", to=True)))


@deceit("15g-unknown-field-in-a-line", "malformed")
def _() -> Attempt:
    return reseal(honest(), receipts_jsonl=line(0, put("critical", to=True)))


@deceit("15h-unknown-kind-of-opening", "malformed")
def _() -> Attempt:
    return reseal(honest(), openings_jsonl=line(0, put("kind", to="zzz")))


@deceit("16a-base64-that-is-not-canonical", "malformed", "leaf_mismatch", "statement_malformed")
def _() -> Attempt:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    def loosen(text: str) -> str:
        """A signature has 64 bytes: the four lowest bits of the last digit before `==` are unused."""
        return text[:-3] + alphabet[alphabet.index(text[-3]) ^ 1] + text[-2:]

    return reseal(honest(), receipts_jsonl=line(ATTESTED, put("envelope", "signatures", 0, "sig", to=loosen)))


payload_case("16b-float-in-a-statement", once(b'"max_tokens":16', b'"max_tokens":16.5'))
payload_case("16c-integer-written-as-a-float", once(b'"max_tokens":16', b'"max_tokens":16.0'))
payload_case("16d-not-a-number", once(b'"max_tokens":16', b'"max_tokens":NaN'))
payload_case("16e-byte-order-mark", lambda payload: b"\xef\xbb\xbf" + payload)
payload_case("16f-text-that-is-not-in-nfc", whole(put("predicate", "model", "name", to=decomposed("caf\u00e9"))))
payload_case("16g-space-between-tokens", once(b'"grade":', b'"grade": '))
payload_case(
    "16h-keys-out-of-order",
    once(b'{"_type":"https://in-toto.io/Statement/v1",', b'{"zz":1,"_type":"https://in-toto.io/Statement/v1",'),
)
payload_case("16i-line-end-behind-a-statement", lambda payload: payload + b"\n")
payload_case("16j-escape-that-is-not-needed", once(b'"small model"', b'"sm\\u0061ll model"'))
payload_case("16k-name-not-in-nfc-among-parameters", whole(put("predicate", "parameters", decomposed("\u00e9"), to=1)))
payload_case("16l-digest-in-upper-case", whole(put("predicate", "nonce", to="A" * 64)))


@deceit("16m-line-end-missing", "malformed")
def _() -> Attempt:
    return reseal(honest(), policies_jsonl=lambda data: data[:-1])


@deceit("16n-empty-line", "malformed")
def _() -> Attempt:
    return reseal(honest(), policies_jsonl=lambda data: data + b"\n")


payload_case(
    "17a-predicate-of-another-protocol", once(b"https://hitproof.dev/inference/v1", b"https://slsa.dev/provenance/v1")
)


@deceit("17b-embedding-statement-as-a-receipt", "statement_malformed", "leaf_kind")
def _() -> Attempt:
    return attempt(
        forged(
            lambda world, policy: log_payload(
                world, once(b"https://hitproof.dev/inference/v1", b"https://hitproof.dev/embedding/v1"), policy
            )
        )
    )


payload_case("18a-no-subject", whole(put("subject", to=[])))
payload_case("18b-two-subjects", whole(put("subject", to=lambda found: found * 2)))
payload_case("18c-subject-of-another-name", whole(put("subject", 0, "name", to="vector")))
payload_case("18d-attested-without-its-tokens", whole(put("predicate", "output_tokens_commitment", to=None)))
payload_case("18e-attested-without-a-runtime", whole(put("predicate", "runtime", to=None)))
payload_case("18f-another-signer-in-the-statement", whole(put("predicate", "signer", to="5" * 64)))
payload_case("18g-parents-out-of-order", whole(put("predicate", "parents", to=[
    {"relation": "composed-of", "statement": "sha256:" + "2" * 64},
    {"relation": "composed-of", "statement": "sha256:" + "1" * 64},
])))  # fmt: skip
payload_case("18h-statement-of-more-than-256-kib", whole(put("predicate", "parameters", to={
    f"p{number:04}": "x" * 1000 for number in range(300)
})))  # fmt: skip
payload_case("18i-text-of-more-than-1024-characters", whole(put("predicate", "parameters", to={"stop": ["x" * 1025]})))


# Commitments


@deceit("19-wrong-salt", "opening_mismatch")
def _() -> Attempt:
    return opening("prompt", "salt", to=flip_text)


@deceit("20a-salt-with-a-zero-byte-more", "malformed", "opening_mismatch")
def _() -> Attempt:
    """HMAC pads keys with zero bytes, so both salts give one code."""
    return opening("prompt", "salt", to=lambda salt: salt + "00")


@deceit("20b-salt-of-no-bytes", "malformed", "opening_mismatch")
def _() -> Attempt:
    return opening("output", "salt", to="")


@deceit("21a-prompt-of-another-receipt", "opening_mismatch")
def _() -> Attempt:
    return opening("prompt", "value", 0, "content", to="question 0")


@deceit("21b-tokens-of-another-receipt", "opening_mismatch")
def _() -> Attempt:
    return opening("output_tokens", "value", to=[7, 8, 0])


@deceit("21c-opening-of-no-receipt-of-the-bundle", "opening_unknown")
def _() -> Attempt:
    return reseal(honest(), openings_jsonl=lines(lambda found: found[-1].update(statement="sha256:" + "f" * 64)))


@deceit("21d-opening-of-a-commitment-that-is-null", "opening_mismatch", "opening_unknown")
def _() -> Attempt:
    bundle = honest()

    def add(found: list[Object]) -> None:
        found.append({"kind": "output_tokens", "salt": "0" * 64, "statement": declared, "value": [1]})
        found.sort(key=lambda one: (one["statement"], one["kind"]))

    declared = bundle.world.receipts[0].digest
    return reseal(bundle, openings_jsonl=lines(add), manifest=put("counts", "openings", to=lambda count: count + 1))


@deceit("22-message-moved-to-another-role", "opening_mismatch")
def _() -> Attempt:
    return opening("prompt", "value", to=[{"content": "question", "role": "system"}, {"content": " 1", "role": "user"}])


@deceit("23a-pseudonym-of-another-tenant", "tenant_mismatch")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        stranger = world.pseudonym_at(world.now_ms, "ten_aaaaaaaaaaaaaaaa")
        world.add_policy(POLICY, tenant=stranger)
        world.add_answer(world.runners[0], policy, tenant=stranger)

    return attempt(forged(add))


@deceit("23b-scope-of-another-tenant", "tenant_mismatch")
def _() -> Attempt:
    return reseal(honest(), manifest=put("scope", "tenant", to="ten_aaaaaaaaaaaaaaaa"))


@deceit("23c-epoch-that-is-not-opened", "tenant_mismatch")
def _() -> Attempt:
    return reseal(honest(), manifest=put("scope", "pseudonyms", to=[]))


@deceit("23d-pseudonym-of-another-epoch", "tenant_mismatch")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        pseudonym = world.pseudonym_at(world.now_ms)
        world.tick(40 * DAY_MS)
        world.add_policy(POLICY)
        world.add_answer(world.runners[0], policy, tenant=pseudonym)

    return attempt(forged(add))


@deceit("24-hit-on-another-tenants-receipt", "tenant_mismatch")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        stranger = world.pseudonym_at(world.now_ms, "ten_aaaaaaaaaaaaaaaa")
        world.add_policy({**POLICY, "pool_read": False}, tenant=stranger)
        receipt = world.add_answer(world.runners[0], policy, tenant=stranger)
        world.add_batch([world.make_hit(receipt, policy)])

    return attempt(forged(add))


# Log


@deceit("25a-index-of-a-receipt-changed", "leaf_unexplained", "leaf_mismatch", "leaf_kind")
def _() -> Attempt:
    return reseal(honest(), receipts_jsonl=line(ATTESTED, put("index", to=lambda index: index + 1)))


@deceit("25b-index-of-a-leaf-changed", "inclusion_invalid")
def _() -> Attempt:
    def move(data: bytes) -> bytes:
        index = int.from_bytes(data[-82:-74], "big")
        return data[:-82] + (index - 1).to_bytes(8, "big") + data[-74:]

    return reseal(honest(replace(PLAN, embeddings=0)), leaves=move)


@deceit("25c-two-receipts-change-places", "leaf_mismatch")
def _() -> Attempt:
    def swap(found: list[Object]) -> None:
        found[0]["envelope"], found[1]["envelope"] = found[1]["envelope"], found[0]["envelope"]

    return reseal(honest(), receipts_jsonl=lines(swap))


@deceit("26a-hash-of-the-multiproof-flipped", "inclusion_invalid")
def _() -> Attempt:
    return reseal(honest(), multiproof=lambda data: flip(data, 40))


@deceit("26b-hash-removed", "inclusion_invalid")
def _() -> Attempt:
    return reseal(honest(), multiproof=lambda data: data[:-32])


@deceit("26c-hash-added", "inclusion_invalid")
def _() -> Attempt:
    return reseal(honest(), multiproof=lambda data: data + data[:32])


@deceit("26d-hashes-in-another-order", "inclusion_invalid")
def _() -> Attempt:
    return reseal(honest(), multiproof=lambda data: data[32:64] + data[:32] + data[64:])


@deceit("26e-half-a-hash", "malformed")
def _() -> Attempt:
    return reseal(honest(), multiproof=lambda data: data[:-16])


@deceit("26f-leaf-left-out", "inclusion_invalid")
def _() -> Attempt:
    return reseal(honest(), leaves=lambda data: data[82:])


def parts_under(bundle: HonestBundle, tree: MemoryTree, **changes: Any) -> Attempt:
    """Export the honest parts under the checkpoint of another tree, which the log signed."""
    world = bundle.world
    text = sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root()), world.log)
    for number, key in enumerate(world.witnesses):
        line_ = cosign_checkpoint(text, f"witness-{number}.example", key, world.now_ms // 1000)
        text = append_cosignature(text, line_)
    made: BundleParts = replace(bundle.parts, checkpoint=text, checkpoints=(), **changes)
    return attempt(bundle, world.seal(made))


@deceit("27a-tree-without-the-leaf-prefix", "inclusion_invalid")
def _() -> Attempt:
    bundle = honest(replace(PLAN, tree_size=0))
    leaves = [bundle.world.leaves[index] for index in sorted(bundle.world.leaves)]
    tree = MemoryTree(hashlib.sha256(leaf).digest() for leaf in leaves)
    proof = make_multiproof(range(tree.size), tree.size, tree.node)
    return parts_under(bundle, tree, multiproof=tuple(proof))


@deceit("27b-inner-node-of-a-batch-as-a-hit", "batch_invalid")
def _() -> Attempt:
    """A batch of four shown as one of two: the proof's hash is an inner node, and the shown record stands for one."""

    def add(world: World, policy: str) -> None:
        records = [world.make_hit(world.receipts[0], policy) for _ in range(4)]
        tree = MemoryTree(leaf_hash(record.to_payload()) for record in records)
        world.add_batch(records, shown=(0,), count=2)
        last = world.hit_lines[-1]
        world.hit_lines[-1] = replace(last, hashes=(tree.node(1, 1),))

    return attempt(forged(add))


@deceit("28-tree-smaller-than-an-index", "inclusion_invalid")
def _() -> Attempt:
    bundle = honest()
    size = max(bundle.world.leaves)
    tree = MemoryTree(bundle.world.tree.node(0, index) for index in range(size))
    return parts_under(bundle, tree)


@deceit("29a-root-of-the-manifest-changed", "checkpoint_mismatch")
def _() -> Attempt:
    return reseal(honest(), manifest=put("root", to=flip_text))


@deceit("29b-size-of-the-manifest-changed", "checkpoint_mismatch")
def _() -> Attempt:
    return reseal(honest(), manifest=put("size", to=lambda size: size + 1))


def checkpoint_case(change: Any, manifest: Any = None) -> Attempt:
    """Change the text of the checkpoint and let the log sign it."""
    bundle = honest(replace(PLAN, witnesses=0, earlier_checkpoints=0))

    def remake(data: bytes) -> bytes:
        body = change(body_of(data))
        return note(body, log_line(bundle.world, body)).encode()

    return reseal(bundle, checkpoint=remake, manifest=manifest)


@deceit("29c-root-changed-behind-the-logs-signature", "checkpoint_signature")
def _() -> Attempt:
    other = base64.b64encode(b"r" * 32)
    return reseal(
        honest(),
        checkpoint=lambda data: data.replace(data.split(b"\n")[2], other, 1),
        manifest=put("root", to=(b"r" * 32).hex()),
    )


@deceit("29d-root-changed-by-the-log", "inclusion_invalid")
def _() -> Attempt:
    other = base64.b64encode(b"r" * 32).decode()

    def change(body: str) -> str:
        origin, size, _, rest = body.split("\n")
        return "\n".join((origin, size, other, rest))

    return checkpoint_case(change, put("root", to=(b"r" * 32).hex()))


@deceit("30-origin-changed", "checkpoint_origin")
def _() -> Attempt:
    return checkpoint_case(
        lambda body: body.replace(ORIGIN, "log.example/other"), put("origin", to="log.example/other")
    )


@deceit("31a-log-signature-missing", "checkpoint_signature")
def _() -> Attempt:
    bundle = honest()

    def strip(data: bytes) -> bytes:
        return b"".join(part for part in data.splitlines(True) if not part.startswith(f"\u2014 {ORIGIN} ".encode()))

    return reseal(bundle, checkpoint=strip)


@deceit("31b-log-signature-twice", "checkpoint_signature")
def _() -> Attempt:
    return reseal(honest(), checkpoint=lambda data: data + data.splitlines(True)[4])


@deceit("31c-signature-of-a-key-whose-four-bytes-collide", "checkpoint_signature")
def _() -> Attempt:
    bundle = honest(replace(PLAN, witnesses=0))
    other = SigningKey(b"c" * 32)
    return reseal(
        bundle,
        checkpoint=lambda data: note(body_of(data), log_line(bundle.world, body_of(data), signer=other)).encode(),
    )


@deceit("31d-no-signature-at-all", "checkpoint_malformed", "malformed")
def _() -> Attempt:
    return reseal(honest(), checkpoint=lambda data: body_of(data).encode() + b"\n")


def sized(name: str, change: Any, *reasons: str) -> None:
    """Enter a case in which the log signed another spelling of the size."""

    def respell(body: str) -> str:
        origin, size, root, rest = body.split("\n")
        return "\n".join((origin, change(size), root, rest))

    ALL.append(Case(name, lambda: checkpoint_case(respell), frozenset(reasons)))


sized("32a-size-with-a-leading-zero", lambda size: "0" + size, "checkpoint_malformed", "malformed")
sized("32b-size-with-a-plus-sign", lambda size: "+" + size, "checkpoint_malformed", "malformed")
sized("32c-size-of-two-to-the-63rd", lambda size: str(2**63), "checkpoint_malformed", "malformed")
sized("32d-size-in-other-digits", lambda size: "\u0664\u0660", "checkpoint_malformed", "malformed")


@deceit("32e-extension-line", "checkpoint_malformed", "malformed")
def _() -> Attempt:
    return checkpoint_case(lambda body: body + "extension\n")


def cosigned(change: Any, plan: Plan = PLAN) -> Attempt:
    """Change the signature lines of the checkpoint."""

    def remake(data: bytes) -> bytes:
        found = [(one.name, one.key_hash, one.data) for one in signature_lines(data)]
        return note(body_of(data), *change(found, bundle)).encode()

    bundle = honest(plan)
    return reseal(bundle, checkpoint=remake)


@deceit("33a-time-of-a-cosignature-changed", "cosignature_invalid")
def _() -> Attempt:
    return cosigned(lambda found, bundle: [found[0], (*found[1][:2], flip(found[1][2], 7))])


@deceit("33b-cosignature-from-the-future", "cosignature_future")
def _() -> Attempt:
    bundle = honest()
    return attempt(bundle, now_ms=bundle.world.now_ms - 5 * 60 * 1000 - 1001)


@deceit("33c-cosignature-of-another-checkpoint", "cosignature_invalid")
def _() -> Attempt:
    def other(found: Any, bundle: HonestBundle) -> Any:
        old = bundle.world.sign_checkpoint(5)
        line_ = next(one for one in signature_lines(old.encode()) if one.name != ORIGIN)
        return [found[0], (line_.name, line_.key_hash, line_.data)]

    return cosigned(other)


TWO_WITNESSES = replace(PLAN, witnesses=2)


@deceit("34a-one-witness-under-two-names", "witness_quorum")
def _() -> Attempt:
    def double(found: Any, bundle: HonestBundle) -> Any:
        world = bundle.world
        text = cosign_checkpoint(
            sign_checkpoint(Checkpoint(ORIGIN, world.tree.size, world.tree.root()), world.log),
            "another.example",
            world.witnesses[0],
            world.now_ms // 1000,
        )
        named = signature_lines(b"x\n\n" + text.encode())[0]
        mine = make_vkey("witness-0.example", WITNESS_ALGORITHM, world.witnesses[0].public_key).split("+")[1]
        kept = [one for one in found if one[0] == ORIGIN or one[1].hex() == mine]
        return [*kept, (named.name, named.key_hash, named.data)]

    return cosigned(double, TWO_WITNESSES)


@deceit("34b-one-witness-trusted-under-two-names", "trust_malformed", exit_code=2)
def _() -> Attempt:
    bundle = honest()
    old = make_vkey("witness-0.example", WITNESS_ALGORITHM, bundle.world.witnesses[0].public_key)
    new = make_vkey("witness-1.example", WITNESS_ALGORITHM, bundle.world.witnesses[0].public_key)
    return attempt(bundle, trust=resigned_trust(bundle, once(f'"{old}"'.encode(), f'"{old}","{new}"'.encode())))


@deceit("34c-one-cosignature-twice", "cosignature_invalid", "witness_quorum")
def _() -> Attempt:
    return cosigned(lambda found, bundle: [*found[:2], found[1]], TWO_WITNESSES)


@deceit("35-one-witness-too-few", "witness_quorum")
def _() -> Attempt:
    return cosigned(lambda found, bundle: found[:2], TWO_WITNESSES)


@deceit("36a-consistency-proof-missing", "consistency_missing")
def _() -> Attempt:
    bundle = honest()
    return replace(
        reseal(bundle, checkpoints_jsonl=lambda data: b""), last_seen=last_seen(bundle.world.sign_checkpoint(9))
    )


@deceit("36b-consistency-from-an-empty-tree", "consistency_invalid", "malformed")
def _() -> Attempt:
    bundle = honest()
    empty = sign_checkpoint(Checkpoint(ORIGIN, 0, hashlib.sha256(b"").digest()), bundle.world.log)
    return reseal(bundle, checkpoints_jsonl=lines(lambda found: found.insert(0, {"note": empty, "proof": []})))


@deceit("36c-rolled-back-behind-what-was-seen", "rollback")
def _() -> Attempt:
    bundle = honest()
    world = bundle.world
    old = world.seal(bundle.parts)
    world.add_strangers(3)
    return attempt(bundle, old, last_seen=last_seen(world.sign_checkpoint()))


@deceit("36d-consistency-proof-broken", "consistency_invalid")
def _() -> Attempt:
    return reseal(honest(), checkpoints_jsonl=line(0, put("proof", 0, to=flip_text)))


@deceit("36e-earlier-checkpoint-of-another-history", "consistency_invalid")
def _() -> Attempt:
    bundle = honest()

    def other(found: Object) -> None:
        size = int(found["note"].split("\n")[1])
        found["note"] = sign_checkpoint(Checkpoint(ORIGIN, size, b"o" * 32), bundle.world.log)

    return reseal(bundle, checkpoints_jsonl=line(0, other))


@deceit("36f-last-seen-is-another-logs", "checkpoint_origin", "checkpoint_signature")
def _() -> Attempt:
    bundle = honest()
    other = sign_checkpoint(Checkpoint("log.example/other", 5, b"o" * 32), bundle.world.log)
    return attempt(bundle, last_seen=last_seen(other))


@deceit("36g-earlier-checkpoint-not-signed-by-the-log", "checkpoint_signature")
def _() -> Attempt:
    bundle = honest()

    def other(found: Object) -> None:
        body = body_of(found["note"].encode())
        found["note"] = note(body, log_line(bundle.world, body, signer=SigningKey(b"n" * 32)))

    return reseal(bundle, checkpoints_jsonl=line(0, other))


@deceit("37a-split-view-of-the-present-size", "split_view")
def _() -> Attempt:
    bundle = honest()
    other = sign_checkpoint(Checkpoint(ORIGIN, bundle.world.tree.size, b"o" * 32), bundle.world.log)
    return attempt(bundle, last_seen=last_seen(other))


@deceit("37b-split-view-of-an-earlier-size", "split_view")
def _() -> Attempt:
    bundle = honest()
    size = int(bundle.world.checkpoints[0].split("\n")[1])
    other = sign_checkpoint(Checkpoint(ORIGIN, size, b"o" * 32), bundle.world.log)
    return attempt(bundle, last_seen=last_seen(other))


@deceit("38a-hit-batch-as-a-receipt", "leaf_mismatch", "leaf_kind")
def _() -> Attempt:
    bundle = honest()
    batch = bundle.parts.hits[0].batch

    def take_over(found: list[Object]) -> None:
        found[-1]["index"] = batch
        found.sort(key=lambda one: one["index"])

    return reseal(bundle, receipts_jsonl=lines(take_over))


def of_kind(kind: LeafKind) -> HonestBundle:
    """Log an honest receipt under another kind of leaf."""

    def add(world: World, policy: str) -> None:
        made = world.make_statement(world.runners[0], policy)
        envelope = sign_receipt(made, world.runners[0])
        leaf = replace(envelope_leaf(LeafKind.RECEIPT, envelope, made.issued_at_ms), kind=kind).encode()
        receipt = world.add_receipt(envelope, made)
        index = world.append(leaf)
        world.receipts[-1] = replace(receipt, index=index, leaf=leaf)
        del world.leaves[receipt.index]

    return forged(add)


@deceit("38b-receipt-in-a-leaf-of-evidence", "leaf_kind", "leaf_mismatch")
def _() -> Attempt:
    return attempt(of_kind(LeafKind.EVIDENCE))


@deceit("38c-policy-in-a-leaf-of-erasure", "leaf_kind", "leaf_mismatch")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        at_ms = world.tick()
        body = PolicyEvent(at_ms, world.bytes_32(), policy, world.pseudonym_at(at_ms), 2)
        world.add_body(body, body_leaf(LeafKind.ERASURE, body.to_payload(), at_ms, world.log.public_key))

    return attempt(forged(add))


@deceit("38d-time-of-a-leaf-is-not-its-bodys", "leaf_mismatch")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        body = PolicyEvent(world.tick(), world.bytes_32(), policy, world.pseudonym_at(world.now_ms), 2)
        world.add_body(body, body_leaf(LeafKind.POLICY, body.to_payload(), body.at_ms - 1, world.log.public_key))

    return attempt(forged(add))


@deceit("38e-leaf-without-a-body", "leaf_unexplained")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.append(b"\x01" * 74)))


@deceit("38f-body-left-out", "leaf_unexplained")
def _() -> Attempt:
    return reseal(honest(), bodies_jsonl=lines(lambda found: found.pop(0)))


@deceit("39a-hit-on-another-leaf", "hit_receipt")
def _() -> Attempt:
    return attempt(hit_with(receipt_leaf=b"9" * 32))


@deceit("39b-hit-on-a-receipt-that-is-not-there", "hit_receipt")
def _() -> Attempt:
    return attempt(hit_with(receipt="sha256:" + "9" * 64))


@deceit("39c-hit-on-the-leaf-of-another-receipt", "hit_receipt")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        world.add_batch([world.make_hit(world.receipts[0], policy, receipt_leaf=leaf_hash(world.receipts[1].leaf))])

    return attempt(forged(add))


@deceit("39d-hit-logged-before-its-receipt", "hit_order")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        made = world.make_statement(world.runners[0], policy)
        envelope = sign_receipt(made, world.runners[0])
        leaf = envelope_leaf(LeafKind.RECEIPT, envelope, made.issued_at_ms).encode()
        made_hit = world.make_hit(world.receipts[0], policy)
        hit = replace(made_hit, receipt_leaf=leaf_hash(leaf), receipt=digest_of(envelope.payload))
        world.add_batch([hit])
        world.add_receipt(envelope, made)

    return attempt(forged(add))


def digest_of(payload: bytes) -> str:
    """Return a statement's digest."""
    return "sha256:" + hashlib.sha256(payload).hexdigest()


def hit_with(**changes: Any) -> HonestBundle:
    """Log one hit with fields changed."""
    return forged(
        lambda world, policy: world.add_batch([replace(world.make_hit(world.receipts[0], policy), **changes)])
    )


@deceit("40a-batch-of-another-count", "batch_invalid")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        records = [world.make_hit(world.receipts[0], policy) for _ in range(3)]
        world.add_batch(records, shown=(0, 1), count=5)

    return attempt(forged(add))


@deceit("40b-hash-of-a-batch-flipped", "batch_invalid")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        world.add_batch([world.make_hit(world.receipts[0], policy) for _ in range(3)], shown=(0,))
        last = world.hit_lines[-1]
        world.hit_lines[-1] = replace(last, hashes=(flip(last.hashes[0]), *last.hashes[1:]))

    return attempt(forged(add))


@deceit("40c-hit-shown-at-another-position", "batch_invalid")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        world.add_batch([world.make_hit(world.receipts[0], policy) for _ in range(4)], shown=(0,))
        world.hit_lines[-1] = replace(world.hit_lines[-1], positions=(1,))

    return attempt(forged(add))


@deceit("40d-hit-that-is-not-in-its-batch", "batch_invalid")
def _() -> Attempt:
    return reseal(honest(), hits_jsonl=line(0, put("records", 0, "query", to=flip_text)))


@deceit("40e-batch-that-is-another-kind-of-leaf", "batch_invalid")
def _() -> Attempt:
    return reseal(honest(), hits_jsonl=line(0, put("batch", to=0)))


@deceit("40f-position-beyond-the-batch", "batch_invalid")
def _() -> Attempt:
    return reseal(honest(), hits_jsonl=line(0, put("positions", to=[0, 1, 9])))


@deceit("41a-hit-id-replayed-in-another-batch", "hit_replayed")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        world.add_batch([world.make_hit(world.receipts[0], policy, hit=next(iter(world.batches.values()))[0].hit)])

    return attempt(forged(add))


@deceit("41b-hit-id-twice-in-one-batch", "hit_replayed")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        world.add_batch([world.make_hit(world.receipts[0], policy, hit="hit_" + "4" * 32) for _ in range(2)])

    return attempt(forged(add))


@deceit("41c-receipt-logged-twice", "receipt_replayed")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        first = world.receipts[0]
        world.receipts.append(replace(first, index=world.append(first.leaf)))

    return attempt(forged(add))


@deceit("41d-batch-of-another-tenant", "tenant_mismatch", "batch_invalid")
def _() -> Attempt:
    return attempt(
        forged(
            lambda world, policy: world.add_batch(
                [world.make_hit(world.receipts[0], policy)],
                tenant=world.pseudonym_at(world.now_ms, "ten_bbbbbbbbbbbbbbbb"),
            )
        )
    )


@deceit("41e-hit-of-another-tenant", "tenant_mismatch")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        stranger = world.pseudonym_at(world.now_ms, "ten_bbbbbbbbbbbbbbbb")
        world.add_policy(POLICY, tenant=stranger)
        world.add_batch([world.make_hit(world.receipts[0], policy, tenant=stranger)], tenant=stranger)

    return attempt(forged(add))


@deceit("42a-trust-file-expired", "trust_expired")
def _() -> Attempt:
    bundle = honest()
    return trusting(bundle, expires_at_ms=bundle.now_ms)


@deceit("42b-trust-file-of-a-lower-version-than-seen", "trust_rollback")
def _() -> Attempt:
    bundle = honest()
    return attempt(bundle, last_seen=last_seen(bundle.world.sign_checkpoint(), trust_version=2))


@deceit("42c-trust-file-of-a-lower-version-than-the-status-list", "trust_rollback")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        world.status = replace(world.status, trust_version=2)

    return attempt(forged(add))


@deceit("42d-trust-file-under-its-threshold", "trust_threshold")
def _() -> Attempt:
    return trust_signed(lambda found: found.pop())


@deceit("42e-trust-file-signed-by-no-root-key", "trust_threshold")
def _() -> Attempt:
    bundle = honest()
    return attempt(
        bundle, trust=whole(put("signatures", 0, "sig", to=base64.b64encode(bytes(64)).decode()))(bundle.trust_data)
    )


@deceit("42f-bundle-offered-as-a-trust-file", "trust_malformed", exit_code=2)
def _() -> Attempt:
    bundle = honest()
    return attempt(bundle, trust=bundle.data)


# Model and status


@deceit("43-model-withdrawn", "model_revoked", exit_code=3)
def _() -> Attempt:
    return attempt(honest(replace(PLAN, model_status="revoked")))


@deceit("44a-status-list-too-old", "stale")
def _() -> Attempt:
    bundle = honest()
    return attempt(bundle, max_age_ms=bundle.now_ms - bundle.world.status.at_ms - 1)


@deceit("44e-status-list-dated-ahead", "status_future")
def _() -> Attempt:
    bundle = honest(replace(PLAN, witnesses=0))
    return attempt(bundle, now_ms=bundle.world.status.at_ms - 300_001)


@deceit("10c-bundle-signed-under-a-compromised-gateway-key", "signer_compromised")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.retire_key(world.gateway.key_id, "compromised", "gateway")))


@deceit("09d-bundle-signed-behind-the-end-of-the-gateways-key", "signer_expired")
def _() -> Attempt:
    bundle = honest()
    ended = tuple(replace(key, until_ms=bundle.parts.made_at_ms) for key in bundle.trust.gateways)
    return trusting(bundle, gateways=ended)


@deceit("44b-status-list-that-no-leaf-carries", "status_unbound")
def _() -> Attempt:
    return reseal(honest(), status_json=whole(put("at_ms", to=lambda at_ms: at_ms + 1)))


@deceit("44c-key-left-out-of-the-status-list", "status_unbound")
def _() -> Attempt:
    bundle = honest(replace(PLAN, retired_runner=True))
    return reseal(bundle, status_json=whole(put("keys", to=[])))


@deceit("44d-status-list-of-an-earlier-leaf", "status_unbound")
def _() -> Attempt:
    bundle = honest(replace(PLAN, model_status="revoked"))
    early = replace(bundle.world.status, at_ms=START_MS + 1000, models=(), keys=())
    return reseal(bundle, status_json=lambda data: early.to_payload())


@deceit("44e-newest-cosignature-too-old", "stale")
def _() -> Attempt:
    def later(world: World, policy: str) -> None:
        world.tick(DAY_MS)

    bundle = forged(later)
    old_s = (bundle.world.now_ms - DAY_MS) // 1000

    def date_back(data: bytes) -> bytes:
        text = sign_checkpoint(Checkpoint(ORIGIN, bundle.world.tree.size, bundle.world.tree.root()), bundle.world.log)
        return append_cosignature(
            text, cosign_checkpoint(text, "witness-0.example", bundle.world.witnesses[0], old_s)
        ).encode()

    return replace(reseal(bundle, checkpoint=date_back), max_age_ms=DAY_MS // 2)


@deceit("45a-policy-no-longer-in-force", "policy_inactive")
def _() -> Attempt:
    return attempt(changed_policy(61_000))


def changed_policy(later_ms: int) -> HonestBundle:
    """Log a hit under the policy before the present one, so long after the change."""

    def add(world: World, policy: str) -> None:
        world.add_policy({**POLICY, "threshold_ten_thousandths": 9900}, version=2)
        world.tick(later_ms - 1000)
        world.add_batch([world.make_hit(world.receipts[0], policy)])

    return forged(add)


@deceit("45b-policy-that-was-never-logged", "policy_unknown")
def _() -> Attempt:
    return attempt(hit_with(policy=policy_digest({"mode": "exact"})))


@deceit("45c-policy-logged-behind-the-receipt", "policy_unknown")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        later: Any = {**POLICY, "threshold_ten_thousandths": 9900}
        world.add_answer(world.runners[0], policy_digest(later))
        world.add_policy(later, version=2)

    return attempt(forged(add))


@deceit("45d-document-of-another-policy", "policy_mismatch")
def _() -> Attempt:
    return reseal(honest(), policies_jsonl=line(0, put("document", "threshold_ten_thousandths", to=8000)))


@deceit("45e-document-of-a-policy-left-out", "policy_unknown")
def _() -> Attempt:
    return reseal(honest(), policies_jsonl=lambda data: b"")


@deceit("45f-policy-of-another-tenant", "policy_unknown")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        other: Any = {**POLICY, "threshold_ten_thousandths": 8000}
        digest = world.add_policy(other, tenant=world.pseudonym_at(world.now_ms, "ten_bbbbbbbbbbbbbbbb"))
        world.add_batch([world.make_hit(world.receipts[0], digest)])

    return attempt(forged(add))


@deceit("46a-evidence-of-a-receipt-that-is-not-there", "evidence_mismatch")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.add_evidence(world.receipts[0], statement="sha256:" + "6" * 64)))


@deceit("46b-vector-of-a-receipt-that-is-not-there", "evidence_mismatch")
def _() -> Attempt:
    return attempt(
        forged(
            lambda world, policy: world.add_embedding(
                world.receipts[0], world.runners[0], statement="sha256:" + "6" * 64
            )
        )
    )


@deceit("46c-vector-changed-in-its-opening", "opening_mismatch")
def _() -> Attempt:
    bundle = honest()

    def change(found: list[Object]) -> None:
        next(one for one in found if one["kind"] == "vector")["value"][0] += 1

    return reseal(bundle, openings_jsonl=lines(change))


@deceit("46f-vector-of-another-dimension-than-stated", "opening_mismatch")
def _() -> Attempt:
    return attempt(forged(lambda world, policy: world.add_embedding(world.receipts[0], world.runners[0], dimension=4)))


@deceit("46d-digest-of-logged-evidence-changed", "leaf_mismatch")
def _() -> Attempt:
    bundle = forged(lambda world, policy: world.add_evidence(world.receipts[0]))

    def change(found: list[Object]) -> None:
        body = next(one["body"] for one in found if one["body"]["schema"] == "hitproof/evidence/v1")
        body["digest"] = "sha256:" + "6" * 64

    return reseal(bundle, bodies_jsonl=lines(change))


@deceit("46e-vector-attested-behind-the-compromise", "signer_compromised")
def _() -> Attempt:
    def add(world: World, policy: str) -> None:
        world.retire_key(world.runners[0].key_id, "compromised")
        world.add_embedding(world.receipts[1], world.runners[0])

    return attempt(forged(add))


# Scope, counts, members


@deceit("61a-receipt-outside-the-scope", "out_of_scope")
def _() -> Attempt:
    bundle = forged(lambda world, policy: world.add_answer(world.runners[0], policy))
    last_ms = bundle.world.receipts[-1].statement.issued_at_ms
    return reseal(bundle, manifest=put("scope", "until_ms", to=last_ms))


@deceit("61b-hit-outside-the-scope", "out_of_scope")
def _() -> Attempt:
    bundle = honest()
    last_ms = bundle.parts.hits[-1].records[-1].at_ms
    return reseal(bundle, manifest=put("scope", "until_ms", to=last_ms))


@deceit("61c-receipt-of-another-model-than-the-scopes", "out_of_scope")
def _() -> Attempt:
    bundle = honest()
    return reseal(bundle, manifest=put("scope", "model_version", to=bundle.world.model))


@deceit("61d-manifest-of-a-model-of-no-receipt", "manifest_mismatch", "malformed")
def _() -> Attempt:
    bundle = honest()

    def add(found: list[Object]) -> None:
        other = {**found[0]["manifest"], "name": "another"}
        version = digest_of(b"hitproof/model/v1\x00" + canonical_json(other))
        found.append({"manifest": other, "model_version": version})
        found.sort(key=lambda one: one["model_version"])

    return reseal(bundle, models_jsonl=lines(add))


def counted(name: str) -> None:
    """Enter a case in which the manifest counts one more than there is."""
    ALL.append(
        Case(
            f"61e-one-too-many-counted-of-{name}",
            lambda: reseal(honest(), manifest=put("counts", name, to=lambda count: count + 1)),
            frozenset({"counts_wrong"}),
        )
    )


for _name in ("evidence", "hits", "openings", "receipts"):
    counted(_name)


@deceit("61f-receipt-left-out-with-its-count", "leaf_unexplained")
def _() -> Attempt:
    return reseal(
        honest(),
        receipts_jsonl=lines(lambda found: found.pop()),
        manifest=put("counts", "receipts", to=lambda count: count - 1),
    )


@deceit("62a-size-of-a-member-changed-in-the-manifest", "member_digest")
def _() -> Attempt:
    return reseal(honest(), manifest=put("members", 0, "size_bytes", to=lambda size: size + 1))


@deceit("62b-digest-of-a-member-changed-in-the-manifest", "member_digest")
def _() -> Attempt:
    return reseal(honest(), manifest=put("members", 0, "sha256", to=flip_text))


@deceit("62c-member-left-out-of-the-manifest", "manifest_malformed", exit_code=2)
def _() -> Attempt:
    return reseal(honest(), manifest=put("members", to=lambda found: found[1:]))


@deceit("62d-manifest-changed-behind-its-signature", "signature_invalid")
def _() -> Attempt:
    def change(data: bytes) -> bytes:
        def retime(value: Object) -> None:
            payload = whole(put("made_at_ms", to=lambda at_ms: at_ms + 1))(base64.b64decode(value["payload"]))
            value["payload"] = base64.b64encode(payload).decode()

        return whole(retime)(data)

    return attempt(honest(), rebuilt(honest().data, "bundle.json", change))


@deceit("62e-lines-of-a-member-in-another-order", "malformed")
def _() -> Attempt:
    return reseal(honest(), openings_jsonl=lines(lambda found: found.reverse()))


@deceit("62f-line-twice", "malformed")
def _() -> Attempt:
    return reseal(honest(), policies_jsonl=lines(lambda found: found.append(found[0])))


def every() -> Iterator[Case]:
    """Return all cases, by name."""
    yield from sorted([*ALL, *LEDGER, *APPLICABILITY, *OPENINGS], key=lambda one: one.name)
