"""Test remote files: read once, hashed like local ones, no credentials shown."""

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import fsspec
import pytest

from usersync.errors import SourceError
from usersync.loader import load
from usersync.loader.remote import without_secrets
from usersync.settings import SourceSettings

Opened = Callable[..., Any]
SHEET = b"id,name\n1,Ann\n2,Bea\n"
SECRETS = ("s3cret", "t0ken")


@contextmanager
def shelf(seen: list[str]) -> Iterator[str]:
    """A web server that serves the sheet only with the password and the token."""
    key = "Basic " + base64.b64encode(b"ops:s3cret").decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            knows = self.headers.get("Authorization") == key and self.path.endswith("?sig=t0ken")
            self.send_response(200 if knows else 403 if "users" in self.path else 404)
            self.send_header("Content-Length", str(len(SHEET)))
            self.end_headers()
            self.wfile.write(SHEET)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://bucket/users@home.csv", "s3://bucket/users@home.csv"),
        ("C:\\Users\\a?b@c.csv", "C:\\Users\\a?b@c.csv"),
        ("sftp://ops:pass@word@host:22/x.csv", "sftp://host:22/x.csv"),
        ("https://host/users.xlsx?sig=t0ken#frag", "https://host/users.xlsx"),
        ("https://token@host?sig=t0ken", "https://host"),
        ("zip://users.csv::https://ops:s3cret@host/a.zip?sig=t0ken", "zip://users.csv::https://host/a.zip"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


def test_any_address_is_read_like_a_file() -> None:
    fsspec.filesystem("memory").pipe("/box/users.csv", SHEET)
    table = load("memory://box/users.csv", options=SourceSettings())
    assert (table.sources[0].file, table.cells["name"].tolist()) == ("memory://box/users.csv", ["Ann", "Bea"])


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("memory://box/none.csv", "there is no such file"),
        ("nowhere://box/users.csv", "nowhere"),
        ("s3://bucket/users.csv", "pip install s3fs"),
        ("http://127.0.0.1:9/users.csv?sig=t0ken", "cannot be read (ClientConnectorError)"),
    ],
)
def test_reports_what_cannot_be_read_in_one_sentence(address: str, says: str) -> None:
    with pytest.raises(SourceError) as caught:
        load(address, options=SourceSettings())
    assert (says in str(caught.value), "t0ken" in str(caught.value)) == (True, False), caught.value


def test_names_the_extra_when_fsspec_is_missing() -> None:
    code = "import sys; sys.modules['fsspec'] = None; from usersync.loader.remote import fetch; fetch('s3://b/x.csv')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'usersync[remote]'" in done.stderr


def test_credentials_of_an_address_appear_nowhere(desk: Opened) -> None:
    seen: list[str] = []
    with shelf(seen) as place, desk() as (_, at):
        address = f"http://ops:s3cret@{place}/users.csv?sig=t0ken"
        ran = at.run("run", address, "--yes", "-vv")
        assert (ran.code, ran.report[0]["file"], len(seen)) == (0, f"http://{place}/users.csv", 1), ran.err
        planned = at.run("plan", address, "-o", "plan.json", "--compare-with", address)
        assert planned.code == 0, planned.err
        again = at.run("apply", "plan.json", "--yes")
        assert (again.code, "in the environment" in again.err) == (2, True), again.err
        kept = [path for path in at.folder.rglob("*") if path.is_file()]
        texts = [ran.out, ran.err, planned.out, planned.err, again.err]
        texts += [path.read_bytes().decode("latin-1") for path in kept]
        assert not [secret for secret in SECRETS for text in texts if secret in text]
