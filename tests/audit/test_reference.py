"""The second implementation: it shares nothing with the first, is as strict, and accepts exactly the same honest bundles."""

from __future__ import annotations

import ast
import hashlib
import json
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from crypto.bodies import KeyEvent
from crypto.bundle_lines import OpeningLine
from crypto.canonical import JsonValue, canonical_json, parse_canonical_json
from crypto.commitment import prompt_commitment
from crypto.ed25519 import SigningKey, verify_signature
from crypto.errors import Error, VerificationError
from crypto.merkle import MemoryTree, consistency_proof, leaf_hash
from crypto.multiproof import make_multiproof
from crypto.reference import ed25519, hashing, json_text
from crypto.reference.errors import NotInForm
from crypto.statement import sign_receipt
from tests.audit.bundles import DAY_MS, POLICY, START_MS, HonestBundle, Plan, World, make_bundle
from tests.audit.tampering import PLAN, attempt, forged, last_seen
from tests.audit.tampering_cases import NEUTRAL, ORDER, ORDER_8, PRIME
from tests.audit.verifiers import ask_first, ask_second

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "crypto" / "reference"
#: A thousand receipts of a million leaves; the default run takes a third of them.
LARGE_S_MAX = 60.0


# Independence


def test_the_second_implementation_imports_only_itself_two_libraries_and_the_standard_library() -> None:
    for path in sorted(REFERENCE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1, f"{path.name} imports from outside its folder"
                continue
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                top = name.partition(".")[0]
                may_be = top == "Crypto" or (top == "py_ecc" and path.name == "pairing.py")
                assert may_be or top in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_nothing_of_the_first_implementation_imports_the_second_at_import() -> None:
    """So a fault of one is never the fault of both."""
    for path in sorted((ROOT / "crypto").rglob("*.py")):
        if REFERENCE in path.parents:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                assert "reference" not in (node.module or "").split("."), f"{path.name} loads the second at import"


# Honest bundles of many shapes

SHAPES: dict[str, Plan] = {
    "one-receipt": Plan(receipts=1, hits=0, embeddings=0, earlier_checkpoints=0, openings=False),
    "one-receipt-one-hit": Plan(receipts=1, hits=1),
    "nothing-but-a-status": Plan(receipts=0, hits=0, embeddings=0, earlier_checkpoints=0),
    "no-hits": Plan(receipts=4, hits=0),
    "declared-alone": Plan(receipts=2, declared=2, embeddings=0),
    "declared-and-attested": Plan(receipts=3, declared=1),
    "no-openings": Plan(openings=False),
    "one-hit-in-each-batch": Plan(hits=5, hits_per_batch=1),
    "large-batches": Plan(receipts=5, hits=40, hits_per_batch=17),
    "three-witnesses": Plan(witnesses=3),
    "two-of-three-witnesses": Plan(witnesses=3, witness_threshold=2),
    "witnesses-that-are-not-needed": Plan(witnesses=1, witness_threshold=0),
    "two-of-three-root-keys": Plan(root_keys=3, root_threshold=2),
    "rotated-runner": Plan(receipts=6, runners=2, retired_runner=True),
    "superseded-model": Plan(model_status="superseded"),
    "many-earlier-checkpoints": Plan(receipts=5, earlier_checkpoints=5),
    "strangers-leaves": Plan(receipts=5, hits=7, tree_size=1_000),
    "tree-of-a-power-of-two": Plan(receipts=2, hits=2, tree_size=256),
    "tree-of-one-more": Plan(receipts=2, hits=2, tree_size=257),
    "several-embeddings": Plan(receipts=4, embeddings=4),
    "one-release": Plan(releases=1),
    "releases-that-were-paid-for": Plan(releases=4),
    "proved-hits": Plan(receipts=2, hits=1, proved=3),
    "proved-hits-whose-queries-are-closed": Plan(receipts=1, hits=0, proved=2, queries=False),
    "matched-hits": Plan(receipts=1, releases=1, matched=2, proved=1),
    "matched-hits-whose-queries-are-closed": Plan(receipts=1, releases=3, matched=2, queries=False),
    "hits-in-the-pool": Plan(receipts=1, releases=3, pool_hits=3, tree_size=90),
}


def agree(bundle: HonestBundle, exit_code: int = 0) -> None:
    first, second = ask_first(attempt(bundle)), ask_second(attempt(bundle))
    assert first == second
    assert first.exit_code == exit_code, first.reason
    assert first.statements == bundle.statements
    assert first.hits == bundle.hits


@pytest.mark.parametrize("plan", SHAPES.values(), ids=SHAPES)
def test_both_accept_an_honest_bundle_and_the_same_things_in_it(plan: Plan) -> None:
    agree(make_bundle(plan))


def test_both_say_of_a_revoked_model_that_its_receipts_are_authentic() -> None:
    agree(make_bundle(Plan(model_status="revoked")), exit_code=3)


def test_both_accept_a_tenant_that_goes_through_several_epochs() -> None:
    def live_on(world: World, policy: str) -> None:
        for _ in range(3):
            world.tick(31 * DAY_MS)
            world.add_policy(POLICY)
            receipt = world.add_answer(world.runners[0], policy)
            world.add_batch([world.make_hit(receipt, policy), world.make_hit(world.receipts[0], policy)])

    made = forged(live_on, expires_at_ms=START_MS + 1_000 * DAY_MS)
    assert len(made.parts.scope.pseudonyms) == 4
    agree(made)


def test_both_accept_a_policy_that_was_announced_in_an_earlier_epoch_than_the_receipt() -> None:
    def live_on(world: World, policy: str) -> None:
        world.tick(31 * DAY_MS)
        world.add_answer(world.runners[0], policy)

    agree(forged(live_on, expires_at_ms=START_MS + 1_000 * DAY_MS))


def test_both_accept_a_batch_that_ends_in_another_epoch_than_its_hits() -> None:
    def live_on(world: World, policy: str) -> None:
        hit = world.make_hit(world.receipts[0], policy)
        world.tick(31 * DAY_MS)
        world.add_batch([hit])

    agree(forged(live_on, expires_at_ms=START_MS + 1_000 * DAY_MS))


def test_both_accept_hits_of_a_batch_of_which_the_others_stay_hidden() -> None:
    def add(world: World, policy: str) -> None:
        hits = [world.make_hit(world.receipts[0], policy) for _ in range(9)]
        world.add_batch(hits, shown=(1, 4, 8))

    agree(forged(add))


def test_both_accept_evidence_that_they_cannot_check_and_an_erasure() -> None:
    def add(world: World, policy: str) -> None:
        world.add_evidence(world.receipts[0])
        world.add_erasure(world.pseudonym_at(world.now_ms, "ten_aaaaaaaaaaaaaaaa"))

    agree(forged(add))


def test_both_accept_what_a_compromised_key_signed_before() -> None:
    agree(forged(lambda world, policy: world.retire_key(world.runners[0].key_id, "compromised")))


def test_both_accept_a_key_event_that_adds_a_key() -> None:
    def add(world: World, policy: str) -> None:
        world.status = replace(world.status, at_ms=world.tick())
        event = KeyEvent(
            world.now_ms, "added", world.gateway.key_id, world.bytes_32(), "gateway", None, world.status.digest()
        )
        world.add_body(event)

    agree(forged(add))


def test_both_accept_a_log_that_grew_since_it_was_seen() -> None:
    bundle = make_bundle(PLAN)
    tried = attempt(bundle, last_seen=last_seen(bundle.world.checkpoints[0]), max_age_ms=DAY_MS)
    assert ask_first(tried) == ask_second(tried)
    assert ask_first(tried).exit_code == 0


def test_both_accept_a_text_opened_in_another_script() -> None:
    """Opened values are as they are: not in NFC, and with keys that sort differently by code point and by UTF-16."""
    value: list[JsonValue] = [{"content": "e\u0301 \U0001f600 \ufb33", "role": "user", "\U0001f600": 1, "\ufb33": 2}]

    def add(world: World, policy: str) -> None:
        salt, runner = world.bytes_32(), world.runners[0]
        statement = world.make_statement(runner, policy, prompt_commitment=prompt_commitment(salt, value))
        receipt = world.add_receipt(sign_receipt(statement, runner), statement)
        receipt.openings = [OpeningLine(receipt.digest, "prompt", salt, value)]

    agree(forged(add))


@pytest.mark.parametrize("seed", range(12))
def test_both_accept_random_honest_bundles(seed: int) -> None:
    chance = random.Random(seed)
    receipts = chance.randrange(1, 9)
    witnesses = chance.randrange(4)
    agree(
        make_bundle(
            Plan(
                receipts=receipts,
                hits=chance.randrange(12),
                declared=chance.randrange(receipts + 1),
                hits_per_batch=chance.randrange(1, 6),
                embeddings=chance.randrange(receipts + 1) if receipts else 0,
                tree_size=chance.randrange(400),
                witnesses=witnesses,
                witness_threshold=chance.randrange(witnesses + 1),
                openings=chance.random() < 0.5,
                earlier_checkpoints=chance.randrange(3),
                runners=chance.randrange(1, 4),
                root_keys=3,
                root_threshold=chance.randrange(1, 4),
                retired_runner=chance.random() < 0.5,
                seed=seed,
            )
        )
    )


@pytest.mark.alone
def test_a_thousand_receipts_of_a_million_leaves_take_the_second_less_than_a_minute(campaign: bool) -> None:
    count = 1_000 if campaign else 300
    bundle = make_bundle(Plan(receipts=count, hits=count, tree_size=10**6, hits_per_batch=50))
    started_s = time.process_time()
    found = ask_second(attempt(bundle))
    assert time.process_time() - started_s < LARGE_S_MAX * count / 1_000
    assert found.exit_code == 0
    assert (len(found.statements), len(found.hits)) == (count, count)


def test_a_fault_of_its_own_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("crypto.reference.leaves.check_inclusion", fault)
    assert ask_second(attempt(make_bundle(PLAN))).exit_code == 1


def test_a_fault_before_the_manifest_is_read_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("crypto.reference.archive.take_apart", fault)
    assert ask_second(attempt(make_bundle(PLAN))).exit_code == 2


# Canonical JSON

REFUSED = [
    b"", b" 1", b"1 ", b"01", b"-0", b"+1", b"1.0", b"1e3", b"NaN", b"Infinity", b"tru", b'"', b'"\\u0061"', b'"\\/"',
    b'"\\u00E9"', b'"\\u001F"', b'"\x1f"', b'"\\u000a"', b"[1,]", b"[,1]", b"[1 ,2]", b"[1", b"{}{}", b'{"a":1,}',
    b'{"a" :1}', b'{"b":1,"a":2}', b'{"a":1,"a":2}', b"{1:2}", b"'a'", b"\xef\xbb\xbf{}", b'"\xff"', b'"\\ud800"',
    b'"\xed\xa0\x80"', b"9007199254740992", b"-9007199254740992", b"1" * 400, b"[" * 33 + b"]" * 33, b"nulll",
    b"[" + b"1," * 10_000 + b"1]", '{"\ufb33":1,"\U0001f600":2}'.encode(),
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:24]))
def test_both_readers_refuse_json_in_another_form(text: bytes) -> None:
    with pytest.raises(NotInForm):
        json_text.read(text)
    with pytest.raises(Error):
        parse_canonical_json(text)


