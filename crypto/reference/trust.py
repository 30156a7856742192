"""Reads and checks a trust file, which an auditor gets out of band."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import ed25519, envelope, json_text, shape
from .errors import NotInForm, Refused, named
from .json_text import Json
from .notes import LOG_ALGORITHM, WITNESS_ALGORITHM, NoteKey, read_key

KEYS_MAX = 32
LISTED_MAX = 4_096
PEM_CHARACTERS_MAX = 4_096
#: What stands in front of the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A runner's or a gateway's key, the model versions it may attest, and when."""

    role: str
    public_key: bytes
    models: tuple[str, ...]
    from_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Trust:
    """What a trust file says, without publishers."""

    version: int
    expires_at_ms: int
    root_keys: tuple[bytes, ...]
    root_threshold: int
    log: NoteKey
    witnesses: tuple[NoteKey, ...]
    witness_threshold: int
    keys: dict[str, TrustedKey]


def verify_trust(data: bytes, now_ms: int) -> Trust:
    """The trust file in these bytes; raises Refused for its form, its signatures and its time."""
    with named("trust_malformed"):
        value = json_text.read(shape.short(data, envelope.ENVELOPE_BYTES_MAX))
        json_text.check_normal(value)
        signed = envelope.read_envelope(value, KEYS_MAX, count_min=0)
        if signed.payload_type != envelope.TRUST:
            raise NotInForm("not the payload type of a trust file")
        trust = _read(json_text.read(signed.payload))
        ids = [key for key, _ in signed.signatures]
        shape.check_ascending(ids)
    roots = {ed25519.key_id(key): key for key in trust.root_keys}
    if not set(ids) <= set(roots):
        raise Refused("trust_threshold", "a signature of a key that is not a root key")
    valid = [key for place, key in enumerate(ids) if envelope.is_signed(signed, roots[key], place)]
    if len(valid) < trust.root_threshold:
        raise Refused("trust_threshold", f"{len(valid)} of {trust.root_threshold} signatures")
    if now_ms >= trust.expires_at_ms:
        raise Refused("trust_expired", f"at {trust.expires_at_ms}")
    return trust


def _read(value: Json) -> Trust:
    json_text.check_normal(value)
    found = shape.closed(
        value, "schema", "version", "issued_at_ms", "expires_at_ms", "root", "log", "witnesses", "runners", "gateways",
        "publishers",
    )  # fmt: skip
    shape.one_of(found["schema"], "hitproof/trust/v1")
    shape.integer(found["issued_at_ms"])
    root = shape.closed(found["root"], "keys", "threshold")
    root_keys = tuple(_public_key(key) for key in shape.items(root["keys"], KEYS_MAX))
    shape.check_ascending(root_keys)
    log = shape.closed(found["log"], "origin", "vkey")
    log_key = read_key(log["vkey"], LOG_ALGORITHM)
    if log["origin"] != log_key.name:
        raise NotInForm("the log's key has another name than its origin")
    witnesses = shape.closed(found["witnesses"], "threshold", "vkeys")
    shape.check_ascending([shape.text(key) for key in shape.items(witnesses["vkeys"], LISTED_MAX)])
    witness_keys = tuple(read_key(key, WITNESS_ALGORITHM) for key in shape.items(witnesses["vkeys"], LISTED_MAX))
    runners = _keys(found["runners"], "runner")
    gateways = _keys(found["gateways"], "gateway")
    publishers = _publisher_keys(found["publishers"])
    every = [*root_keys, log_key.public_key, *(witness.public_key for witness in witness_keys), *publishers]
    every += [key.public_key for key in (*runners, *gateways)]
    if len(set(every)) != len(every):
        raise NotInForm("a key stands in two places")
    return Trust(
        version=shape.integer(found["version"], 1),
        expires_at_ms=shape.integer(found["expires_at_ms"]),
        root_keys=root_keys,
        root_threshold=shape.integer(root["threshold"], 1, len(root_keys)),
        log=log_key,
        witnesses=witness_keys,
        witness_threshold=shape.integer(witnesses["threshold"], 0, len(witness_keys)),
        keys={ed25519.key_id(key.public_key): key for key in (*runners, *gateways)},
    )


def _keys(value: Json, role: str) -> list[TrustedKey]:
    keys = []
    for item in shape.items(value, LISTED_MAX):
        found = shape.closed(item, "from_ms", "models", "name", "public_key", "until_ms")
        shape.text(found["name"])
        models = _models(found["models"])
        if role == "gateway" and models:
            raise NotInForm("a gateway attests no model")
        until_ms = shape.optional(found["until_ms"], shape.integer)
        public_key = _public_key(found["public_key"])
        keys.append(TrustedKey(role, public_key, models, shape.integer(found["from_ms"]), until_ms))
    shape.check_ascending([key.public_key for key in keys])
    return keys


def _publisher_keys(value: Json) -> list[bytes]:
    """Their Ed25519 keys, once the form of all is checked."""
    names, keys = [], []
    for item in shape.items(value, LISTED_MAX):
        found = shape.closed(item, "models", "name", "public_key")
        _models(found["models"])
        names.append(shape.text(found["name"]))
        pem = shape.text(found["public_key"], PEM_CHARACTERS_MAX)
        lines = re.fullmatch(r"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END PUBLIC KEY-----\n?", pem)
        if lines is None:
            raise NotInForm("not a public key in PEM")
        encoded = shape.unbase64(lines.group(1).replace("\n", ""))
        if encoded.startswith(ED25519_PREFIX):
            keys.append(encoded[len(ED25519_PREFIX) :])
    shape.check_ascending(names)
    return keys


def _models(value: Json) -> tuple[str, ...]:
    models = [shape.text(item) for item in shape.items(value, LISTED_MAX)]
    for model in models:
        shape.undigest(model)
    shape.check_ascending(models)
    return tuple(models)


def _public_key(value: Json) -> bytes:
    key = shape.unhex(value, ed25519.KEY_BYTES)
    ed25519.check_public_key(key)
    return key
