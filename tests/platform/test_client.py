"""Test the client on real sockets: proxies, certificates, broken answers."""

import asyncio
import base64
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from pydantic import SecretStr

from tests.conftest import PATIENCE
from usersync.errors import SettingsError
from usersync.platform.api import NoResponse, Origin, Request, Response
from usersync.platform.client import MAX_BODY, HttpClient
from usersync.sandbox import Fault, Faults, Sandbox
from usersync.settings import make_settings

HERE = Path(__file__).parent / "files"
SERVER = "server.pem"
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


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@asynccontextmanager
async def serving(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Yield the address of a server that talks in its own way; at the end, wait until all has been said."""
    talks: list[asyncio.Task[object]] = []

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(cast("asyncio.Task[object]", asyncio.current_task()))
        with suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(whole, "127.0.0.1", 0, ssl=context)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await asyncio.gather(*talks)
    server.close()


async def request_once(
    talk: Talk, *, tls: str = "", via: str = "", platform: str = "http://platform.example", **request: Any
) -> Response | NoResponse:
    """Ask a server that talks in its own way, once.

    `tls` is the certificate that it shows; with `via`, user and password, that server is the proxy.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
    if context:
        context.load_cert_chain(HERE / tls, HERE / "server.key")
    async with serving(talk, context) as address:
        url = f"{'https' if tls else 'http'}://{address}"
        if via:
            request["proxy"] = f"http://{via}{address}"
            url = platform
        request = {"timeout": PATIENCE, **request}
        settings = make_settings({"platform": {"url": url, "token_env": "X"}, "request": request})
        async with HttpClient(settings, SecretStr("tok-secret")) as client:
            return await client.send(GET)


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
    assert f"User-Agent: usersync/{version('usersync')}\r\n".encode() in seen[0]


def test_sends_what_a_session_of_aiohttp_would_send() -> None:
    """The client writes its requests itself; all that a server may see of the library stays the same."""
    body = b'{"name": "A"}'
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(len(body)))
        writer.write(answer(b"200 OK", USER))
        await writer.drain()

    async def both() -> None:
        headers = {
            "api_access_token": "tok-secret",
            "Accept": "application/json",
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": f"usersync/{version('usersync')}",
        }
        async with serving(talk) as address:
            settings = make_settings({"platform": {"url": f"http://{address}", "token_env": "X"}})
            async with HttpClient(settings, SecretStr("tok-secret")) as client:
                assert isinstance(await client.send(Request("PATCH", 7, body)), Response)
            async with aiohttp.ClientSession(headers=headers) as session:
                await session.patch(f"http://{address}/platform/api/v1/users/7", data=body)

    asyncio.run(both())
    ours, theirs = (sorted(request.split(b"\r\n")) for request in seen)
    assert ours == theirs


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"200 OK", USER), id="after an interim answer"),
        pytest.param(
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(b"200 OK", USER),
            id="after two interim answers",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + USER, id="ended by closing the connection"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n" + USER, id="of HTTP/1.0"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"1\r\n%c\r\n" % byte for byte in USER) + b"0\r\n\r\n",
            id="in chunks of a byte",
        ),
        pytest.param(answer(b"200 OK", zlib.compress(USER), b"Content-Encoding: deflate"), id="packed"),
    ],
)  # fmt: skip
def test_an_answer_is_read_in_every_form_of_http(raw: bytes) -> None:
    reply = ask(says(raw))
    assert isinstance(reply, Response), reply
    assert (reply.status, reply.body) == (200, USER)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"101 Switching Protocols"])
def test_an_answer_without_a_body_is_an_answer(status: bytes) -> None:
    reply = ask(says(b"HTTP/1.1 " + status + b"\r\n\r\n"))
    assert isinstance(reply, Response), reply
    assert (reply.status, reply.body) == (int(status[:3]), b"")


def test_a_connection_is_used_again_unless_the_server_closes_it() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for closing in ((), (), (b"Connection: close",)):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"200 OK", USER, *closing))

    async def work() -> list[Response | NoResponse]:
        async with serving(talk) as address:
            settings = make_settings({"platform": {"url": f"http://{address}", "token_env": "X"}})
            async with HttpClient(settings, SecretStr("t")) as client:
                return [await client.send(GET) for _ in range(6)]

    assert all(isinstance(reply, Response) for reply in asyncio.run(work()))
    assert connections == 2