def read_vectors() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = json.loads((ROOT / "tests/vectors/canonical_json.json").read_text())
    return found


def test_the_second_reader_refuses_the_published_vectors_of_what_is_to_be_refused() -> None:
    for case in read_vectors()["refused"]:
        with pytest.raises(NotInForm):
            json_text.read(bytes.fromhex(case["bytes_hex"]))


def test_the_second_reader_and_writer_agree_with_the_published_vectors() -> None:
    for case in read_vectors()["cases"]:
        data = bytes.fromhex(case["bytes_hex"])
        assert json_text.write(json_text.read(data)) == data


def test_both_writers_give_the_same_bytes() -> None:
    chance = random.Random(8)
    for _ in range(300):
        value = _random_value(chance, 4)
        data = canonical_json(value)
        assert json_text.write(value) == data
        assert json_text.read(data) == value == parse_canonical_json(data)


def _random_value(chance: random.Random, depth: int) -> json_text.Json:
    kind = chance.randrange(6 if depth else 4)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.randrange(-(2**53) + 1, 2**53)
    if kind in (2, 3):
        return _random_text(chance)
    if kind == 4:
        return [_random_value(chance, depth - 1) for _ in range(chance.randrange(5))]
    return {_random_text(chance): _random_value(chance, depth - 1) for _ in range(chance.randrange(5))}


