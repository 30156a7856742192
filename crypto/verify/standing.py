"""Whose signature counts: keys of the trust file, in their role and time, as far as the status list lets them.

The status list itself is the log's word: the newest leaf of a key event or a model status carries its digest. Leaf order
beats claimed time, so a key that is compromised since some leaf says nothing behind it, whatever its statements claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..bodies import KeyEvent, ModelStatus, Role
from ..bundle import Bundle
from ..bundle_lines import BodyLine
from ..checkpoint import FUTURE_MS_MAX, Cosignature
from ..dsse import Envelope, verify_envelope
from ..errors import VerificationError
from ..status import KeyStatus, StatusList
from ..trust import Trust, TrustedKey
from .findings import Notes


@dataclass(frozen=True, slots=True)
class Standing:
    """The keys that may sign receipts and evidence, by key id, and what is listed about them."""

    keys: Mapping[str, tuple[Role, TrustedKey]]
    listed: Mapping[str, KeyStatus]

    def find(self, key_id: str) -> tuple[Role, TrustedKey]:
        """Return role and entry of a key; raises `VerificationError` (`signer_unknown`)."""
        if key_id not in self.keys:
            message = "the signer is neither a runner nor a gateway of the trust file"
            raise VerificationError(message, reason="signer_unknown", actual=key_id)
        return self.keys[key_id]

    def verify_time(self, key_id: str, at_ms: int, index: int) -> None:
        """Check that what the key signed at *at_ms*, in the log at *index*, counts.

        Raises `VerificationError`: `signer_expired`, `signer_retired`, `signer_compromised`.
        """
        _, key = self.find(key_id)
        if at_ms < key.from_ms or (key.until_ms is not None and at_ms >= key.until_ms):
            raise VerificationError(
                "the signer's key was not valid at that time",
                reason="signer_expired",
                expected=f"from {key.from_ms} to before {key.until_ms}",
                actual=at_ms,
            )
        status = self.listed.get(key_id)
        if status is not None and index >= status.since_index:
            raise VerificationError(
                f"the signer's key is {status.status} since leaf {status.since_index}; the order of the log decides,"
                " not the time that is claimed",
                reason=f"signer_{status.status}",
                expected=f"a leaf below {status.since_index}",
                actual=index,
            )


def make_standing(trust: Trust, status: StatusList) -> Standing:
    """Return the standing of all keys of *trust* under *status*."""
    keys: dict[str, tuple[Role, TrustedKey]] = {key.key_id: ("runner", key) for key in trust.runners}
    keys |= {key.key_id: ("gateway", key) for key in trust.gateways}
    return Standing(keys, {key.key_id: key for key in status.keys})


def verify_signer(standing: Standing, envelope: Envelope) -> tuple[Role, TrustedKey]:
    """Return role and entry of the key that signed *envelope*.

    Raises `VerificationError`: `signer_unknown`, `signature_invalid`.
    """
    role, key = standing.find(envelope.signature.key_id)
    verify_envelope(envelope, key.public_key)
    return role, key


def check_status(notes: Notes, bundle: Bundle, now_ms: int) -> StatusList:
    """Return the status list, which the newest leaf about keys or models must carry the digest of.

    Raises `VerificationError`: `status_unbound`, `status_future`, and `signer_compromised` for the bundle's own signer.
    """
    parts = bundle.parts
    binding = [line for line in parts.bodies if isinstance(line.body, KeyEvent | ModelStatus)]
    if not binding:
        message = "no leaf about keys or models is in the bundle, so nobody vouches for the status list"
        raise VerificationError(message, reason="status_unbound")
    newest, digest = binding[-1], parts.status.digest()
    stated = newest.body.status_list if isinstance(newest.body, KeyEvent | ModelStatus) else ""
    if stated != digest:
        raise VerificationError(
            f"leaf {newest.index} says that another status list is in force",
            reason="status_unbound",
            expected=stated,
            actual=digest,
        )
    if parts.status.at_ms > now_ms + FUTURE_MS_MAX:
        message = "the status list is dated in the future, so its age says nothing"
        raise VerificationError(message, reason="status_future", expected=f"until {now_ms}", actual=parts.status.at_ms)
    if any(key.key_id == bundle.manifest.signer and key.status == "compromised" for key in parts.status.keys):
        message = "the gateway's key that signed the bundle is listed as compromised: anybody may have made it"
        raise VerificationError(message, reason="signer_compromised", actual=bundle.manifest.signer)
    _verify_agreement(binding, parts.status)
    keys, models = len(parts.status.keys), len(parts.status.models)
    notes.detail = (
        f"{keys} keys and {models} models are listed as not simply in force, by the log's leaf {newest.index}"
    )
    return parts.status


def _verify_agreement(binding: Sequence[BodyLine], status: StatusList) -> None:
    """Check that *status* leaves out nothing that the log itself says; raises `VerificationError` (`status_unbound`).

    A key that ended stays so, whichever of its leaves is shown. A model's standing can change again, so there only the
    newest leaf is held against the list.
    """
    listed = {key.key_id: key for key in status.keys}
    for line in binding:
        if isinstance(line.body, KeyEvent) and not _agrees(line.body, listed.get(line.body.key_id)):
            raise _contradicted(line.index, f"the key {line.body.key_id} is {line.body.event}")
    newest = binding[-1]
    if isinstance(newest.body, ModelStatus) and newest.body.model_version is not None:
        standings = {model.model_version: model.status for model in status.models}
        if standings.get(newest.body.model_version, "active") != newest.body.status:
            raise _contradicted(newest.index, f"the model {newest.body.model_version} is {newest.body.status}")


def _agrees(event: KeyEvent, listed: KeyStatus | None) -> bool:
    """Say whether a key's entry in the list is no milder than *event*."""
    if event.event == "added":
        return True
    if listed is None or (event.event == "compromised" and listed.status != "compromised"):
        return False
    return event.since_index is None or listed.since_index <= event.since_index


def _contradicted(index: int, said: str) -> VerificationError:
    message = f"leaf {index} says that {said}, and the status list does not"
    return VerificationError(message, reason="status_unbound")


def check_freshness(
    notes: Notes,
    status: StatusList,
    witnesses: tuple[Cosignature, ...],
    trust: Trust,
    now_ms: int,
    max_age_ms: int | None,
) -> None:
    """Note a failure where the status list, or the newest cosignature that is asked for, is too old."""
    if max_age_ms is None:
        notes.leave_uncovered("no --max-age was asked for; what was revoked after the time below is not known here")
        return
    ages = {"the status list": status.at_ms}
    if trust.witness_threshold and not witnesses:
        notes.fail("stale", "the newest cosignature", "there is none, so nobody else says when this was seen")
    elif trust.witness_threshold:
        ages["the newest cosignature"] = max(one.time_s * 1000 for one in witnesses)
    for subject, at_ms in ages.items():
        if at_ms < now_ms - max_age_ms:
            notes.fail(
                "stale", subject, f"it is {(now_ms - at_ms) // 1000:,} s old, more than {max_age_ms // 1000:,} s"
            )
    notes.detail = f"asked for at most {max_age_ms // 1000:,} s"
