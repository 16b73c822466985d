"""Check that everything is in place for a run: `usersync check`.

One user is read; nothing is sent.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies

from pydantic import SecretStr

from usersync.context import Clock, run_async
from usersync.errors import SettingsError, UsageError
from usersync.ledger import Ledger
from usersync.models import Code, Json
from usersync.notifications import prepare
from usersync.platform.api import (
    Answer,
    Misconfigured,
    NoResponse,
    Origin,
    RateLimited,
    Rejected,
    Response,
    Success,
    TransientError,
    Unauthorized,
    read_request,
    read_response,
)
from usersync.platform.client import HttpClient
from usersync.platform.directory import DIRECTORY_PATH, DirectoryUnavailable, parse_directory
from usersync.settings import Metrics, Settings
from usersync.wording import plural

#: Seconds by which this machine's clock may differ from the platform's without a warning.
MAX_CLOCK_DIFFERENCE: Final = 5.0
#: Bytes of free disk space below which there is a warning; a run of a million rows takes about half of it.
MIN_FREE_BYTES: Final = 1 << 30
_LIMIT_HEADERS: Final = re.compile(r"(?:x-)?rate-?limit.*|retry-after", re.IGNORECASE)
_Send: TypeAlias = Callable[[HttpClient], Awaitable[Response | NoResponse]]
_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    name: str
    message: str
    #: The exit code that it gives the command; 0: the check passed.
    exit_code: int = 0
    #: What to do about a check that failed.
    remedy: str = ""

    def as_json(self) -> dict[str, Json]:
        """Return the result for scripts."""
        return {"name": self.name, "ok": not self.exit_code, "message": self.message, "remedy": self.remedy}


def exit_code_of(results: Sequence[CheckResult]) -> int:
    """Return the exit code of all results: unusable (2) counts most, then unreachable (4), then warnings (1)."""
    codes = {result.exit_code for result in results}
    return next((code for code in (2, 4, 1) if code in codes), 0)


def run_diagnostics(load: Callable[[], Settings], clock: Clock, *, user_id: int | None = None) -> Iterator[CheckResult]:
    """Check everything.

    `load` returns the settings or raises SettingsError. `user_id` is the user to read; by default it is the lowest
    in the ledger, or 1.
    """
    libraries = ", ".join(f"{name} {version(name)}" for name in ("usersync", "aiohttp", "pandas", "pydantic"))
    yield CheckResult("versions", f"{libraries}, Python {sys.version.split()[0]}")
    try:
        settings = load()
    except SettingsError as error:
        remedy = "fix the settings; config/usersync.yaml explains every line"
        yield CheckResult("settings", "; ".join(error.problems), 2, remedy)
        return
    yield CheckResult("settings", f"for {settings.platform.url}")
    ledger, known_user = _check_ledger(settings)
    try:
        token = settings.platform.token()
    except SettingsError as error:
        yield _failed("token", "; ".join(error.problems), 2, "provide the token where platform: says it is")
    else:
        yield from _check_platform(settings, token, clock, user_id or known_user)
        yield _check_directory(settings)
    yield ledger
    yield _check_folder("ledger disk", settings.ledger.absolute().parent, "ledger:")
    yield _check_folder("report disk", settings.report.dir.absolute(), "report.dir")
    yield _check_notifications(settings)
    if settings.metrics:
        yield _check_metrics(settings.metrics)


def _failed(name: str, text: str, code: int, remedy: str) -> CheckResult:
    """Return a failed check; messages of usersync carry their own remedy after a semicolon."""
    message, _, own_remedy = text.partition("; ")
    return CheckResult(name, message, code, own_remedy or remedy)


def _check_ledger(settings: Settings) -> tuple[CheckResult, int]:
    """Return the check of the ledger, and the user to read."""
    path = settings.ledger
    if not path.exists():
        return CheckResult("ledger", f"{path} does not exist yet; the first run creates it"), 1
    try:
        with Ledger(path) as ledger:
            count = sum(1 for _ in ledger.runs())
            return CheckResult("ledger", f"{path}, runs: {count}"), ledger.lowest_known_user(settings.platform.url) or 1
    except (UsageError, sqlite3.Error) as error:
        return _failed("ledger", str(error), 2, "name another file under ledger:"), 1


def _check_folder(name: str, folder: Path, setting: str) -> CheckResult:
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        tempfile.TemporaryFile(dir=existing).close()
        free = shutil.disk_usage(existing).free
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror}"
        return CheckResult(name, message, 2, f"name another place under {setting}")
    message = f"{free / 1e9:,.1f} GB are free for {folder}"
    return CheckResult(name, message) if free >= MIN_FREE_BYTES else CheckResult(name, message, 1, "free disk space")


def _check_notifications(settings: Settings) -> CheckResult:
    """Make the channels ready, as a run does before it begins, and send nothing."""
    try:
        channels = prepare(settings)
    except SettingsError as error:
        return _failed("notify", "; ".join(error.problems), 2, "correct it, or leave it out")
    return CheckResult("notify", ", ".join(channels) or "nobody is notified of how a run ends")


def _check_metrics(metrics: Metrics) -> CheckResult:
    folder = metrics.file.absolute().parent
    if folder.is_dir():
        return CheckResult("metrics", f"{metrics.file}, written after every run")
    return CheckResult("metrics", f"{folder} is no folder", 1, "create it, or correct metrics.file")


def _check_platform(settings: Settings, token: SecretStr, clock: Clock, user_id: int) -> Iterator[CheckResult]:
    try:
        response = _ask(settings, token, lambda client: client.send(read_request(user_id)))
    except SettingsError as error:
        yield CheckResult("TLS", "; ".join(error.problems), 2, "name a file of certificates in request.ca_file")
        return
    now = clock.now()
    answer = read_response(response, now, (token.get_secret_value(),))
    yield from _read_answer(answer, user_id)
    if isinstance(response, Response):
        yield from _check_connection(settings)
        yield _check_clock(response, now)
        yield _check_limit(settings, response, answer)


def _ask(settings: Settings, token: SecretStr, send: _Send) -> Response | NoResponse:
    """Send one request. Raises SettingsError where `request.ca_file` cannot be used."""

    async def ask() -> Response | NoResponse:
        async with HttpClient(settings, token) as client:
            return await send(client)

    return run_async(ask())


def _check_directory(settings: Settings) -> CheckResult:
    """Check whether the users of the account can be listed."""
    account = settings.platform.account
    if account is None:
        return CheckResult("account", "none is configured (platform.account), so users are read one by one")
    try:
        token = settings.platform.account_token()
    except SettingsError as error:
        return _failed("account", "; ".join(error.problems), 2, "provide the token where platform: says it is")
    if token is None:
        message = f"account {account} has no token, so users are read one by one"
        return CheckResult("account", message, 1, "name the token of one of its users in platform.account_token_env")
    path, max_bytes = DIRECTORY_PATH.format(account=account), settings.platform.directory_max_bytes
    try:
        response = _ask(settings, token, lambda client: client.get(path, max_bytes=max_bytes))
    except SettingsError as error:  # request.ca_file; the check of the platform reports it
        return CheckResult("account", f"not tried: {'; '.join(error.problems)}")
    directory = parse_directory(response, account, (token.get_secret_value(),))
    if isinstance(directory, DirectoryUnavailable):
        return _failed("account", directory.reason, 1, "without the list, users are read one by one")
    users = plural(len(directory.users), "user")
    return CheckResult("account", f"{users} of account {account} can be listed in one request")


def _check_connection(settings: Settings) -> Iterator[CheckResult]:
    """Check what lies between here and a platform that answers: a proxy, and TLS."""
    request = settings.request
    url = urlsplit(settings.platform.url)
    proxy = urlsplit(request.proxy.get_secret_value() if request.proxy else "")
    unused = " (the environment's proxy is not used; name it in request.proxy)" if getproxies() else ""
    yield CheckResult("proxy", proxy.hostname or f"none{unused}")
    if url.scheme == "https" and request.verify_ssl:
        yield CheckResult("TLS", "the certificate is trusted")
    elif url.scheme == "https":
        message = "certificates are not checked; anyone on the way can read the token"
        yield CheckResult("TLS", message, 1, "name your own authority in request.ca_file")
    elif url.hostname in _LOCAL_HOSTS:
        yield CheckResult("TLS", "not used, and not needed: the platform is on this machine")
    else:
        yield CheckResult("TLS", "the token is sent unencrypted", 1, "write https:// in platform.url")


def _read_answer(answer: Answer, user_id: int) -> Iterator[CheckResult]:
    """Return what an answer says about the platform, the token, and what the token may do."""
    platform_ok = CheckResult("platform", "answers")
    token_ok = CheckResult("token", "accepted")
    token_untried = CheckResult("token", "found, but not tried")
    match answer:
        case Success(user) if user.id == user_id:
            yield from (platform_ok, token_ok, CheckResult("permission", f"user {user_id} can be read"))
        case Success(user):
            message = f"asked for user {user_id}, answered with user {user.id}"
            yield CheckResult("platform", message, 4, "check platform.url and platform.path")
        case Rejected(Code.NOT_FOUND):
            untried = f"not tried: there is no user {user_id}; name one with --user ID"
            yield from (platform_ok, token_ok, CheckResult("permission", untried))
        case Rejected(Code.NOT_PERMITTED, message):
            yield from (platform_ok, token_ok)
            yield _failed("permission", f"user {user_id}: {message}", 1, "ask the platform's operator for permission")
        case Unauthorized(message, 407):
            yield from (_failed("proxy", message, 4, ""), token_untried)
        case Unauthorized(message):
            remedy = "ask the operator for a new one; a proxy such as nginx drops the header if it has underscores"
            yield from (platform_ok, CheckResult("token", message.partition("; ")[0], 4, remedy))
        case RateLimited():
            yield from (platform_ok, replace(token_untried, message="found, but not tried: the limit is used up"))
        case Misconfigured(message):
            yield from (_failed("TLS" if "TLS" in message else "platform", message, 4, ""), token_untried)
        case TransientError(_, message, origin=Origin.PROXY):
            yield from (_failed("proxy", message, 4, "check request.proxy"), token_untried)
        case Rejected(_, message) | TransientError(_, message):
            failed = "TLS" if isinstance(answer, TransientError) and message.startswith("TLS") else "platform"
            remedy = "make sure that the platform is up, and check platform.url and platform.path"
            yield from (_failed(failed, message, 4, remedy), token_untried)


def _check_limit(settings: Settings, response: Response, answer: Answer) -> CheckResult:
    headers = ", ".join(
        f"{name}: {value}" for name, value in response.headers.items() if _LIMIT_HEADERS.fullmatch(name)
    )
    message = f"ours is {settings.request.rate or 'off'}; the platform reports {headers or 'none'}"
    if isinstance(answer, RateLimited):
        return CheckResult("limit", message, 1, "wait, or find out who else uses this token")
    return CheckResult("limit", message)


def _check_clock(response: Response, now: datetime) -> CheckResult:
    try:
        platform_time = parsedate_to_datetime(response.headers["Date"])
        seconds = (platform_time - now).total_seconds() + 0.5  # the header has whole seconds
    except (KeyError, ValueError, TypeError):
        return CheckResult("clock", "not compared: the answer has no date")
    if abs(seconds) <= MAX_CLOCK_DIFFERENCE:
        return CheckResult("clock", "agrees with the platform's")
    direction = "behind" if seconds > 0 else "ahead of"
    remedy = "set this machine's clock (NTP), or times in reports and waits will be wrong"
    return CheckResult("clock", f"{abs(seconds):,.0f} s {direction} the platform's", 1, remedy)
