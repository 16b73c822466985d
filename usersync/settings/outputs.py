"""Where the files of a run go, and who is told how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, SecretStr, field_validator

from usersync.settings.values import Section, is_address


class Report(Section):
    """Where the files of a run go."""

    dir: Path = Path("runs")
    formats: tuple[Literal["csv", "xlsx", "html"], ...] = ("csv", "html")
    """What the report is written as; report.csv is written in any case."""


class Metrics(Section):
    """A text file for Prometheus, as node exporter's textfile collector reads it (extra `metrics`)."""

    file: Path
    job: str = "usersync"
    """Tells several jobs apart, each with a file of its own."""


class Email(Section):
    """Where mail is handed in; port 465 speaks TLS from the first byte."""

    host: str
    port: Annotated[PositiveInt, Field(le=65535)] = 587
    sender: str = Field(alias="from")
    to: Annotated[tuple[str, ...], BeforeValidator(lambda to: (to,) if isinstance(to, str) else to)]
    user: str | None = None
    password_env: str | None = None
    starttls: bool = True
    attach: tuple[Literal["html", "rejects"], ...] = ()
    """Files to attach: the report's page, and the rejects. They hold names, addresses and values."""


class Notify(Section):
    """Owner is told how a run ended. What holds a secret may stand in an environment variable (`..._env`)."""

    when: tuple[Literal["failed", "partial", "refused", "stopped", "recovered", "done"], ...] = (
        "failed", "partial", "refused", "stopped", "recovered",
    )  # fmt: skip
    """`recovered`: all is well, and it was not at the run before. (A bare `on` is a truth value in YAML.)"""
    urls: tuple[SecretStr, ...] = ()
    """Addresses that apprise knows (extra `notify`); in the variable `urls_env`, blanks stand between them."""
    urls_env: str | None = None
    webhook: SecretStr | None = None
    webhook_env: str | None = None
    email: Email | None = None
    ping_url: SecretStr | None = None
    """A dead-man's switch: asked after every run, with `/fail` behind it where the exit code is not 0."""
    ping_url_env: str | None = None

    @field_validator("webhook", "ping_url")
    @classmethod
    def _web_addresses(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not is_address(url.get_secret_value()):
            raise ValueError("write the address with http:// or https://")
        return url
