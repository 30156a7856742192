"""The digest of a tenant's policy document, whatever it allows: what announcements, receipts and hits name it by.

What a policy may say is the house's business (docs/reference/policy.md); an auditor only asks which one was in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .canonical import canonical_json, digest_fields

POLICY_DOMAIN: Final = "hitproof/policy/v1"


def policy_digest(document: Mapping[str, Any]) -> str:
    """Return `sha256:…` of *document*; raises `EncodingError` where it has no canonical form, for a float above all."""
    return f"sha256:{digest_fields(POLICY_DOMAIN, canonical_json(document)).hex()}"
