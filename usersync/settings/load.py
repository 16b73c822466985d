"""Load usersync.yaml into `Settings`, and report all errors in it together."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from usersync.errors import SettingsError
from usersync.models import ATTRIBUTE
from usersync.settings.parsing import ColumnMeaning, FieldName, FilePath, Section
from usersync.settings.platform import Platform, Request
from usersync.settings.reporting import Metrics, Notify, Report
from usersync.settings.source import Diff, FieldSettings, Limits, SourceSettings


class Settings(Section):
    """All settings of a run; the annotated example is config/usersync.yaml."""

    platform: Platform
    request: Request = Request()
    source: SourceSettings = SourceSettings()
    columns: dict[str, ColumnMeaning] = Field(default_factory=dict)
    fields: dict[FieldName, FieldSettings] = Field(default_factory=dict)
    diff: Diff = Diff()
    limits: Limits = Limits()
    ledger: FilePath = Path("usersync.db")
    report: Report = Report()
    metrics: Metrics | None = None
    notify: Notify = Notify()
    #: What sends: this process, or the workers of a Dask cluster (extra `dask`).
    engine: Literal["local", "dask"] = "local"
    #: The cluster's address, tcp://host:8786 or tls://...; None: $DASK_SCHEDULER_ADDRESS.
    scheduler: str | None = None
    #: Whether all workers together keep `request.rate`; False: the workers of each network address do.
    share_rate: bool = True

    @field_validator("fields")
    @classmethod
    def _typed_attributes(cls, fields: dict[str, FieldSettings]) -> dict[str, FieldSettings]:
        typed = [name for name, f in fields.items() if f.type != "text" and not name.startswith(ATTRIBUTE)]
        if typed:
            raise ValueError(f"{', '.join(typed)}: only custom attributes can have a type other than text")
        return fields


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses duplicate keys, of which PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not text; put it in quotes", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key}", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_settings(path: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read settings from `path`, else `$USERSYNC_CONFIG`, else `./usersync.yaml`.

    `overrides` (section -> key -> value, or name -> value, as options of the command line) replace what the file says.
    Raises SettingsError with every error in the file and its place.
    """
    path = path or Path(os.environ.get("USERSYNC_CONFIG") or "usersync.yaml")
    try:
        raw = yaml.load(path.read_text("utf-8-sig"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise SettingsError(
            str(path),
            ("file not found; name one with -c, or start from config/usersync.yaml",),
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(str(path), (" ".join(str(error).split()),)) from None
    except RecursionError:
        raise SettingsError(str(path), ("nested too deeply to be settings",)) from None
    if not isinstance(raw, dict):
        raise SettingsError(str(path), ("not a mapping; start with `platform:`",))
    for section, values in (overrides or {}).items():
        if not isinstance(values, dict):
            raw[section] = values
        elif isinstance(inner := raw.setdefault(section, {}), dict):
            inner.update(values)
    return make_settings(raw, str(path))


def make_settings(raw: dict[str, Any], where: str = "settings") -> Settings:
    """Validate a mapping of settings; `where` is its name in the SettingsError."""
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
        return f"{place}: required"
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