def _random_text(chance: random.Random) -> str:
    return "".join(
        chance.choice('a"\\/\b\n\x00\x1f\x7f\u00e9\u2028\ufb33\U0001f600') for _ in range(chance.randrange(6))
    )


# Trees


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 31, 32, 33])
def test_the_recursion_of_the_rfc_accepts_multiproofs_and_nothing_near_them(size: int) -> None:
    tree = MemoryTree(leaf_hash(bytes([number])) for number in range(size))
    chance = random.Random(size)
    for _ in range(20):
        indexes = sorted(chance.sample(range(size), chance.randrange(1, size + 1)))
        leaves = [(index, hashing.leaf_hash(bytes([index]))) for index in indexes]
        proof = make_multiproof(indexes, size, tree.node)
        assert hashing.multiproof_root(leaves, size, proof) == tree.root()
        for other in ([*proof, bytes(32)], proof[:-1] if proof else [bytes(32)]):
            with pytest.raises(NotInForm):
                hashing.multiproof_root(leaves, size, other)
    with pytest.raises(NotInForm):
        hashing.multiproof_root([(size, bytes(32))], size, [])


def test_the_recursion_of_the_rfc_accepts_consistency_proofs_and_refuses_proofs_from_nothing() -> None:
    tree = MemoryTree(leaf_hash(bytes([number])) for number in range(40))
    for size in range(2, 41):
        for old in range(1, size):
            proof = consistency_proof(old, size, tree.node)
            roots = hashing.consistency_roots(old, size, tree.root(old), proof)
            assert roots == (tree.root(old), tree.root(size))
            assert hashing.consistency_roots(old, size, bytes(32), proof) != (bytes(32), tree.root(size))
    for old, size in ((0, 5), (5, 5), (6, 5)):
        with pytest.raises(NotInForm):
            hashing.consistency_roots(old, size, bytes(32), [])


