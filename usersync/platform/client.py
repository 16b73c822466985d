"""Send one request over a pool of connections."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable
from functools import cached_property
from http import HTTPStatus
from importlib.metadata import version
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.http import HttpProcessingError
from pydantic import SecretStr
from yarl import URL

from usersync.errors import SettingsError
from usersync.models import Code
from usersync.platform.api import JSON_TYPE, NoResponse, Origin, Request, Response
from usersync.settings import Settings

#: Bytes of a response that are read at most; a user takes about one thousand.
MAX_BODY = 1 << 20
#: Bytes of a header line that are read at most.
_MAX_LINE = 1 << 16
#: The client has a timeout of its own.
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
#: What OpenSSL calls a certificate whose time is over, or whose name is another one.
_EXPIRED = (10,)
_WRONG_HOST = (62, 64)
_RESUME = "then run `usersync resume`"


class HttpClient:
    """One pool of connections to one platform.

    Requests use aiohttp's connections and its parser, not its session: cookies, redirects, repeated requests and
    traces, which a session looks after and nobody wants here, take more than half of a request's processor time.
    """

    def __init__(self, settings: Settings, token: SecretStr) -> None:
        request, platform = settings.request, settings.platform
        #: What messages call the platform.
        self.address = platform.url
        self._user_url = URL(f"{platform.url}{platform.path}", encoded=True)
        self._target_before_id, self._target_after_id = self._user_url.raw_path_qs.split("{id}")
        self._headers = {
            platform.token_header: token.get_secret_value(),
            "Accept": "application/json",
            "Content-Type": JSON_TYPE,
            "User-Agent": f"usersync/{version('usersync')}",
        }
        self._proxy = URL(request.proxy.get_secret_value()) if request.proxy else None
        self._timeout = request.timeout
        self._concurrency = request.concurrency
        self._ssl = _ssl(verify=request.verify_ssl, ca_file=str(request.ca_file) if request.ca_file else None)

    async def __aenter__(self) -> Self:
        self._connector = aiohttp.TCPConnector(limit=self._concurrency, ssl=self._ssl)
        loop = asyncio.get_running_loop()
        #: Any request to the platform: what its connections are opened with, and the headers of all.
        self._any_request = aiohttp.ClientRequest(
            "GET", self._user_url, headers=self._headers, proxy=self._proxy, loop=loop
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connector.close()

    def send(self, request: Request) -> Awaitable[Response | NoResponse]:
        """Send one request, once; every ending is a value, never an exception."""
        target = f"{self._target_before_id}{request.user_id}{self._target_after_id}"
        return self._request(request.method, target, request.body or b"", MAX_BODY)

    def get(self, path: str, *, max_bytes: int) -> Awaitable[Response | NoResponse]:
        """Read another path of the platform, once; `path` begins with / and is percent-encoded where needed."""
        return self._request("GET", URL(f"{self.address}{path}", encoded=True).raw_path_qs, b"", max_bytes)

    async def _request(self, method: str, target: str, body: bytes, max_bytes: int) -> Response | NoResponse:
        connection: aiohttp.connector.Connection | None = None
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._connect()
                return await self._exchange(connection, self._head(method, target, body) + body, max_bytes)
        except TooLargeError as error:
            return NoResponse(Code.PLATFORM_ERROR, str(error))
        except TimeoutError:
            if connection is None:
                within = f"no connection to the platform within {self._timeout:g} s"
                return _not_connected(f"{within}; check platform.url, request.proxy and firewalls")
            message = f"no answer within {self._timeout:g} s; request.timeout can be raised"
            return NoResponse(Code.TIMEOUT, message)
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            return _explain(error, is_connected=connection is not None)
        except UnicodeError:
            return _unknown_host()  # a name with an empty or an endless part
        except (HttpProcessingError, ValueError) as error:
            return NoResponse(Code.CONNECTION, f"the answer is not HTTP ({type(error).__name__})")

    async def _connect(self) -> aiohttp.connector.Connection:
        """Return a connection that a request can be sent over. Raises aiohttp.ClientError."""
        connection = await self._connector.connect(self._any_request, traces=[], timeout=_NO_TIMEOUT)
        protocol = connection.protocol
        if protocol is None or protocol.transport is None or protocol.should_close:
            connection.close()
            raise aiohttp.ClientConnectionResetError  # gone, or an answer came in that nobody asked for
        return connection

    async def _exchange(self, connection: aiohttp.connector.Connection, request: bytes, max_bytes: int) -> Response:
        protocol = connection.protocol
        assert protocol is not None and protocol.transport is not None  # noqa: S101, PT018 - see `_connect`
        try:
            protocol.set_response_params(read_until_eof=True, max_line_size=_MAX_LINE, max_field_size=_MAX_LINE)
            protocol.transport.write(request)
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != HTTPStatus.SWITCHING_PROTOCOLS:
                message, content = await protocol.read()
            is_packed = "Content-Encoding" in message.headers  # its length says nothing about what comes out
            if not is_packed and int(message.headers.get("Content-Length", 0)) > max_bytes:
                raise TooLargeError(max_bytes)
            response = Response(message.code, message.headers, await _read_bounded(content, max_bytes))
        except BaseException:
            protocol.abort()  # to close would send the rest, or the end of TLS, to a server that takes nothing
            connection.close()
            raise
        connection.release()
        return response

    def _head(self, method: str, target: str, body: bytes) -> bytes:
        origin = self._user_url.origin() if self._proxy and not self._any_request.is_ssl() else ""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return f"{method} {origin}{target} HTTP/1.1\r\n{self._header_lines}{length}\r\n".encode()

    @cached_property
    def _header_lines(self) -> str:
        """The headers of all requests; only once there is a connection, for which aiohttp adds those for a proxy."""
        return "".join([f"{name}: {value}\r\n" for name, value in self._any_request.headers.items()])


class TooLargeError(Exception):
    """A response is larger than its reader allows."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the answer is too large, more than {max_bytes:,} bytes")