@pytest.mark.parametrize(
    "unasked",
    [
        pytest.param(answer(b"408 Request Time-out", b"", b"Connection: close"), id="the time is over"),
        pytest.param(answer(b"200 OK", b"{}"), id="a second answer"),
        pytest.param(b"\0", id="no HTTP"),
    ],
)
def test_what_comes_in_unasked_on_an_idle_connection_is_no_answer(unasked: bytes) -> None:
    async def work() -> list[Response | NoResponse]:
        is_idle, has_said = asyncio.Event(), asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer(b"200 OK", USER))
                if not is_idle.is_set():
                    await is_idle.wait()
                    writer.write(unasked)
                    await writer.drain()
                    has_said.set()

        async with serving(talk) as address:
            settings = make_settings({"platform": {"url": f"http://{address}", "token_env": "X"}})
            async with HttpClient(settings, SecretStr("t")) as client:
                replies = [await client.send(GET)]
                is_idle.set()
                await has_said.wait()
                for _ in range(5):  # turns of the loop, in which the client takes what has come in
                    await asyncio.sleep(0)
                return [*replies, await client.send(GET), await client.send(GET)]

    first, unsure, last = asyncio.run(work())
    assert isinstance(first, Response)
    assert isinstance(last, Response)
    assert (first.body, last.body) == (USER, USER)
    assert not unsure.reached if isinstance(unsure, NoResponse) else unsure.body == USER


def test_goes_through_a_proxy_with_its_credentials() -> None:
    seen: list[bytes] = []
    reply = ask(says(answer(b"200 OK", USER), seen), via="ann:s3cret@")
    assert isinstance(reply, Response)
    assert seen[0].startswith(b"GET http://platform.example/platform/api/v1/users/7 ")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"ann:s3cret") in seen[0]


@pytest.mark.parametrize(
    ("certificate", "trusted", "message"),
    [
        pytest.param(SERVER, False, "certificate is not trusted; name your own authority", id="untrusted"),
        pytest.param("expired.pem", True, "certificate has expired; have its operator renew it", id="expired"),
        pytest.param("other-host.pem", True, "certificate is for another host; check platform.url", id="another host"),
    ],
)
def test_a_bad_certificate_is_named_and_permanent(certificate: str, trusted: bool, message: str) -> None:
    more = {"ca_file": str(HERE / certificate)} if trusted else {}
    reply = ask(says(answer(b"200 OK", USER)), tls=certificate, **more)
    assert isinstance(reply, NoResponse)
    assert (reply.code, reply.reached, reply.permanent) == ("connection", False, True)
    assert message in reply.message


def test_missing_tls_is_explained_in_one_sentence() -> None:
    async def work() -> NoResponse | Response:
        async with Sandbox(users=1) as box:
            address = box.url.replace("http:", "https:")
            settings = make_settings({"platform": {"url": address, "token_env": "X"}})
            async with HttpClient(settings, SecretStr("t")) as client:
                return await client.send(GET)

    reply = asyncio.run(work())
    assert isinstance(reply, NoResponse)
    assert "check that platform.url names a port that speaks https" in reply.message


def test_a_proxy_that_asks_for_a_password_on_the_way_to_tls_is_permanent() -> None:
    reply = ask(says(answer(b"407 Proxy Authentication Required", b"")), via="ann:wrong@", platform="https://x.example")
    assert isinstance(reply, NoResponse)
    assert (reply.permanent, "put them into request.proxy" in reply.message) == (True, True)


@pytest.mark.parametrize(
    ("talk", "message"),
    [
        pytest.param(silent, "no connection to the platform within 0.2 s", id="never answers"),
        pytest.param(says(b""), "no connection to the platform (ServerDisconnectedError)", id="hangs up"),
        pytest.param(says(b"hello\r\n\r\n"), "no connection to the platform (ClientResponseError)", id="no HTTP"),
    ],
)
def test_a_request_that_no_connection_was_made_for_has_not_reached_the_platform(talk: Talk, message: str) -> None:
    timeout = 0.2 if talk is silent else PATIENCE
    reply = ask(talk, via="ann:s3cret@", platform="https://x.example", timeout=timeout)
    assert isinstance(reply, NoResponse)
    assert (reply.code, reply.reached, message in reply.message) == ("connection", False, True), reply.message


def test_a_proxy_on_the_way_to_tls_does_not_see_the_token() -> None:
    seen: list[bytes] = []
    ask(says(answer(b"407 Proxy Authentication Required", b""), seen), via="ann:s3cret@", platform="https://x.example")
    assert seen[0].startswith(b"CONNECT x.example:443 ")
    assert b"tok-secret" not in seen[0]


def test_a_certificate_of_ones_own_authority_is_accepted() -> None:
    assert isinstance(ask(says(answer(b"200 OK", USER)), tls=SERVER, ca_file=str(HERE / "server.pem")), Response)


def test_no_certificate_is_checked_where_settings_say_so() -> None:
    assert isinstance(ask(says(answer(b"200 OK", USER)), tls=SERVER, verify_ssl=False), Response)


