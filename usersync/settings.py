"""`usersync.yaml` and the environment in, checked `Settings` out; every mistake of the file at once."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from usersync.errors import SettingsError
from usersync.model import ATTRIBUTE, FIELDS

_UNITS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"\s*(\d+)\s*/\s*(\d+(?:\.\d+)?)?\s*(s|sec|min|m|h)\s*")
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|sec|min|m|h|d)?\s*")


@dataclass(frozen=True)
class Rate:
    """At most `count` requests in any window of `seconds`."""

    count: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds:g}s"


def parse_rate(text: object) -> object:
    """`3000/min`, `50/s`, `7/3s` -> Rate; `off` -> None (no pace at all); `auto` stays."""
    if text is False:  # YAML's reading of a bare `off`
        return None
    if not isinstance(text, str):
        if isinstance(text, Rate) or text is None:
            return text
        raise ValueError("write a rate as a number and a time, like 3000/min or 50/s")
    if text.strip().lower() in ("off", "auto"):
        return "auto" if text.strip().lower() == "auto" else None
    found = _RATE.fullmatch(text)
    if not found or int(found[1]) == 0 or float(found[2] or 1) == 0:
        raise ValueError("write a rate as a number and a time, like 3000/min or 50/s (or auto, or off)")
    return Rate(int(found[1]), float(found[2] or 1) * _UNITS[found[3]])


def parse_duration(text: object) -> float:
    """`90s`, `10m`, `2h`, `90d` or a bare number of seconds -> seconds."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise ValueError("write a time like 30, 90s, 10m or 2h")
    return float(found[1]) * _UNITS[found[2] or "s"]


def parse_share(share: object) -> object:
    """`10%` -> 0.1."""
    if isinstance(share, str) and re.fullmatch(r"\s*\d+(\.\d+)?\s*%\s*", share):
        return float(share.strip().rstrip("%")) / 100
    return share


Seconds = Annotated[PositiveFloat, Field(allow_inf_nan=False), BeforeValidator(parse_duration)]


class Section(BaseModel):
    """One mapping of the settings file: closed, and not to be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class Platform(Section):
    """Where the users live, and where the token is kept."""

    url: str
    path: str = "/platform/api/v1/users/{id}"
    token_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = "api_access_token"  # noqa: S105 - a header's name
    token_env: str | None = None
    token_file: Path | None = None
    token_command: str | None = Field(default=None, validate_default=True)
    literal_token: None = Field(default=None, alias="token")
    """Never given: a token in the file is refused."""

    @field_validator("literal_token", mode="before")
    @classmethod
    def _no_literal_token(cls, _: object) -> None:
        raise ValueError(
            "a token does not belong in this file; put it in an environment variable and write "
            "token_env: NAME (or token_file: PATH, or token_command: COMMAND)"
        )

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if not _is_address(url) or not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#]*)?", url):
            raise ValueError("write the address with http:// or https://, without user or password")
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
            raise ValueError(f"name one of token_env, token_file, token_command; found {count} of them")
        return command

    def token(self) -> SecretStr:
        """Fetch the token; SettingsError (exit 2) with the remedy where it is not to be had."""
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
    """How the platform is spoken to."""

    timeout: Seconds = 30.0
    verify_ssl: bool = True
    ca_file: Path | None = None
    proxy: SecretStr | None = None
    concurrency: Annotated[PositiveInt, Field(le=1000)] = 16
    rate: Annotated[Rate | Literal["auto"] | None, BeforeValidator(parse_rate)] = Rate(3000, 60.0)
    """At most; where the platform allows less, the pace follows. auto: find out what it allows. None: no pace."""
    batch_size: PositiveInt | None = None
    batch_interval: NonNegativeFloat = 0.0
    """Milliseconds between two batches, as in the reference node."""
    ramp: tuple[PositiveInt, ...] = ()
    """After so many updates in all (10, then 100), see whether too many failed, and go on only if not."""
    ramp_max_failures: Annotated[float, Field(ge=0, le=1), BeforeValidator(parse_share)] = 0.1
    """The share of failures, as 0.1 or 10%, from which on a ramp ends the run."""
    retries: NonNegativeInt = 4
    stop_after: Seconds = 300.0
    """Seconds without a single success after which the run stops (exit 4)."""

    @field_validator("proxy")
    @classmethod
    def _proxy_address(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy and not _is_address(proxy.get_secret_value()):
            raise ValueError("write the proxy as http://host:port or http://user:password@host:port")
        return proxy


class SourceSettings(Section):
    """How files are to be understood where they do not say it themselves."""

    sheet: str | None = None
    header_row: PositiveInt | None = None
    encoding: str | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    quote: Literal['"', "'", "none"] | None = None
    hidden_rows: Literal["reject", "include", "skip"] = "reject"
    duplicates: Literal["reject", "last"] = "reject"

    @field_validator("delimiter", mode="before")
    @classmethod
    def _tab_by_name(cls, text: object) -> object:
        return "\t" if text in ("tab", "\\t") else text

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                "".encode(name)
            except LookupError:
                raise ValueError(f"Python knows no encoding named {name}") from None
        return name


FieldType = Literal["text", "integer", "number", "boolean", "date", "json", "list"]


class FieldSettings(Section):
    """What the cells of one field mean."""

    type: FieldType = "text"
    separator: str = ","
    blank: Literal["keep", "clear", "reject"] = "keep"
    clear: str | None = "#CLEAR"
    trim: bool = True
    case: Literal["keep", "lower", "upper", "title"] = "keep"
    replace: dict[str, str] = {}
    default: str | None = None
    only_if_blank: bool = False


class Diff(Section):
    """What the wanted values are compared with."""

    compare_with: str = "remote"
    """remote, nothing, last-run, or a file's path."""
    verify: bool = False
    """With last-run or a file: read the users that would change once more before."""
    on_conflict: Literal["report", "overwrite"] = "report"
    """Where a person changed what we wrote earlier: leave it and say so, or write over it."""
    swap_placeholder: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    """The address that a user gets for a moment where users exchange addresses in a ring; `{run}` and `{key}`
    make it unique. None: such rows are rejected."""


