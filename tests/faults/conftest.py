"""Share a faulty proxy, a real nginx and a fast clock with the tests of faults."""

import asyncio
import csv
import os
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from tests.conftest import PATIENCE, free_port, wait_until
from usersync.report import Summary
from usersync.settings import Settings, make_settings

#: What an answer is turned into (`b""` if the request was not passed on), or what is done to the connection.
Act = Callable[[bytes], bytes] | Literal["reset", "say nothing", "drip"]
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
NO_NGINX = "nginx is not installed here: apt-get install nginx-light"
_NGINX_CONF = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  limit_req_zone $binary_remote_addr zone=pace:1m rate=50r/s;
  server {{
    listen 127.0.0.1:{port}; reset_timedout_connection on; underscores_in_headers on;
    location / {{ {pace} proxy_pass http://127.0.0.1:{upstream}; proxy_read_timeout 1s; }}
    location = /dead {{ internal; proxy_pass http://127.0.0.1:{dead}; }}
    location = /down {{ internal; return 503; }}
    location = /away {{ internal; return 444; }}
  }}
}}
"""


class QuickClock:
    """Real time, `speed` times as fast: waits are short and keep their order."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._start = datetime.now(UTC)

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self._speed

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


@dataclass(slots=True)
class Aim:
    """Which requests fail: every update of these users, or the nth connections."""

    users: Container[int | str | None] = ()
    #: Whether reads of those users fail as well.
    reads_too: bool = False
    connections: Container[int] = ()
    on_hit: Callable[[], object] = lambda: None
    repaired: bool = False

    def hits(self, method: str, user: int | str | None, connection: int = 0) -> bool:
        named = user in self.users and (method == "PATCH" or self.reads_too)
        hit = not self.repaired and (named or connection in self.connections)
        if hit:
            self.on_hit()
        return hit


@dataclass
class Misbehaving:
    """A proxy that passes requests on to the platform at `upstream`, and does `act` to those that `aim` hits.

    `running` keeps it open, as it does a sandbox.
    """

    upstream: int = 0
    act: Act | None = None
    aim: Aim = field(default_factory=Aim)
    #: Whether the platform carries out the requests that are not answered properly.
    applied: bool = False
    port: int = 0
    tls: ssl.SSLContext | None = None
    accepted: int = 0

    async def __aenter__(self) -> Self:
        self.listener = await asyncio.start_server(self.talk, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self.listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.listener.close()

    def begin(self, upstream: int, act: Act | None, aim: Aim, *, applied: bool = False) -> None:
        self.upstream, self.act, self.aim, self.applied, self.accepted = upstream, act, aim, applied, 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._talk(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.act and self.aim.hits("", None, self.accepted):
            return await self._misbehave(self.act, b"", reader, writer)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0)
        raw = head[:-2] + b"Connection: close\r\n\r\n" + await reader.readexactly(length)
        method, path = head.decode("latin-1").split(" ")[:2]
        name = path.rpartition("/")[2]  # a user's id, or "agents"
        act = self.act if self.aim.hits(method, int(name) if name.isdigit() else name) else None
        answer = await self._passed_on(raw) if self.applied or not act else b""
        return await self._misbehave(act or bytes, answer, reader, writer)

    async def _misbehave(
        self, act: Act, answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if act == "say nothing":
            await reader.read()  # until the client closes the connection
        elif act == "reset":  # as a crash or a firewall does
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif act == "drip":  # progress never stops, and never ends
            for byte in answer:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0.02)
        else:
            writer.write(act(answer))
            await writer.drain()

    async def _passed_on(self, raw: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        writer.write(raw)
        answer = await reader.read()
        writer.close()
        return answer


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def nginx_before(upstream: int, folder: Path, *, pace: str = "") -> Iterator[int]:
    """Run a real nginx in front of a port, and yield its own. `pace` is a `limit_req` line."""
    assert NGINX
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(_NGINX_CONF.format(folder=folder, port=port, upstream=upstream, dead=free_port(), pace=pace))
    process = subprocess.Popen([NGINX, "-e", str(folder / "error.log"), "-c", str(conf)])
    try:
        wait_until(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "error.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def settings_for(url: str, folder: Path, **request: Any) -> Settings:
    """Return settings with which changes are sent without a read before."""
    return make_settings(
        {
            "platform": {"url": url, "token_command": "echo sandbox-token"},
            "request": {"rate": "off", **request},
            "diff": {"compare_with": "nothing"},
            "ledger": str(folder / "usersync.db"),
            "report": {"dir": str(folder / "runs"), "formats": ["csv"]},
        }
    )


def changes(rows: int) -> str:
    return "id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, rows + 1))


def says(raw: bytes) -> Act:
    """Answer every request with these bytes."""
    return lambda _: raw


def page(status: str, body: bytes = b"<html>Sorry</html>", kind: str = "text/html", more: str = "X: y") -> Act:
    """Answer every request with a status, a body, and one more header."""
    head = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        more,
    )
    return says("\r\n".join(head).encode() + b"\r\n\r\n" + body)


def internal_redirect(place: str) -> Act:
    """Answer so that nginx redirects internally to one of its own locations."""
    return page("200 OK", b"", more=f"X-Accel-Redirect: /{place}")


def report_of(summary: Summary, rows: int) -> list[dict[str, str]]:
    """Read the report, and check that it has one line for each row."""
    with Path(str(summary.files["report"])).open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["id"] for line in lines] == [str(i) for i in range(1, rows + 1)]
    assert summary.counts["rows"] == rows
    return lines
