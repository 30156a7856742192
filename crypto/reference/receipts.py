"""Checks every receipt, every hit, every opening and the evidence of a bundle, in the order of the page."""

from __future__ import annotations

from bisect import bisect_left
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

    #: What many receipts and hits ask for is worked out once, or a bundle could make this take for ever.
    pseudonyms: frozenset[str] = field(init=False)
    #: Policies by pseudonym, in the order of the log.
    announced: dict[str, list[tuple[int, Body]]] = field(default_factory=dict)
    #: The leaf that first announces a policy to this tenant.
    first: dict[str, int] = field(default_factory=dict)
    #: Where a policy stands among those announced to one pseudonym.
    places: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    #: Versions of the bundle's manifests, and the digests of their runtimes; None where a manifest is out of form.
    versions: dict[str, tuple[str, str] | None] = field(init=False)

    def __post_init__(self) -> None:
        found = (self.pseudonym(epoch * EPOCH_MS) for epoch in self.manifest.scope.pseudonym_keys)
        self.pseudonyms = frozenset(name for name in found if name is not None)
        for index, body in sorted(self.contents.bodies.items()):
            if body.kind == 5:
                tenant, policy = str(body.value["tenant"]), str(body.value["policy"])
                before = self.announced.setdefault(tenant, [])
                self.places.setdefault((tenant, policy), []).append(len(before))
                before.append((index, body))
                if tenant in self.pseudonyms:
                    self.first.setdefault(policy, index)
        self.versions = {version: _version(manifest) for version, manifest in self.contents.models.items()}

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


def _version(manifest: dict[str, Json]) -> tuple[str, str] | None:
    try:
        return model_version(manifest), digest_text(digest("hitproof/runtime/v1", write(manifest["runtime"])))
    except NotInForm:
        return None


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
        _check_policy(audit, receipt.policy, audit.first.get(receipt.policy, index) < index)
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
        _runtime(audit, version)
        if version not in attested:
            raise Refused("manifest_mismatch", f"{version} is no attested receipt's")


def check_policies(audit: Audit) -> None:
    """Raise Refused for a document that is not what its digest says, whoever refers to it."""
    for policy, document in audit.contents.policies.items():
        if digest_text(digest("hitproof/policy/v1", write(document))) != policy:
            raise Refused("policy_mismatch", policy)


def _runtime(audit: Audit, version: str) -> str:
    """The digest of the runtime that the manifest of this version names."""
    if version not in audit.versions:
        raise Refused("manifest_missing", version)
    found = audit.versions[version]
    if found is None or found[0] != version:
        raise Refused("manifest_mismatch", version)
    return found[1]


def _check_manifest(audit: Audit, receipt: Receipt) -> None:
    runtime = _runtime(audit, receipt.model_version)
    manifest = audit.contents.models[receipt.model_version]
    if receipt.runtime != runtime or receipt.openssf_digest != manifest.get("openssf_digest"):
        raise Refused("manifest_mismatch", "runtime or OpenSSF digest")


def _check_policy(audit: Audit, policy: str, is_announced: bool) -> None:
    if not is_announced or policy not in audit.contents.policies:
        raise Refused("policy_unknown", policy)


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
    logged = audit.announced.get(hit.tenant, [])
    before = bisect_left(logged, batch, key=lambda found: found[0])
    places = audit.places.get((hit.tenant, hit.policy), [])
    earlier = bisect_left(places, before)
    _check_policy(audit, hit.policy, earlier > 0)
    successor = places[earlier - 1] + 1
    if successor < before and logged[successor][1].at_ms < hit.at_ms - POLICY_GRACE_MS:
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
