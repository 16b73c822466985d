"""Notify people and monitoring of how a run ended.

A message contains row numbers and codes, but no names, addresses or other values, because it leaves the organization.
Only the files that `notify.email.attach` adds contain them.
"""

from __future__ import annotations

import json
import logging
import smtplib
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from usersync.context import Clock
from usersync.errors import STOPPED_CODES, RefusedError, SettingsError, UsersyncError
from usersync.models import Json
from usersync.report.summary import Summary, write_summary
from usersync.settings import Email, Metrics, Notify, Settings
from usersync.wording import plural

if TYPE_CHECKING:
    from apprise import Apprise

log = logging.getLogger(__name__)

#: Seconds after which a channel that does not answer is given up.
TIMEOUT: Final = 10.0
#: Reasons that a message lists.
_REASONS: Final = 5
#: Bytes of files that an e-mail may have: in transit they grow by a third, and many servers refuse 10 MB.
ATTACHMENTS: Final = 7_000_000
#: Ending of a file -> its media type, where it says how to show the file.
_MEDIA_TYPES: Final = {
    ".html": "text/html",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
#: The channel that is used after every run.
_PING: Final = "notify.ping_url"
#: Exit code of an error -> verdict; all others are `failed`.
_VERDICTS: Final = {RefusedError.exit_code: "refused", **dict.fromkeys(STOPPED_CODES, "stopped")}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: with a summary, or with an error."""

    verdict: str
    """The status of the summary, `recovered` or `failed`."""
    exit_code: int
    platform: str
    summary: Summary | None = None
    error: str = ""

    @property
    def title(self) -> str:
        """Return the subject line."""
        return f"usersync: {self.verdict} (exit {self.exit_code}) on {self.platform}"

    @property
    def reason(self) -> str:
        """Return why the run did not reach its end; empty where it did."""
        if self.summary is None:
            return self.error
        exceeded = ", ".join(limit["rule"] for limit in self.summary.limits if not limit["overridden"])
        return f"limits exceeded: {exceeded}" if exceeded else self.summary.stopped or ""

    def as_json(self) -> dict[str, Json]:
        """Return the body of a webhook; its `text`, which chat programs show, is what an e-mail says."""
        document: dict[str, Json] = {
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "platform": self.platform,
            "error": self.reason,
        }
        lines = [self.title]
        if self.summary:
            reasons = [{n: reason[n] for n in ("code", "rows", "row")} for reason in self.summary.reasons[:_REASONS]]
            file, counts = self.summary.files["report"], self.summary.counts
            report = f"{Path(file).resolve()} on {socket.gethostname()}" if file else "none"
            document |= {"run": self.summary.run, "counts": counts, "report": report, "reasons": reasons}
            counted = [plural(n, "row") if name == "rows" else f"{n:,} {name}" for name, n in counts.items()]
            lines.append(", ".join(counted))
            lines += [f"{r['code']}: {r['rows']:,}, first in row {r['row']}" for r in reasons]
            lines.append(f"report: {report}")
        document["text"] = "\n".join(filter(None, [*lines, self.reason]))
        return document


#: The name of a channel -> the function that sends over it.
Channels: TypeAlias = Mapping[str, Callable[[Ending], None]]


def prepare(settings: Settings) -> Channels:
    """Make all channels ready, before anything is done.

    Raises SettingsError where an extra is not installed, or an environment variable is empty.
    """
    if settings.metrics and find_spec("prometheus_client") is None:
        raise SettingsError("metrics", ("this needs an extra: pip install 'usersync[metrics]'",))
    notify = settings.notify
    channels = {f"notify.urls, number {n}": send for n, send in enumerate(_apprise_channels(notify), 1)}
    if webhook := notify.address("webhook"):
        channels["notify.webhook"] = partial(_post, webhook)
    if notify.email:
        channels["notify.email"] = partial(_mail, notify.email, notify.email.secret("password"))
    if ping := notify.address("ping_url"):
        channels[_PING] = partial(_ping, ping)
    return channels


def notify_run_finished(
    settings: Settings, channels: Channels, summary: Summary, *, recovered: bool, clock: Clock
) -> Summary:
    """Deliver how a run ended, and write its metrics.

    `recovered`: whether the previous run of this platform failed. A failed delivery becomes a notice in the returned
    summary and in summary.json; it does not change the exit code.
    """
    verdict = "recovered" if recovered and summary.exit_code == 0 else summary.status
    ending = Ending(verdict, summary.exit_code, settings.platform.url, summary)
    notices = _notify(settings, channels, ending, clock)
    if notices:
        summary = replace(summary, notices=notices)
        with suppress(OSError):  # the log has the notices
            write_summary(summary)
    return summary


def notify_run_failed(settings: Settings, channels: Channels, error: Exception, *, clock: Clock) -> None:
    """Notify that a run ended in an error, without a summary; failed deliveries are logged."""
    message, exit_code = f"internal error: {type(error).__name__}; please report it", 1
    if isinstance(error, UsersyncError):
        message, exit_code = str(error), error.exit_code
    verdict = _VERDICTS.get(exit_code, "failed")
    _notify(settings, channels, Ending(verdict, exit_code, settings.platform.url, error=message), clock)


def _notify(settings: Settings, channels: Channels, ending: Ending, clock: Clock) -> list[str]:
    """Write the metrics, use the channels that this ending calls for, and return notices."""
    notices = _write_metrics(settings.metrics, ending, clock) if settings.metrics else []
    verdicts = {ending.verdict, ending.summary.status if ending.summary else ending.verdict}
    called_for = not verdicts.isdisjoint(settings.notify.when)
    notices += deliver({name: send for name, send in channels.items() if called_for or name == _PING}, ending)
    for notice in notices:
        log.warning("%s", notice)
    return notices


def _write_metrics(metrics: Metrics, ending: Ending, clock: Clock) -> list[str]:
    from usersync.report.metrics import write_metrics  # needs an extra

    try:
        write_metrics(metrics, ending.platform, ending.exit_code, ending.summary, now=clock.now())
    except OSError as error:
        return [f"metrics: {metrics.file}: not written: {error.strerror}; make sure that its folder exists"]
    return []


def deliver(channels: Channels, ending: Ending) -> list[str]:
    """Use all channels at once, for `TIMEOUT` seconds at most; return a sentence for each that failed."""
    failures = dict.fromkeys(channels, f"no response within {TIMEOUT:g} s")

    def use(name: str) -> None:
        try:
            channels[name](ending)
        except Exception as error:
            failures[name] = _failure(error)
        else:
            failures[name] = ""

    threads = [Thread(target=use, args=(name,), daemon=True) for name in channels]
    for thread in threads:
        thread.start()
    end = time.monotonic() + TIMEOUT
    with suppress(KeyboardInterrupt):  # the run is over, and its exit code stands
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
    return [f"{name}: not delivered: {reason}" for name, reason in failures.items() if reason]


def _failure(error: Exception) -> str:
    """Say what went wrong, without the address: it may be a secret."""
    if isinstance(error, urllib.error.HTTPError):
        remedy = ", a redirect; write the address that it leads to" if 300 <= error.code < 400 else ""
        return f"answered with {error.code}{remedy}"
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, smtplib.SMTPResponseException):
        return f"answered with {reason.smtp_code}"
    return str(getattr(reason, "strerror", None) or type(reason).__name__)


def _apprise_channels(notify: Notify) -> Iterator[Callable[[Ending], None]]:
    urls = [url.get_secret_value() for url in notify.urls]
    urls += notify.secret("urls").split() if notify.urls_env else []
    if not urls:
        return
    if find_spec("apprise") is None:
        raise SettingsError("notify", ("urls need an extra: pip install 'usersync[notify]'",))
    from apprise import Apprise  # an extra

    logging.getLogger("apprise").disabled = True  # it names addresses, and they hold secrets
    for number, url in enumerate(urls, 1):
        apprise = Apprise()
        if not apprise.add(url):
            raise SettingsError("notify", (f"urls: apprise does not understand number {number}",))
        yield partial(_send_by_apprise, apprise)


def _send_by_apprise(apprise: Apprise, ending: Ending) -> None:
    if not apprise.notify(body=ending.as_json()["text"], title=ending.title):
        raise ConnectionError(0, "apprise could not deliver it")


def _post(url: str, ending: Ending) -> None:
    _request(url, json.dumps(ending.as_json(), ensure_ascii=False).encode())


def _ping(url: str, ending: Ending) -> None:
    base, mark, query = url.partition("?")
    _request(url if ending.exit_code == 0 else f"{base.rstrip('/')}/fail{mark}{query}")


def _request(url: str, body: bytes | None = None) -> None:
    headers = {"User-Agent": "usersync", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the settings allow http and https only
    urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT).close()


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow no redirect of a message: urllib would ask for the other address without it."""

    def redirect_request(self, req: urllib.request.Request, *rest: Any) -> urllib.request.Request | None:
        """Return the next request; None fails with the status of this one."""
        return super().redirect_request(req, *rest) if req.data is None else None


def _mail(email: Email, password: str, ending: Ending) -> None:
    message = EmailMessage()
    message["Subject"] = ending.title
    message["From"] = email.sender
    message["To"] = ", ".join(email.to)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid("usersync")
    files, left_out = _attachments(email, ending.summary)
    message.set_content("\n".join([ending.as_json()["text"], *left_out]))
    for path, data in files:
        maintype, _, subtype = _MEDIA_TYPES.get(path.suffix, "application/octet-stream").partition("/")
        charset = {"charset": "utf-8"} if maintype == "text" else None
        message.add_attachment(data, maintype=maintype, subtype=subtype, filename=path.name, params=charset)
    context = ssl.create_default_context()
    connect = partial(smtplib.SMTP_SSL, context=context) if email.port == 465 else smtplib.SMTP
    with connect(email.host, email.port, timeout=TIMEOUT) as server:
        if email.starttls and email.port != 465:
            server.starttls(context=context)
        if email.user:
            server.login(email.user, password)
        server.send_message(message)


def _attachments(email: Email, summary: Summary | None) -> tuple[list[tuple[Path, bytes]], list[str]]:
    """Return the files to attach, the smallest first, and a sentence for each that has no room."""
    names = [summary.files.get(name) for name in email.attach] if summary else []
    sizes = {path: path.stat().st_size for path in map(Path, filter(None, names))}
    files, left_out, room = [], [], ATTACHMENTS
    for path, size in sorted(sizes.items(), key=lambda item: item[1]):
        if size <= room:
            room -= size
            files.append((path, path.read_bytes()))
        else:
            left_out.append(f"not attached: {path.name} ({size / 1e6:,.1f} MB is too large for an e-mail)")
    return files, left_out
