"""Figures that were measured and are shipped with the product: what a dictionary of questions finds out of noised vectors.

The file `measured.json` beside this module, where there is one, is `{"measured_by": command, "reidentification": [rows]}`;
a row has `epsilon_milli` (of one entry), `dictionary` (its number of questions), `reidentified` (the share of victims
whose exact question was the attacker's first guess) and `found` (the share of honest paraphrases that find the entry
first). A release without the file has no such figures, and whoever asks is told so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .errors import PrivacyError

FILE: Final = Path(__file__).parent / "measured.json"
_BYTES_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Reidentification:
    """At this ε of one entry: how often a dictionary names the hidden question, and how often an honest one finds it."""

    epsilon_milli: int
    dictionary: int
    reidentified: float
    found: float


def load_reidentification(file: Path = FILE) -> tuple[Reidentification, ...]:
    """Return the measured rows by ε; none where nothing was measured. Raises `PrivacyError` for a file in another form."""
    if not file.exists():
        return ()
    try:
        text = file.read_bytes()[: _BYTES_MAX + 1]
        rows = [_row(row) for row in json.loads(text)["reidentification"]]
    except (ValueError, KeyError, TypeError) as error:
        raise PrivacyError(f"{file.name} does not hold measured figures: {error}") from None
    return tuple(sorted(rows, key=lambda row: (row.epsilon_milli, row.dictionary)))


def _row(value: dict[str, Any]) -> Reidentification:
    return Reidentification(
        epsilon_milli=int(value["epsilon_milli"]),
        dictionary=int(value["dictionary"]),
        reidentified=float(value["reidentified"]),
        found=float(value["found"]),
    )
