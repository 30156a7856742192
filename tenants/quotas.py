"""How much a tenant may store and ask; stored as canonical JSON, format `hitproof/quota/v1`.

Evolution rule: fields are only appended, and one that a document lacks has its default; a name that this release does
not know is refused, because a limit that is silently ignored is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Final

from crypto.canonical import INTEGER_MAX, JsonValue
from tenants.errors import QuotaError

#: Smallest value of each field. Nothing may be stored (0), but a rate of nothing is a suspended tenant, not a quota.
_LEAST: Final[Mapping[str, int]] = MappingProxyType({"entries_max": 0, "bytes_max": 0})


@dataclass(frozen=True, slots=True)
class Quota:
    """One tenant's limits; a value out of range raises `QuotaError` that names its field."""

    entries_max: int = 100_000
    """Stored entries."""
    bytes_max: int = 1 << 30
    """Sealed bytes of all entries."""
    requests_per_minute: int = 6_000
    """Requests to every `/v1` endpoint together; hits count too, or probing would be free."""
    tokens_per_minute: int = 1_000_000
    """Prompt and output tokens computed upstream."""
    concurrent_requests_max: int = 32
    """Requests in progress in the tenant."""
    concurrent_requests_per_key_max: int = 16
    """Requests in progress under one key."""
    audit_requests_per_minute: int = 600
    """Requests to the receipt, proof and export endpoints."""

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            least = _LEAST.get(part.name, 1)
            # bool is an int to Python and a mistake here.
            if not isinstance(value, int) or isinstance(value, bool):
                raise QuotaError(part.name, f"{part.name} must be a whole number, not {type(value).__name__}")
            if not least <= value <= INTEGER_MAX:
                raise QuotaError(part.name, f"{part.name} must lie between {least} and 2^53 - 1, not at {value}")

    def to_json(self) -> dict[str, int]:
        """Return every field by its name."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: JsonValue) -> Quota:
        """Read what `to_json` wrote; raises `QuotaError` with the field's name. A missing field has its default."""
        if not isinstance(value, dict):
            raise QuotaError(None, "a quota must be an object of whole numbers")
        names = [part.name for part in fields(cls)]
        unknown = sorted(set(value) - set(names))
        if unknown:
            raise QuotaError(unknown[0], f"{unknown[0][:64]!r} is not a quota; the names are {', '.join(names)}")
        return cls(**value)  # type: ignore[arg-type]  # types are checked by __post_init__, by name