async def _read_bounded(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    """Read a body to its end. Raises TooLargeError."""
    chunks: list[bytes] = []
    room = max_bytes
    while not content.at_eof():
        chunk = await content.readany()
        room -= len(chunk)
        if room < 0:
            raise TooLargeError(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def _explain(error: Exception, *, is_connected: bool) -> NoResponse:
    """Say in a sentence why there is no answer; addresses of proxies may hold passwords and stay out."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _not_connected(_certificate_problem(error), permanent=True)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return _not_connected(
            "TLS failed before a certificate was seen; check that platform.url names a port that speaks https"
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return _not_connected("the proxy cannot be reached; check request.proxy", Origin.PROXY)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == 407:
            message = f"the proxy asks for a user and password; put them into request.proxy, {_RESUME}"
            return _not_connected(message, permanent=True)
        return _not_connected(f"the proxy answered {error.status}; check request.proxy")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _unknown_host()
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0  # asyncio's own words are its address in brackets
        reason = os.strerror(number) if number > 0 else "none of its addresses answers"
        return _not_connected(f"no connection to the platform: {reason}")
    if not is_connected:
        return _not_connected(f"no connection to the platform ({type(error).__name__})")
    if isinstance(error, aiohttp.ClientPayloadError):
        return NoResponse(Code.CONNECTION, f"the answer broke off ({type(error).__name__})")
    return NoResponse(Code.CONNECTION, f"the connection was lost ({type(error).__name__})")


def _certificate_problem(error: aiohttp.ClientConnectorCertificateError) -> str:
    code = getattr(error.certificate_error, "verify_code", None)
    if code in _EXPIRED:
        return f"the platform's TLS certificate has expired; have its operator renew it, {_RESUME}"
    if code in _WRONG_HOST:
        return f"the platform's TLS certificate is for another host; check platform.url, {_RESUME}"
    return (
        "the platform's TLS certificate is not trusted; name your own authority in request.ca_file "
        f"(or have its operator complete the chain), {_RESUME}"
    )


def _not_connected(message: str, origin: Origin = Origin.PLATFORM, *, permanent: bool = False) -> NoResponse:
    return NoResponse(Code.CONNECTION, message, reached=False, origin=origin, permanent=permanent)


def _unknown_host() -> NoResponse:
    return _not_connected("the platform's host name is unknown; check platform.url")


def _ssl(*, verify: bool, ca_file: str | None) -> ssl.SSLContext | bool:
    if not verify:
        return False
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError("request.ca_file", (f"{ca_file} cannot be used: {error.strerror}",)) from None
