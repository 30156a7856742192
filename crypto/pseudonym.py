"""What a tenant is called in receipts and in the log: another name every 30 days, linkable only with the tenant's key.

An organisation has one name for life in the pool's ledger, because what it spends is numbered through.
"""

from __future__ import annotations

import hmac
from typing import Final

from .canonical import encode_fields

EPOCH_MS: Final = 2_592_000_000

_KEY_DOMAIN: Final = "hitproof/pseudonym-key/v1"
_DOMAIN: Final = "hitproof/pseudonym/v1"
_ORGANISATION_DOMAIN: Final = "hitproof/organisation-pseudonym/v1"


def epoch_of(at_ms: int) -> int:
    """Return the number of the 30 days that *at_ms*, milliseconds since 1970, lies in."""
    return at_ms // EPOCH_MS


def pseudonym_key(tenant_key: bytes, epoch: int) -> bytes:
    """Return the 32-byte key of one epoch, from the tenant key whose purpose is `pseudonym`.

    Whoever is given it can name the tenant in that epoch and in no other.
    """
    return hmac.digest(tenant_key, encode_fields(_KEY_DOMAIN, epoch.to_bytes(8, "big")), "sha256")


def pseudonym(key: bytes, tenant: str) -> str:
    """Return *tenant*'s 32 hexadecimal digits under the pseudonym *key* of an epoch."""
    return hmac.digest(key, encode_fields(_DOMAIN, tenant.encode("utf-8")), "sha256")[:16].hex()


def organisation_pseudonym(key: bytes, organisation: str) -> str:
    """Return *organisation*'s 32 hexadecimal digits under *key*, the pool's tenant key whose purpose is `organisation`."""
    return hmac.digest(key, encode_fields(_ORGANISATION_DOMAIN, organisation.encode("utf-8")), "sha256")[:16].hex()
