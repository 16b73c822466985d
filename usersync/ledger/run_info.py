"""Describe one run: who, when, from which files, with which settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from usersync.models import Json, json_text


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The head of a run; one row of the ledger's table `run`."""

    run: str
    kind: str
    """run, plan, apply, undo or update."""
    platform: str
    started_at: str
    started_by: str
    settings: Mapping[str, Json] = field(default_factory=dict)
    sources: tuple[Mapping[str, str], ...] = ()
    """`file`, `sheet` and `sha256` of each source; of an export also `base`, the digest of what it held."""
    parent: str | None = None
    overrides: tuple[str, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)
    """`where`, `skip`, `limit`; `base` where it was named."""
    filled_fields: tuple[str, ...] = ()
    """The fields of the input that hold a value in any row."""
    rows_read: int | None = None
    """Data rows of the files, those left out by choice too; None where the rows come from no file."""
    planned_at: str | None = None
    """When the plan was complete; nothing is sent before."""
    finished_at: str | None = None
    exit_code: int | None = None
    stopped: str | None = None

    @property
    def files(self) -> list[str]:
        """The files that the rows come from."""
        return [source["file"] for source in self.sources]


_NAMES = tuple(one.name for one in fields(RunInfo))
#: The columns of RunInfo, in the order of its fields.
RUN_COLUMNS = ", ".join(_NAMES)
#: Those of them that are kept as JSON.
_OBJECTS = ("settings", "options")
_LISTS = ("sources", "overrides", "filled_fields")


def parse_run_info(values: Sequence[Any]) -> RunInfo:
    """Make a RunInfo from the values of RUN_COLUMNS."""
    found = dict(zip(_NAMES, values, strict=True))
    objects = {name: json.loads(found[name]) for name in _OBJECTS}
    lists = {name: tuple(json.loads(found[name])) for name in _LISTS}
    return RunInfo(**found | objects | lists)


def run_values(info: RunInfo) -> list[object]:
    """Return the values of RUN_COLUMNS."""
    values = [getattr(info, name) for name in _NAMES]
    return [
        json_text(value) if name in (*_OBJECTS, *_LISTS) else value for name, value in zip(_NAMES, values, strict=True)
    ]
