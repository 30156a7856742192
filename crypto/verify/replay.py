"""Running the model again: the one check that looks at the computation and not at who vouches for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..bundle import BundleParts
from ..bundle_lines import JsonObject, ModelLine
from ..errors import EncodingError, ReplayUnavailable, VerificationError
from ..evidence import EvidenceVerifier
from ..manifest import model_version
from .findings import Notes
from .openings import Opened
from .options import ReplayRequest
from .readings import ReadReceipt


@dataclass(slots=True)
class _Tally:
    """What was run again, and what was not and why."""

    replayed: set[str] = field(default_factory=set)
    tokens: int = 0
    margins: set[str] = field(default_factory=set)
    uncovered: dict[str, int] = field(default_factory=dict)

    def leave(self, why: str) -> None:
        """Count a receipt that was not run again."""
        self.uncovered[why] = self.uncovered.get(why, 0) + 1


def check_replay(
    notes: Notes, parts: BundleParts, receipts: tuple[ReadReceipt, ...], opened: Opened, request: ReplayRequest | None
) -> frozenset[str]:
    """Return the digests of the statements whose tokens the model gives again; *receipts* are those that were accepted."""
    if request is None:
        notes.leave_uncovered("no --model-dir was given; a signature does not show what was computed")
        return frozenset()
    manifests = {line.model_version: line.manifest for line in parts.models if _is_its_version(line)}
    present = {version for version, manifest in manifests.items() if _may_hold(request.folder, manifest)}
    if manifests and not present:
        detail = f"expected the files of one of {len(manifests)} models, found others, or other sizes"
        notes.fail("replay_failed", "the model folder", detail)
    tally = _Tally()
    for receipt in receipts if present else ():
        if receipt.statement.grade != "attested":
            tally.leave("the signer did not load the model")
        elif receipt.statement.model_version not in present:
            tally.leave("another model than the one in the folder")
        else:
            with notes.about(receipt.subject, "replay_failed"):
                _replay(receipt, manifests[receipt.statement.model_version], opened, request, tally)
    _describe(notes, tally)
    return frozenset(tally.replayed)


def _is_its_version(line: ModelLine) -> bool:
    """Say whether a manifest is in form and the one it is said to be: only then do its names stay in the folder."""
    try:
        return model_version(line.manifest) == line.model_version  # type: ignore[arg-type]  # floats are refused
    except EncodingError:
        return False


def _may_hold(folder: Path, manifest: JsonObject) -> bool:
    """Say whether *folder* has files of the names and sizes of *manifest*, which was validated; digests come later."""
    resources = cast("list[dict[str, Any]]", manifest["resources"])
    try:
        return all((folder / one["name"]).stat().st_size == one["size_bytes"] for one in resources)
    except OSError:
        return False


def _replay(receipt: ReadReceipt, manifest: JsonObject, opened: Opened, request: ReplayRequest, tally: _Tally) -> None:
    prompt = opened.find(receipt.digest, "prompt_tokens")
    output = opened.find(receipt.digest, "output_tokens")
    if prompt is None or output is None:
        tally.leave("its tokens are not opened")
        return
    verifier = _find_verifier(request.verifiers, manifest)
    if verifier is None:
        tally.leave("no verifier for this model is installed: pip install 'hitproof-verify[replay]'")
        return
    try:
        outcome = verifier.replay(
            manifest,
            request.folder,
            prompt_tokens=cast("list[int]", prompt),
            output_tokens=cast("list[int]", output),
            parameters=receipt.statement.parameters,
            messages=cast("list[Any] | None", opened.find(receipt.digest, "prompt")),
            choices=cast("list[Any] | None", opened.find(receipt.digest, "output")),
        )
    except ReplayUnavailable as error:
        tally.leave(str(error))
        return
    except VerificationError as error:
        raise VerificationError(
            str(error), reason=error.reason or "replay_failed", expected=error.expected, actual=error.actual
        ) from None
    tally.replayed.add(receipt.digest)
    tally.tokens += outcome.tokens
    tally.margins.add("exactly" if outcome.exact else outcome.margin)


def _find_verifier(verifiers: Mapping[str, EvidenceVerifier], manifest: JsonObject) -> EvidenceVerifier | None:
    return next((verifiers[name] for name in sorted(verifiers) if verifiers[name].supports(manifest)), None)


def _describe(notes: Notes, tally: _Tally) -> None:
    uncovered = "; ".join(f"not covered: {count:,} ({why})" for why, count in sorted(tally.uncovered.items())[:8])
    if tally.replayed or notes.failed:
        margins = " or ".join(sorted(tally.margins))
        notes.detail = f"{len(tally.replayed):,} answers were computed again, {tally.tokens:,} tokens, {margins}"
        notes.detail += f"; {uncovered}" if uncovered else ""
    else:
        notes.leave_uncovered(uncovered or "there is no receipt that could be run again")
