"""Each receipt: is it in form, whose word is it, did that word count at its leaf, and is it about this tenant?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..bundle import BundleParts
from ..bundle_lines import JsonObject, ModelLine
from ..dsse import verify_envelope
from ..errors import EncodingError, VerificationError
from ..ledger_lines import ReleaseLine
from ..manifest import model_version
from ..report import Failure
from ..statement import ReceiptStatement, runtime_digest
from .findings import Notes
from .pool import index_releases, refuse_release, verify_opened, verify_release
from .readings import Readings, ReadReceipt, Unreadable
from .standing import Standing
from .tenancy import Policies, Principals


@dataclass(frozen=True, slots=True)
class ReceiptRules:
    """What receipts are held against; *sampled* are the places whose signatures are verified, None for all."""

    parts: BundleParts
    standing: Standing
    principals: Principals
    policies: Policies
    sampled: frozenset[int] | None = None


def check_receipts(notes: Notes, readings: Readings, rules: ReceiptRules) -> tuple[ReadReceipt, ...]:
    """Return the receipts in which nothing is wrong, in the order of the log."""
    with notes.about("the scope's pool"):
        verify_opened(rules.parts, readings, rules.principals.pool)
    manifests = _check_manifests(notes, rules.parts.models)
    # Worked out once: a manifest may be long, and receipts many.
    runtimes = {version: runtime_digest(manifest) for version, manifest in manifests.items()}
    releases = index_releases(rules.parts.releases)
    reused = {record.receipt for line in rules.parts.hits for record in line.records}
    accepted: list[ReadReceipt] = []
    seen: set[str] = set()
    for place, receipt in enumerate(readings.receipts):
        if isinstance(receipt, Unreadable):
            notes.add(Failure.of(receipt.subject, receipt.error, "statement_malformed"))
            continue
        signed = rules.sampled is None or place in rules.sampled
        before = notes.total
        with notes.about(receipt.subject):
            if receipt.digest in seen:
                raise VerificationError("this receipt stands in the bundle twice", reason="receipt_replayed")
            verify_receipt_signer(receipt, rules.standing, signed)
            _verify_pool(receipt, rules, releases)
            verify_allowed(receipt.statement, rules.standing)
            _verify_model(receipt.statement, manifests, runtimes)
            _verify_belonging(receipt, rules, receipt.digest in reused)
        seen.add(receipt.digest)
        if notes.total == before:
            accepted.append(receipt)
    for version in sorted(manifests.keys() - _attested(readings)):
        notes.fail("manifest_mismatch", f"model {version}", "no attested receipt of the bundle is of this model")
    _describe(notes, len(readings.receipts), rules.sampled)
    return tuple(accepted)


def verify_receipt_signer(receipt: ReadReceipt, standing: Standing, signed: bool = True) -> None:
    """Check the signature (where *signed* asks for it), and the signer's role, time and status.

    Raises `VerificationError`: `signer_…`, `signature_invalid`.
    """
    statement = receipt.statement
    role, key = standing.find(statement.signer)
    if signed:
        verify_envelope(receipt.envelope, key.public_key)
    if statement.grade == "attested" and role != "runner":
        raise VerificationError(
            "a gateway cannot attest an output: it did not load the model",
            reason="signer_role",
            expected="a runner's key",
            actual=f"the {role}'s",
        )
    standing.verify_time(statement.signer, statement.issued_at_ms, receipt.index)


def verify_allowed(statement: ReceiptStatement, standing: Standing) -> None:
    """Check that the signer may attest the model; raises `VerificationError` (`model_not_allowed`)."""
    _, key = standing.find(statement.signer)
    if statement.grade == "attested" and statement.model_version not in key.models:
        raise VerificationError(
            "the trust file does not let this runner attest this model",
            reason="model_not_allowed",
            expected=" or ".join(key.models[:8]) or "no model",
            actual=statement.model_version,
        )


def _verify_model(
    statement: ReceiptStatement, manifests: Mapping[str, JsonObject], runtimes: Mapping[str, str]
) -> None:
    """Compare what an attested statement says of its model with the model's manifest."""
    if statement.grade != "attested":
        return
    manifest = manifests.get(statement.model_version)
    if manifest is None:
        message = "the manifest of the attested model is not in the bundle"
        raise VerificationError(message, reason="manifest_missing", expected=statement.model_version)
    found = (statement.runtime, statement.openssf_digest)
    stated = (runtimes[statement.model_version], manifest["openssf_digest"])
    if found != stated:
        raise VerificationError(
            "the statement names another runtime or model signature than the manifest does",
            reason="manifest_mismatch",
            expected=stated,
            actual=found,
        )


def _verify_pool(receipt: ReadReceipt, rules: ReceiptRules, releases: Mapping[str, ReleaseLine]) -> None:
    """Check that a receipt of the pool names its release, and that no other receipt names any."""
    if rules.principals.pool.is_ours(receipt.statement.tenant):
        verify_release(receipt.statement, receipt.index, releases)
    else:
        refuse_release(receipt.statement)


def _verify_belonging(receipt: ReadReceipt, rules: ReceiptRules, reused: bool) -> None:
    """Check tenant, policy and scope; a receipt that a hit refers to may be older than the scope."""
    statement, scope = receipt.statement, rules.parts.scope
    rules.principals.verify_at(statement.tenant, statement.issued_at_ms)
    of_pool = rules.principals.pool.is_ours(statement.tenant)
    if statement.policy is not None:
        rules.policies.verify_announced(statement.policy, receipt.index, to_pool=of_pool)
    if not reused and of_pool:
        raise VerificationError("the receipt is the pool's, and no hit refers to it", reason="out_of_scope")
    if not reused and not scope.covers(statement.issued_at_ms):
        raise VerificationError(
            "the receipt lies outside the bundle's time, and no hit refers to it",
            reason="out_of_scope",
            expected=f"from {scope.since_ms} to before {scope.until_ms}",
            actual=statement.issued_at_ms,
        )
    if scope.model_version not in (None, statement.model_version):
        raise VerificationError(
            "the receipt is of another model than the bundle is about",
            reason="out_of_scope",
            expected=scope.model_version,
            actual=statement.model_version,
        )


def _attested(readings: Readings) -> frozenset[str]:
    statements = (one.statement for one in readings.receipts if isinstance(one, ReadReceipt))
    return frozenset(one.model_version for one in statements if one.grade == "attested")


def _check_manifests(notes: Notes, lines: Iterable[ModelLine]) -> dict[str, JsonObject]:
    """Return the manifests by version, having noted those that are another version's."""
    found: dict[str, JsonObject] = {}
    for line in lines:
        with notes.about(f"model {line.model_version}", "manifest_mismatch"):
            version = _version(line)
            if version != line.model_version:
                raise VerificationError(
                    "the manifest is another model's",
                    reason="manifest_mismatch",
                    expected=line.model_version,
                    actual=version,
                )
            found[version] = line.manifest
    return found


def _version(line: ModelLine) -> str:
    try:
        return model_version(line.manifest)  # type: ignore[arg-type]  # floats are refused by the manifest's own check
    except EncodingError as error:
        raise VerificationError(str(error), reason="manifest_mismatch") from None


def _describe(notes: Notes, count: int, sampled: frozenset[int] | None) -> None:
    if sampled is not None:
        notes.detail = f"{len(sampled):,} of {count:,} signatures were verified; the others are not covered"
    elif count:
        notes.detail = f"{count:,} receipts: signature, signer, time, status, model, tenant, policy and scope of each"
    else:
        notes.leave_uncovered("there are no receipts in the bundle")
