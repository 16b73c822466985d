"""Define the settings for the platform and for requests to it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

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
from usersync.settings.parsing import FilePath, Rate, Seconds, Section, Written, is_address, parse_rate, parse_share

#: Headers that HTTP or the client itself needs for something else.
_RESERVED_HEADERS: Final = frozenset(
    (
        "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "cookie",
        "date", "expect", "host", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
        "user-agent",
    )
)  # fmt: skip
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: Seconds that a command may take to print a token.
_COMMAND_TIMEOUT: Final = 60
_QUOTES: Final = "\"'`"


class Platform(Section):
    """The address of the platform, and where its tokens are kept."""

    #: Normalized: it identifies the platform in the lock, the shared rate and the ledger.
    url: str
    path: str = "/platform/api/v1/users/{id}"
    token_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = "api_access_token"  # noqa: S105 - a header's name
    token_env: Written | None = None
    token_file: FilePath | None = None
    token_command: Written | None = Field(default=None, validate_default=True)
    #: The account whose users are listed in one request instead of read one by one.
    account: PositiveInt | None = None
    account_token_env: Written | None = None
    account_token_file: FilePath | None = None
    account_token_command: Written | None = Field(default=None, validate_default=True)
    #: Bytes of the list of an account's users that are read at most.
    directory_max_bytes: PositiveInt = 64 << 20
    #: Never given: a token in the file is refused.
    literal_token: None = Field(default=None, alias="token")
    #: Never given: a token in the file is refused.
    literal_account_token: None = Field(default=None, alias="account_token")

    @field_validator("literal_token", "literal_account_token", mode="before")
    @classmethod
    def _no_literal_token(cls, _: object, info: ValidationInfo) -> None:
        prefix = "account_" if info.field_name == "literal_account_token" else ""
        raise ValueError(
            "do not write the token in this file; put it in an environment variable and write "
            f"{prefix}token_env: NAME (or {prefix}token_file: PATH, or {prefix}token_command: COMMAND)"
        )

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if not is_address(url) or not re.fullmatch(r"(?i:https?)://[^\s/@?#\\]+(/[^\s?#]*)?", url):
            raise ValueError("start with http:// or https://, without user or password")
        if not url.isprintable():
            raise ValueError("holds characters that no address has")
        return _normalized(url)

    @field_validator("path")
    @classmethod
    def _path_with_id(cls, path: str) -> str:
        if path.count("{id}") != 1 or not path.startswith("/"):
            raise ValueError("start with / and name {id} once, like /platform/api/v1/users/{id}")
        if not re.fullmatch(r"[!-~]+", path) or "#" in path:
            raise ValueError(
                "remove blanks, line ends, # and other characters that no path has (or percent-encode them)"
            )
        return path

    @field_validator("token_header")
    @classmethod
    def _free_header(cls, name: str) -> str:
        if name.lower() in _RESERVED_HEADERS:
            raise ValueError(
                f"{name} cannot carry a token, because HTTP uses it itself; the platform expects api_access_token"
            )
        return name

    @field_validator("token_command", "account_token_command")
    @classmethod
    def _one_place(cls, command: str | None, info: ValidationInfo) -> str | None:
        prefix = str(info.field_name).removesuffix("command")
        is_required = prefix == "token_"
        given = (info.data.get(f"{prefix}env"), info.data.get(f"{prefix}file"), command)
        count = sum(place is not None for place in given)
        if count > 1 or (is_required and not count):
            one = "exactly one" if is_required else "only one"
            raise ValueError(f"give {one} of {prefix}env, {prefix}file, {prefix}command; found {count}")
        if count and not is_required and info.data.get("account") is None:
            raise ValueError("name the account that this token is for, like account: 3")
        return command

    def token(self) -> SecretStr:
        """Read the platform app's token. Raises SettingsError if it cannot be read or used."""
        return _read_token(self.token_env, self.token_file, self.token_command, header=self.token_header)

    def account_token(self) -> SecretStr | None:
        """Read the user's token that lists an account, None if none is configured. Raises SettingsError as `token`."""
        places = (self.account_token_env, self.account_token_file, self.account_token_command)
        return _read_token(*places, header=self.token_header) if any(places) else None


def _normalized(url: str) -> str:
    """Return one spelling of an address: scheme and host in lower case, no default port, no slash at the end."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port not in (None, _DEFAULT_PORTS[parts.scheme]) else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _read_token(env: str | None, file: Path | None, command: str | None, *, header: str) -> SecretStr:
    """Read the token that is sent in `header` from the place that is given. Raises SettingsError."""
    place = f"the environment variable {env}" if env else str(file) if file else "the output of the token command"
    try:
        token = _fetch(env, file, command).strip()
    except UnicodeDecodeError:
        problem = f"the token could not be read: {place} is not UTF-8; write it in that encoding"
    except OSError as error:
        problem = f"the token could not be read: {error.filename}: {error.strerror}"
    except subprocess.CalledProcessError as error:
        problem = f"the token could not be read: the command ended with {error.returncode}"
    except (subprocess.SubprocessError, ValueError) as error:
        problem = f"the token could not be read: {error}"
    else:
        problem = _problem(token, place, header)
    if problem:
        raise SettingsError("platform", (problem,))
    return SecretStr(token)


def _fetch(env: str | None, file: Path | None, command: str | None) -> str:
    if env:
        return os.environ.get(env, "")
    if file:
        return file.read_text("utf-8-sig")
    words = shlex.split(command or "")
    return subprocess.run(words, capture_output=True, check=True, text=True, timeout=_COMMAND_TIMEOUT).stdout


def _problem(token: str, place: str, header: str) -> str:
    """Return what is wrong with a token, without showing it, or an empty text; `place` is where it was read."""
    if not token:
        return f"there is no token in {place}; set it and run again"
    if token[0] in _QUOTES or token[-1] in _QUOTES:
        return f"the token in {place} is in quotes; remove the quotes"
    if header.lower() == "authorization":
        is_text = token.isascii() and token.isprintable()
        return "" if is_text else f"the token in {place} holds characters that no token has"
    if token.lower().startswith("bearer "):
        return f"the token in {place} begins with `Bearer`; give the token alone"
    if not token.isascii() or not token.isprintable() or " " in token:
        return f"the token in {place} holds blanks or characters that no token has; give the token alone, on one line"
    return ""


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
    batch_interval: Annotated[NonNegativeFloat, Field(allow_inf_nan=False)] = 0.0
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
