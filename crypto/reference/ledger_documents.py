"""Reads the two documents of the ledger: what an organisation spends, and what became public to the pool at once."""

from __future__ import annotations

from dataclasses import dataclass

from . import json_text, shape
from .errors import NotInForm
from .hashing import HASH_BYTES, digest, digest_text
from .json_text import Json

UNITS = ("question", "organisation", "entry")
CHARGES_MAX = 8
#: Lowest and highest value of every number that a charge may have.
NUMBERS: dict[str, tuple[int, int]] = {
    "count": (1, 10_000),
    "epsilon_micro": (1, 10**9),
    "keys_max": (1, 1_000),
    "multiplier_squared_micro": (1, 10**12),
    "threshold": (2, 10_000),
}
MECHANISMS: dict[str, tuple[str, ...]] = {
    "laplace_selection": ("epsilon_micro", "keys_max", "threshold"),
    "gaussian_selection": ("keys_max", "multiplier_squared_micro", "threshold"),
    "gaussian_sum": ("keys_max", "multiplier_squared_micro"),
    "gaussian_embedding": ("count", "multiplier_squared_micro"),
}


@dataclass(frozen=True, slots=True)
class Amount:
    """Privacy in whole numbers: ε in millionths, ρ in thousand-millionths, δ in parts of 10^18."""

    epsilon_micro: int
    rho_nano: int
    delta_atto: int

    def plus(self, other: Amount) -> Amount:
        """Both together."""
        return Amount(
            self.epsilon_micro + other.epsilon_micro,
            self.rho_nano + other.rho_nano,
            self.delta_atto + other.delta_atto,
        )

    def fits(self, budget: Amount) -> bool:
        """Whether no part of it is above that of *budget*."""
        return (
            self.epsilon_micro <= budget.epsilon_micro
            and self.rho_nano <= budget.rho_nano
            and self.delta_atto <= budget.delta_atto
        )


@dataclass(frozen=True, slots=True)
class Charge:
    """A mechanism that will run, and its numbers in the order of MECHANISMS."""

    mechanism: str
    numbers: tuple[int, ...]

    @property
    def keys_max(self) -> int:
        """How many keys it is over, for a mechanism that says so."""
        return self.numbers[MECHANISMS[self.mechanism].index("keys_max")]


@dataclass(frozen=True, slots=True)
class Period:
    """The time over which a budget holds, from one moment until before another."""

    number: int
    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Spending:
    """What one organisation spends on one release."""

    digest: str
    at_ms: int
    budget: Amount
    charges: tuple[Charge, ...]
    stated: Amount
    number: int
    organisation: str
    period: Period
    previous: str | None
    release: int
    unit: str


@dataclass(frozen=True, slots=True)
class Release:
    """What became public to the pool at once, as far as something else must agree with it."""

    digest: str
    at_ms: int
    epoch: int
    #: Size and root of the tree of what was released.
    items: tuple[int, bytes]
    #: Size and root of the tree of all organisations' heads.
    ledger: tuple[int, bytes]
    number: int
    previous: str | None
    state: str
    unit: str
    vector_source: str


def read_spending(value: Json) -> Spending:
    """A spending; raises NotInForm."""
    found = shape.closed(
        value, "schema", "at_ms", "budget", "charges", "delta_atto", "epsilon_micro", "number", "organisation",
        "period", "previous", "release", "rho_nano", "unit",
    )  # fmt: skip
    shape.one_of(found["schema"], "hitproof/spending/v1")
    charges = shape.items(found["charges"], CHARGES_MAX)
    if not charges:
        raise NotInForm("a spending without a charge")
    shape.check_ascending([json_text.write(charge) for charge in charges])
    at_ms = shape.integer(found["at_ms"])
    period = _period(found["period"])
    if period.from_ms > at_ms:
        raise NotInForm("a period that has not begun is charged")
    number, previous = _chained(found)
    return Spending(
        digest=digest_text(digest("hitproof/spending/v1", json_text.write(value))),
        at_ms=at_ms,
        budget=_amount(shape.closed(found["budget"], "delta_atto", "epsilon_micro", "rho_nano")),
        charges=tuple(_charge(charge) for charge in charges),
        stated=_amount(found),
        number=number,
        organisation=shape.unhex(found["organisation"], 16).hex(),
        period=period,
        previous=previous,
        release=shape.integer(found["release"], 1),
        unit=shape.one_of(found["unit"], *UNITS),
    )


def read_release(value: Json) -> Release:
    """A release; raises NotInForm."""
    found = shape.closed(
        value, "schema", "at_ms", "epoch", "items", "ledger", "mode", "number", "organisations", "previous", "state",
        "unit", "vector_source",
    )  # fmt: skip
    shape.one_of(found["schema"], "hitproof/release/v1")
    shape.integer(found["organisations"])
    is_noised = shape.one_of(found["mode"], "pooled", "noised") == "noised"
    unit = shape.one_of(found["unit"], *UNITS)
    source = shape.one_of(found["vector_source"], "released_text", "dp_mean", "noised")
    if (unit == "entry") != is_noised or (source == "noised") != is_noised:
        raise NotInForm("entries and noised vectors belong to the mode of noise")
    state = shape.one_of(found["state"], "released", "void")
    items = _tree(found["items"])
    if state == "void" and items[0]:
        raise NotInForm("a void release has no items")
    number, previous = _chained(found)
    return Release(
        digest=digest_text(digest("hitproof/release/v1", json_text.write(value))),
        at_ms=shape.integer(found["at_ms"]),
        epoch=shape.integer(found["epoch"]),
        items=items,
        ledger=_tree(found["ledger"]),
        number=number,
        previous=previous,
        state=state,
        unit=unit,
        vector_source=source,
    )


def _chained(found: dict[str, Json]) -> tuple[int, str | None]:
    """The number and what stands before it, which only the first lacks."""
    number = shape.integer(found["number"], 1)
    previous = shape.optional(found["previous"], lambda before: digest_text(shape.undigest(before)))
    if (previous is None) != (number == 1):
        raise NotInForm("exactly the first has nothing before it")
    return number, previous


def _amount(found: dict[str, Json]) -> Amount:
    return Amount(
        shape.integer(found["epsilon_micro"]), shape.integer(found["rho_nano"]), shape.integer(found["delta_atto"])
    )


def _period(value: Json) -> Period:
    found = shape.closed(value, "from_ms", "number", "until_ms")
    period = Period(
        shape.integer(found["number"]), shape.integer(found["from_ms"]), shape.integer(found["until_ms"])
    )  # fmt: skip
    if period.from_ms >= period.until_ms:
        raise NotInForm("a period ends before it begins")
    return period


def _charge(value: Json) -> Charge:
    mechanism = value.get("mechanism") if isinstance(value, dict) else None
    name = shape.one_of(mechanism, *MECHANISMS)
    found = shape.closed(value, "mechanism", *MECHANISMS[name])
    return Charge(name, tuple(shape.integer(found[key], *NUMBERS[key]) for key in MECHANISMS[name]))


def _tree(value: Json) -> tuple[int, bytes]:
    found = shape.closed(value, "count", "root")
    return shape.integer(found["count"]), shape.unhex(found["root"], HASH_BYTES)