class FieldLimit(Section):
    """Limits on the changes of one field; None where there is none."""

    changes: NonNegativeInt | None = None
    """Most users for whom the field may change."""
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """The same as a share of the input's rows."""


class Limits(Section):
    """How much one run may change; beyond it nothing is sent (exit 3). None (`null`) lifts a limit.

    A limit that everybody overrides protects nobody: by default only those stand that speak of accidents.
    """

    changes: NonNegativeInt | None = None
    """Most users who may be changed. None: how many are too many depends on the platform's size."""
    changes_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """The same as a share of the input's rows. None: a workbook of nothing but changes is the usual one."""
    fields: dict[str, FieldLimit] = {}
    """The same for one field. Empty: moving everybody to a new e-mail domain is an honest job; a nightly file
    in which e-mails seldom change does well to set `email: {percent: 5}`."""
    same_value: PositiveInt | None = 20
    """Most users who may get the same name, or the same password. 20: more than share a name by chance in a
    workbook, fewer than a fill-down by mistake reaches."""
    min_rows: NonNegativeInt | None = None
    """Fewest rows of the input. None: one row is a fine workbook; an export that broke off is not."""
    rows_percent: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 50.0
    """How much smaller or larger than at the last finished run of the same source, in percent of that run's
    rows. 50: a nightly file seldom halves. It holds only where the last run had 50 rows or more, so that
    trying a few rows before sending all is not refused."""
    blank_column: bool = True
    """Refuse a column that is blank throughout and was not at the last run. True: an export that lost a column
    would clear it for everybody where `blank: clear` is set; a first run has nothing to lose."""
    protect: tuple[str, ...] = ()
    """Users who are never sent: ids, or e-mail patterns with `*`."""

    @field_validator("fields")
    @classmethod
    def _single_fields(cls, fields: dict[str, FieldLimit]) -> dict[str, FieldLimit]:
        wrong = [f"{name} is no field{_nearest_field(name)}" for name in fields if not is_field(name)]
        if "custom_attributes" in fields:
            wrong.append(f"attributes are limited one by one, as {ATTRIBUTE}seats")
        if wrong:
            raise ValueError("; ".join(wrong))
        return fields

    @field_validator("protect", mode="before")
    @classmethod
    def _ids_and_patterns(cls, entries: object) -> object:
        if not isinstance(entries, list | tuple):
            return entries
        texts = tuple("" if isinstance(e, bool | None) else str(e).strip() for e in entries)
        wrong = [e for e, t in zip(entries, texts, strict=True) if not re.fullmatch(r"[0-9]+|\S*[@*]\S*", t)]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong))}: write an id, or an e-mail pattern like *@example.org")
        return texts


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


