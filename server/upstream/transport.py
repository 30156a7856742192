"""Connections that only ever lead to the configured host, at an address that was checked.

The name is resolved once per connection, every address it has is checked, and the connection goes to a checked address
while TLS still verifies the name (so a second, different DNS answer is never asked for). Proxies and certificates from
the environment play no part.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

import httpcore2
import httpx2

from server.upstream.addresses import refusal_of
from server.upstream.errors import ForbiddenAddress
from server.upstream.limits import UpstreamLimits

#: Host and port to the addresses of that name, as texts.
Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

ADDRESSES_MAX: Final = 64
ADDRESSES_TRIED_MAX: Final = 4


async def resolve(host: str, port: int) -> tuple[str, ...]:
    """Return every address of *host* that the system's resolver knows, IPv4 and IPv6. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens sockets to one host and port, and only where all addresses of the host are open to us."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        allow_private: bool,
        resolver: Resolver = resolve,
        dialler: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._allow_private = allow_private
        self._resolver = resolver
        self._dialler = httpcore2.AnyIOBackend() if dialler is None else dialler

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a checked address of *host*; raises `ForbiddenAddress` before any packet leaves."""
        if (host, port) != (self._host, self._port):
            raise ForbiddenAddress(f"this upstream is {self._host}:{self._port} and no other address", address=host)
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked_addresses()
                return await self._dial(addresses, port, local_address, socket_options)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"no connection to {host} in time") from None

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: an upstream is a host."""
        raise ForbiddenAddress("an upstream is reached over TCP only", address=path)

    async def sleep(self, seconds: float) -> None:
        """Wait, where the pool asks for it."""
        await asyncio.sleep(seconds)

    async def _checked_addresses(self) -> Sequence[str]:
        try:
            addresses = await self._resolver(self._host, self._port)
        except (OSError, UnicodeError):
            raise httpcore2.ConnectError(f"the name {self._host!r} has no address") from None
        if not 0 < len(addresses) <= ADDRESSES_MAX:
            raise httpcore2.ConnectError(f"the name {self._host!r} has no usable number of addresses")
        for address in addresses:
            refusal = refusal_of(address, allow_private=self._allow_private)
            if refusal is not None:
                raise ForbiddenAddress(
                    f"the upstream {self._host!r} resolves to {address}, which {refusal}; "
                    "only the operator can allow private addresses, per upstream",
                    address=address,
                )
        return addresses

    async def _dial(
        self,
        addresses: Sequence[str],
        port: int,
        local_address: str | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = httpcore2.ConnectError(f"no address of {self._host!r} answered")
        for address in addresses[:ADDRESSES_TRIED_MAX]:
            try:
                return await self._dialler.connect_tcp(
                    address, port, local_address=local_address, socket_options=socket_options
                )
            except httpcore2.ConnectError as error:
                failure = error
        raise failure


class GuardedTransport(httpx2.AsyncBaseTransport):
    """A connection pool over `GuardedBackend`, speaking httpx2's side of the seam."""

    def __init__(
        self, backend: GuardedBackend, limits: UpstreamLimits, *, tls_context: ssl.SSLContext | None = None
    ) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            # trust_env off: SSL_CERT_FILE and SSL_CERT_DIR of the environment decide nothing here.
            ssl_context=tls_context or httpx2.create_ssl_context(trust_env=False),
            max_connections=limits.connections_max,
            max_keepalive_connections=limits.idle_connections_max,
            keepalive_expiry=limits.connection_idle_s,
            http1=True,
            http2=False,
            retries=0,
            network_backend=backend,
        )

    @property
    def connections(self) -> int:
        """Connections open now, idle or busy."""
        return len(self._pool.connections)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send *request* over a guarded connection."""
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        core_request = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx2():
            response = await self._pool.handle_async_request(core_request)
        return httpx2.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx2():
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _as_httpx2() -> Iterator[None]:
    """Give the pool's exceptions the names they have in httpx2, which uses the same ones."""
    try:
        yield
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        named = getattr(httpx2, type(error).__name__, httpx2.TransportError)
        raise named(str(error)) from error
