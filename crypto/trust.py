"""Trust files: whose keys an auditor believes, for what and until when, under signatures of the offline root keys.

    >>> envelope, trust = parse_trust(data)
    >>> verify_trust(envelope, trust, now_ms)

A key stands in one role only. Publishers' keys are carried as PEM, of which only the form is looked at here: whether a
P-256 key is a point of its curve is decided where a model signature is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from .canonical import JsonValue
from .closed import (
    Reader,
    encode_closed,
    one_of,
    or_null,
    parse_closed,
    read_base64,
    read_digest,
    read_hex_32,
    read_integer,
    read_list,
    read_record,
    read_text,
    refuse_unsorted,
    refused_as,
    write_record,
)
from .dsse import PAYLOAD_BYTES_MAX, PAYLOAD_TRUST, Envelope, make_signature, pae, parse_envelope
from .ed25519 import Signer, is_valid_public_key, key_id, verify_signature
from .errors import EncodingError, VerificationError
from .note import LOG_ALGORITHM, WITNESS_ALGORITHM, VerifierKey, make_vkey, parse_vkey

SCHEMA: Final = "hitproof/trust/v1"
ROOT_KEYS_MAX: Final = 32
KEYS_MAX: Final = 4_096
MODELS_MAX: Final = 4_096
PEM_LENGTH_MAX: Final = 4_096

_PEM: Final = re.compile(r"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END PUBLIC KEY-----\n?")
#: What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 §4).
_ED25519_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A runner's or gateway's key: it signs for receipts issued in [from_ms, until_ms), *models* it may attest."""

    from_ms: int
    models: tuple[str, ...]
    name: str
    public_key: bytes
    until_ms: int | None

    @property
    def key_id(self) -> str:
        """The id of the public key."""
        return key_id(self.public_key)


@dataclass(frozen=True, slots=True)
class Publisher:
    """Whose OpenSSF model signatures count for *models*; *public_key* is PEM."""

    models: tuple[str, ...]
    name: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Trust:
    """A trust file's payload; *root_keys* are public keys, of which *root_threshold* must have signed it."""

    version: int
    issued_at_ms: int
    expires_at_ms: int
    root_keys: tuple[bytes, ...]
    root_threshold: int
    log: VerifierKey
    witnesses: tuple[VerifierKey, ...]
    witness_threshold: int
    runners: tuple[TrustedKey, ...]
    gateways: tuple[TrustedKey, ...]
    publishers: tuple[Publisher, ...]

    def to_payload(self) -> bytes:
        """Return the bytes that the root keys sign; raises `EncodingError` for what `parse_trust` would refuse."""
        value: dict[str, JsonValue] = {
            "schema": SCHEMA,
            "version": self.version,
            "issued_at_ms": self.issued_at_ms,
            "expires_at_ms": self.expires_at_ms,
            "root": {"keys": [key.hex() for key in self.root_keys], "threshold": self.root_threshold},
            "log": {"origin": self.log.name, "vkey": _vkey(self.log)},
            "witnesses": {"threshold": self.witness_threshold, "vkeys": [_vkey(key) for key in self.witnesses]},
            "runners": [write_record(key) for key in self.runners],
            "gateways": [write_record(key) for key in self.gateways],
            "publishers": [write_record(publisher) for publisher in self.publishers],
        }
        _read(value)
        return encode_closed(value)


@refused_as("trust_malformed")
def parse_trust(data: bytes) -> tuple[Envelope, Trust]:
    """Read a trust file, which `verify_trust` then decides on; raises `VerificationError` (`trust_malformed`)."""
    envelope = parse_envelope(data, payload_type=PAYLOAD_TRUST, signatures_max=ROOT_KEYS_MAX, reason="trust_malformed")
    return envelope, _read(parse_closed(envelope.payload, PAYLOAD_BYTES_MAX, "the trust file"))


