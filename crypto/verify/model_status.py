"""Was a model withdrawn? Its receipts are authentic all the same, so this has an exit code of its own."""

from __future__ import annotations

from collections.abc import Sequence

from ..status import StatusList
from .findings import Notes
from .readings import ReadReceipt


def check_model_status(notes: Notes, receipts: Sequence[ReadReceipt], status: StatusList) -> None:
    """Note a failure for every receipt of a revoked model version, and say which versions are superseded."""
    standings = {model.model_version: model.status for model in status.models}
    superseded = 0
    for receipt in receipts:
        version = receipt.statement.model_version
        if standings.get(version) == "revoked":
            detail = f"the model version {version} was revoked; the receipt is authentic, its model is withdrawn"
            notes.fail("model_revoked", receipt.subject, detail)
        superseded += standings.get(version) == "superseded"
    notes.detail = "no receipt is of a revoked model" if not notes.failed else "a model was revoked"
    notes.detail += f"; {superseded:,} are of superseded ones, which stay good" if superseded else ""
