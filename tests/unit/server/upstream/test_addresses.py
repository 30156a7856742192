"""Every address that must never be connected to, through the guard that stands before the sockets."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from typing import Any

import httpcore2
import pytest

from server.upstream.addresses import refusal_of
from server.upstream.endpoint import read_endpoint
from server.upstream.errors import ForbiddenAddress
from server.upstream.openai import OpenAIUpstream
from server.upstream.transport import GuardedBackend
from tests.runner_fakes import FakeClock, FakeRandom

PRIVATE_V4 = [
    "10.0.0.0", "10.0.0.1", "10.1.2.3", "10.255.255.255", "100.64.0.0", "100.64.0.1", "100.100.1.1", "100.127.255.255",
    "127.0.0.0", "127.0.0.1", "127.0.1.1", "127.1.2.3", "127.255.255.255", "172.16.0.0", "172.16.0.1", "172.17.0.1",
    "172.20.10.2", "172.31.255.255", "192.168.0.0", "192.168.0.1", "192.168.1.1", "192.168.49.2", "192.168.255.255",
]  # fmt: skip
PRIVATE_V6 = ["::1", "fc00::", "fc00::1", "fd00::1", "fd12:3456:789a::1", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
NEVER_V4 = [
    "0.0.0.0", "0.0.0.1", "0.255.255.255", "169.254.0.0", "169.254.0.1", "169.254.169.254", "169.254.169.253",
    "169.254.170.2", "169.254.170.23", "169.254.255.255", "100.100.100.200", "168.63.129.16", "192.0.0.0", "192.0.0.8",
    "192.0.0.170", "192.0.0.192", "192.0.0.255", "192.0.2.0", "192.0.2.1", "192.0.2.255", "192.88.99.0", "192.88.99.1",
    "198.18.0.0", "198.18.0.1", "198.19.255.255", "198.51.100.0", "198.51.100.7", "198.51.100.255", "203.0.113.0",
    "203.0.113.9", "203.0.113.255", "224.0.0.0", "224.0.0.1", "224.0.0.251", "232.1.1.1", "239.255.255.250",
    "239.255.255.255", "240.0.0.0", "240.0.0.1", "250.1.1.1", "255.255.255.254", "255.255.255.255",
]  # fmt: skip
NEVER_V6 = [
    "::", "100::1", "2001::1", "2001:2::1", "2001:db8::", "2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:10::1", "2001:1::1", "3fff::1", "5f00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::", "fe80::1",
    "fe80::1%lo", "fe80::a9fe:a9fe", "febf:ffff::1", "fec0::1", "feff::1", "ff00::1", "ff01::1", "ff02::1", "ff02::fb",
    "ff05::2", "ff0e::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::2", "::ffff", "4000::1", "8000::1", "e000::1",
    "2001:db8::1%eth0", "2606:4700::1111%eth0", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]  # fmt: skip
#: IPv4 addresses to hide: forbidden ones, and a public one, because the form itself is what is refused.
HIDDEN = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "168.63.129.16", "8.8.8.8",
]  # fmt: skip
FORMS = {
    "mapped": lambda v4: ipaddress.IPv6Address((0xFFFF << 32) | v4),
    "compatible": lambda v4: ipaddress.IPv6Address(v4),
    "translated": lambda v4: ipaddress.IPv6Address((0xFFFF << 48) | v4),
    "nat64": lambda v4: ipaddress.IPv6Address((0x0064FF9B << 96) | v4),
    "nat64-local": lambda v4: ipaddress.IPv6Address((0x0064FF9B0001 << 80) | v4),
    "6to4": lambda v4: ipaddress.IPv6Address((0x2002 << 112) | (v4 << 80) | 1),
    "teredo": lambda v4: ipaddress.IPv6Address((0x20010000 << 96) | (v4 ^ 0xFFFFFFFF)),
    "isatap-public": lambda v4: ipaddress.IPv6Address((0x2606_4700 << 96) | (0x0200_5EFE << 32) | v4),
    "isatap-private": lambda v4: ipaddress.IPv6Address((0x2606_4700 << 96) | (0x0000_5EFE << 32) | v4),
}
EMBEDDED = [str(form(int(ipaddress.IPv4Address(v4)))) for form in FORMS.values() for v4 in HIDDEN]
NEVER = [*NEVER_V4, *NEVER_V6, *EMBEDDED]
CLOSED = [*PRIVATE_V4, *PRIVATE_V6, *NEVER]
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.167.1.1",
          "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::200e", "2620:fe::fe"]  # fmt: skip

connects: list[Any] = []
_hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        connects.append(arguments[1])


@pytest.fixture
def sockets() -> list[Any]:
    """Every address that any socket of this process is connected to while the test runs."""
    global _hooked
    if not _hooked:
        # An audit hook sees what every library does in the end, and cannot be removed again.
        sys.addaudithook(_hook)
        _hooked = True
    connects.clear()
    return connects


def connect(addresses: list[str], *, allow_private: bool = False, port: int = 443) -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return addresses

    backend = GuardedBackend("model.test", port, allow_private=allow_private, resolver=resolver)

    async def run() -> None:
        stream = await backend.connect_tcp("model.test", port, timeout=0.2)
        await stream.aclose()

    asyncio.run(run())


def test_there_are_at_least_two_hundred_vectors() -> None:
    assert len(set(CLOSED)) >= 200


@pytest.mark.parametrize("address", CLOSED)
def test_no_socket_opens_to_a_closed_address(address: str, sockets: list[Any]) -> None:
    with pytest.raises(ForbiddenAddress) as caught:
        connect([address])
    assert caught.value.address == address
    assert sockets == []


@pytest.mark.parametrize("address", NEVER)
def test_allowing_private_addresses_opens_no_other(address: str, sockets: list[Any]) -> None:
    with pytest.raises(ForbiddenAddress):
        connect([address], allow_private=True)
    assert sockets == []


@pytest.mark.parametrize("address", [*PRIVATE_V4, *PRIVATE_V6])
def test_private_addresses_are_open_where_the_operator_allows_them(address: str) -> None:
    assert refusal_of(address, allow_private=True) is None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_open(address: str) -> None:
    assert refusal_of(address, allow_private=False) is None


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.0.0.1", "1.1.1.1 ", "1.1.1.1:443", "[::1]"])
def test_what_is_not_an_address_is_refused(text: str) -> None:
    assert refusal_of(text, allow_private=True) is not None


@pytest.mark.parametrize("closed", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"])
def test_one_closed_address_among_public_ones_closes_the_name(closed: str, sockets: list[Any]) -> None:
    for addresses in (["1.1.1.1", closed], [closed, "1.1.1.1"], ["1.1.1.1", "2606:4700::1111", closed]):
        with pytest.raises(ForbiddenAddress):
            connect(addresses)
    assert sockets == []


def test_the_hook_sees_a_connection_that_is_allowed(sockets: list[Any]) -> None:
    with pytest.raises(httpcore2.ConnectError):
        connect(["127.0.0.1"], allow_private=True, port=1)
    assert sockets == [("127.0.0.1", 1)]


def test_the_name_is_asked_for_once_and_only_the_checked_address_is_dialled() -> None:
    asked: list[str] = []
    dialled: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["1.1.1.1"] if len(asked) == 1 else ["127.0.0.1"]

    class Dialler(httpcore2.AsyncNetworkBackend):
        async def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
            dialled.append(host)
            raise httpcore2.ConnectError("unreachable")

    backend = GuardedBackend("model.test", 443, allow_private=False, resolver=rebinding, dialler=Dialler())

    async def attempt() -> None:
        await backend.connect_tcp("model.test", 443)

    with pytest.raises(httpcore2.ConnectError):
        asyncio.run(attempt())
    with pytest.raises(ForbiddenAddress):
        asyncio.run(attempt())
    assert (asked, dialled) == (["model.test"] * 2, ["1.1.1.1"])


@pytest.mark.parametrize(("host", "port"), [("other.test", 443), ("model.test", 444), ("127.0.0.1", 443)])
def test_another_host_or_port_than_the_configured_one_is_refused(host: str, port: int) -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return ["1.1.1.1"]

    backend = GuardedBackend("model.test", 443, allow_private=True, resolver=resolver)
    with pytest.raises(ForbiddenAddress):
        asyncio.run(backend.connect_tcp(host, port))


URLS = [
    "https://127.0.0.1/v1", "https://127.1/v1", "https://2130706433/v1", "https://0x7f000001/v1",
    "https://0177.0.0.1/v1", "https://0x7f.1/v1", "https://localhost/v1", "https://LOCALHOST/v1",
    "https://[::1]/v1", "https://[::ffff:127.0.0.1]/v1", "https://[::ffff:7f00:1]/v1", "https://[64:ff9b::a9fe:a9fe]/",
    "https://169.254.169.254/latest", "https://0/v1", "https://0.0.0.0/v1", "https://[::]/v1", "https://10.0.0.1:8443/",
    "https://①②⑦.0.0.1/v1", "https://127。0。0。1/v1",
    "http://1.1.1.1/v1", "http://model.test/v1", "ftp://1.1.1.1/", "file:///etc/passwd", "gopher://1.1.1.1/", "//x/v1",
    "https://", "https:///v1", "not a url", "", "https://user:password@1.1.1.1/v1", "https://1.1.1.1/v1?key=1",
    "https://1.1.1.1/v1#a", "unix:/run/socket", "https+unix://run/v1", "https://1.1.1.1:99999/", "https://a b/",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_an_upstream_at_a_hostile_url_never_opens_a_socket(url: str, sockets: list[Any]) -> None:
    async def ask() -> None:
        upstream = OpenAIUpstream("hostile", url, "key", clock=FakeClock(), random_source=FakeRandom())
        try:
            await upstream.list_models()
        finally:
            await upstream.close()

    with pytest.raises(ForbiddenAddress):
        asyncio.run(ask())
    assert sockets == []


@pytest.mark.parametrize(
    "url",
    ["https://169.254.169.254/v1", "https://[::ffff:127.0.0.1]/v1", "https://127.0.0.1/v1", "https://[fe80::1]/v1"],
)
def test_a_closed_address_is_refused_when_it_is_set(url: str) -> None:
    with pytest.raises(ForbiddenAddress, match="address"):
        read_endpoint(url, allow_private=False)


def test_a_metadata_service_is_refused_when_it_is_set_even_where_private_addresses_are_open() -> None:
    with pytest.raises(ForbiddenAddress):
        read_endpoint("http://169.254.169.254/v1", allow_private=True)
    assert read_endpoint("http://127.0.0.1:8000/v1", allow_private=True).host == "127.0.0.1"