class Notify(Section):
    """Who is told how a run ended. What holds a secret may stand in an environment variable (`..._env`)."""

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
        if url and not _is_address(url.get_secret_value()):
            raise ValueError("write the address with http:// or https://")
        return url


def is_field(name: str) -> bool:
    """Whether `name` is a field of a user that can be changed."""
    return name in FIELDS or (name.startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE))


def _nearest_field(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), ["id", *FIELDS], 1, 0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def _field_name(name: str) -> str:
    if not is_field(name):
        raise ValueError(f"{name} is no field{_nearest_field(name)}")
    return name


def _column_meaning(name: str) -> str:
    return name if name in ("id", "ignore") else _field_name(name)


FieldName = Annotated[str, AfterValidator(_field_name)]
ColumnMeaning = Annotated[str, AfterValidator(_column_meaning)]


class Settings(Section):
    """All settings of a run; the annotated example is config/usersync.yaml."""

    platform: Platform
    request: Request = Request()
    source: SourceSettings = SourceSettings()
    columns: dict[str, ColumnMeaning] = {}
    fields: dict[FieldName, FieldSettings] = {}
    diff: Diff = Diff()
    limits: Limits = Limits()
    ledger: Path = Path("usersync.db")
    report: Report = Report()
    metrics: Metrics | None = None
    notify: Notify = Notify()
    engine: Literal["local", "dask"] = "local"
    """What sends: this process, or the workers of a Dask cluster (extra `dask`)."""
    scheduler: str | None = None
    """The cluster's address, tcp://host:8786 or tls://...; None: $DASK_SCHEDULER_ADDRESS."""
    share_rate: bool = True
    """Whether all workers together keep `request.rate`; False: the workers of each network address do."""

    @field_validator("fields")
    @classmethod
    def _typed_attributes(cls, fields: dict[str, FieldSettings]) -> dict[str, FieldSettings]:
        typed = [name for name, f in fields.items() if f.type != "text" and not name.startswith(ATTRIBUTE)]
        if typed:
            raise ValueError(f"{', '.join(typed)}: only custom attributes can have a type other than text")
        return fields


class _Loader(yaml.SafeLoader):
    """YAML without doubled keys: PyYAML lets the last one win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not text; put it in quotes", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_settings(path: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read settings from `path`, else `$USERSYNC_CONFIG`, else `./usersync.yaml`.

    `overrides` (section -> key -> value, as the command line gives them, or name -> value) win over the file.
    Raises SettingsError naming every mistake, with its place.
    """
    path = path or Path(os.environ.get("USERSYNC_CONFIG") or "usersync.yaml")
    try:
        raw = yaml.load(path.read_text("utf-8-sig"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise SettingsError(
            str(path),
            ("there is no such settings file; name one with -c, or start from config/usersync.yaml",),
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(str(path), (" ".join(str(error).split()),)) from None
    if not isinstance(raw, dict):
        raise SettingsError(str(path), ("settings are a mapping, beginning with platform:",))
    for section, values in (overrides or {}).items():
        if not isinstance(values, dict):
            raw[section] = values
        elif isinstance(inner := raw.setdefault(section, {}), dict):
            inner.update(values)
    return make_settings(raw, str(path))


def make_settings(raw: dict[str, Any], where: str = "settings") -> Settings:
    """Check a mapping of settings; `where` names it in the SettingsError."""
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        problems = tuple(_sentence(e) for e in error.errors(include_url=False, include_input=False))
        raise SettingsError(where, problems) from None


def _sentence(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, 1, 0.5)
        return f"{place}: unknown key; {f'did you mean {near[0]}?' if near else 'known: ' + ', '.join(known)}"
    if error["type"] == "missing":
        return f"{place}: this is needed"
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}"


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in place:
        info = model.model_fields.get(str(part))
        options = [info.annotation, *get_args(info.annotation)] if info else [model]
        model = next((t for t in options if isinstance(t, type) and issubclass(t, BaseModel)), model)
    known = model.model_fields.items()
    return sorted(info.alias or name for name, info in known if info.annotation is not type(None))
