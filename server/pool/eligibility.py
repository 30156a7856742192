"""Which requests have to do with the pool at all: those that are a public profile's and nothing of the caller's own.

A profile is a public pair of system text and parameters under a name; `plain`, with neither, always exists. A request is
of a profile when its conversation is the profile's system text, if any, and one text message of a user, and all else that
could change the answer is exactly the profile's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from server.pool.errors import PoolError
from server.ports import JsonObject
from server.reuse.fingerprint import encode_value
from server.reuse.policy import ReusePolicy
from server.reuse.query import canonical_query
from server.reuse.request import ChatRequest, Steering, text_of
from server.store.pool_records import ProfileRecord

#: What a profile may set; whatever else could change an answer belongs to one caller, or is never matched by meaning.
PARAMETERS: Final = frozenset(
    {"temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "frequency_penalty", "presence_penalty"}
)
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
SYSTEM_CHARACTERS_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Profile:
    """A public *system* text, or none, and *parameters*, under a *name*."""

    name: str
    system: str | None
    parameters: JsonObject

    @property
    def context(self) -> list[JsonObject]:
        """The conversation before the question."""
        return [] if self.system is None else [{"role": "system", "content": self.system}]

    def request(self, model: str, text: str) -> ChatRequest:
        """Return the request for *text* under this profile, of the model alias *model*."""
        messages = [*self.context, {"role": "user", "content": text}]
        return ChatRequest({"model": model, "messages": messages, **self.parameters}, Steering())


PLAIN: Final = Profile("plain", None, {})


@dataclass(frozen=True, slots=True)
class Eligibility:
    """The pool's *models* (aliases) and *profiles* by name."""

    models: frozenset[str]
    profiles: Mapping[str, Profile] = field(default_factory=lambda: {PLAIN.name: PLAIN})

    def profile_of(self, request: ChatRequest, policy: ReusePolicy) -> Profile | None:
        """Return the profile that *request* is of, among those that *policy* names; None where it is not poolable."""
        return poolable(request, policy, self)


def poolable(request: ChatRequest, policy: ReusePolicy, eligibility: Eligibility) -> Profile | None:
    """Return the profile that *request* is of, among those that *policy* names; None where it is not poolable."""
    if request.model not in eligibility.models or not _is_plain_message(request.messages[-1], "user"):
        return None
    context, parameters = request.context, request.material_parameters
    if len(context) > 1 or (context and not _is_plain_message(context[0], "system")):
        return None
    system = None if not context else canonical_query(text_of(context[0]) or "")
    for name in policy.pool_profiles:
        profile = eligibility.profiles.get(name)
        if profile is not None and system == _canonical(profile.system) and _is_same(parameters, profile.parameters):
            return profile
    return None


def read_profiles(rows: Sequence[ProfileRecord]) -> dict[str, Profile]:
    """Return the stored profiles, and `plain`, by name."""
    found = {row.name: Profile(row.name, row.system, json.loads(row.parameters)) for row in rows}
    return found | {PLAIN.name: PLAIN}


def check_profile(profile: Profile) -> None:
    """Raise `PoolError` unless *profile* may be made: its name, its system text, and what its parameters may be."""
    if NAME.fullmatch(profile.name) is None or profile.name == PLAIN.name:
        raise PoolError(
            f"a profile's name is 1 to 40 lower-case letters, digits and dashes, and not {PLAIN.name!r}, which is there"
        )
    if profile.system is not None and not 0 < len(profile.system.strip()) <= SYSTEM_CHARACTERS_MAX:
        raise PoolError(f"a profile's system text has 1 to {SYSTEM_CHARACTERS_MAX} characters; leave it out for none")
    unknown = sorted(set(profile.parameters) - PARAMETERS)
    if unknown:
        raise PoolError(f"a profile cannot set {unknown[0]!r}; it may set {', '.join(sorted(PARAMETERS))}")
    if any(value is None for value in profile.parameters.values()):
        raise PoolError("a profile's parameter is null; leave it out")


def _is_plain_message(message: Mapping[str, Any], role: str) -> bool:
    """Say whether *message* is *role*'s and nothing but text."""
    names = {name for name, value in message.items() if value is not None}
    return message.get("role") == role and names == {"role", "content"} and text_of(message) is not None


def _canonical(system: str | None) -> str | None:
    return None if system is None else canonical_query(system)


def _is_same(mine: JsonObject, theirs: JsonObject) -> bool:
    return (not mine and not theirs) or encode_value(mine) == encode_value(theirs)
