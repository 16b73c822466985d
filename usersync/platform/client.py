"""Send one request over a pool of connections."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable
from importlib.metadata import version
from math import inf
from time import monotonic
from types import TracebackType
from typing import Self

import aiohttp
from multidict import CIMultiDict
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
#: What OpenSSL calls a certificate whose time is over, or whose name is another one.
_EXPIRED = (10,)
_WRONG_HOST = (62, 64)
_RESUME = "then run `usersync resume`"


class HttpClient:
    """One pool of connections to one platform."""

    def __init__(self, settings: Settings, token: SecretStr) -> None:
        request, platform = settings.request, settings.platform
        #: What messages call the platform.
        self.address = platform.url
        self._url = URL(f"{platform.url}{platform.path}", encoded=True)
        self._path_before_id, self._path_after_id = self._url.raw_path_qs.split("{id}")
        # Of each request, not of the session, which would send the token to a proxy in the clear, on the way to TLS.
        self._headers = CIMultiDict(
            {
                platform.token_header: token.get_secret_value(),
                "Accept": "application/json",
                "Content-Type": JSON_TYPE,
                "User-Agent": f"usersync/{version('usersync')}",
            }
        )
        self._proxy = request.proxy.get_secret_value() if request.proxy else None
        self._deadlines = _Deadlines(request.timeout)
        self._connections = request.concurrency
        self._ssl = _ssl(verify=request.verify_ssl, ca_file=str(request.ca_file) if request.ca_file else None)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._ssl),
            timeout=aiohttp.ClientTimeout(total=None),  # `_Deadlines` does it for all requests together
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
        )
        self._deadlines.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.close()
        if self._session:
            await self._session.close()

    def send(self, request: Request) -> Awaitable[Response | NoResponse]:
        """Send one request, once; every ending is a value, never an exception."""
        path = f"{self._path_before_id}{request.user_id}{self._path_after_id}"
        url = self._url.with_path(path, encoded=True)  # parses no address a second time
        return self._request(request.method, url, request.body, MAX_BODY)

    def get(self, path: str, *, max_bytes: int) -> Awaitable[Response | NoResponse]:
        """Read another path of the platform, once; `path` begins with / and is percent-encoded where needed."""
        return self._request("GET", URL(f"{self.address}{path}", encoded=True), None, max_bytes)

    async def _request(self, method: str, url: URL, data: bytes | None, max_bytes: int) -> Response | NoResponse:
        assert self._session is not None  # noqa: S101 - used inside `async with`
        try:
            with self._deadlines:
                response = await self._session.request(
                    method,
                    url,
                    data=aiohttp.BytesPayload(data) if data else None,
                    headers=self._headers,
                    proxy=self._proxy,
                    allow_redirects=False,
                    middlewares=(_Once(),) if method == "GET" else None,
                )
                return Response(response.status, response.headers, await _read_bounded(response, max_bytes))
        except TooLargeError as error:
            return NoResponse(Code.PLATFORM_ERROR, str(error))
        except TimeoutError:
            message = f"no answer within {self._deadlines.seconds:g} s; request.timeout can be raised"
            return NoResponse(Code.TIMEOUT, message)
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            return _explain(error)
        except UnicodeError:
            return _unknown_host()  # a name with an empty or an endless part
        except ValueError as error:
            return NoResponse(Code.CONNECTION, f"the answer is not HTTP: {type(error).__name__}")


class _Deadlines:
    """Raise TimeoutError in requests that take too long: one timer looks after all of them.

    A timer for each request, as aiohttp has it, takes five per cent of its time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        #: Task -> when its request is overdue (monotonic seconds); infinite once the task was cancelled for that.
        self._deadlines: dict[asyncio.Task[object], float] = {}
        self._timer: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for overdue requests, in the running loop."""
        self._timer = asyncio.create_task(self._cancel_overdue())

    def close(self) -> None:
        """Look no longer."""
        if self._timer:
            self._timer.cancel()

    async def _cancel_overdue(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self.seconds / 10))
            now = monotonic()
            for task in [task for task, deadline in self._deadlines.items() if deadline < now]:
                self._deadlines[task] = inf
                task.cancel()

    def __enter__(self) -> None:
        self._deadlines[_current_task()] = monotonic() + self.seconds

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = _current_task()
        is_overdue = self._deadlines.pop(task) == inf
        if is_overdue and task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - coroutines run in tasks
    return task


class _Once:
    """Let a request pass once: aiohttp repeats a GET that a kept-alive connection lost, past any rate limit."""

    def __init__(self) -> None:
        self._error: aiohttp.ClientError | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._error:
            raise self._error
        try:
            return await handler(request)
        except aiohttp.ClientError as error:
            self._error = error
            raise


class TooLargeError(Exception):
    """A response is larger than its reader allows."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the answer is too large, more than {max_bytes:,} bytes")


async def _read_bounded(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Read a body to its end, which gives the connection back. Raises TooLargeError, and closes the connection."""
    packed = "Content-Encoding" in response.headers  # its length says nothing about what comes out
    length = None if packed else response.content_length
    if length is not None and length <= max_bytes:
        return await response.read()
    body = bytearray()
    async with response:
        if length is not None:
            raise TooLargeError(max_bytes)
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                raise TooLargeError(max_bytes)
    return bytes(body)


def _explain(error: Exception) -> NoResponse:
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