def test_an_authority_that_cannot_be_read_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    settings = make_settings(
        {"platform": {"url": "https://x", "token_env": "X"}, "request": {"ca_file": str(tmp_path / "none.pem")}}
    )
    with pytest.raises(SettingsError, match=r"none\.pem cannot be used: No such file or directory$"):
        HttpClient(settings, SecretStr("t"))


@pytest.mark.parametrize(
    ("raw", "code", "message"),
    [
        pytest.param(b"", "connection", "the connection was lost", id="closed without an answer"),
        pytest.param(b"hello\r\n\r\n", "connection", "the answer is not HTTP", id="no HTTP"),
        pytest.param(answer(b"200 OK", USER)[:-5], "connection", "broke off", id="a body that breaks off"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n" * 1
            + b"200000\r\n" + b"x" * 2 * MAX_BODY,
            "platform-error", "more than 1,048,576 bytes", id="a body without end",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n", "platform-error", "more than 1,048,576 bytes",
            id="a body that says that it is too large",
        ),
        pytest.param(
            answer(b"200 OK", zlib.compress(b" " * 2 * MAX_BODY), b"Content-Encoding: deflate"),
            "platform-error", "more than 1,048,576 bytes", id="a body packed into a thousandth of its size",
        ),
    ],
)  # fmt: skip
def test_a_broken_answer_is_explained_in_one_sentence(raw: bytes, code: str, message: str) -> None:
    reply = ask(says(raw))
    assert isinstance(reply, NoResponse)
    assert (reply.code, message in reply.message) == (code, True), reply.message


def test_an_answer_that_never_comes_ends_with_the_time_out() -> None:
    reply = ask(silent, timeout=0.2)
    assert isinstance(reply, NoResponse)
    assert (reply.code, reply.message) == ("timeout", "no answer within 0.2 s; request.timeout can be raised")


@pytest.mark.parametrize("tls", [False, True])
def test_what_was_not_sent_when_the_time_is_over_is_not_sent_later(tls: bool) -> None:
    body = b"x" * (16 << 20)  # more than a socket takes
    received = 0

    async def work() -> Response | NoResponse:
        is_over = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal received
            await reader.readuntil(b"\r\n\r\n")
            await is_over.wait()
            while data := await reader.read(1 << 20):
                received += len(data)

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
        if context:
            context.load_cert_chain(HERE / SERVER, HERE / "server.key")
        async with serving(talk, context) as address:
            platform = {"url": f"{'https' if tls else 'http'}://{address}", "token_env": "X"}
            settings = make_settings({"platform": platform, "request": {"timeout": 0.5, "verify_ssl": False}})
            async with HttpClient(settings, SecretStr("t")) as client:
                reply = await client.send(Request("PATCH", 7, body))
            is_over.set()
            return reply

    reply = asyncio.run(work())
    assert isinstance(reply, NoResponse)
    assert received < len(body)


def test_an_unreachable_proxy_is_reported_without_its_password() -> None:
    settings = make_settings(
        {"platform": {"url": "http://x", "token_env": "X"}, "request": {"proxy": "http://ann:s3cret@127.0.0.1:1"}}
    )

    async def once() -> Response | NoResponse:
        async with HttpClient(settings, SecretStr("t")) as client:
            return await client.send(GET)

    reply = asyncio.run(once())
    assert isinstance(reply, NoResponse)
    assert (reply.message, reply.origin) == ("the proxy cannot be reached; check request.proxy", Origin.PROXY)


def test_never_more_connections_than_the_concurrency() -> None:
    async def many() -> int:
        async with Sandbox(users=10, limit=None) as box:
            settings = make_settings({"platform": {"url": box.url, "token_env": "X"}, "request": {"concurrency": 3}})
            async with HttpClient(settings, SecretStr(box.token)) as client:
                await asyncio.gather(*(client.send(Request("GET", i % 10 + 1)) for i in range(60)))
            return box.connections

    assert asyncio.run(many()) <= 3


def test_a_read_that_a_kept_alive_connection_lost_is_not_sent_again_by_the_library() -> None:
    def script(method: str, user_id: int | None, n: int) -> Fault | None:
        return Fault.RESET_BEFORE if n > 1 else None

    async def work() -> tuple[list[bool], int]:
        async with Sandbox(users=1, limit=None, faults=Faults(script=script)) as box:
            settings = make_settings({"platform": {"url": box.url, "token_env": "X"}})
            async with HttpClient(settings, SecretStr(box.token)) as client:
                replies = [await client.send(Request("GET", 1)) for _ in range(5)]
            return [isinstance(reply, Response) for reply in replies], len(box.log)

    assert asyncio.run(work()) == ([True, False, False, False, False], 5)
