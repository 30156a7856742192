"""OpenSSF model signatures: a publisher's word, apart from the runner's, for exactly the files of a manifest.

A signature is a Sigstore bundle v0.3 with a DSSE envelope around an in-toto statement that lists every file with its
digest, as model-signing 1.1.1 writes it with `sign key`. Its subject digest does not bind names, so it is never taken
for the model: names and digests are compared one by one with the manifest's resources. Signatures under certificates
or a transparency log (`sign sigstore`) are refused: checking them needs more than a key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .canonical import parse_json
from .closed import refused_as
from .ed25519 import verify_signature
from .errors import EncodingError, VerificationError
from .manifest import RESOURCES_MAX, openssf_digest, validate_manifest

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
SIGNATURE_BYTES_MAX: Final = 2 * 2**20
_REASON: Final = "publisher_invalid"
_STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_NODES_MAX: Final = 8 * RESOURCES_MAX
_PEM_LENGTH_MAX: Final = 1_024
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """A signature as read, not yet checked: what is signed, the claim in it, and what the bundle says of the key."""

    payload: bytes
    signature: bytes
    key_hint: str
    name: str
    subject_sha256: str
    digests: Mapping[str, str]


def verify_publisher(signature: bytes, manifest: Mapping[str, Any], public_key: str) -> ModelSignature:
    """Check that the key *public_key* (PEM, P-256 or Ed25519) signed exactly the resources of *manifest*.

    Raises `VerificationError` with reason `publisher_invalid`.
    """
    found = parse_model_signature(signature)
    _verify_signature(found, public_key)
    _verify_resources(found, manifest)
    return found


@refused_as(_REASON)
def parse_model_signature(data: bytes) -> ModelSignature:
    """Read a Sigstore bundle. Raises `VerificationError` (`publisher_invalid`) for any other form than the one known.

    The subject digest is recomputed from the listed digests, in their order.
    """
    if len(data) > SIGNATURE_BYTES_MAX:
        raise EncodingError(f"a model signature has at most {SIGNATURE_BYTES_MAX} bytes")
    bundle = _object(parse_json(data), "the model signature", {"mediaType", "verificationMaterial", "dsseEnvelope"})
    if bundle["mediaType"] != MEDIA_TYPE:
        raise EncodingError(f"the model signature is not of media type {MEDIA_TYPE}")
    payload, signature = _read_envelope(bundle["dsseEnvelope"])
    statement = _object(
        parse_json(payload, nodes_max=_NODES_MAX),
        "the signed statement",
        {"_type", "subject", "predicateType", "predicate"},
    )
    if statement["_type"] != _STATEMENT_TYPE or statement["predicateType"] != PREDICATE_TYPE:
        raise EncodingError("the signed statement is not about a model in the form of model-signing 1.0")
    name, subject_sha256 = _read_subject(statement["subject"])
    predicate = _object(statement["predicate"], "the predicate", {"resources", "serialization"})
    _read_serialization(predicate["serialization"])
    digests = _read_resources(predicate["resources"])
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests.values())).hexdigest()
    if root != subject_sha256:
        raise EncodingError("the subject's digest is not that of the listed files")
    return ModelSignature(
        payload, signature, _read_key_hint(bundle["verificationMaterial"]), name, subject_sha256, digests
    )


def _read_envelope(value: Any) -> tuple[bytes, bytes]:
    envelope = _object(value, "the envelope", {"payload", "payloadType", "signatures"})
    if envelope["payloadType"] != _PAYLOAD_TYPE:
        raise EncodingError(f"the envelope's payload is not of type {_PAYLOAD_TYPE}")
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise EncodingError("the envelope has not exactly one signature")
    signature = _object(signatures[0], "the envelope's signature", {"sig"}, {"keyid"})
    _text(signature.get("keyid", ""), "keyid")
    return _base64(envelope["payload"], "the payload"), _base64(signature["sig"], "the signature")


def _read_key_hint(value: Any) -> str:
    material = _object(value, "the verification material", {"publicKey"}, {"tlogEntries"})
    if material.get("tlogEntries", []) != []:
        raise EncodingError("signatures in a transparency log are not read here; sign with a key")
    return _text(_object(material["publicKey"], "the public key", set(), {"hint"}).get("hint", ""), "the key's hint")


def _read_subject(value: Any) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 1:
        raise EncodingError("the signed statement has not exactly one subject")
    subject = _object(value[0], "the subject", {"name", "digest"})
    digest = _object(subject["digest"], "the subject's digest", {"sha256"})["sha256"]
    return _text(subject["name"], "the subject's name"), _digest(digest, "the subject's digest")


def _read_serialization(value: Any) -> None:
    """Whole files under SHA-256: what a manifest states. Shards of files cannot be compared with it."""
    keys = {"method", "hash_type", "allow_symlinks", "ignore_paths"}
    serialization = _object(value, "the serialization", keys)
    if (serialization["method"], serialization["hash_type"]) != ("files", "sha256"):
        raise EncodingError("the model is signed in another way than by whole files under SHA-256")
    ignored = serialization["ignore_paths"]
    if not isinstance(serialization["allow_symlinks"], bool) or not isinstance(ignored, list):
        raise EncodingError("the serialization is not in its form")
    for path in ignored:
        _text(path, "an ignored path")


def _read_resources(value: Any) -> dict[str, str]:
    """Return digests by name, in the signed order."""
    if not isinstance(value, list) or not 0 < len(value) <= RESOURCES_MAX:
        raise EncodingError(f"the resources are not a list of 1 to {RESOURCES_MAX} files")
    digests: dict[str, str] = {}
    for item in value:
        resource = _object(item, "a resource", {"algorithm", "digest", "name"})
        name = _text(resource["name"], "a resource's name")
        if resource["algorithm"] != "sha256":
            raise EncodingError(f"the resource {name[:64]!r} is not listed under SHA-256")
        if name in digests:
            raise EncodingError(f"the resource {name[:64]!r} is listed twice")
        digests[name] = _digest(resource["digest"], "a resource's digest")
    return digests


def _verify_signature(found: ModelSignature, public_key: str) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    key = _read_public_key(public_key)
    if found.key_hint not in ("", _key_hint(key)):
        raise VerificationError("the model signature names another key than the publisher's", reason=_REASON)
    signed = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(found.payload), found.payload)
    is_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not is_p256 and not isinstance(key, ed25519.Ed25519PublicKey):
        raise VerificationError("the publisher's key is neither P-256 nor Ed25519", reason=_REASON)
    try:
        if is_p256:
            key.verify(found.signature, signed, ec.ECDSA(hashes.SHA256()))
        else:
            # As strict as for every other Ed25519 key: under one of small order a signature fits many messages.
            verify_signature(key.public_bytes_raw(), signed, found.signature)
    except (InvalidSignature, VerificationError):
        raise VerificationError("the model signature is not the publisher's", reason=_REASON) from None


def _read_public_key(public_key: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if len(public_key) > _PEM_LENGTH_MAX:
        raise VerificationError("the publisher's key is longer than any key that is read here", reason=_REASON)
    try:
        return load_pem_public_key(public_key.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise VerificationError("the publisher's key is not a public key in PEM", reason=_REASON) from None


def _key_hint(key: Any) -> str:
    """Return what model-signing calls a key: SHA-256 over its PEM text."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _verify_resources(found: ModelSignature, manifest: Mapping[str, Any]) -> None:
    try:
        validate_manifest(manifest)
    except EncodingError as error:
        raise VerificationError(str(error), reason=_REASON) from None
    stated = {resource["name"]: resource["sha256"] for resource in manifest["resources"]}
    if dict(found.digests) != stated:
        differing = sorted(
            name for name in stated.keys() | found.digests.keys() if _differs(name, stated, found.digests)
        )
        raise VerificationError(
            f"the publisher signed other files than the manifest's, first {differing[0][:200]!r}",
            reason=_REASON,
            expected=stated.get(differing[0]),
            actual=found.digests.get(differing[0]),
        )
    root = openssf_digest(manifest["resources"])
    if root != "sha256:" + found.subject_sha256:
        raise VerificationError("the signed files are not in their order", reason=_REASON)
    if manifest["openssf_digest"] not in (None, root):
        raise VerificationError(
            "the manifest refers to another model signature",
            reason=_REASON,
            expected=root,
            actual=manifest["openssf_digest"],
        )


def _differs(name: str, stated: Mapping[str, str], signed: Mapping[str, str]) -> bool:
    return stated.get(name) != signed.get(name)


def _object(value: Any, where: str, required: set[str], optional: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EncodingError(f"{where} is not an object")
    if not required <= set(value) <= required | (optional or set()):
        raise EncodingError(f"{where} has not exactly the fields {', '.join(sorted(required))}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise EncodingError(f"{where} is no text")
    return value


def _digest(value: Any, where: str) -> str:
    if not isinstance(value, str) or _SHA256.fullmatch(value) is None:
        raise EncodingError(f"{where} is not 64 lower-case hexadecimal digits")
    return value


def _base64(value: Any, where: str) -> bytes:
    text = _text(value, where)
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        data = b""
    if not data or base64.b64encode(data).decode() != text:
        raise EncodingError(f"{where} is not canonical base64")
    return data
