"""Tools that break an honest bundle in one place and make right again whatever would refuse it earlier.

`edit` changes members without any key: the manifest's digests notice. `reseal` lets a dishonest gateway sign the changed
members. `forged` lets the whole house be dishonest: it logs what it likes, and the log signs the tree it gets. What no
house has is a runner's key, or the root keys.
"""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crypto.archive import read_archive, write_archive
from crypto.canonical import canonical_json
from crypto.dsse import PAYLOAD_BUNDLE, PAYLOAD_IN_TOTO, Envelope, EnvelopeSignature, sign_envelope
from crypto.ed25519 import SigningKey
from crypto.leaf import LeafKind, envelope_leaf
from crypto.note import LOG_ALGORITHM, NoteSignature, key_hash
from crypto.statement import ReceiptStatement
from crypto.trust import TrustedKey
from tests.audit.bundles import ORIGIN, HonestBundle, MadeReceipt, Plan, World, make_world

Object = dict[str, Any]
#: Small, and with everything in it.
PLAN = Plan(receipts=3, hits=3, declared=1, witnesses=1, tree_size=40, seed=7)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is put before a verifier."""

    data: bytes
    trust: bytes
    now_ms: int
    max_age_ms: int | None = None
    last_seen: bytes | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A way to deceive: its number and name, how it is made, and what a verifier must say."""

    name: str
    make: Callable[[], Attempt]
    reasons: frozenset[str]
    exit_code: int = 1


def honest(plan: Plan = PLAN) -> HonestBundle:
    """Return the honest bundle that is broken."""
    return make_world(plan).export()


def attempt(bundle: HonestBundle, data: bytes | None = None, **changes: Any) -> Attempt:
    """Put *data*, by default the honest bundle, before a verifier at the honest time."""
    made = Attempt(bundle.data if data is None else data, bundle.trust_data, bundle.now_ms)
    return replace(made, **changes)


# Members and lines


def edit(bundle: HonestBundle, **members: Callable[[bytes], bytes]) -> Attempt:
    """Change members (`receipts_jsonl=…`), sign nothing."""
    return attempt(bundle, write_archive(_changed(bundle, members)))


def reseal(
    bundle: HonestBundle,
    *,
    signer: SigningKey | None = None,
    manifest: Callable[[Object], None] | None = None,
    payload: Callable[[bytes], bytes] | None = None,
    **members: Callable[[bytes], bytes],
) -> Attempt:
    """Change members and let the gateway sign a manifest that fits them, after *manifest* and *payload* changed it."""
    changed = _changed(bundle, members)
    value = json.loads(_payload(json.loads(changed["bundle.json"])))
    for member in value["members"]:
        content = changed[member["name"]]
        member["sha256"], member["size_bytes"] = hashlib.sha256(content).hexdigest(), len(content)
    if manifest is not None:
        manifest(value)
    signed = canonical_json(value)
    envelope = sign_envelope(
        PAYLOAD_BUNDLE, signed if payload is None else payload(signed), signer or bundle.world.gateway
    )
    return attempt(bundle, write_archive({**changed, "bundle.json": envelope.encode()}))


def lines(change: Callable[[list[Object]], object]) -> Callable[[bytes], bytes]:
    """Change the lines of a JSON Lines member."""

    def changed(data: bytes) -> bytes:
        found = [json.loads(line) for line in data.splitlines()]
        change(found)
        return b"".join(canonical_json(line) + b"\n" for line in found)

    return changed


def line(number: int, change: Callable[[Object], object]) -> Callable[[bytes], bytes]:
    """Change one line of a JSON Lines member."""
    return lines(lambda found: change(found[number]))


def whole(change: Callable[[Object], object]) -> Callable[[bytes], bytes]:
    """Change a member or payload that is one JSON object."""

    def changed(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return canonical_json(value)

    return changed


def put(*path: str | int, to: Any) -> Callable[[Any], None]:
    """Return a change that puts *to*, or what it makes of the old value, at *path*."""

    def change(value: Any) -> None:
        *way, last = path
        for step in way:
            value = value[step]
        value[last] = to(value[last]) if callable(to) else to

    return change


def statement(*path: str | int, to: Any) -> Callable[[Object], None]:
    """Return a change of an envelope's payload, a statement, behind the signature's back."""

    def change(found: Object) -> None:
        payload = whole(put(*path, to=to))(_payload(found["envelope"]))
        found["envelope"]["payload"] = base64.b64encode(payload).decode()

    return change


def flip(data: bytes, at: int = 0, mask: int = 1) -> bytes:
    """Flip bits of one byte."""
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def flip_text(text: str, at: int = -1) -> str:
    """Change one hexadecimal digit."""
    place = at % len(text)
    return text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]


# A dishonest house


