"""Checks every receipt, every opening and the evidence of a bundle, in the order of the page."""

from __future__ import annotations

from . import envelope, openings
from .audit import Audit, Side
from .contents import Opening
from .envelope import RECEIPT_BATCH, Envelope
from .errors import NotInForm, Refused, named
from .hashing import digest, digest_text
from .json_text import write
from .records import Body, read_receipt_batch
from .statements import Embedding, Receipt, read_embedding, read_receipt
from .trust import Trust, TrustedKey

#: The type of evidence by which a receipt of the pool names its release.
RELEASE_EVIDENCE = "pool-release"


def check_signer(audit: Audit, signed: Envelope, index: int, at_ms: int, roles: tuple[str, ...]) -> TrustedKey:
    """The key that signed, if it was allowed to at this time and index; raises Refused."""
    key = check_key(audit.trust, signed, at_ms, roles)
    status, since_index = audit.status.keys.get(signed.key_id, ("", 0))
    if status and index >= since_index:
        raise Refused(f"signer_{status}", f"since index {since_index}")
    return key


def check_key(trust: Trust, signed: Envelope, at_ms: int, roles: tuple[str, ...]) -> TrustedKey:
    """The key that signed, if the trust file allowed it to at this time; raises Refused."""
    key = trust.keys.get(signed.key_id)
    if key is None:
        raise Refused("signer_unknown", signed.key_id)
    if not envelope.is_signed(signed, key.public_key):
        raise Refused("signature_invalid", signed.key_id)
    if key.role not in roles:
        raise Refused("signer_role", key.role)
    if at_ms < key.from_ms or (key.until_ms is not None and at_ms >= key.until_ms):
        raise Refused("signer_expired", f"at {at_ms}")
    return key


def check_receipt(audit: Audit, index: int, used: frozenset[str]) -> None:
    """Accept the receipt at an index, or raise Refused; *used* are the statements that hits refer to."""
    with named("statement_malformed"):
        signed = _in_form(audit.contents.receipts[index])
        receipt = read_receipt(signed)
    is_attested = receipt.grade == "attested"
    roles = ("runner",) if is_attested else ("runner", "gateway")
    key = check_signer(audit, signed, index, receipt.issued_at_ms, roles)
    side = audit.side(receipt.tenant)
    _check_release(audit, receipt, index, side)
    if is_attested:
        if receipt.model_version not in key.models:
            raise Refused("model_not_allowed", receipt.model_version)
        _check_manifest(audit, receipt)
    if receipt.tenant != side.principal.pseudonym(receipt.issued_at_ms):
        raise Refused("tenant_mismatch", receipt.tenant)
    if receipt.policy is not None:
        check_policy(audit, receipt.policy, side.first.get(receipt.policy, index) < index)
    if receipt.statement in audit.receipts:
        raise Refused("receipt_replayed", receipt.statement)
    _check_scope(audit, receipt, side, receipt.statement in used)
    audit.receipts[receipt.statement] = (index, receipt)


def check_pool(audit: Audit) -> None:
    """Raise Refused for a pool that the scope opens for no receipt and no policy of the bundle."""
    if audit.pool is None or audit.pool.first:
        return
    for signed in audit.contents.receipts.values():
        try:
            receipt = read_receipt(_in_form(signed))
        except NotInForm:
            continue
        if receipt.tenant in audit.pool.pseudonyms:
            return
    raise Refused("pool_superfluous", audit.pool.principal.tenant)


def _check_release(audit: Audit, receipt: Receipt, index: int, side: Side) -> None:
    """A receipt of the pool names what was released before it, and no other receipt names any."""
    named_releases = [digest for kind, digest in receipt.evidence if kind == RELEASE_EVIDENCE]
    if side is not audit.pool:
        if named_releases:
            raise Refused("release_unlogged", "a receipt that is not the pool's names a release")
        return
    if len(receipt.evidence) != 1 or not named_releases or receipt.grade != "attested":
        raise Refused("release_unlogged", "a receipt of the pool is attested and names exactly a release")
    line = audit.released.get(named_releases[0])
    if line is None or line.release.state != "released" or line.index >= index:
        raise Refused("release_unlogged", named_releases[0])


def _check_scope(audit: Audit, receipt: Receipt, side: Side, is_used: bool) -> None:
    scope = audit.manifest.scope
    if not is_used and (side is audit.pool or not scope.covers(receipt.issued_at_ms)):
        raise Refused("out_of_scope", receipt.statement)
    if scope.model_version not in (None, receipt.model_version):
        raise Refused("out_of_scope", receipt.model_version)


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


def check_policy(audit: Audit, policy: str, is_announced: bool) -> None:
    """Raise Refused unless the policy was announced where it had to be, and its document is in the bundle."""
    if not is_announced or policy not in audit.contents.policies:
        raise Refused("policy_unknown", policy)


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
    check_signer(audit, signed, index, embedding.issued_at_ms, _embedders(audit, embedding))
    if embedding.of not in audit.receipts:
        raise Refused("evidence_mismatch", embedding.of)
    _, receipt = audit.receipts[embedding.of]
    side = audit.side(embedding.tenant)
    if embedding.tenant != side.principal.pseudonym(embedding.issued_at_ms) or side is not audit.side(receipt.tenant):
        raise Refused("tenant_mismatch", embedding.tenant)
    audit.embedded.add(embedding.statement)


def _embedders(audit: Audit, embedding: Embedding) -> tuple[str, ...]:
    """Who may say what a prompt was embedded as: a runner, or the gateway where no runner made the answer either."""
    _, receipt = audit.receipts.get(embedding.of, (0, None))
    return ("runner", "gateway") if receipt is not None and receipt.grade == "declared" else ("runner",)


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
