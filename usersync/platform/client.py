"""Send one request over a pool of connections."""

from __future__ import annotations

import asyncio
import os
import ssl
from types import TracebackType
from typing import Self

import aiohttp
from pydantic import SecretStr
from yarl import URL

from usersync.errors import SettingsError
from usersync.models import Code
from usersync.platform.api import JSON_TYPE, NoResponse, Request, Response
from usersync.settings import Settings

MAX_BODY = 1 << 20
"""Bytes of an answer that are read at most; a user takes about one thousand."""


class HttpClient:
    """One pool of connections to one platform."""

    def __init__(self, settings: Settings, token: SecretStr) -> None:
        request, platform = settings.request, settings.platform
        self._before, self._after = f"{platform.url}{platform.path}".split("{id}")
        self._headers = {
            platform.token_header: token.get_secret_value(),
            "Accept": "application/json",
            "Content-Type": JSON_TYPE,
        }
        self._proxy = request.proxy.get_secret_value() if request.proxy else None
        self._timeout = aiohttp.ClientTimeout(total=request.timeout)
        self._connections = request.concurrency
        self._ssl = _ssl(verify=request.verify_ssl, ca_file=str(request.ca_file) if request.ca_file else None)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections, ssl=self._ssl)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent",),
            max_line_size=1 << 16,
            max_field_size=1 << 16,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def send(self, request: Request) -> Response | NoResponse:
        """Send one request; every ending is a value, never an exception."""
        assert self._session is not None  # noqa: S101 - used inside `async with`
        url = URL(f"{self._before}{request.user_id}{self._after}", encoded=True)
        try:
            async with self._session.request(
                request.method, url, data=request.body, proxy=self._proxy, allow_redirects=False
            ) as response:
                body = await _bounded(response)
                return Response(response.status, response.headers, body)
        except TimeoutError:
            return NoResponse(
                Code.TIMEOUT, f"no answer within {self._timeout.total:g} s; request.timeout can be raised"
            )
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            return _lost(error)
        except UnicodeError:
            return _unknown_host()  # a name with an empty or an endless part
        except ValueError as error:
            return NoResponse(Code.CONNECTION, f"the answer is no HTTP: {type(error).__name__}")


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    packed = "Content-Encoding" in response.headers  # its length says nothing about what comes out
    if not packed and response.content_length is not None and response.content_length <= MAX_BODY:
        return await response.read()
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise aiohttp.ClientPayloadError(f"the answer is larger than {MAX_BODY} bytes")
    return bytes(body)


def _unknown_host() -> NoResponse:
    return NoResponse(Code.CONNECTION, "the platform's host name is unknown; check platform.url", reached=False)


def _lost(error: Exception) -> NoResponse:
    """Say in a sentence why there is no answer; addresses of proxies may hold passwords and stay out."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return NoResponse(
            Code.CONNECTION,
            "the TLS certificate is not trusted; name your own authority in request.ca_file",
            reached=False,
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return NoResponse(Code.CONNECTION, "the proxy cannot be reached; check request.proxy", reached=False)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return NoResponse(Code.CONNECTION, f"the proxy answered {error.status}; check request.proxy", reached=False)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _unknown_host()
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0  # asyncio's own words are its address in brackets
        reason = os.strerror(number) if number > 0 else "none of its addresses answers"
        return NoResponse(Code.CONNECTION, f"no connection to the platform: {reason}", reached=False)
    if isinstance(error, aiohttp.ClientPayloadError):
        return NoResponse(Code.CONNECTION, f"the answer broke off or is too large ({type(error).__name__})")
    return NoResponse(Code.CONNECTION, f"the connection was lost ({type(error).__name__})")


def _ssl(*, verify: bool, ca_file: str | None) -> ssl.SSLContext | bool:
    if not verify:
        return False
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError("request.ca_file", (f"{ca_file} cannot be used: {error}",)) from None