def forged(change: Callable[[World, str], object], plan: Plan = PLAN, **trust: Any) -> HonestBundle:
    """Return the bundle of a world in which *change* also happened, which gets the world and its policy."""
    world = make_world(plan)
    change(world, next(iter(world.policies)))
    world.add_status()
    made = world.export()
    if trust:
        changed = replace(made.trust, **trust)
        made = replace(made, trust=changed, trust_data=world.sign_trust(changed))
    return made


def trusting(bundle: HonestBundle, **changes: Any) -> Attempt:
    """Put the bundle before a verifier with another trust file, signed by the root keys."""
    return attempt(bundle, trust=bundle.world.sign_trust(replace(bundle.trust, **changes)))


def runners(bundle: HonestBundle, **changes: Any) -> tuple[TrustedKey, ...]:
    """Return the trusted runners with fields changed."""
    return tuple(replace(key, **changes) for key in bundle.trust.runners)


def log_payload(world: World, change: Callable[[bytes], bytes], policy: str) -> MadeReceipt:
    """Let the runner sign whatever *change* makes of an honest statement, and log it."""
    honest_statement = world.make_statement(world.runners[0], policy)
    payload = change(honest_statement.to_payload())
    return log_envelope(world, sign_envelope(PAYLOAD_IN_TOTO, payload, world.runners[0]), honest_statement)


def log_envelope(world: World, envelope: Envelope, of: ReceiptStatement) -> MadeReceipt:
    """Log an envelope as a receipt, whatever is in it."""
    logged = envelope if envelope.payload_type == PAYLOAD_IN_TOTO else replace(envelope, payload_type=PAYLOAD_IN_TOTO)
    if len(envelope.signatures) > 1:
        logged = replace(logged, signatures=envelope.signatures[:1])
    leaf = envelope_leaf(LeafKind.RECEIPT, logged, of.issued_at_ms)
    if logged is not envelope:
        digest = _leaf_digest(envelope)
        leaf = replace(leaf, body_digest=digest)
    made = MadeReceipt(world.append(leaf.encode()), envelope, of, leaf.encode())
    world.receipts.append(made)
    return made


def resigned(envelope: Envelope, change: Callable[[bytes], bytes]) -> Envelope:
    """Change the bytes of an envelope's signature."""
    only = envelope.signatures[0]
    return replace(envelope, signatures=(EnvelopeSignature(only.key_id, change(only.signature)),))


def note(body: str, *signatures: tuple[str, bytes, bytes]) -> str:
    """Write a signed note without asking whether it is one."""
    found = [f"\u2014 {name} {base64.b64encode(hashed + data).decode()}\n" for name, hashed, data in signatures]
    return body + "\n" + "".join(found)


def log_line(world: World, body: str, name: str = ORIGIN, signer: SigningKey | None = None) -> tuple[str, bytes, bytes]:
    """Return the log's signature line over any text, or another signer's under the log's own key hash."""
    return name, key_hash(name, LOG_ALGORITHM, world.log.public_key), (signer or world.log).sign(body.encode())


def body_of(checkpoint: bytes) -> str:
    """Return the text of a note above its signatures."""
    return checkpoint.decode().partition("\n\n")[0] + "\n"


def signature_lines(checkpoint: bytes) -> list[NoteSignature]:
    """Return a note's signature lines."""
    found = []
    for text in checkpoint.decode().partition("\n\n")[2].splitlines():
        _, name, encoded = text.split(" ")
        data = base64.b64decode(encoded)
        found.append(NoteSignature(name, data[:4], data[4:]))
    return found


def last_seen(checkpoint: str, trust_version: int = 1) -> bytes:
    """Return what an auditor kept."""
    return canonical_json({"schema": "hitproof/last-seen/v1", "checkpoint": checkpoint, "trust_version": trust_version})


def decomposed(text: str) -> str:
    """Return a text that looks alike and is not in NFC."""
    return unicodedata.normalize("NFD", text)


def _leaf_digest(envelope: Envelope) -> bytes:
    parts = (envelope.payload_type.encode(), envelope.payload, envelope.signatures[0].signature)
    joined = b"hitproof/leaf-body/v1\x00" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(joined).digest()


def _changed(bundle: HonestBundle, members: Mapping[str, Callable[[bytes], bytes]]) -> dict[str, bytes]:
    found = read_archive(bundle.data)
    for keyword, change in members.items():
        name = next(name for name in found if name.replace(".", "_") == keyword)
        found[name] = change(found[name])
    return found


def _payload(envelope: Object) -> bytes:
    return base64.b64decode(envelope["payload"])


def case(name: str, reasons: str | Sequence[str], exit_code: int = 1) -> Callable[[Callable[[], Attempt]], Case]:
    """Make a case of the function that makes its attempt."""
    named = frozenset([reasons] if isinstance(reasons, str) else reasons)
    return lambda make: Case(name, make, named, exit_code)
