"""The client on real sockets: proxies, certificates, broken answers."""

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from usersync.errors import SettingsError
from usersync.platform.api import NoResponse, Request, Response
from usersync.platform.client import MAX_BODY, HttpClient
from usersync.sandbox import Sandbox
from usersync.settings import make_settings

HERE = Path(__file__).parent / "files"
USER = b'{"id": 7, "name": "A"}'
GET = Request("GET", 7)
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: " + str(len(body)).encode(), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def says(raw: bytes, seen: list[bytes] | None = None) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(head)
        writer.write(raw)
        await writer.drain()

    return talk


async def request_once(talk: Talk, *, tls: bool = False, via: str = "", **request: Any) -> Response | NoResponse:
    """Ask once, of a server that talks in its own way; `via` "proxy" makes that server the proxy."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
    if context:
        context.load_cert_chain(HERE / "server.pem", HERE / "server.key")
    over = asyncio.Event()

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await talk(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(whole, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    if via:
        request["proxy"] = f"http://{via}127.0.0.1:{port}"
        url = "http://platform.example"
    settings = make_settings({"platform": {"url": url, "token_env": "X"}, "request": {"timeout": 5, **request}})
    async with HttpClient(settings, SecretStr("tok-secret")) as client:
        reply = await client.send(GET)
    if isinstance(reply, Response) or reply.reached:
        await over.wait()
    server.close()
    return reply


def ask(talk: Talk, **more: Any) -> Response | NoResponse:
    return asyncio.run(request_once(talk, **more))


def test_sends_the_token_in_its_header_and_a_whole_number_in_the_path() -> None:
    seen: list[bytes] = []
    reply = ask(says(answer(b"200 OK", USER), seen))
    assert isinstance(reply, Response)
    assert (reply.status, reply.body) == (200, USER)
    assert seen[0].startswith(b"GET /platform/api/v1/users/7 HTTP/1.1\r\n")
    assert b"api_access_token: tok-secret\r\n" in seen[0]
    assert b"Content-Type: application/json; charset=utf-8\r\n" in seen[0]


def test_goes_through_a_proxy_with_its_credentials() -> None:
    seen: list[bytes] = []
    reply = ask(says(answer(b"200 OK", USER), seen), via="ann:s3cret@")
    assert isinstance(reply, Response)
    assert seen[0].startswith(b"GET http://platform.example/platform/api/v1/users/7 ")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"ann:s3cret") in seen[0]


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    reply = ask(says(answer(b"200 OK", USER)), tls=True)
    assert isinstance(reply, NoResponse)
    assert (reply.code, reply.reached) == ("connection", False)
    assert "the TLS certificate is not trusted" in reply.message


def test_a_certificate_of_ones_own_authority_is_accepted() -> None:
    assert isinstance(ask(says(answer(b"200 OK", USER)), tls=True, ca_file=str(HERE / "server.pem")), Response)


def test_no_certificate_is_checked_where_settings_say_so() -> None:
    assert isinstance(ask(says(answer(b"200 OK", USER)), tls=True, verify_ssl=False), Response)


def test_an_authority_that_cannot_be_read_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    settings = make_settings(
        {"platform": {"url": "https://x", "token_env": "X"}, "request": {"ca_file": str(tmp_path / "none.pem")}}
    )
    with pytest.raises(SettingsError, match=r"none\.pem cannot be used"):
        HttpClient(settings, SecretStr("t"))


@pytest.mark.parametrize(
    ("raw", "says_so"),
    [
        pytest.param(b"", "the connection was lost", id="closed without an answer"),
        pytest.param(b"hello\r\n\r\n", "the connection was lost", id="no HTTP"),
        pytest.param(answer(b"200 OK", USER)[:-5], "broke off or is too large", id="a body that breaks off"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n" * 1
            + b"200000\r\n" + b"x" * 2 * MAX_BODY, "broke off or is too large", id="a body without end",
        ),
    ],
)  # fmt: skip
def test_a_broken_answer_is_a_sentence(raw: bytes, says_so: str) -> None:
    reply = ask(says(raw))
    assert isinstance(reply, NoResponse)
    assert (reply.code, says_so in reply.message) == ("connection", True), reply.message


def test_an_answer_that_never_comes_ends_with_the_time_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    reply = ask(silent, timeout=0.2)
    assert isinstance(reply, NoResponse)
    assert (reply.code, reply.message) == ("timeout", "no answer within 0.2 s; request.timeout can be raised")


def test_a_proxy_that_is_not_there_is_told_without_its_password() -> None:
    settings = make_settings(
        {"platform": {"url": "http://x", "token_env": "X"}, "request": {"proxy": "http://ann:s3cret@127.0.0.1:1"}}
    )

    async def once() -> Response | NoResponse:
        async with HttpClient(settings, SecretStr("t")) as client:
            return await client.send(GET)

    reply = asyncio.run(once())
    assert isinstance(reply, NoResponse)
    assert reply.message == "the proxy cannot be reached; check request.proxy"


def test_never_more_connections_than_the_concurrency() -> None:
    async def many() -> int:
        async with Sandbox(users=10, limit=None) as box:
            settings = make_settings({"platform": {"url": box.url, "token_env": "X"}, "request": {"concurrency": 3}})
            async with HttpClient(settings, SecretStr(box.token)) as client:
                await asyncio.gather(*(client.send(Request("GET", i % 10 + 1)) for i in range(60)))
            return box.connections

    assert asyncio.run(many()) <= 3
