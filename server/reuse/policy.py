"""What a tenant allows to be reused, as a value: checked when it is made, with one JSON form and one digest.

The reference of every field, its range and its default is docs/reference/policy.md. Evolution rule: fields are only
added, with a default that means what the house did before; a policy stored without a field reads as that default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, get_args

from crypto.canonical import CanonicalValue, JsonValue, canonical_json, digest_fields
from crypto.errors import Error
from server.reuse.guards import HARD_GUARDS, OPTIONAL_GUARDS

Mode = Literal["off", "exact", "shadow", "static"]
Eviction = Literal["lru", "lfu", "cost"]
Restraint = Literal["exact_only", "allow"]
Sharing = Literal["off", "pooled", "noised"]
PoolClock = Literal["fast", "quantised", "sampled_miss"]

POLICY_DOMAIN: Final = "hitproof/policy/v1"
#: Below this cosine most candidates are wrong on every set that was measured, so no operator may go there.
THRESHOLD_FLOOR_TEN_THOUSANDTHS: Final = 7_460
#: The default of a static policy; a lower one is allowed and is the operator's own risk.
THRESHOLD_DEFAULT_TEN_THOUSANDTHS: Final = 9_500
DAY_S: Final = 86_400
#: The profile that has no system prompt and no parameters; it always exists.
PLAIN_PROFILE: Final = "plain"
#: Per entry, in thousandths. Above it a dictionary finds most questions again, so that it is called obfuscation.
NOISED_EPSILON_MILLI_CAP: Final = 8_000
NAMES_MAX: Final = 16
PROFILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
#: A tag as requests write it.
TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")


class PolicyError(Error):
    """A policy that may not be; *field* is its name, and the message says what would be allowed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"policy field {field!r}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True)
class ReusePolicy:
    """What may be answered from stored work, and how long work is stored; making one checks it.

    Raises `PolicyError` naming the field and what it may be.
    """

    mode: Mode = "static"
    threshold_ten_thousandths: int = THRESHOLD_DEFAULT_TEN_THOUSANDTHS
    guards: tuple[str, ...] = HARD_GUARDS
    other_languages: Restraint = "exact_only"
    time_sensitive: Restraint = "exact_only"
    query_characters_max: int = 2_000
    temperature_max: str = "1"
    ttl_s: int = 30 * DAY_S
    ttl_s_max: int = 365 * DAY_S
    entries_max: int = 100_000
    bytes_max: int = 1 << 30
    eviction: Eviction = "lru"
    lookup_retention_s: int = 30 * DAY_S
    audit_share_ten_thousandths: int = 0
    pool_read: bool = False
    pool_clock: PoolClock = "quantised"
    pool_profiles: tuple[str, ...] = (PLAIN_PROFILE,)
    sharing: Sharing = "off"
    noised_epsilon_milli: int = NOISED_EPSILON_MILLI_CAP
    noised_allow_weak: bool = False
    share_tags: tuple[str, ...] = ()
    share_by_default: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            _CHECKS[field.name](field.name, getattr(self, field.name))
        if self.ttl_s > self.ttl_s_max:
            raise PolicyError("ttl_s", f"is {self.ttl_s}, above ttl_s_max ({self.ttl_s_max}); lower it or raise that")
        if self.is_obfuscation and not self.noised_allow_weak:
            raise PolicyError(
                "noised_epsilon_milli",
                f"is {self.noised_epsilon_milli}, above {NOISED_EPSILON_MILLI_CAP}: that is obfuscation and needs "
                "noised_allow_weak",
            )

    @property
    def is_obfuscation(self) -> bool:
        """Whether the noise on a labelled entry is too little to be called privacy."""
        return self.noised_epsilon_milli > NOISED_EPSILON_MILLI_CAP

    @property
    def certified(self) -> bool:
        """Whether the threshold was derived from the tenant's own labels with a bound: never so for a static one."""
        return False

    def to_json(self) -> dict[str, CanonicalValue]:
        """Return the stored form: every field, in canonical types."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, value: JsonValue) -> ReusePolicy:
        """Read the stored form, or a part of it, the rest being default; unknown fields are refused."""
        if not isinstance(value, Mapping):
            raise PolicyError("(policy)", "must be a JSON object")
        known = {field.name for field in fields(cls)}
        for name in value:
            if name not in known:
                raise PolicyError(name[:64], f"does not exist; the fields are {', '.join(sorted(known))}")
        # A list is a tuple here, and a tuple where none belongs is refused like any other wrong value.
        changed: dict[str, Any] = {
            name: tuple(given) if isinstance(given, list) else given for name, given in value.items()
        }
        return cls(**changed)


def policy_digest(policy: ReusePolicy) -> str:
    """Return `sha256:…` over the policy's canonical JSON: equal exactly when the policies are."""
    return f"sha256:{digest_fields(POLICY_DOMAIN, canonical_json(policy.to_json())).hex()}"


