"""Charges: the noise that will run on what one organisation gave, and what that costs of its budget.

Each mechanism has one charge, and a charge has one cost, so that whoever reads the charges can add them up again. What the
mechanisms are and why they cost this: docs/formats.md, "Spending v1", and docs/privacy.md.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias

from .canonical import INTEGER_MAX, JsonValue
from .closed import Reader, encode_closed, one_of, read_integer, read_record, write_record
from .errors import EncodingError
from .privacy_arithmetic import THRESHOLD_MAX, gaussian_tail_atto, laplace_tail_atto, zcdp_rho_nano

KEYS_MAX: Final = 1_000
COUNT_MAX: Final = 10_000
EPSILON_MICRO_MAX: Final = 10**9
MULTIPLIER_SQUARED_MICRO_MAX: Final = 10**12

_COSTS_CACHED_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class Cost:
    """What was or may be spent: pure ε in 10^-6, ρ of zCDP in 10^-9, δ of thresholds in 10^-18."""

    epsilon_micro: int = 0
    rho_nano: int = 0
    delta_atto: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Return both together: each of the three composes by its sum."""
        return Cost(
            self.epsilon_micro + other.epsilon_micro,
            self.rho_nano + other.rho_nano,
            self.delta_atto + other.delta_atto,
        )

    def is_within(self, budget: Cost) -> bool:
        """Say whether each of the three is at most the budget's."""
        return (
            self.epsilon_micro <= budget.epsilon_micro
            and self.rho_nano <= budget.rho_nano
            and self.delta_atto <= budget.delta_atto
        )


#: What an organisation may spend in one period: the same three numbers.
Budget: TypeAlias = Cost


