"""What a request asks of the cache: `Cache-Control` directives and the `hitproof` object, read into one value."""

from __future__ import annotations

from decimal import Decimal
from math import ceil
from typing import Final

from server.api.schemas import CacheOptions, ShareOptions
from server.errors import RequestError
from server.reuse.policy import ReusePolicy
from server.reuse.request import ShareWish, Steering

AGE_MAX_S: Final = 315_360_000
UNSTEERED: Final = Steering()


def read_steering(cache_control: list[str], options: CacheOptions | None) -> Steering:
    """Read both forms; unknown directives are ignored as RFC 9111 asks, a malformed max-age is refused."""
    if not cache_control and options is None:
        return UNSTEERED
    directives: dict[str, str] = {}
    for line in cache_control:
        for directive in line.split(","):
            name, _, value = directive.strip().partition("=")
            directives[name.strip().lower()] = value.strip().strip('"')
    options = options or CacheOptions.model_validate({})
    return Steering(
        no_store="no-store" in directives,
        no_cache="no-cache" in directives,
        only_if_cached="only-if-cached" in directives,
        max_age_s=_max_age_s(directives.get("max-age")),
        tags=tuple(dict.fromkeys(options.tags)),
        ttl_s=options.ttl,
        threshold_ten_thousandths=None if options.threshold is None else ceil(options.threshold * 10_000 - 1e-9),
        share=read_share_wish(options.share),
    )


def read_share_wish(share: bool | ShareOptions | None, *, field: str = "hitproof.share.epsilon") -> ShareWish | None:
    """Return what a request says of sharing; None where it says nothing. *field* is what an error names."""
    if share is None or isinstance(share, bool):
        return None if share is None else ShareWish(share)
    epsilon_milli = None if share.epsilon is None else int(Decimal(share.epsilon) * 1000)
    if epsilon_milli == 0:
        raise RequestError("an epsilon of 0 shares nothing; ask for share: false", param=field)
    return ShareWish(True, tuple(dict.fromkeys(share.aliases)), epsilon_milli)


def refuse_wish(wish: ShareWish | None, policy: ReusePolicy, *, field: str | None = "hitproof.share") -> None:
    """Raise `RequestError`, which names *field*, for a request that would share under a policy that does not."""
    if wish is not None and wish.shares and policy.sharing != "noised":
        raise RequestError(
            "this tenant's policy publishes no entries (sharing is not noised); ask for share: false or leave it out",
            param=field,
            code="sharing_is_off",
            status=403,
        )


def _max_age_s(value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 12:
        raise RequestError("Cache-Control: max-age wants a whole number of seconds", param="cache-control")
    return min(int(value), AGE_MAX_S)