def _integer(lowest: int, highest: int, meaning: str = "") -> Callable[[str, object], None]:
    def check(name: str, value: object) -> None:
        if type(value) is not int or not lowest <= value <= highest:
            raise PolicyError(name, f"must be a whole number from {lowest} to {highest}{meaning}")

    return check


def _one_of(*allowed: str) -> Callable[[str, object], None]:
    def check(name: str, value: object) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise PolicyError(name, f"must be one of {', '.join(allowed)}")

    return check


def _check_flag(name: str, value: object) -> None:
    if type(value) is not bool:
        raise PolicyError(name, "must be true or false")


def _check_guards(name: str, value: object) -> None:
    allowed = (*HARD_GUARDS, *OPTIONAL_GUARDS)
    if not isinstance(value, tuple) or not all(isinstance(guard, str) and guard in allowed for guard in value):
        raise PolicyError(name, f"must be a list of names out of {', '.join(allowed)}")
    if len(set(value)) != len(value):
        raise PolicyError(name, "names a guard twice")


def _names(form: re.Pattern[str], meaning: str) -> Callable[[str, object], None]:
    def check(name: str, value: object) -> None:
        if not isinstance(value, tuple) or not all(isinstance(item, str) and form.fullmatch(item) for item in value):
            raise PolicyError(name, f"must be a list of {meaning}")
        if len(value) > NAMES_MAX or len(set(value)) != len(value):
            raise PolicyError(name, f"must have at most {NAMES_MAX} names, and none twice")

    return check


def _check_temperature(name: str, value: object) -> None:
    try:
        number = Decimal(value) if isinstance(value, str) and len(value) <= 16 else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 0 <= number <= 2:
        raise PolicyError(name, 'must be a decimal written as a string, from "0" to "2", such as "0.7"')


_CHECKS: Final[Mapping[str, Callable[[str, object], None]]] = {
    "mode": _one_of(*get_args(Mode)),
    "threshold_ten_thousandths": _integer(
        THRESHOLD_FLOOR_TEN_THOUSANDTHS, 10_000, ", a cosine in ten-thousandths (9500 is .95)"
    ),
    "guards": _check_guards,
    "other_languages": _one_of(*get_args(Restraint)),
    "time_sensitive": _one_of(*get_args(Restraint)),
    "query_characters_max": _integer(1, 8_000, " characters"),
    "temperature_max": _check_temperature,
    "ttl_s": _integer(1, 3_650 * DAY_S, " seconds"),
    "ttl_s_max": _integer(1, 3_650 * DAY_S, " seconds"),
    "entries_max": _integer(0, 100_000_000, " entries"),
    "bytes_max": _integer(0, 1 << 50, " bytes"),
    "eviction": _one_of(*get_args(Eviction)),
    "lookup_retention_s": _integer(0, 3_650 * DAY_S, " seconds"),
    "audit_share_ten_thousandths": _integer(0, 10_000, ", the share of would-be hits in ten-thousandths"),
    "pool_read": _check_flag,
    "pool_clock": _one_of(*get_args(PoolClock)),
    "pool_profiles": _names(PROFILE_NAME, "names of the pool's profiles"),
    "sharing": _one_of(*get_args(Sharing)),
    "noised_epsilon_milli": _integer(1, 1_000_000, ", ε of one labelled entry in thousandths"),
    "noised_allow_weak": _check_flag,
    "share_tags": _names(TAG, "tags"),
    "share_by_default": _check_flag,
}

DEFAULT_POLICY: Final = ReusePolicy()
