"""The log's head: is the checkpoint the log's own, did witnesses see it, and does it continue what was seen before?"""

from __future__ import annotations

from ..bundle import Bundle
from ..bundle_lines import CheckpointLine
from ..checkpoint import Cosignature, SignedCheckpoint, verify_checkpoint, verify_cosignatures
from ..errors import VerificationError
from ..merkle import verify_consistency
from ..note import VerifierKey, format_note
from ..trust import Trust
from .findings import Notes
from .options import AuditOptions

#: How a checkpoint from elsewhere is called in a failure.
COMPARED_SUBJECT = "the compared checkpoint"
#: Two notes of this length stand in one failure whole.
EVIDENCE_LENGTH_MAX = 2**12


def check_checkpoint(notes: Notes, bundle: Bundle, trust: Trust) -> SignedCheckpoint:
    """Return the checkpoint, signed by the log of *trust* and the one that the manifest names."""
    signed = verify_checkpoint(bundle.parts.checkpoint, trust.log)
    found, stated = signed.checkpoint, bundle.manifest
    if (found.origin, found.size, found.root) != (stated.origin, stated.size, stated.root):
        raise VerificationError(
            "the manifest was made for another checkpoint",
            reason="checkpoint_mismatch",
            expected=f"{stated.origin}, {stated.size} leaves, root {stated.root.hex()}",
            actual=f"{found.origin}, {found.size} leaves, root {found.root.hex()}",
        )
    notes.detail = f"{found.origin} signed {found.size:,} leaves under the root {found.root.hex()[:16]}…"
    return signed


def check_witnesses(notes: Notes, signed: SignedCheckpoint, trust: Trust, now_ms: int) -> tuple[Cosignature, ...]:
    """Return the cosignatures of trusted witnesses; notes a failure where there are too few."""
    found: tuple[Cosignature, ...] = ()
    with notes.about("the checkpoint"):
        found = verify_cosignatures(signed, trust.witnesses, now_ms)
    if len(found) < trust.witness_threshold and not notes.failed:
        detail = f"expected the cosignatures of {trust.witness_threshold} witnesses, found {len(found)}"
        notes.fail("witness_quorum", "the checkpoint", detail)
    names = ", ".join(cosignature.name for cosignature in found)
    if trust.witness_threshold or found:
        notes.detail = f"{len(found)} of {len(trust.witnesses)} witnesses signed it ({names or 'none'})"
    else:
        notes.leave_uncovered(
            "the trust file asks for no witness, so only the log says that it shows all the same tree"
        )
    return found


def check_rollback(
    notes: Notes, lines: tuple[CheckpointLine, ...], signed: SignedCheckpoint, trust: Trust, options: AuditOptions
) -> None:
    """Note failures where *signed* does not continue an earlier checkpoint, of the bundle or of the auditor's own."""
    proved: dict[int, SignedCheckpoint] = {}
    for line in lines:
        size = line.signed.checkpoint.size
        with notes.about(f"the earlier checkpoint of {size} leaves"):
            proved[size] = verify_checkpoint(line.signed.text, trust.log)
            _verify_continued(proved[size], signed, trust.log)
            earlier, current = line.signed.checkpoint, signed.checkpoint
            if earlier.size == current.size:
                raise VerificationError("it is no earlier checkpoint, but this one", reason="consistency_invalid")
            verify_consistency(earlier.size, current.size, earlier.root, current.root, line.proof)
    said = [f"it continues {len(lines)} earlier checkpoints of the bundle"] if lines else []
    if options.last_seen is not None:
        with notes.about("the last-seen checkpoint"):
            said.append(_verify_known(options.last_seen.checkpoint, signed, proved, trust))
    covered = options.last_seen is not None
    for number, text in enumerate(options.compared, 1):
        with notes.about(f"{COMPARED_SUBJECT} {number}"):
            note = _compare(text, signed, proved, trust)
            covered = covered or note.startswith("it ")
            said.append(f"compared checkpoint {number}: {note}")
    if covered or notes.failed:
        notes.detail = "; ".join(said)
    else:
        # Earlier checkpoints that come with the bundle are its maker's choice: they alone show nothing to an auditor.
        said.append(
            "nothing of yours was compared, so a log that went back or shows others another tree goes unnoticed"
        )
        notes.leave_uncovered("; ".join(said))


def _verify_continued(earlier: SignedCheckpoint, signed: SignedCheckpoint, log: VerifierKey) -> None:
    """Refuse what no proof can mend: another root at the same size, or a larger tree than the one shown now."""
    old, new = earlier.checkpoint, signed.checkpoint
    if old.size == new.size and old.root != new.root:
        raise VerificationError(
            "the log signed two trees of one size, which shows that it tells different people different things;"
            f" keep both as evidence:\n{_essence(earlier, log)}\n{_essence(signed, log)}\n",
            reason="split_view",
        )
    if old.size > new.size:
        message = "the log has fewer leaves than it had: it went back, or an old bundle was handed out as a new one"
        raise VerificationError(message, reason="rollback", expected=f"at least {old.size}", actual=new.size)


def _essence(signed: SignedCheckpoint, log: VerifierKey) -> str:
    """Return the note, or where lines of strangers would crowd it out of the report, only what *log* signed."""
    if len(signed.text) <= EVIDENCE_LENGTH_MAX:
        return signed.text
    lines = [line for line in signed.note.signatures if (line.name, line.key_hash) == (log.name, log.key_hash)]
    return format_note(signed.note.body, lines)


def _verify_known(text: str, signed: SignedCheckpoint, proved: dict[int, SignedCheckpoint], trust: Trust) -> str:
    """Check that *signed* continues the checkpoint *text* of this log, by proof where it is larger."""
    known = verify_checkpoint(text, trust.log)
    _verify_continued(known, signed, trust.log)
    size = known.checkpoint.size
    if size == signed.checkpoint.size:
        return "it is the checkpoint that was seen last"
    if size not in proved:
        message = f"the bundle does not show that the log continues the checkpoint of {size} leaves seen last"
        raise VerificationError(message, reason="consistency_missing")
    _verify_continued(known, proved[size], trust.log)
    return f"it continues the checkpoint of {size:,} leaves that was seen last"


def _compare(text: str, signed: SignedCheckpoint, proved: dict[int, SignedCheckpoint], trust: Trust) -> str:
    """Compare *signed* with a checkpoint from elsewhere; one that no proof reaches is only said not to be covered."""
    other = verify_checkpoint(text, trust.log)
    size = other.checkpoint.size
    for ours in (signed, proved.get(size)):
        if ours is not None and ours.checkpoint.size == size:
            _verify_continued(other, ours, trust.log)
            return f"it has the same root at {size:,} leaves"
    return f"not covered, for the bundle has no proof between {size:,} and {signed.checkpoint.size:,} leaves"
