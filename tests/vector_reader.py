"""A second reader of every format, written from docs/formats.md alone: standard library and AES, nothing of the house.

It stands for whoever implements the formats in another language; tests/house/test_vectors.py lets it read the vectors.
"""

from __future__ import annotations

import base64
import decimal
import hashlib
import hmac
import json
import math
import struct
import unicodedata
import zlib
from decimal import Decimal
from typing import Any

from Crypto.Cipher import AES
from Crypto.Protocol.SecretSharing import Shamir
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


def fields(domain: str, *parts: bytes) -> bytes:
    return domain.encode() + b"\0" + b"".join(struct.pack(">Q", len(part)) + part for part in parts)


def digest(domain: str, *parts: bytes) -> bytes:
    return hashlib.sha256(fields(domain, *parts)).digest()


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    block, out = b"", b""
    for number in range(1, math.ceil(length / 32) + 1):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        out += block
    return out[:length]


def canonical(value: Any) -> bytes:
    """RFC 8785 without floats."""
    if value is None or isinstance(value, bool):
        return {None: b"null", True: b"true", False: b"false"}[value]
    if isinstance(value, int):
        return str(value).encode()
    if isinstance(value, str):
        short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
        escaped = "".join(short.get(ord(char)) or (f"\\u{ord(char):04x}" if ord(char) < 32 else char) for char in value)
        return f'"{escaped}"'.encode()
    if isinstance(value, list):
        return b"[" + b",".join(canonical(item) for item in value) + b"]"
    ordered = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be"))
    return b"{" + b",".join(canonical(key) + b":" + canonical(item) for key, item in ordered) + b"}"


def value_bytes(value: Any) -> bytes:
    """`encode_value`: letter, length or count, content."""
    if value is None or isinstance(value, bool):
        return {None: b"z", True: b"t", False: b"f"}[value]
    if isinstance(value, float) and value != int(value):
        return _sized(b"d", _decimal(value).encode())
    if isinstance(value, int | float):
        return _sized(b"i", str(int(value)).encode())
    if isinstance(value, str):
        return _sized(b"s", value.encode())
    if isinstance(value, list):
        return b"l" + struct.pack(">I", len(value)) + b"".join(map(value_bytes, value))
    ordered = sorted(value.items(), key=lambda item: item[0].encode())
    pairs = (_sized(b"k", key.encode()) + value_bytes(item) for key, item in ordered)
    return b"o" + struct.pack(">I", len(value)) + b"".join(pairs)


def _sized(letter: bytes, content: bytes) -> bytes:
    return letter + struct.pack(">I", len(content)) + content


def _decimal(value: float) -> str:
    """Shortest digits that read back the same; with an exponent only below 10^-6."""
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    exponent += len(digits) - len(text)  # type: ignore[operator]
    first = exponent + len(text) - 1  # type: ignore[operator]
    if first < -6:
        body = text[0] + ("." + text[1:] if len(text) > 1 else "") + f"E-{-first}"
    else:
        padded = text.rjust(1 - exponent, "0")  # type: ignore[operator]
        body = padded[:exponent] + "." + padded[exponent:]  # type: ignore[misc]
    return "-" * sign + body


def message_of(message: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in message.items() if value is not None}
    content = message.get("content")
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        content = "".join(part["text"] for part in content)
    if isinstance(content, str):
        text = content.replace("\r\n", "\n").replace("\r", "\n").strip()
        found["content"] = unicodedata.normalize("NFC", text).strip()
    return found


def identity(vector: dict[str, Any]) -> tuple[bytes, bytes]:
    """Fingerprint and exact key."""
    body, left_out = vector["request"], {"hitproof", "stream", "stream_options", "user", "metadata", "store"}
    left_out |= {"safety_identifier", "service_tier", "model", "messages"}
    parameters = {name: value for name, value in body.items() if name not in left_out and value is not None}
    messages = [message_of(message) for message in body["messages"]]
    fingerprint = digest(
        "hitproof/fingerprint/v1",
        vector["model_version"].encode(),
        vector["embedder_digest"].encode(),
        value_bytes(messages[:-1]),
        value_bytes(parameters),
    )
    key = bytes.fromhex(vector["lookup_key_hex"])
    return fingerprint, hmac.digest(
        key, fields("hitproof/exact-key/v1", fingerprint, value_bytes(messages[-1])), "sha256"
    )


def tenant_key(data_key: bytes, purpose: str, tenant: str) -> bytes:
    return hkdf(data_key, b"", fields("hitproof/tenant-key/v1", purpose.encode(), tenant.encode()), 32)


