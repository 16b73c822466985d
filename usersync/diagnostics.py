"""Settings in, findings out: is everything in place for a run? One user is read, and nothing is sent."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from pydantic import SecretStr

from usersync.context import Clock
from usersync.errors import SettingsError, UsageError
from usersync.ledger import Ledger
from usersync.models import MASK, Code, Json
from usersync.platform.api import (
    Answer,
    NoResponse,
    RateLimited,
    Rejected,
    Request,
    Response,
    Success,
    TransientError,
    Unauthorized,
    read_response,
)
from usersync.platform.client import HttpClient
from usersync.settings import Settings

CLOCK_OFF = 5.0
"""Seconds between our clock and the platform's that are worth a word."""
LEAST_FREE = 1 << 30
"""Bytes of free disk; a run of a million rows takes about half of it."""
_LIMITS = re.compile(r"(?:x-)?rate-?limit.*|retry-after", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at."""

    name: str
    message: str
    exit_code: int = 0
    """What it makes the command end with; 0: all is well."""
    remedy: str = ""

    def as_json(self) -> dict[str, Json]:
        """Give the finding for scripts."""
        return {"name": self.name, "ok": not self.exit_code, "message": self.message, "remedy": self.remedy}


def verdict(findings: Sequence[CheckResult]) -> int:
    """Give the exit code of all findings: what cannot be used counts most, then what cannot be reached."""
    found = {finding.exit_code for finding in findings}
    return next((code for code in (2, 4, 1) if code in found), 0)


def run_diagnostics(load: Callable[[], Settings], clock: Clock, *, user_id: int | None = None) -> Iterator[CheckResult]:
    """Look at everything; `load` gives the settings, `user_id` is read (else the lowest in the ledger, or 1)."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("usersync", "aiohttp", "pandas", "pydantic"))
    yield CheckResult("versions", f"{libraries}, Python {sys.version.split()[0]}")
    try:
        settings = load()
    except SettingsError as error:
        remedy = "mend the settings; config/usersync.yaml explains every line"
        yield CheckResult("settings", "; ".join(error.problems), 2, remedy)
        return
    yield CheckResult("settings", f"for {settings.platform.url}")
    ledger, known = _ledger(settings)
    try:
        token = settings.platform.token()
    except SettingsError as error:
        yield _cross("token", "; ".join(error.problems), 2, "give the token that platform: speaks of")
    else:
        yield from _platform(settings, token, clock, user_id or known)
    yield ledger
    yield _place("ledger disk", settings.ledger.absolute().parent, "ledger:")
    yield _place("report disk", settings.report.dir.absolute(), "report.dir")


def _cross(name: str, text: str, code: int, remedy: str) -> CheckResult:
    """Make a cross; our own sentences bring their remedy along, behind a semicolon."""
    message, _, own = text.partition("; ")
    return CheckResult(name, message, code, own or remedy)


def _ledger(settings: Settings) -> tuple[CheckResult, int]:
    path, url = settings.ledger, settings.platform.url
    if not path.exists():
        return CheckResult("ledger", f"{path} is not there yet; the first run makes it"), 1
    try:
        with Ledger(path) as ledger:
            count = sum(1 for _ in ledger.runs())
            return CheckResult("ledger", f"{path}, runs: {count}"), ledger.first_known(url) or 1
    except (UsageError, sqlite3.Error) as error:
        return _cross("ledger", str(error), 2, "name another file under ledger:"), 1


def _place(name: str, folder: Path, setting: str) -> CheckResult:
    home = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        tempfile.TemporaryFile(dir=home).close()
        free = shutil.disk_usage(home).free
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror}"
        return CheckResult(name, message, 2, f"name another place under {setting}")
    short = free < LEAST_FREE
    return CheckResult(name, f"{free / 1e9:,.1f} GB are free for {folder}", int(short), "make room" if short else "")