def verify_trust(envelope: Envelope, trust: Trust, now_ms: int) -> None:
    """Check that enough root keys signed *envelope*, whose content is *trust*, and that it has not expired.

    Raises `VerificationError`: `trust_threshold` for too few valid signatures, one under a key that is no root key, or
    two under one key; `trust_expired` from `expires_at_ms` on.
    """
    roots = {key_id(key): key for key in trust.root_keys}
    signed = [signature.key_id for signature in envelope.signatures]
    if len(set(signed)) != len(signed) or not roots.keys() >= set(signed):
        message = "the trust file has a signature under a key that is no root key, or two under one key"
        raise VerificationError(message, reason="trust_threshold")
    valid = {roots[name] for name in _valid_signers(envelope, roots)}
    if len(valid) < trust.root_threshold:
        message = f"{len(valid)} root keys signed the trust file, and {trust.root_threshold} must have"
        raise VerificationError(message, reason="trust_threshold", expected=trust.root_threshold, actual=len(valid))
    if now_ms >= trust.expires_at_ms:
        message = "the trust file has expired"
        raise VerificationError(message, reason="trust_expired", expected=trust.expires_at_ms, actual=now_ms)


def sign_trust(payload: bytes, signers: Sequence[Signer]) -> Envelope:
    """Return *payload* signed by each of *signers*; raises as `add_trust_signature` does."""
    envelope = Envelope(PAYLOAD_TRUST, payload, ())
    for signer in signers:
        envelope = add_trust_signature(envelope, signer)
    return envelope


@refused_as("trust_malformed")
def add_trust_signature(envelope: Envelope, signer: Signer) -> Envelope:
    """Return *envelope* with *signer*'s signature in its place, instead of any that it had under that key.

    Raises `VerificationError` (`trust_malformed`) where the payload is no trust file or *signer* no root key of it.
    """
    trust = _read(parse_closed(envelope.payload, PAYLOAD_BYTES_MAX, "the trust file"))
    if signer.public_key not in trust.root_keys:
        raise EncodingError("the key that would sign the trust file is none of its root keys")
    others = [signature for signature in envelope.signatures if signature.key_id != signer.key_id]
    added = make_signature(PAYLOAD_TRUST, envelope.payload, signer)
    return replace(envelope, signatures=tuple(sorted((*others, added), key=lambda signature: signature.key_id)))


def _valid_signers(envelope: Envelope, roots: Mapping[str, bytes]) -> Iterator[str]:
    message = pae(PAYLOAD_TRUST, envelope.payload)
    for signature in envelope.signatures:
        try:
            verify_signature(roots[signature.key_id], message, signature.signature)
        except VerificationError:
            continue  # It counts for nothing; the threshold decides.
        yield signature.key_id


def _read(value: JsonValue) -> Trust:
    found = read_record(value, "the trust file", _TRUST)
    root, log, witnesses = found["root"], found["log"], found["witnesses"]
    trust = Trust(
        version=found["version"],
        issued_at_ms=found["issued_at_ms"],
        expires_at_ms=found["expires_at_ms"],
        root_keys=root["keys"],
        root_threshold=root["threshold"],
        log=log["vkey"],
        witnesses=witnesses["vkeys"],
        witness_threshold=witnesses["threshold"],
        runners=found["runners"],
        gateways=found["gateways"],
        publishers=found["publishers"],
    )
    if log["origin"] != trust.log.name:
        raise EncodingError("the log's origin is not the name of its key")
    if not 1 <= trust.root_threshold <= len(trust.root_keys):
        raise EncodingError("the root threshold is not from 1 to the number of root keys")
    if trust.witness_threshold > len(trust.witnesses):
        raise EncodingError("the witness threshold is larger than the number of witnesses")
    if any(key.models for key in trust.gateways):
        raise EncodingError("a gateway attests no model")
    _refuse_shared_keys(trust)
    return trust