def tau(cosine: int, norm_squared: int) -> int:
    """The smallest t with t · 10^4 ≥ cosine · sqrt(norm_squared · 510²)."""
    t = 0
    while t * t * 10**8 < cosine * cosine * norm_squared * 260_100:
        t += 1
    return t


def component(value: float) -> int:
    """508 · value, half to even, clipped; exact in double precision for a float32."""
    return max(-127, min(127, round(value * 508)))


def entry_text(number: int) -> str:
    return "ent_" + "".join(BASE32[number >> shift & 31] for shift in range(60, -1, -5))


def key_checksum(body: str) -> str:
    value = zlib.crc32(body.encode())
    return "".join(BASE62[value // 62**power % 62] for power in range(5, -1, -1))


def unseal(vector: dict[str, Any], sealed: bytes) -> bytes:
    """Open a sealed value; ValueError for whatever is wrong."""
    place = fields(
        "hitproof/entry-place/v1",
        vector["tenant"].encode(),
        struct.pack(">Q", vector["entry"]),
        vector["field"].encode(),
        struct.pack(">I", vector["schema_version"]),
    )
    if sealed[0] != 1 or sealed[1:5] != struct.pack(">I", vector["epoch"]):
        raise ValueError("version or epoch")
    derived = hkdf(bytes.fromhex(vector["data_key_hex"]), sealed[5:37], place, 64)
    if derived[32:] != sealed[37:69]:
        raise ValueError("commitment")
    cipher = AES.new(derived[:32], AES.MODE_GCM, nonce=bytes(12))
    cipher.update(fields("hitproof/entry-aad/v1", place, sealed[1:5], sealed[37:69]))
    return bytes(cipher.decrypt_and_verify(sealed[69:-16], sealed[-16:]))


def salt_of(vector: dict[str, Any]) -> bytes:
    place = fields(
        "hitproof/entry-place/v1",
        vector["tenant"].encode(),
        struct.pack(">Q", vector["entry"]),
        vector["field"].encode(),
        struct.pack(">I", vector["schema_version"]),
    )
    parts = (bytes.fromhex(vector["drawn_hex"]), place, bytes.fromhex(vector["plaintext_hex"]))
    return hmac.digest(bytes.fromhex(vector["data_key_hex"]), fields("hitproof/entry-salt/v1", *parts), "sha256")


def key_id(kek: bytes) -> str:
    return "kek-" + hmac.digest(kek, fields("hitproof/kek-id/v1"), "sha256")[:8].hex()


def unwrap(vector: dict[str, Any]) -> bytes:
    kek, wrapped = bytes.fromhex(vector["key_encryption_key_hex"]), bytes.fromhex(vector["wrapped_hex"])
    identifier = bytes.fromhex(key_id(kek).removeprefix("kek-"))
    place = vector["tenant"].encode(), struct.pack(">q", vector["epoch"]), identifier
    derived = hkdf(kek, b"", fields("hitproof/wrapping-key/v1", *place), 96)
    if (wrapped[0], wrapped[1:9], wrapped[9:41]) != (1, identifier, derived[64:]):
        raise ValueError("version, key or commitment")
    return bytes(AES.new(derived[:64], AES.MODE_SIV).decrypt_and_verify(wrapped[57:], wrapped[41:57]))


def combine(shares: list[str]) -> bytes:
    halves: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]] = ([], [])
    for text in shares:
        body, _, checksum = text.rpartition("_")
        if digest("hitproof/share-checksum/v1", body.encode())[:4].hex() != checksum:
            raise ValueError("checksum")
        _, _, number, _, _, secret = body.split("_")
        for half, place in zip(halves, (slice(0, 16), slice(16, 32)), strict=True):
            half.append((int(number), bytes.fromhex(secret)[place]))
    return b"".join(bytes(Shamir.combine(half)) for half in halves)


def audit_hash(row: dict[str, Any]) -> bytes:
    texts = (row["actor"], row["tenant"] or "", row["action"], row["target"], row["detail"])
    previous = bytes.fromhex(row["previous_hash_hex"])
    return digest("hitproof/audit/v1", previous, struct.pack(">Q", row["at_ms"]), *(text.encode() for text in texts))


