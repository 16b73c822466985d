"""Define the settings for the platform and for requests to it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from usersync.errors import SettingsError
from usersync.settings.parsing import FilePath, Rate, Seconds, Section, is_address, parse_rate, parse_share


class Platform(Section):
    """The address of the platform, and where its token is kept."""

    url: str
    path: str = "/platform/api/v1/users/{id}"
    token_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = "api_access_token"  # noqa: S105 - a header's name
    token_env: str | None = None
    token_file: FilePath | None = None
    token_command: str | None = Field(default=None, validate_default=True)
    #: Never given: a token in the file is refused.
    literal_token: None = Field(default=None, alias="token")

    @field_validator("literal_token", mode="before")
    @classmethod
    def _no_literal_token(cls, _: object) -> None:
        raise ValueError(
            "do not write the token in this file; put it in an environment variable and write "
            "token_env: NAME (or token_file: PATH, or token_command: COMMAND)"
        )

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if not is_address(url) or not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#]*)?", url):
            raise ValueError("start with http:// or https://, without user or password")
        return url.rstrip("/")

    @field_validator("path")
    @classmethod
    def _has_id(cls, path: str) -> str:
        if path.count("{id}") != 1 or not path.startswith("/"):
            raise ValueError("start with / and name {id} once, like /platform/api/v1/users/{id}")
        return path

    @field_validator("token_command")
    @classmethod
    def _one_token(cls, command: str | None, info: ValidationInfo) -> str | None:
        given = [info.data.get("token_env"), info.data.get("token_file"), command]
        if (count := sum(home is not None for home in given)) != 1:
            raise ValueError(f"give exactly one of token_env, token_file, token_command; found {count}")
        return command

    def token(self) -> SecretStr:
        """Read the token. Raises SettingsError if it cannot be read or used."""
        try:
            text = self._fetch_token().strip()
        except (OSError, subprocess.SubprocessError, ValueError, IndexError, RuntimeError) as error:
            reason = str(error)
            if isinstance(error, subprocess.CalledProcessError):
                reason = f"the command ended with {error.returncode}"
            raise SettingsError("platform", (f"the token could not be read: {reason}",)) from None
        if not text or not text.isprintable() or not text.isascii():
            raise SettingsError("platform", (f"there is no usable token in {self._token_home()}",))
        return SecretStr(text)

    def _token_home(self) -> str:
        if self.token_env:
            return f"the environment variable {self.token_env}; set it and run again"
        return f"{self.token_file}" if self.token_file else "what token_command printed"

    def _fetch_token(self) -> str:
        if self.token_env:
            return os.environ.get(self.token_env, "")
        if self.token_file:
            return self.token_file.expanduser().read_text("utf-8")
        command = shlex.split(self.token_command or "")
        return subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout


class Request(Section):
    """How requests are sent to the platform."""

    timeout: Seconds = 30.0
    verify_ssl: bool = True
    ca_file: FilePath | None = None
    proxy: SecretStr | None = None
    concurrency: Annotated[PositiveInt, Field(le=1000)] = 16
    #: At most; if the platform allows less, the rate adapts. auto: find out what it allows. None: no limit.
    rate: Annotated[Rate | Literal["auto"] | None, BeforeValidator(parse_rate)] = Rate(3000, 60.0)
    batch_size: PositiveInt | None = None
    #: Milliseconds between two batches, as in the reference node.
    batch_interval: NonNegativeFloat = 0.0
    #: After so many updates in total (10, then 100), check whether too many failed, and continue only if not.
    ramp: tuple[PositiveInt, ...] = ()
    #: The share of failures, as 0.1 or 10%, at which a ramp stops the run.
    ramp_max_failures: Annotated[float, Field(ge=0, le=1), BeforeValidator(parse_share)] = 0.1
    retries: NonNegativeInt = 4
    #: Seconds without a single success after which the run stops (exit 4).
    stop_after: Seconds = 300.0

    @field_validator("proxy")
    @classmethod
    def _proxy_address(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy and not is_address(proxy.get_secret_value()):
            raise ValueError("write the proxy as http://host:port or http://user:password@host:port")
        return proxy
