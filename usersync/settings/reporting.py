"""Define the settings for reports, metrics and notifications."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, SecretStr, field_validator

from usersync.errors import SettingsError
from usersync.settings.parsing import FilePath, Section, Written, web_address


class Report(Section):
    """Where the files of a run are written."""

    dir: FilePath = Path("runs")
    #: The formats of the report; report.csv is always written.
    formats: tuple[Literal["csv", "xlsx", "html"], ...] = ("csv", "html")


class Metrics(Section):
    """A text file for Prometheus, read by node exporter's textfile collector (extra `metrics`)."""

    file: FilePath
    #: Distinguishes several jobs; each needs a file of its own.
    job: str = "usersync"


class _WithSecrets(Section):
    """A section whose secrets may be in environment variables (`..._env`)."""

    def secret(self, name: str) -> str:
        """Return a setting, or the environment variable that is named instead; empty for none. Raises SettingsError."""
        variable = getattr(self, f"{name}_env")
        if variable:
            value = os.environ.get(variable, "").strip()
            if not value:
                raise SettingsError("notify", (f"{name}_env: the environment variable {variable} is empty; set it",))
            return value
        given = getattr(self, name, None)
        return str(given.get_secret_value()) if given else ""


class Email(_WithSecrets):
    """The mail server; on port 465 the connection is encrypted from the start."""

    host: Written
    port: Annotated[PositiveInt, Field(le=65535)] = 587
    sender: str = Field(alias="from")
    to: Annotated[tuple[str, ...], BeforeValidator(lambda to: (to,) if isinstance(to, str) else to)]
    user: str | None = None
    password_env: Written | None = None
    starttls: bool = True
    #: Files to attach: the report's page, and the rejects. They hold names, addresses and values.
    attach: tuple[Literal["html", "rejects"], ...] = ()


class Notify(_WithSecrets):
    """Who is notified how a run ended."""

    #: `recovered`: all is well, and was not at the run before. (A bare `on` would be a boolean in YAML.)
    when: tuple[Literal["failed", "partial", "refused", "stopped", "recovered", "done"], ...] = (
        "failed", "partial", "refused", "stopped", "recovered",
    )  # fmt: skip
    #: URLs that apprise knows (extra `notify`); in the variable `urls_env` they are separated by blanks.
    urls: tuple[SecretStr, ...] = ()
    urls_env: Written | None = None
    webhook: SecretStr | None = None
    webhook_env: Written | None = None
    email: Email | None = None
    #: A dead-man's switch: requested after every run, with `/fail` appended if the exit code is not 0.
    ping_url: SecretStr | None = None
    ping_url_env: Written | None = None

    @field_validator("webhook", "ping_url")
    @classmethod
    def _web_addresses(cls, url: SecretStr | None) -> SecretStr | None:
        if url:
            web_address(url.get_secret_value())
        return url

    def address(self, name: str) -> str:
        """Return a web address as `secret` does. Raises SettingsError where nothing can be sent to it."""
        url = self.secret(name)
        try:
            return web_address(url) if url else ""
        except ValueError as error:
            raise SettingsError("notify", (f"{name}_env: {getattr(self, f'{name}_env')}: {error}",)) from None
