"""Checks every receipt, every hit, every opening and the evidence of a bundle, in the order of the page."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import envelope, openings
from .contents import Contents, Manifest, Opening
from .envelope import RECEIPT_BATCH, Envelope
from .errors import NotInForm, Refused, named
from .hashing import digest, digest_text, fields, hmac_sha256, leaf_hash, multiproof_root
from .json_text import Json, write
from .model_manifest import model_version
from .records import Body, Hit, StatusList, read_receipt_batch
from .statements import Embedding, Receipt, read_embedding, read_receipt
from .trust import Trust, TrustedKey

EPOCH_MS = 2_592_000_000
POLICY_GRACE_MS = 60_000


@dataclass(slots=True)
class Audit:
    """A bundle whose leaves are proved, and what was accepted of it so far."""

    trust: Trust
    manifest: Manifest
    contents: Contents
    receipts: dict[str, tuple[int, Receipt]] = field(default_factory=dict)
    embeddings: dict[str, Embedding] = field(default_factory=dict)
    hits: set[str] = field(default_factory=set)

    #: Policies by index: there are few among many bodies.
    announced: list[tuple[int, Body]] = field(init=False)

    def __post_init__(self) -> None:
        bodies = self.contents.bodies
        self.announced = [(index, bodies[index]) for index in sorted(bodies) if bodies[index].kind == 5]

    @property
    def status(self) -> StatusList:
        """The status list in force."""
        return self.contents.status

    def pseudonym(self, at_ms: int) -> str | None:
        """The tenant's pseudonym at a moment, or None where the bundle does not open that epoch."""
        key = self.manifest.scope.pseudonym_keys.get(at_ms // EPOCH_MS)
        if key is None:
            return None
        tenant = self.manifest.scope.tenant.encode("utf-8")
        return hmac_sha256(key, fields("hitproof/pseudonym/v1", tenant))[:16].hex()

    @property
    def pseudonyms(self) -> frozenset[str]:
        """The tenant's pseudonyms in all epochs that the bundle opens."""
        found = (self.pseudonym(epoch * EPOCH_MS) for epoch in self.manifest.scope.pseudonym_keys)
        return frozenset(name for name in found if name is not None)

    def policies(self, tenants: frozenset[str], below: int) -> list[Body]:
        """The policies logged for these pseudonyms below an index, oldest first."""
        return [body for index, body in self.announced if index < below and body.value["tenant"] in tenants]


def check_signer(audit: Audit, signed: Envelope, index: int, at_ms: int, roles: tuple[str, ...]) -> TrustedKey:
    """The key that signed, if it was allowed to at this time and index; raises Refused."""
    key = audit.trust.keys.get(signed.key_id)
    if key is None:
        raise Refused("signer_unknown", signed.key_id)
    if not envelope.is_signed(signed, key.public_key):
        raise Refused("signature_invalid", signed.key_id)
    if key.role not in roles:
        raise Refused("signer_role", key.role)
    if at_ms < key.from_ms or (key.until_ms is not None and at_ms >= key.until_ms):
        raise Refused("signer_expired", f"at {at_ms}")
    status, since_index = audit.status.keys.get(signed.key_id, ("", 0))
    if status and index >= since_index:
        raise Refused(f"signer_{status}", f"since index {since_index}")
    return key


def check_receipt(audit: Audit, index: int, used: frozenset[str]) -> None:
    """Accept the receipt at an index, or raise Refused; *used* are the statements that hits refer to."""
    with named("statement_malformed"):
        signed = _in_form(audit.contents.receipts[index])
        receipt = read_receipt(signed)
    is_attested = receipt.grade == "attested"
    roles = ("runner",) if is_attested else ("runner", "gateway")
    key = check_signer(audit, signed, index, receipt.issued_at_ms, roles)
    if is_attested:
        if receipt.model_version not in key.models:
            raise Refused("model_not_allowed", receipt.model_version)
        _check_manifest(audit, receipt)
    if receipt.tenant != audit.pseudonym(receipt.issued_at_ms):
        raise Refused("tenant_mismatch", receipt.tenant)
    if receipt.policy is not None:
        _check_policy(audit, receipt.policy, audit.policies(audit.pseudonyms, below=index))
    if receipt.statement in audit.receipts:
        raise Refused("receipt_replayed", receipt.statement)
    scope = audit.manifest.scope
    if receipt.statement not in used and not scope.covers(receipt.issued_at_ms):
        raise Refused("out_of_scope", receipt.statement)
    if scope.model_version not in (None, receipt.model_version):
        raise Refused("out_of_scope", receipt.model_version)
    audit.receipts[receipt.statement] = (index, receipt)


def check_models(audit: Audit) -> None:
    """Raise Refused for a manifest of another version than its line says, or of no attested receipt."""
    attested = {receipt.model_version for _, receipt in audit.receipts.values() if receipt.grade == "attested"}
    for version in audit.contents.models:
        _model_manifest(audit, version)
        if version not in attested:
            raise Refused("manifest_mismatch", f"{version} is no attested receipt's")


def _model_manifest(audit: Audit, version: str) -> dict[str, Json]:
    manifest = audit.contents.models.get(version)
    if manifest is None:
        raise Refused("manifest_missing", version)
    with named("manifest_mismatch"):
        if model_version(manifest) != version:
            raise NotInForm(version)
    return manifest


def _check_manifest(audit: Audit, receipt: Receipt) -> None:
    manifest = _model_manifest(audit, receipt.model_version)
    runtime = digest_text(digest("hitproof/runtime/v1", write(manifest.get("runtime"))))
    if receipt.runtime != runtime or receipt.openssf_digest != manifest.get("openssf_digest"):
        raise Refused("manifest_mismatch", "runtime or OpenSSF digest")


def _check_policy(audit: Audit, policy: str, logged: list[Body]) -> None:
    if policy not in [body.value["policy"] for body in logged] or policy not in audit.contents.policies:
        raise Refused("policy_unknown", policy)
    if digest_text(digest("hitproof/policy/v1", write(audit.contents.policies[policy]))) != policy:
        raise Refused("policy_mismatch", policy)


def check_batch(audit: Audit, batch: int, place: int) -> None:
    """Raise Refused unless the hits of this line lie in the batch at that index."""
    line = audit.contents.hits[place]
    body = audit.contents.bodies.get(batch)
    if body is None or body.kind != 2:
        raise Refused("batch_invalid", f"no batch at {batch}")
    leaves = [(position, leaf_hash(hit.data)) for position, hit in zip(line.positions, line.hits, strict=True)]
    count = body.value["count"]
    with named("batch_invalid"):
        if not isinstance(count, int) or multiproof_root(leaves, count, line.hashes).hex() != body.value["root"]:
            raise NotInForm("not the batch's root")
    if body.value["tenant"] not in audit.pseudonyms:
        raise Refused("tenant_mismatch", "the batch is another tenant's")


def check_hit(audit: Audit, batch: int, hit: Hit) -> None:
    """Accept a hit of the batch at that index, or raise Refused."""
    if hit.hit in audit.hits:
        raise Refused("hit_replayed", hit.hit)
    index, _ = audit.receipts.get(hit.receipt, (None, None))
    if index is None or leaf_hash(audit.contents.leaves[index]) != hit.receipt_leaf:
        raise Refused("hit_receipt", hit.receipt)
    if index >= batch:
        raise Refused("hit_order", hit.hit)
    if hit.tenant != audit.pseudonym(hit.at_ms):
        raise Refused("tenant_mismatch", hit.tenant)
    if not audit.manifest.scope.covers(hit.at_ms):
        raise Refused("out_of_scope", hit.hit)
    logged = audit.policies(frozenset({hit.tenant}), below=batch)
    _check_policy(audit, hit.policy, logged)
    latest = max(place for place, body in enumerate(logged) if body.value["policy"] == hit.policy)
    if latest + 1 < len(logged) and logged[latest + 1].at_ms < hit.at_ms - POLICY_GRACE_MS:
        raise Refused("policy_inactive", hit.policy)
    audit.hits.add(hit.hit)


def check_evidence(audit: Audit, index: int) -> None:
    """Accept the evidence at an index, or raise Refused."""
    with named("statement_malformed"):
        signed = _in_form(audit.contents.evidence[index])
    if signed.payload_type == RECEIPT_BATCH:
        with named("statement_malformed"):
            at_ms = read_receipt_batch(signed)
        check_signer(audit, signed, index, at_ms, ("runner",))
        return
    with named("statement_malformed"):
        embedding = read_embedding(signed)
    check_signer(audit, signed, index, embedding.issued_at_ms, ("runner",))
    if embedding.of not in audit.receipts:
        raise Refused("evidence_mismatch", embedding.of)
    if embedding.tenant != audit.pseudonym(embedding.issued_at_ms):
        raise Refused("tenant_mismatch", embedding.tenant)


def _in_form(signed: Envelope | None) -> Envelope:
    if signed is None:
        raise NotInForm("the envelope is not in form")
    return signed


def check_evidence_body(audit: Audit, body: Body) -> None:
    """Raise Refused unless evidence without an envelope refers to a receipt of the bundle."""
    if body.value["statement"] not in audit.receipts:
        raise Refused("evidence_mismatch", str(body.value["statement"]))


def check_opening(audit: Audit, opening: Opening) -> None:
    """Raise Refused unless the opening fits a commitment of the bundle."""
    dimension: int | None = None
    if opening.kind in ("text", "vector"):
        embedding = audit.embeddings.get(opening.statement)
        if embedding is None:
            raise Refused("opening_unknown", opening.statement)
        commitments, dimension = embedding.commitments, embedding.dimension
    else:
        _, receipt = audit.receipts.get(opening.statement, (0, None))
        if receipt is None:
            raise Refused("opening_unknown", opening.statement)
        commitments = receipt.commitments
    with named("opening_mismatch"):
        if openings.commitment(opening, dimension) != commitments[opening.kind]:
            raise NotInForm(f"{opening.kind} of {opening.statement}")