class _Charge(ABC):
    """What all charges share: the mechanism's name, how they are written, and a cost that is worked out once."""

    __slots__ = ()
    MECHANISM: ClassVar[str]
    READERS: ClassVar[Mapping[str, Reader]]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the charge as it stands in a spending; raises `EncodingError` for numbers out of bounds."""
        value = write_record(self) | {"mechanism": self.MECHANISM}
        _read(type(self), value)
        return value

    def cost(self) -> Cost:
        """Return what it spends; the same charge is computed once."""
        return _cost(self)

    @abstractmethod
    def compute_cost(self) -> Cost:
        """Work out what it spends."""


_EPSILON: Final = partial(read_integer, least=1, most=EPSILON_MICRO_MAX)
_KEYS: Final = partial(read_integer, least=1, most=KEYS_MAX)
_COUNT: Final = partial(read_integer, least=1, most=COUNT_MAX)
_MULTIPLIER: Final = partial(read_integer, least=1, most=MULTIPLIER_SQUARED_MICRO_MAX)
_THRESHOLD: Final = partial(read_integer, least=2, most=THRESHOLD_MAX)


@dataclass(frozen=True, slots=True)
class LaplaceSelection(_Charge):
    """Counts of up to *keys_max* keys plus discrete Laplace noise, P(x) ∝ e^(−ε·|x|), released from *threshold* on."""

    MECHANISM = "laplace_selection"
    READERS: ClassVar[Mapping[str, Reader]] = {
        "epsilon_micro": _EPSILON,
        "keys_max": _KEYS,
        "threshold": _THRESHOLD,
    }
    epsilon_micro: int
    keys_max: int
    threshold: int

    def compute_cost(self) -> Cost:
        """Return ε per key, and the chance that a key of this organisation alone comes out, per key."""
        delta_atto = laplace_tail_atto(self.epsilon_micro, self.threshold, self.keys_max)
        return Cost(epsilon_micro=self.keys_max * self.epsilon_micro, delta_atto=delta_atto)


@dataclass(frozen=True, slots=True)
class GaussianSelection(_Charge):
    """Counts of up to C keys plus discrete Gaussian noise of σ² = C · m, released from *threshold* on."""

    MECHANISM = "gaussian_selection"
    READERS: ClassVar[Mapping[str, Reader]] = {
        "keys_max": _KEYS,
        "multiplier_squared_micro": _MULTIPLIER,
        "threshold": _THRESHOLD,
    }
    keys_max: int
    multiplier_squared_micro: int
    threshold: int

    @property
    def sigma_squared(self) -> Fraction:
        """The variance parameter of the noise on each count."""
        return Fraction(self.keys_max * self.multiplier_squared_micro, 10**6)

    def compute_cost(self) -> Cost:
        """Return 1/(2m) for a sensitivity of √C, and the chance that a key of this organisation alone comes out."""
        delta_atto = gaussian_tail_atto(self.sigma_squared, self.threshold, self.keys_max)
        return Cost(rho_nano=zcdp_rho_nano(self.multiplier_squared_micro), delta_atto=delta_atto)


@dataclass(frozen=True, slots=True)
class GaussianSum(_Charge):
    """Sums of quantised vectors, up to C of them, plus discrete Gaussian noise of σ² = 510² · m per component."""

    MECHANISM = "gaussian_sum"
    READERS: ClassVar[Mapping[str, Reader]] = {"keys_max": _KEYS, "multiplier_squared_micro": _MULTIPLIER}
    keys_max: int
    multiplier_squared_micro: int

    def compute_cost(self) -> Cost:
        """Return 1/(2m) for each of the keys."""
        return Cost(rho_nano=zcdp_rho_nano(self.multiplier_squared_micro, self.keys_max))


@dataclass(frozen=True, slots=True)
class GaussianEmbedding(_Charge):
    """*count* quantised vectors plus discrete Gaussian noise of σ² = 1020² · m per component."""

    MECHANISM = "gaussian_embedding"
    READERS: ClassVar[Mapping[str, Reader]] = {"count": _COUNT, "multiplier_squared_micro": _MULTIPLIER}
    count: int
    multiplier_squared_micro: int

    def compute_cost(self) -> Cost:
        """Return 1/(2m) for each of the vectors."""
        return Cost(rho_nano=zcdp_rho_nano(self.multiplier_squared_micro, self.count))


Charge: TypeAlias = LaplaceSelection | GaussianSelection | GaussianSum | GaussianEmbedding

_TYPES: Final[tuple[type[Charge], ...]] = (LaplaceSelection, GaussianSelection, GaussianSum, GaussianEmbedding)
_BY_MECHANISM: Final[Mapping[str, type[Charge]]] = {charge.MECHANISM: charge for charge in _TYPES}


def read_charge(value: JsonValue, where: str = "a charge") -> Charge:
    """Return the charge that *value* states; raises `EncodingError` for an unknown mechanism or numbers out of bounds."""
    mechanism = value.get("mechanism") if isinstance(value, dict) else None
    if not isinstance(mechanism, str) or mechanism not in _BY_MECHANISM:
        raise EncodingError(f"{where} names no mechanism that is known")
    charge: Charge = _read(_BY_MECHANISM[mechanism], value)
    return charge


def sorted_charges(charges: Iterable[Charge]) -> tuple[Charge, ...]:
    """Return *charges* in the order in which a spending states them."""
    return tuple(sorted(charges, key=charge_key))


def charge_key(charge: Charge) -> bytes:
    """Return what charges are sorted by: their canonical JSON."""
    return encode_closed(charge.to_json())


def total_cost(charges: Iterable[Charge]) -> Cost:
    """Return what *charges* spend together."""
    return sum((charge.cost() for charge in charges), Cost())


def read_cost(value: JsonValue, where: str) -> Cost:
    """Return the three numbers that *value* states; raises `EncodingError`."""
    return Cost(**read_record(value, where, _COST))


@functools.lru_cache(maxsize=_COSTS_CACHED_MAX)
def _cost(charge: _Charge) -> Cost:
    return charge.compute_cost()


def _read(charge_type: type[_Charge], value: JsonValue) -> Any:
    readers = {**charge_type.READERS, "mechanism": one_of(charge_type.MECHANISM)}
    found = read_record(value, "a charge", readers)
    del found["mechanism"]
    return charge_type(**found)


_COST: Final[Mapping[str, Reader]] = {
    name: partial(read_integer, least=0, most=INTEGER_MAX) for name in ("delta_atto", "epsilon_micro", "rho_nano")
}
