"""The head of a run: who, when, from which files, with which settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from usersync.models import (
    Json,
    Source,
)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The head of a run."""

    run: str
    kind: str
    platform: str
    started_at: str
    started_by: str
    settings: Mapping[str, Json] = field(default_factory=dict)
    sources: tuple[Mapping[str, str], ...] = ()
    parent: str | None = None
    overrides: tuple[str, ...] = ()
    choice: Mapping[str, Json] = field(default_factory=dict)
    filled: tuple[str, ...] = ()
    planned_at: str | None = None
    finished_at: str | None = None
    exit_code: int | None = None
    stopped: str | None = None


HEAD = (
    "run, kind, platform, started_at, started_by, settings, sources, parent, overrides, choice, filled, planned_at,"
    " finished_at, exit_code, stopped"
)


def head_of(found: Sequence[Any]) -> RunInfo:
    """Read a head from its columns, in the order of HEAD."""
    run, kind, platform, started_at, started_by, settings, sources, parent, overrides, choice, filled, *end = found
    return RunInfo(
        run,
        kind,
        platform,
        started_at,
        started_by,
        json.loads(settings),
        tuple(json.loads(sources)),
        parent,
        tuple(json.loads(overrides)),
        json.loads(choice),
        tuple(json.loads(filled)),
        *end,
    )


def files_of(info: RunInfo) -> list[str]:
    """Name the files of a run."""
    return [source["file"] for source in info.sources]


def source_heads(sources: Sequence[Source]) -> tuple[Mapping[str, str], ...]:
    """Give what a run keeps of its sources."""
    return tuple({"file": s.file, "sheet": s.sheet, "sha256": s.sha256} for s in sources)
