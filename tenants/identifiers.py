"""Names for the things a row belongs to; distinct types, so that one cannot stand in for another."""

from __future__ import annotations

from typing import NewType

OrganisationId = NewType("OrganisationId", str)
TenantId = NewType("TenantId", str)
KeyId = NewType("KeyId", str)
EntryId = NewType("EntryId", int)
LookupId = NewType("LookupId", str)
ModelVersion = NewType("ModelVersion", str)
"""`sha256:` and 64 hexadecimal digits: the digest of a model manifest, or of a declared upstream."""
