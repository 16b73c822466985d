"""Load usersync.yaml into `Settings`, and report all errors in it together."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from usersync.errors import SettingsError
from usersync.models import ATTRIBUTE
from usersync.settings.parsing import ColumnMeaning, FieldName, FilePath, Section
from usersync.settings.platform import Platform, Request
from usersync.settings.reporting import Metrics, Notify, Report
from usersync.settings.source import Diff, FieldSettings, Limits, SourceSettings

#: Bytes of a settings file that are read at most.
_MAX_BYTES: Final = 1 << 20
#: Levels of nesting that a settings file may have; the deepest setting has four.
_MAX_DEPTH: Final = 20
#: Values that a settings file may have, those that an alias repeats counted again.
_MAX_NODES: Final = 100_000
#: Problems of one file that are listed at most.
_MAX_PROBLEMS: Final = 100
#: Characters of the file that a message repeats at most.
_MAX_SHOWN: Final = 300
#: What to write where a value is of another kind, by the type of pydantic's error.
_KINDS: Final = {
    "tuple_type": "write a list, such as [a, b]",
    "dict_type": "write keys with values, such as {key: value}",
    "model_type": "write keys with values, such as {key: value}",
    "string_type": "write text, in quotes where it looks like a number",
    "path_type": "write the name of a file",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
}


class OfflineSettings(Section):
    """The settings of commands that read files only, and need no platform."""

    platform: Platform | None = None
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


class Settings(OfflineSettings):
    """All settings of a run; the annotated example is config/usersync.yaml."""

    platform: Platform


AnySettings = TypeVar("AnySettings", bound=OfflineSettings)


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses duplicate keys, and text that is nested or repeated without end.

    Bare words are text, for each setting to read, except `true`, `false` and `null`: the rules of YAML 1.1 make `No` a
    boolean, 010 the number 8 and 1:30 the number 90.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node, bounded in depth and in the size that it has once its aliases are expanded."""
        if self._depth == _MAX_DEPTH:
            raise yaml.composer.ComposerError(problem=f"nested deeper than {_MAX_DEPTH} levels")
        is_alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None or (is_alias and id(node) in self._sizes):
            return node
        if is_alias:
            raise yaml.composer.ComposerError(problem="an alias inside its own anchor")
        self._sizes[id(node)] = self._expanded_size(node)
        return node

    def _expanded_size(self, node: yaml.Node) -> int:
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        flat = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        size = 1 + sum(self._sizes[id(part)] for part in flat)
        if size > _MAX_NODES:
            raise yaml.composer.ComposerError(problem=f"more than {_MAX_NODES:,} values once aliases are expanded")
        return size

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {_printable(repr(key))} is not text; put it in quotes", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {_printable(key)}", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, word) for tag, word in rules if tag.endswith((":null", ":merge"))]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def load_settings(path: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read settings from `path`, else `$USERSYNC_CONFIG`, else `./usersync.yaml`.

    `overrides` (section -> key -> value, or name -> value, as options of the command line) replace what the file says.
    Raises SettingsError with every error in the file and its place.
    """
    path = _path_of_settings(path)
    return _validated(Settings, _read(path, overrides), str(path))


def load_offline_settings(path: Path | None = None, overrides: dict[str, Any] | None = None) -> OfflineSettings:
    """Read settings as `load_settings` does, but need neither `platform:` nor, without `path`, a file."""
    found = _path_of_settings(path)
    raw = _read(found, overrides) if path or found.exists() else overrides or {}
    return _validated(OfflineSettings, raw, str(found))


def _path_of_settings(path: Path | None) -> Path:
    return path or Path(os.environ.get("USERSYNC_CONFIG") or "usersync.yaml")


def _read(path: Path, overrides: dict[str, Any] | None) -> dict[str, Any]:
    try:
        raw = yaml.load(_read_text(path), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        remedy = "file not found; name one with -c, or start from config/usersync.yaml"
        raise SettingsError(str(path), (remedy,)) from None
    except IsADirectoryError:
        raise SettingsError(str(path), ("a folder, which only `run -c` takes; name a settings file",)) from None
    except OSError as error:
        raise SettingsError(str(path), (f"the file cannot be read: {error.strerror}",)) from None
    except UnicodeDecodeError:
        raise SettingsError(str(path), ("not UTF-8; save the file in that encoding",)) from None
    except (ValueError, yaml.YAMLError) as error:
        raise SettingsError(str(path), (_printable(" ".join(str(error).split())),)) from None
    except RecursionError:
        raise SettingsError(str(path), ("nested too deeply to be settings",)) from None
    if not isinstance(raw, dict):
        raise SettingsError(str(path), ("not a mapping; start with `platform:`",))
    for section, values in (overrides or {}).items():
        given = raw.get(section) or {}
        if not isinstance(values, dict):
            raw[section] = values
        elif isinstance(given, dict):
            raw[section] = given | values
    return raw


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise ValueError(f"larger than {_MAX_BYTES >> 20} MiB, so not a settings file")
    return raw.decode("utf-8-sig")


def make_settings(raw: dict[str, Any], where: str = "settings") -> Settings:
    """Validate a mapping of settings; `where` is its name in the SettingsError."""
    return _validated(Settings, raw, where)


def _validated(model: type[AnySettings], raw: dict[str, Any], where: str) -> AnySettings:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        problems = [_sentence(one) for one in errors[:_MAX_PROBLEMS]]
        if len(errors) > _MAX_PROBLEMS:
            problems.append(f"and {len(errors) - _MAX_PROBLEMS:,} more")
        raise SettingsError(where, tuple(problems)) from None


def _sentence(error: ErrorDetails) -> str:
    place = ".".join(_printable(str(part), 60) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, 1, 0.5)
        return f"{place}: unknown key; {f'did you mean {near[0]}?' if near else 'known: ' + ', '.join(known)}"
    if error["type"] == "missing":
        return f"{place}: required"
    if error["type"] in _KINDS:
        return f"{place}: {_KINDS[error['type']]}"
    if error["type"] == "value_error":
        return f"{place}: {_printable(str(error['ctx']['error']))}"
    message = error["msg"]
    return f"{place}: {message[0].lower()}{_printable(message[1:])}"


def _printable(text: str, longest: int = _MAX_SHOWN) -> str:
    """Return text of the file for a message: short, and without characters that a terminal obeys."""
    shown = text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= longest else f"{shown[:longest]}..."


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in place:
        info = model.model_fields.get(str(part))
        options = [info.annotation, *get_args(info.annotation)] if info else [model]
        model = next((t for t in options if isinstance(t, type) and issubclass(t, BaseModel)), model)
    known = model.model_fields.items()
    return sorted(info.alias or name for name, info in known if info.annotation is not type(None))