def _platform(settings: Settings, token: SecretStr, clock: Clock, user_id: int) -> Iterator[CheckResult]:
    async def ask() -> Response | NoResponse:
        async with HttpClient(settings, token) as door:
            return await door.ask(Request("GET", user_id))

    try:
        reply = asyncio.run(ask())
    except SettingsError as error:
        yield CheckResult("TLS", "; ".join(error.problems), 2, "name a file of certificates in request.ca_file")
        return
    now = clock.now()
    answer = read_response(reply, now)
    for finding in _said(answer, user_id):
        yield replace(finding, message=finding.message.replace(token.get_secret_value(), MASK))
    if isinstance(reply, Response):
        yield from _way(settings)
        yield _time(reply, now)
        told = ", ".join(f"{name}: {value}" for name, value in reply.headers.items() if _LIMITS.fullmatch(name))
        limit = f"ours {settings.request.rate or 'off'}; the platform says {told or 'nothing'}"
        used_up = isinstance(answer, RateLimited)
        yield CheckResult("limit", limit, int(used_up), "wait, or see who else uses this token" if used_up else "")


def _way(settings: Settings) -> Iterator[CheckResult]:
    """What lies between us and a platform that answers: a proxy, and TLS."""
    request, url = settings.request, urlsplit(settings.platform.url)
    proxy = urlsplit(request.proxy.get_secret_value() if request.proxy else "")
    ignored = " (that of the environment is not used; name it in request.proxy)" if getproxies() else ""
    yield CheckResult("proxy", proxy.hostname or f"none{ignored}")
    if url.scheme == "https" and request.verify_ssl:
        yield CheckResult("TLS", "the certificate is trusted")
    elif url.scheme == "https":
        message = "certificates are not checked; whoever sits in between can read the token"
        yield CheckResult("TLS", message, 1, "name your own authority in request.ca_file")
    elif url.hostname in ("localhost", "127.0.0.1", "::1"):
        yield CheckResult("TLS", "none, and none is needed: the platform is on this machine")
    else:
        yield CheckResult("TLS", "the token travels in the clear", 1, "write https:// in platform.url")


def _said(answer: Answer, user_id: int) -> Iterator[CheckResult]:
    """What the answer tells of the platform, the token, and what the token may do."""
    here, token = CheckResult("platform", "answers"), CheckResult("token", "accepted")
    remedy = "see that the platform is up, and check platform.url and path"
    match answer:
        case Success(user) if user.id == user_id:
            yield from (here, token, CheckResult("permission", f"user {user_id} can be read"))
        case Success(user):
            yield CheckResult("platform", f"asked for user {user_id}, answered with {user.id}", 4, remedy)
        case Rejected(Code.NOT_FOUND, message) if "not the API's" not in message:
            untold = f"not tried: there is no user {user_id}; name one with --user ID"
            yield from (here, token, CheckResult("permission", untold))
        case Rejected(Code.NOT_PERMITTED, message):
            yield from (here, token)
            yield _cross("permission", f"user {user_id}: {message}", 1, "ask the platform's operator for it")
        case Unauthorized(message, 407):
            yield _cross("proxy", message, 4, "")
        case Unauthorized(message):
            remedy = "ask the operator for a new one; a proxy such as nginx drops the header if it has underscores"
            yield from (here, CheckResult("token", message.partition("; ")[0], 4, remedy))
        case RateLimited():
            yield from (here, CheckResult("token", "read, but not tried: the limit is used up"))
        case Rejected(_, message) | TransientError(_, message):
            words = ("TLS", "proxy") if isinstance(answer, TransientError) and not answer.reached else ()
            yield _cross(next((word for word in words if word in message), "platform"), message, 4, remedy)
            yield CheckResult("token", "read, but not tried")


def _time(reply: Response, now: datetime) -> CheckResult:
    try:
        off = (parsedate_to_datetime(reply.headers["Date"]) - now).total_seconds() + 0.5  # it has whole seconds
    except (KeyError, ValueError, TypeError):
        return CheckResult("clock", "not compared: the answer has no date")
    if abs(off) <= CLOCK_OFF:
        return CheckResult("clock", "goes with the platform's")
    side = "behind" if off > 0 else "ahead of"
    remedy = "set this machine's clock (NTP): times in reports and waits would be wrong"
    return CheckResult("clock", f"{abs(off):,.0f} s {side} the platform's", 1, remedy)
