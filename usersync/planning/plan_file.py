"""A plan as a file: sorted, counted, versioned, and without a secret; written and read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from usersync.errors import UsageError
from usersync.ledger import LedgerRun, RunInfo
from usersync.models import SECRET_FIELDS, Json
from usersync.planning.plan import Plan

VERSION = 1


def plan_document(book: LedgerRun, plan: Plan) -> dict[str, Json]:
    """Give what a run would do. A password is "set, from row 7 of the file"."""
    info = book.info
    document = {
        "usersync_plan": VERSION,
        "plan": info.run,
        "made_at": info.started_at,
        "made_by": info.started_by,
        "platform": info.platform,
        "sources": [dict(source) for source in info.sources],
        "settings": dict(info.settings),
        "choice": dict(info.choice),
        **{k: v for k, v in plan.as_json().items() if k not in ("status", "exit_code", "problems")},
        "rows": [_shown(row) for row in book.dump()],
    }
    return {**document, "digest": _digest(document)}


def _digest(document: Mapping[str, Json]) -> str:
    """Give the SHA-256 of a plan: `apply` sends what was looked at, not what was typed into it afterwards."""
    bare = {name: value for name, value in document.items() if name != "digest"}
    return hashlib.sha256(json.dumps(bare, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")).hexdigest()


def write_plan(path: Path, document: dict[str, Json]) -> None:
    """Save a plan; UsageError where that cannot be."""
    try:
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: the plan cannot be written: {error.strerror}") from None


def _shown(row: dict[str, Json]) -> dict[str, Json]:
    for name in SECRET_FIELDS & row["new"].keys():
        row["new"][name] = f"set, from row {row['row']} of the file"
    return row


def read_plan(plan: Plan | Path) -> tuple[RunInfo, list[dict[str, Any]]]:
    """Read a plan, saved or kept: its head, and its rows. Raises UsageError where it is none."""
    if isinstance(plan, Plan):
        if plan.kept is None:
            raise UsageError("this plan keeps no rows; make it with usersync.plan(...)")
        return _parsed(plan.kept.document, "the plan")
    path = plan
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such plan; make one with `usersync plan FILE -o {path}`") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: this is no saved plan: {error}") from None
    return _parsed(document, path)


def _parsed(document: Json, path: Path | str) -> tuple[RunInfo, list[dict[str, Any]]]:
    if not isinstance(document, dict) or document.get("usersync_plan") != VERSION:
        raise UsageError(f"{path}: this is no plan of version {VERSION}; make it anew with `usersync plan FILE -o`")
    if document.get("digest") != _digest(document):
        raise UsageError(f"{path}: the plan is damaged, or was changed by hand; change its source, and plan anew")
    try:
        info = RunInfo(
            run=document["plan"],
            kind="plan",
            platform=document["platform"],
            started_at=document["made_at"],
            started_by=document["made_by"],
            settings=document["settings"],
            sources=tuple(document["sources"]),
            choice=document["choice"],
        )
        rows = list(_checked(document["rows"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: the plan is damaged ({error!r}); make it anew") from None
    return info, rows


def _checked(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if not isinstance(row["key"], int) or not isinstance(row["new"], dict):
            raise TypeError(row["key"])
        yield row