# Signatures


def is_valid_for_both(public_key: bytes, message: bytes, signature: bytes) -> bool:
    second = ed25519.is_valid(public_key, message, signature)
    try:
        verify_signature(public_key, message, signature)
    except VerificationError:
        assert not second
        return False
    assert second
    return True


def test_both_accept_a_signature_and_refuse_it_with_any_bit_flipped() -> None:
    key = SigningKey(hashlib.sha256(b"key").digest())
    signature = key.sign(b"message")
    assert is_valid_for_both(key.public_key, b"message", signature)
    for bit in range(512):
        other = bytearray(signature)
        other[bit // 8] ^= 1 << bit % 8
        assert not is_valid_for_both(key.public_key, b"message", bytes(other))


def test_both_refuse_scalars_and_points_that_other_libraries_take() -> None:
    key = SigningKey(hashlib.sha256(b"key").digest())
    signature = key.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little")
    assert not is_valid_for_both(key.public_key, b"message", signature[:32] + (scalar + ORDER).to_bytes(32, "little"))
    for point in (NEUTRAL, ORDER_8, (PRIME + 1).to_bytes(32, "little"), b"\xff" * 32):
        assert not is_valid_for_both(point, b"message", signature)
        assert not is_valid_for_both(point, b"message", point + bytes(32))
        assert not is_valid_for_both(key.public_key, b"message", point + signature[32:])
    for length in (0, 31, 33, 63, 65):
        assert not is_valid_for_both(key.public_key, b"message", signature[:length].ljust(length, b"\x00"))
