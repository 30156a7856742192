"""Model signatures: does a publisher that the trust file names stand behind exactly the files of a manifest?"""

from __future__ import annotations

from ..bundle import BundleParts
from ..bundle_lines import JsonObject, PublisherLine
from ..errors import VerificationError
from ..model_signing import verify_publisher
from ..trust import Publisher, Trust
from .findings import Notes


def check_publishers(notes: Notes, parts: BundleParts, trust: Trust) -> None:
    """Note a failure for every model signature that none of the trusted publishers of that version made.

    A signature over a version for which the trust file names nobody says nothing to this auditor: it is not covered.
    """
    manifests = {line.model_version: line.manifest for line in parts.models}
    trusted: dict[str, list[Publisher]] = {}
    for publisher in trust.publishers:
        for version in publisher.models:
            trusted.setdefault(version, []).append(publisher)
    covered = 0
    for line in parts.publishers:
        publishers = trusted.get(line.model_version)
        if publishers is None:
            continue
        covered += 1
        with notes.about(f"model {line.model_version}", "publisher_invalid"):
            _verify_line(line, manifests.get(line.model_version), publishers)
    if covered:
        notes.detail = f"{covered:,} models are signed by publishers of the trust file, file by file"
        signed = {line.model_version for line in parts.publishers} & trusted.keys()
        if unsigned := len(manifests.keys() - signed):
            notes.detail += f"; not covered: {unsigned:,} models without such a signature"
    elif parts.publishers:
        notes.leave_uncovered("the trust file names no publisher for the model signatures in the bundle")
    else:
        notes.leave_uncovered("no model signature is in the bundle, so the manifests are the runners' word alone")


def _verify_line(line: PublisherLine, manifest: JsonObject | None, publishers: list[Publisher]) -> None:
    if manifest is None:
        message = "the signature is over a model whose manifest is not in the bundle"
        raise VerificationError(message, reason="publisher_invalid")
    refusals: list[str] = []
    for publisher in publishers:
        try:
            verify_publisher(line.signature, manifest, publisher.public_key)
        except VerificationError as error:
            refusals.append(f"{publisher.name}: {error}")
        else:
            return
    raise VerificationError("; ".join(refusals[:8]), reason="publisher_invalid")
