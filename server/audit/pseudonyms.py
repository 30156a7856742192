"""The pseudonym keys that a bundle opens: those of its own tenant, for the epochs that stand in it."""

from __future__ import annotations

from collections.abc import Iterable

from crypto.bundle_manifest import PseudonymKey
from crypto.pseudonym import epoch_of, pseudonym_key


def open_pseudonyms(tenant_key: bytes, times_ms: Iterable[int]) -> tuple[PseudonymKey, ...]:
    """Return the key of every epoch that one of *times_ms* lies in, by epoch."""
    epochs = sorted({epoch_of(at_ms) for at_ms in times_ms})
    return tuple(PseudonymKey(epoch, pseudonym_key(tenant_key, epoch)) for epoch in epochs)
