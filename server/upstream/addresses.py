"""Which network addresses the platform may connect to.

The rule is an allow-list: an address must be globally routable and in none of the ranges below. Where the operator set
`allow_private` for an upstream, loopback and private ranges are added, and nothing else: cloud metadata, link-local,
multicast and every form that hides an IPv4 address inside an IPv6 one stay closed for everybody.
Sources: the IANA special-purpose registries (RFC 6890 and updates), RFC 6052, RFC 8215, RFC 3056, RFC 4380, RFC 5214.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


#: Metadata and platform services; some stand in ranges that are otherwise private or even public.
_METADATA: Final = _networks(
    "169.254.0.0/16",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
)
_NEVER: Final = _networks(
    "0.0.0.0/8",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)
#: IPv6 addresses that stand for an IPv4 address behind a translator or tunnel.
_EMBEDDING: Final = _networks(
    "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"
)
_PRIVATE: Final = _networks(
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"
)
#: The interface identifiers of ISATAP, RFC 5214: 0000:5efe and 0200:5efe before an IPv4 address.
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


def refusal_of(text: str, *, allow_private: bool) -> str | None:
    """Return why nobody may connect to the address *text*, or None where it is open.

    *text* is what a resolver returned: dotted IPv4 or IPv6, with or without a zone.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "is not an IP address"
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "is bound to one link"
    if _within(address, _METADATA):
        return "is link-local or a metadata service"
    if _within(address, _EMBEDDING) or _is_isatap(address):
        return "hides an IPv4 address"
    if _within(address, _PRIVATE):
        return None if allow_private else "is private or loopback"
    if _within(address, _NEVER) or address.is_multicast or address.is_reserved or address.is_unspecified:
        return "is reserved or multicast"
    if isinstance(address, IPv6Address) and int(address) >> 96 == 0:
        return "hides an IPv4 address"
    return None if address.is_global else "is not globally routable"


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _is_isatap(address: Address) -> bool:
    return isinstance(address, IPv6Address) and (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
