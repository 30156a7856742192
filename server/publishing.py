"""A publisher's signature over a model version: checked once here, kept for every bundle, checked again by auditors."""

from __future__ import annotations

import json

from sqlalchemy import Connection

from crypto.model_signing import ModelSignature, verify_publisher
from server.store.errors import Conflict, NotFound
from server.store.maintenance import AuditEvent, append_audit
from server.store.platform import PlatformRepository


def import_model_signature(
    connection: Connection, model_version: str, signature: bytes, public_key: str, *, actor: str, now_ms: int
) -> ModelSignature:
    """Check an OpenSSF *signature* over the files of *model_version* under *public_key* (PEM), and keep it.

    A signature that was kept before is replaced. Raises `NotFound` for a version that was never seen, `Conflict` for
    one without a manifest, and `VerificationError` where the key did not sign exactly these files.
    """
    platform = PlatformRepository(connection)
    rows = [row for row in platform.list_model_versions() if row.model_version == model_version]
    if not rows:
        raise NotFound("there is no such model version; `hitproof model versions` lists them")
    manifests = [row.manifest for row in rows if row.manifest is not None]
    if not manifests:
        raise Conflict(
            "this model was not loaded by a runner of ours: there is no manifest that a publisher could sign"
        )
    found = verify_publisher(signature, json.loads(manifests[0]), public_key)
    event = AuditEvent(actor, None, "model.sign", model_version, {"subject": found.subject_sha256})
    append_audit(connection, event, at_ms=now_ms)
    platform.set_version_publisher(model_version, signature.decode())
    return found
