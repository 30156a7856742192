"""Bodies and answers of sharing by consent."""

from __future__ import annotations

from typing import Literal

from server.api.answer_schemas import Shape
from server.api.schemas import ShareOptions

ShareStateName = Literal["labelled", "published", "revoked", "refused"]


class ShareBody(ShareOptions):
    """`POST /v1/cache/entries/{entry_id}/share`: how the entry is to be shared; an empty object is enough."""


class PublishedItem(Shape):
    """What an entry became in the pool: the questions that it is found by there, and the release that was paid for it."""

    texts: list[str]
    release: int
    state: Literal["selected", "answered", "live", "refused", "withdrawn"]


class CacheShare(Shape):
    """The consent for one entry.

    `obfuscation` is true where `epsilon` is above 8: such noise is no privacy, and is not called so.
    """

    object: Literal["cache.share"]
    entry: str
    state: ShareStateName
    reason: str | None
    epsilon: str
    obfuscation: bool
    at_ms: int
    aliases: list[str]
    published: PublishedItem | None


class ShareSummary(Shape):
    """The same, unopened."""

    object: Literal["cache.share"]
    entry: str
    state: ShareStateName
    reason: str | None
    epsilon: str
    obfuscation: bool
    at_ms: int


class SharePage(Shape):
    """A page of shares, newest entry first; ask for the next with `after` = `last_id`."""

    object: Literal["list"]
    data: list[ShareSummary]
    has_more: bool
    last_id: str | None


class SharingSpent(Shape):
    """What the tenant's whole organisation spent in the running period, in all and on entries alone.

    In the numbers that decide: ε · 10^6, ρ · 10^9 of zCDP, δ · 10^18.
    """

    period: int
    budget: dict[str, int]
    spent: dict[str, int]
    on_entries: dict[str, int]
    entries: int


class Sharing(Shape):
    """What a tenant shares: how, what is labelled, what left, and what that cost its organisation."""

    tenant: str
    sharing: Literal["off", "pooled", "noised"]
    pool_read: bool
    noised_epsilon: str
    obfuscation: bool
    share_tags: list[str]
    share_by_default: bool
    labels: dict[str, int]
    left: list[ShareSummary]
    spent: SharingSpent | None
