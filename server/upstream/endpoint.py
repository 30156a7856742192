"""The address of an upstream as the operator wrote it, checked before anything is sent there."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

import httpx2

from server.upstream.addresses import refusal_of
from server.upstream.errors import ForbiddenAddress

_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an upstream is: *base_url* without a trailing slash, and the one host and port it may be reached at."""

    base_url: str
    host: str
    port: int


def read_endpoint(base_url: str, *, allow_private: bool) -> Endpoint:
    """Read *base_url*; raises `ForbiddenAddress` for anything but a plain https address.

    With *allow_private* http is open too, since certificates are rare on loopback and private networks.
    """
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        raise ForbiddenAddress("the upstream's base_url is not a URL", address="") from None
    if url.scheme not in ("https", "http") or not url.host:
        raise ForbiddenAddress("the upstream's base_url must begin with https:// and a host", address=url.host)
    if url.scheme == "http" and not allow_private:
        raise ForbiddenAddress(
            f"the upstream {url.host!r} is plain http; use https, or set allow_private for a private one",
            address=url.host,
        )
    if url.userinfo or url.query or url.fragment:
        raise ForbiddenAddress(
            "the upstream's base_url may hold no user, password, query or fragment; name its key in the field key",
            address=url.host,
        )
    host = url.raw_host.decode("ascii")
    port = url.port or (443 if url.scheme == "https" else 80)
    if _HOST.fullmatch(host) is None or not 0 < port < 2**16:
        raise ForbiddenAddress("the upstream's base_url has no proper host and port", address=host)
    _refuse_literal(url.host.strip("[]"), allow_private=allow_private)
    return Endpoint(str(url).rstrip("/"), host, port)


def _refuse_literal(host: str, *, allow_private: bool) -> None:
    """Refuse an address written out; a name is judged by what it resolves to, at every connection."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    reason = refusal_of(host, allow_private=allow_private)
    if reason is not None:
        raise ForbiddenAddress(f"the upstream's address {host!r} {reason}; use another one", address=host)
