"""CPU time of sealing, key wrapping and API keys, beside bare AES-256-GCM; prints one JSON object.

    OMP_NUM_THREADS=1 python -m tests.bench.sealing

"Bare" is AES-256-GCM of the same plaintext under one prepared key with a random nonce: no per-entry key, no commitment,
no binding to a place. All are timed in alternating rounds of one process; figures are medians of `time.process_time`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenants.api_keys import is_api_key_mac, mac_api_key, mint_api_key, parse_api_key
from tenants.data_keys import derive_tenant_key
from tenants.identifiers import TenantId
from tenants.key_wrapping import KeyEncryptionKey
from tenants.sealing import OVERHEAD_BYTES, DataKey, SealContext, seal, unseal

SIZES_BYTES = (384, 1024, 4096, 65_536, 1 << 20)
TENANT = TenantId("ten_0123456789abcdef")


class SystemRandom:
    """The operating system's randomness."""

    def token_bytes(self, count: int) -> bytes:
        """Return *count* random bytes."""
        return os.urandom(count)


def measure(calls: dict[str, Callable[[], object]], rounds: int, target_s: float) -> dict[str, float]:
    """Return microseconds per call: the median over *rounds* that alternate between all calls."""
    counts = {}
    for name, call in calls.items():
        start = time.process_time()
        for _ in range(3):
            call()
        once_s = (time.process_time() - start) / 3
        counts[name] = max(1, int(target_s / max(once_s, 1e-6)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(counts[name]):
                call()
            times[name].append((time.process_time() - start) / counts[name])
    return {name: round(1e6 * statistics.median(found), 2) for name, found in times.items()}


def make_calls() -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    random, key, kek = SystemRandom(), DataKey(1, os.urandom(32)), KeyEncryptionKey(os.urandom(32))
    place, bare, pepper = SealContext(TENANT, 12345, "payload", 1), AESGCM(os.urandom(32)), os.urandom(32)
    text = mint_api_key(random).text
    mac, wrapped = mac_api_key(pepper, text), kek.wrap(key.secret, tenant=TENANT, epoch=1)
    calls: dict[str, Callable[[], object]] = {}
    for size in SIZES_BYTES:
        plain = os.urandom(size)
        sealed, nonce = seal(key, place, plain, random=random), os.urandom(12)
        ciphertext = bare.encrypt(nonce, plain, b"")
        calls[f"seal {size} B"] = lambda plain=plain: seal(key, place, plain, random=random)  # type: ignore[misc]
        calls[f"unseal {size} B"] = lambda sealed=sealed: unseal(key, place, sealed)  # type: ignore[misc]
        calls[f"bare encrypt {size} B"] = lambda plain=plain: bare.encrypt(os.urandom(12), plain, b"")  # type: ignore[misc]
        calls[f"bare decrypt {size} B"] = lambda ciphertext=ciphertext, nonce=nonce: bare.decrypt(  # type: ignore[misc]
            nonce, ciphertext, b""
        )
    calls["wrap data key"] = lambda: kek.wrap(key.secret, tenant=TENANT, epoch=1)
    calls["unwrap data key"] = lambda: kek.unwrap(wrapped, tenant=TENANT, epoch=1)
    calls["derive tenant key"] = lambda: derive_tenant_key(key.secret, "lookup", TENANT)
    calls["mint API key"] = lambda: mint_api_key(random)
    calls["parse API key"] = lambda: parse_api_key(text)
    calls["check API key's MAC"] = lambda: is_api_key_mac(pepper, text, mac)
    return calls


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--target-s", type=float, default=0.02, help="CPU time of one call's share of a round")
    options = parser.parse_args()
    figures = measure(make_calls(), options.rounds, options.target_s)
    print(json.dumps({"cpu_us": figures, "overhead_bytes": OVERHEAD_BYTES}, indent=1))


if __name__ == "__main__":
    main()
