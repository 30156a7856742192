"""The lines of a bundle that tell what one organisation spent: spendings, and the releases of the pool with its heads.

Reading raises `EncodingError` or `VerificationError`, as for every other line; what the lines say is added up again by
`crypto.ledger`. Format: docs/formats.md, "Bundle v1".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .bundle_lines import PATH_HASHES_MAX, JsonObject, read_hashes, read_index, write_hashes
from .canonical import JsonValue
from .charges import GaussianSelection, LaplaceSelection
from .closed import read_object
from .errors import EncodingError
from .release import Release, parse_release
from .spending import Spending, read_stated

#: Different ones of a whole ledger: each takes milliseconds to work out, and a house has as many as it had settings.
SELECTIONS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class HeadProof:
    """Where the head of one organisation's ledger stands among all heads of a release, and its inclusion path."""

    position: int
    path: tuple[bytes, ...]

    def to_json(self) -> JsonObject:
        """Return the object that stands in a line."""
        return {"path": write_hashes(self.path), "position": self.position}

    @classmethod
    def read(cls, value: JsonValue) -> HeadProof:
        """Read the object that stands in a line."""
        found = read_object(value, "the line's head", frozenset({"path", "position"}))
        path = read_hashes(found["path"], "the path of the line's head", PATH_HASHES_MAX)
        return cls(read_index(found["position"]), path)


@dataclass(frozen=True, slots=True)
class SpendingLine:
    """A spending and the index of the leaf that stands for it."""

    index: int
    document: Spending

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"document": self.document.to_json(), "index": self.index}

    @classmethod
    def read(cls, value: JsonValue) -> SpendingLine:
        """Read the line's object; what the spending costs is worked out by nobody yet."""
        found = read_object(value, "the line", frozenset({"document", "index"}))
        return cls(read_index(found["index"]), read_stated(found["document"]))

    def settled(self) -> SpendingLine:
        """Return the line without sums where they are right, as whoever spends writes it."""
        return SpendingLine(self.index, self.document.settled())


def refuse_many_selections(lines: Sequence[SpendingLine]) -> None:
    """Raise `EncodingError` for more than `SELECTIONS_MAX` different charges that have a threshold."""
    charges = {charge for line in lines for charge in line.document.charges}
    if sum(isinstance(charge, LaplaceSelection | GaussianSelection) for charge in charges) > SELECTIONS_MAX:
        raise EncodingError(f"the ledger names more than {SELECTIONS_MAX} different selections")


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """A release, the index of its leaf, and where the organisation's ledger stood then, if it had begun."""

    index: int
    document: Release
    head: HeadProof | None = None

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        head = None if self.head is None else self.head.to_json()
        return {"document": self.document.to_json(), "head": head, "index": self.index}

    @classmethod
    def read(cls, value: JsonValue) -> ReleaseLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"document", "head", "index"}))
        head = None if found["head"] is None else HeadProof.read(found["head"])
        return cls(read_index(found["index"]), parse_release(found["document"]), head)