def _refuse_shared_keys(trust: Trust) -> None:
    keys = [*trust.root_keys, trust.log.public_key]
    keys += [witness.public_key for witness in trust.witnesses]
    keys += [trusted.public_key for trusted in (*trust.runners, *trust.gateways)]
    encoded = [_decode_pem(publisher.public_key, "a publisher's public_key") for publisher in trust.publishers]
    keys += [key.removeprefix(_ED25519_PREFIX) for key in encoded if key.startswith(_ED25519_PREFIX)]
    if len(set(keys)) != len(keys):
        raise EncodingError("a key stands in the trust file twice; a key has one role")


def _vkey(key: VerifierKey) -> str:
    return make_vkey(key.name, key.algorithm, key.public_key)


def _read_public_key(value: JsonValue, where: str) -> bytes:
    key = read_hex_32(value, where)
    if not is_valid_public_key(key):
        raise EncodingError(f"{where} is no Ed25519 public key, or one of small order")
    return key


def _read_pem(value: JsonValue, where: str) -> str:
    text = read_text(value, where, PEM_LENGTH_MAX)
    _decode_pem(text, where)
    return text


def _decode_pem(text: str, where: str) -> bytes:
    found = _PEM.fullmatch(text)
    if found is None:
        raise EncodingError(f"{where} is not a public key in PEM")
    return read_base64(found[1].replace("\n", ""), where, PEM_LENGTH_MAX)


def _read_root_keys(value: JsonValue, where: str) -> Any:
    keys = tuple(_read_public_key(item, where) for item in read_list(value, where, ROOT_KEYS_MAX))
    refuse_unsorted(keys, where)
    return keys


def _read_vkey(value: JsonValue, where: str, algorithm: int) -> VerifierKey:
    key = parse_vkey(read_text(value, where))
    if key.algorithm != algorithm:
        raise EncodingError(f"{where} has algorithm {key.algorithm}, not {algorithm}")
    return key


def _read_log_vkey(value: JsonValue, where: str) -> Any:
    return _read_vkey(value, where, LOG_ALGORITHM)


def _read_witness_vkeys(value: JsonValue, where: str) -> Any:
    items = read_list(value, where, KEYS_MAX)
    keys = tuple(_read_vkey(item, where, WITNESS_ALGORITHM) for item in items)
    refuse_unsorted(items, where)
    return keys


def _read_models(value: JsonValue, where: str) -> Any:
    models = tuple(read_digest(item, where) for item in read_list(value, where, MODELS_MAX))
    refuse_unsorted(models, where)
    return models


def _read_trusted_keys(value: JsonValue, where: str) -> Any:
    keys = tuple(TrustedKey(**read_record(item, "a trusted key", _KEY)) for item in read_list(value, where, KEYS_MAX))
    refuse_unsorted([key.public_key for key in keys], where)
    return keys


def _read_publishers(value: JsonValue, where: str) -> Any:
    items = read_list(value, where, KEYS_MAX)
    publishers = tuple(Publisher(**read_record(item, "a publisher", _PUBLISHER)) for item in items)
    refuse_unsorted([publisher.name for publisher in publishers], where)
    return publishers


def _record(readers: Mapping[str, Reader]) -> Reader:
    return lambda value, where: read_record(value, where, readers)


_KEY: Final[Mapping[str, Reader]] = {
    "from_ms": read_integer,
    "models": _read_models,
    "name": read_text,
    "public_key": _read_public_key,
    "until_ms": or_null(read_integer),
}
_PUBLISHER: Final[Mapping[str, Reader]] = {"models": _read_models, "name": read_text, "public_key": _read_pem}
_TRUST: Final[Mapping[str, Reader]] = {
    "schema": one_of(SCHEMA),
    "version": lambda value, where: read_integer(value, where, least=1),
    "issued_at_ms": read_integer,
    "expires_at_ms": read_integer,
    "root": _record({"keys": _read_root_keys, "threshold": read_integer}),
    "log": _record({"origin": read_text, "vkey": _read_log_vkey}),
    "witnesses": _record({"threshold": read_integer, "vkeys": _read_witness_vkeys}),
    "runners": _read_trusted_keys,
    "gateways": _read_trusted_keys,
    "publishers": _read_publishers,
}
