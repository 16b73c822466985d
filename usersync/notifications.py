"""How a run ended in, messages to people and machines out; sentences on those that could not be delivered.

A message names rows and codes, never names, addresses or other values: it leaves the house.
"""

from __future__ import annotations

import json
import logging
import os
import smtplib
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from usersync.errors import SettingsError
from usersync.models import Json
from usersync.report import Summary
from usersync.settings import Email, Notify

if TYPE_CHECKING:
    from apprise import Apprise

WAIT = 10.0
"""Seconds after which whoever does not answer is left alone."""
REASONS = 5
PING = "notify.ping_url"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: with a summary, or with an error."""

    verdict: str
    exit_code: int
    platform: str
    summary: Summary | None = None
    error: str = ""

    @property
    def title(self) -> str:
        """Say it in one line."""
        return f"usersync: {self.verdict} (exit {self.exit_code}) on {self.platform}"

    def as_json(self) -> dict[str, Json]:
        """Give the body of a webhook; its `text`, which chat programs show, is what mail says."""
        told: dict[str, Json] = {"verdict": self.verdict, "exit_code": self.exit_code, "platform": self.platform}
        told["error"] = self.error
        lines = [self.title]
        if summary := self.summary:
            reasons = [{k: reason[k] for k in ("code", "rows", "row")} for reason in summary.reasons[:REASONS]]
            report = f"{Path(str(summary.files['report'])).resolve()} on {socket.gethostname()}"
            told |= {"run": summary.run, "counts": summary.counts, "reasons": reasons, "report": report}
            lines.append(", ".join(f"{n:,} {name}" for name, n in summary.counts.items()))
            lines += [f"{r['code']}: {r['rows']:,}, first in row {r['row']}" for r in reasons]
            lines.append(f"report: {report}")
            limits = ", ".join(limit["rule"] for limit in summary.limits if not limit["overridden"])
            told["error"] = f"beyond the limits: {limits}" if limits else summary.stopped or ""
        return told | {"text": "\n".join(filter(None, [*lines, told["error"]]))}


Channels = Mapping[str, Callable[[Ending], None]]
"""The name of a channel -> what sends over it."""


def channels(notify: Notify) -> Channels:
    """Make ready all channels of the settings; SettingsError where an extra or a variable is missing."""
    found = {f"notify.urls, number {n}": send for n, send in enumerate(_apprises(notify), 1)}
    if webhook := _secret(notify, "webhook"):
        found["notify.webhook"] = lambda ending: _http(webhook, ending.as_json())
    if notify.email:
        found["notify.email"] = partial(_mail, notify.email, _secret(notify.email, "password"))
    if ping := _secret(notify, "ping_url"):
        found[PING] = partial(_ping, ping)
    return found


def deliver(wanted: Channels, ending: Ending) -> list[str]:
    """Use all channels at once, for `WAIT` seconds at most; a sentence for each that failed."""
    failed = dict.fromkeys(wanted, f"no end within {WAIT:g} s")

    def use(name: str) -> None:
        try:
            wanted[name](ending)
        except Exception as error:
            failed[name] = _reason(error)
        else:
            failed[name] = ""

    threads = [Thread(target=use, args=(name,), daemon=True) for name in wanted]
    for thread in threads:
        thread.start()
    end = time.monotonic() + WAIT
    with suppress(KeyboardInterrupt):  # whoever will not wait: the run is over, and its exit code stands
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
    return [f"{name}: not delivered: {reason}" for name, reason in failed.items() if reason]


def _secret(section: Notify | Email, name: str) -> str:
    """Fetch a setting from the section, or from the environment variable that it names instead."""
    if variable := getattr(section, f"{name}_env"):
        if found := os.environ.get(variable, "").strip():
            return found
        raise SettingsError("notify", (f"{name}_env: the environment variable {variable} is empty; set it",))
    given = getattr(section, name, None)
    return str(given.get_secret_value()) if given else ""


def _reason(error: Exception) -> str:
    """Say what went wrong, without the address: it may be a secret."""
    if isinstance(error, urllib.error.HTTPError):
        return f"answered with {error.code}"
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, smtplib.SMTPResponseException):
        return f"answered with {reason.smtp_code}"
    return str(getattr(reason, "strerror", None) or type(reason).__name__)


def _apprises(notify: Notify) -> Iterator[Callable[[Ending], None]]:
    urls = [url.get_secret_value() for url in notify.urls]
    urls += _secret(notify, "urls").split() if notify.urls_env else []
    if urls and find_spec("apprise") is None:
        raise SettingsError("notify", ("urls need an extra: pip install 'usersync[notify]'",))
    for number, url in enumerate(urls, 1):
        from apprise import Apprise

        logging.getLogger("apprise").disabled = True  # it names addresses, and they hold secrets
        if not (box := Apprise()).add(url):
            raise SettingsError("notify", (f"urls: apprise makes no sense of number {number}",))
        yield partial(_through, box)


def _through(box: Apprise, ending: Ending) -> None:
    if not box.notify(body=ending.as_json()["text"], title=ending.title):
        raise ConnectionError(0, "apprise could not hand it over")


def _http(url: str, document: Json = None) -> None:
    body = json.dumps(document, ensure_ascii=False).encode() if document else None
    head = {"User-Agent": "usersync", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, head)  # noqa: S310 - the settings allow http and https only
    urllib.request.urlopen(request, timeout=WAIT).close()  # noqa: S310 - as above


def _ping(url: str, ending: Ending) -> None:
    place, mark, query = url.partition("?")
    _http(url if ending.exit_code == 0 else f"{place.rstrip('/')}/fail{mark}{query}")


def _mail(email: Email, password: str, ending: Ending) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = ending.title, email.sender, ", ".join(email.to)
    message["Date"], message["Message-ID"] = formatdate(), make_msgid("usersync")
    message.set_content(ending.as_json()["text"])
    context = ssl.create_default_context()
    kind = partial(smtplib.SMTP_SSL, context=context) if email.port == 465 else smtplib.SMTP
    with kind(email.host, email.port, timeout=WAIT) as server:
        if email.starttls and email.port != 465:
            server.starttls(context=context)
        if email.user:
            server.login(email.user, password)
        server.send_message(message)
