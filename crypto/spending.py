"""Spendings: what one organisation pays for one release, decided and logged before any noise is drawn.

    spending = Spending(at_ms, budget, charges, number, organisation, period, previous, release, "question")
    spending.cost                    what its charges cost, to be compared with the period's budget
    spending.digest()                what the leaf's body carries

Evolution: the keys are closed; another key, mechanism or meaning is another schema. Format: docs/formats.md, "Spending v1".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from .canonical import JsonValue, digest_fields
from .charges import (
    Budget,
    Charge,
    Cost,
    GaussianEmbedding,
    GaussianSelection,
    GaussianSum,
    LaplaceSelection,
    charge_key,
    read_charge,
    read_cost,
    sorted_charges,
    total_cost,
)
from .closed import (
    Reader,
    encode_closed,
    one_of,
    or_null,
    parse_closed,
    read_digest,
    read_integer,
    read_list,
    read_pseudonym,
    read_record,
    refuse_unsorted,
    refused_as,
    write_record,
)
from .errors import EncodingError, VerificationError

__all__ = [
    "Budget",
    "Charge",
    "Cost",
    "GaussianEmbedding",
    "GaussianSelection",
    "GaussianSum",
    "LaplaceSelection",
    "Period",
    "Spending",
    "Unit",
    "parse_spending",
    "sorted_charges",
    "total_cost",
]

#: Schema of a spending, and domain of its digest.
SCHEMA: Final = "hitproof/spending/v1"
SPENDING_BYTES_MAX: Final = 2**16
CHARGES_MAX: Final = 8

Unit: TypeAlias = Literal["question", "organisation", "entry"]
UNITS: Final[tuple[Unit, ...]] = ("question", "organisation", "entry")


@dataclass(frozen=True, slots=True)
class Period:
    """A budget period: its number, and the time from *from_ms* to before *until_ms* that it stands for."""

    number: int
    from_ms: int
    until_ms: int

    def at(self, number: int) -> Period:
        """Return the period called *number* of the calendar that this one is of: all are equally long, in a row."""
        length_ms = self.until_ms - self.from_ms
        from_ms = self.from_ms + (number - self.number) * length_ms
        return Period(number, from_ms, from_ms + length_ms)


@dataclass(frozen=True, slots=True)
class Spending:
    """What *organisation*, a pseudonym, spends on release number *release*; *stated*: sums that are not its charges'."""

    at_ms: int
    budget: Budget
    charges: tuple[Charge, ...]
    number: int
    organisation: str
    period: Period
    previous: str | None
    release: int
    unit: Unit
    stated: Cost | None = None

    @property
    def cost(self) -> Cost:
        """What the charges cost together, whatever is stated."""
        return total_cost(self.charges)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the spending as an object; raises `EncodingError` for what `parse_spending` would refuse."""
        stated = self.cost if self.stated is None else self.stated
        charges: list[JsonValue] = [charge.to_json() for charge in self.charges]
        value: dict[str, JsonValue] = {
            "at_ms": self.at_ms,
            "budget": write_record(self.budget),
            "charges": charges,
            "number": self.number,
            "organisation": self.organisation,
            "period": write_record(self.period),
            "previous": self.previous,
            "release": self.release,
            "schema": SCHEMA,
            "unit": self.unit,
            **write_record(stated),
        }
        _read(value)
        return value

    def to_payload(self) -> bytes:
        """Return the spending in canonical JSON; raises `EncodingError` for what `parse_spending` would refuse."""
        return encode_closed(self.to_json())

    def digest(self) -> str:
        """Return `sha256:…`, what the body of its leaf and the next spending carry."""
        return "sha256:" + digest_fields(SCHEMA, self.to_payload()).hex()

    def settled(self) -> Spending:
        """Return the spending without sums of its own where those that it states are right."""
        return replace(self, stated=None) if self.stated == self.cost else self

    def verify_arithmetic(self) -> None:
        """Compare what is stated with the charges; raises `VerificationError` (`spending_arithmetic`)."""
        if self.stated not in (None, self.cost):
            raise VerificationError(
                "the charges cost something else than the spending states",
                reason="spending_arithmetic",
                expected=self.cost,
                actual=self.stated,
            )


@refused_as("malformed")
def parse_spending(value: JsonValue | bytes) -> Spending:
    """Read a spending, from canonical JSON where *value* is bytes; sums that are wrong are kept as they are.

    Raises `VerificationError` (`malformed`).
    """
    return read_stated(parse_closed(value, SPENDING_BYTES_MAX, "the spending")).settled()


def read_stated(value: JsonValue) -> Spending:
    """Read a spending with the sums that it states, none of which is worked out; raises `EncodingError`."""
    return _read(value)


def _read(value: JsonValue) -> Spending:
    found = read_record(value, "the spending", _SPENDING)
    del found["schema"]
    stated = Cost(found.pop("epsilon_micro"), found.pop("rho_nano"), found.pop("delta_atto"))
    spending = Spending(stated=stated, **found)
    if (spending.previous is None) != (spending.number == 1):
        raise EncodingError("the spending names the one before it exactly unless it is number 1")
    if not spending.period.from_ms <= spending.at_ms:
        raise EncodingError("the spending is older than the period that it is charged to")
    return spending


def _read_charges(value: JsonValue, where: str) -> tuple[Charge, ...]:
    charges = tuple(read_charge(item) for item in read_list(value, where, CHARGES_MAX))
    if not charges:
        raise EncodingError(f"{where} are none")
    refuse_unsorted([charge_key(charge) for charge in charges], where)
    return charges


def _read_period(value: JsonValue, where: str) -> Any:
    period = Period(**read_record(value, where, _PERIOD))
    if not period.from_ms < period.until_ms:
        raise EncodingError(f"{where} ends before it begins")
    return period


_PERIOD: Final[Mapping[str, Reader]] = dict.fromkeys(("from_ms", "number", "until_ms"), read_integer)
_SPENDING: Final[Mapping[str, Reader]] = {
    "schema": one_of(SCHEMA),
    "at_ms": read_integer,
    "budget": read_cost,
    "charges": _read_charges,
    "delta_atto": read_integer,
    "epsilon_micro": read_integer,
    "number": partial(read_integer, least=1),
    "organisation": read_pseudonym,
    "period": _read_period,
    "previous": or_null(read_digest),
    "release": partial(read_integer, least=1),
    "rho_nano": read_integer,
    "unit": one_of(*UNITS),
}