def read_weights(data: bytes) -> dict[str, Any]:
    """Tensors of an int8 safetensors file as nested lists."""
    length = int.from_bytes(data[:8], "little")
    header, body, found = json.loads(data[8 : 8 + length]), data[8 + length :], {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        numbers = list(struct.unpack(f"{end - begin}b", body[begin:end]))
        shape = entry["shape"]
        found[name] = (
            numbers if len(shape) == 1 else [numbers[i : i + shape[1]] for i in range(0, end - begin, shape[1])]
        )
    return found


def key_identifier(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()


def stated(value: Any) -> Any:
    """Fields that are null left out, floats as decimals."""
    if isinstance(value, dict):
        return {name: stated(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [stated(item) for item in value]
    if isinstance(value, float):
        text = f"{Decimal(repr(value)):f}"
        return text if "." in text else text + ".0"
    return value


def opened_bytes(kind: str, value: str) -> bytes:
    """What a commitment of *kind* covers, of a value in JSON, or in hexadecimal for vectors."""
    if kind in ("vector", "query_vector"):
        return bytes.fromhex(value)
    found = json.loads(value)
    if kind == "text":
        return str(found).encode()
    if kind.endswith("_tokens"):
        return b"".join(struct.pack(">I", number) for number in found)
    return canonical(stated(found))


def commitment(kind: str, salt: bytes, value: bytes) -> bytes:
    domains = {"text": "embedded-text"}
    domain = f"hitproof/{domains.get(kind, kind.replace('_', '-'))}/v1"
    if kind in ("output", "vector"):
        return digest(domain, salt, value)
    return hmac.digest(salt, fields(domain, value), "sha256")


def hit_salt(key: bytes, hit: str, kind: str) -> bytes:
    return hmac.digest(key, fields("hitproof/hit-salt/v1", hit.encode(), kind.encode()), "sha256")


def pseudonym_key(key: bytes, epoch: int) -> bytes:
    return hmac.digest(key, fields("hitproof/pseudonym-key/v1", struct.pack(">Q", epoch)), "sha256")


def pseudonym(key: bytes, tenant: str) -> str:
    return hmac.digest(key, fields("hitproof/pseudonym/v1", tenant.encode()), "sha256")[:16].hex()


def organisation_pseudonym(key: bytes, organisation: str) -> str:
    return hmac.digest(key, fields("hitproof/organisation-pseudonym/v1", organisation.encode()), "sha256")[:16].hex()


def charge_cost(charge: dict[str, Any]) -> dict[str, int]:
    """What a charge spends: every probability of the noise written out, in 120 digits."""
    with decimal.localcontext(decimal.Context(prec=120, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)):
        number = {name: Decimal(value) for name, value in charge.items() if name != "mechanism"}
        keys = number.get("keys_max", number.get("count", Decimal(0)))
        squared = number.get("multiplier_squared_micro", Decimal(0)) / 10**6
        epsilon, rho, delta = Decimal(0), Decimal(0), Decimal(0)
        if charge["mechanism"] == "laplace_selection":
            each = number["epsilon_micro"] / 10**6
            epsilon = keys * each
            delta = keys * (-each * (number["threshold"] - 1)).exp() / (1 + (-each).exp())
        elif charge["mechanism"] == "gaussian_selection":
            rho = 1 / (2 * squared)
            delta = keys * _gaussian_chance(keys * squared, charge["threshold"] - 1)
        else:
            rho = keys / (2 * squared)
        sums = {"epsilon_micro": epsilon * 10**6, "rho_nano": rho * 10**9, "delta_atto": delta * 10**18}
        return {name: int(value.to_integral_value(decimal.ROUND_CEILING)) for name, value in sums.items()}


def _gaussian_chance(variance: Decimal, least: int) -> Decimal:
    def weight(x: int) -> Decimal:
        return (-Decimal(x * x) / (2 * variance)).exp()

    reach = 18 * (math.isqrt(int(variance)) + 1)
    whole = 1 + 2 * sum((weight(x) for x in range(1, reach)), Decimal(0))
    return sum((weight(x) for x in range(least, least + reach)), Decimal(0)) / whole


def by_organisation(heads: list[bytes]) -> list[bytes]:
    return sorted(heads, key=lambda head: str(json.loads(head)["organisation"]))


def merkle_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, §2.1."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\0" + leaves[0] if leaves else b"").digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + merkle_root(leaves[:half]) + merkle_root(leaves[half:])).digest()


def merkle_root_by_path(position: int, count: int, leaf: bytes, path: list[bytes]) -> bytes:
    """The root that an inclusion path of RFC 6962 leads to, as long as the path fits."""
    if count == 1:
        return hashlib.sha256(b"\0" + leaf).digest()
    half = 1 << (count - 1).bit_length() - 1
    if position < half:
        return hashlib.sha256(b"\1" + merkle_root_by_path(position, half, leaf, path[:-1]) + path[-1]).digest()
    return hashlib.sha256(
        b"\1" + path[-1] + merkle_root_by_path(position - half, count - half, leaf, path[:-1])
    ).digest()


#: The order of the groups of BLS12-381.
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001


def domain_generator(suite: str) -> int:
    """w of `hitproof/kzg-bls12381-N/v1`."""
    return pow(7, (ORDER - 1) // int(suite.split("/")[1].split("-")[2]), ORDER)


def blinding(suite: str, seed: bytes) -> list[bytes]:
    return [
        _scalar(hashlib.sha512(fields("hitproof/commitment-blinding/v1", seed, suite.encode(), bytes([j]))).digest())
        for j in (0, 1)
    ]


def _scalar(drawn: bytes) -> bytes:
    return (int.from_bytes(drawn, "big") % ORDER).to_bytes(32, "big")


def transcript_start(label: str, *parts: bytes) -> bytes:
    return digest("hitproof/transcript/v1", label.encode(), *parts)


def transcript_absorb(state: bytes, name: str, data: bytes) -> bytes:
    return digest("hitproof/transcript-absorb/v1", state, name.encode(), data)


def transcript_challenge(state: bytes, name: str) -> tuple[bytes, bytes]:
    """The challenge, and the state behind it."""
    drawn = _scalar(hashlib.sha512(fields("hitproof/transcript-challenge/v1", state, name.encode())).digest())
    return drawn, transcript_absorb(state, name, drawn)


def last_challenge(state: bytes, proof: bytes, points: str, steps: str) -> bytes:
    """The last challenge of *steps*: names that begin with a question mark are drawn, the others are in the proof.

    *points* are the proof's in its order; the rest of it are the scalars, in the order of the steps.
    """
    sent = {name: proof[48 * place : 48 * place + 48] for place, name in enumerate(points.split())}
    rest, drawn = proof[48 * len(sent) :], b""
    for name in steps.split():
        if name.startswith("?"):
            drawn, state = transcript_challenge(state, name[1:])
            continue
        if name not in sent:
            sent[name], rest = rest[:32], rest[32:]
        state = transcript_absorb(state, name, sent[name])
    if rest:
        raise ValueError("length")
    return drawn


def applicability_mu(vector: dict[str, Any], proof: bytes) -> bytes:
    query = struct.pack(f"{len(vector['query'])}b", *vector["query"])
    texts = (vector["suite"].encode(), vector["embedding"].encode(), vector["record"].encode())
    commitment, tau = bytes.fromhex(vector["commitment_hex"]), struct.pack(">Q", vector["tau"])
    state = transcript_start("applicability", *texts, commitment, query, tau)
    steps = "S B Z ?alpha T ?zeta e b z z_next ?nu W1 W2 ?mu"
    return last_challenge(state, proof, "S B Z T W1 W2", steps)


def well_formedness_mu(vector: dict[str, Any], proof: bytes) -> bytes:
    commitment = bytes.fromhex(vector["commitment_hex"])
    state = transcript_start("well-formedness", vector["suite"].encode(), struct.pack(">Q", 260_100), commitment)
    steps = "B M ?gamma H ?alpha Z ?delta T0 T1 ?zeta e b m h z z_next ?nu W1 W2 ?mu"
    return last_challenge(state, proof, "B M H Z T0 T1 W1 W2", steps)


def open_envelope(text: str, payload_type: str, public_keys: list[bytes]) -> tuple[bytes, list[bytes]]:
    """Payload and signatures of an envelope that each of *public_keys* signed, by key id; ValueError otherwise."""
    envelope = json.loads(text)
    if canonical(envelope) != text.encode() or set(envelope) != {"payload", "payloadType", "signatures"}:
        raise ValueError("form")
    by_id = sorted((key_identifier(key), key) for key in public_keys)
    if envelope["payloadType"] != payload_type or [name for name, _ in by_id] != [
        signature["keyid"] for signature in envelope["signatures"]
    ]:
        raise ValueError("type or keys")
    payload = base64.b64decode(envelope["payload"], validate=True)
    message = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
    signatures = [base64.b64decode(signature["sig"], validate=True) for signature in envelope["signatures"]]
    for (_, key), signature in zip(by_id, signatures, strict=True):
        eddsa.new(ECC.import_key(bytes.fromhex("302a300506032b6570032100") + key), "rfc8032").verify(message, signature)
    return payload, signatures


def leaf(kind: int, time_ms: int, public_key: bytes, payload_type: str, payload: bytes, signature: bytes) -> bytes:
    body = digest("hitproof/leaf-body/v1", payload_type.encode(), payload, signature)
    return b"\x01" + struct.pack(">BQ", kind, time_ms) + bytes.fromhex(key_identifier(public_key)) + body


def read_vkey(text: str) -> tuple[str, int, bytes]:
    """Name, algorithm and public key of a C2SP verifier key; ValueError where its hash is another's."""
    name, key_hash, key = text.split("+", 2)
    found = base64.b64decode(key, validate=True)
    if hashlib.sha256(name.encode() + b"\n" + found).hexdigest()[:8] != key_hash:
        raise ValueError("key hash")
    return name, found[0], found[1:]
