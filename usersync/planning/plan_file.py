"""Save a plan to a file, and load it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from usersync.errors import UsageError
from usersync.ledger import LedgerRun, RunInfo
from usersync.loader.load import TEXTS, WORKBOOKS
from usersync.models import SECRET_FIELDS, UNKNOWN, FieldChange, Json, Row, Status
from usersync.planning.plan import Plan

VERSION = 2
_MAKE = "usersync plan FILE -o PLAN"
_COLUMNS = ("key", "source", "row", "id", "status", "code", "message", "note", "http_status", "duplicate_of")


def keep_document(run: LedgerRun, plan: Plan) -> Callable[[], dict[str, Json]]:
    """Return the way to make the document of a plan when it is asked for, while its ledger is open.

    It says what a run would send; a password is "set, from row 7 of the file".
    """
    return partial(_document, run, plan.as_json())


def _document(run: LedgerRun, plan: Mapping[str, Json]) -> dict[str, Json]:
    info = run.info
    document = {
        "usersync_plan": VERSION,
        "plan": info.run,
        "made_at": info.started_at,
        "made_by": info.started_by,
        "platform": info.platform,
        "sources": [dict(source) for source in info.sources],
        "settings": dict(info.settings),
        "options": dict(info.options),
        "rows_read": info.rows_read,
        **{k: v for k, v in plan.items() if k not in ("status", "exit_code", "problems")},
        "rows": list(map(_row_document, run.rows())),
    }
    return {**document, "digest": _digest(document)}


def _row_document(row: Row) -> dict[str, Json]:
    new = row.new_values
    for name in SECRET_FIELDS & new.keys():
        new[name] = f"set, from row {row.row} of the file"
    return {**{name: getattr(row, name) for name in _COLUMNS}, "old": json.loads(row.old or "{}"), "new": new}


def _digest(document: Mapping[str, Json]) -> str:
    """Return the SHA-256 of a plan: `apply` sends what was reviewed, not what was typed into it since."""
    bare = {name: value for name, value in document.items() if name != "digest"}
    text = json.dumps(bare, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def save_plan(path: Path, document: dict[str, Json]) -> None:
    """Save a plan. Raises UsageError where the file cannot be written."""
    try:
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: the plan cannot be written: {error.strerror}; name another file after -o") from None


def load_plan(plan: Plan | Path) -> tuple[RunInfo, list[Row]]:
    """Load a plan from a file or from memory: its head, and its rows. Raises UsageError where it is not valid."""
    if isinstance(plan, Plan):
        if plan.saved is None:
            raise UsageError("this plan has no rows; make it with usersync.plan(...)")
        return _parse(plan.saved.document(), "the plan")
    try:
        document = json.loads(plan.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{plan}: there is no such file; make a plan with `{_MAKE}`") from None
    except PermissionError as error:
        raise UsageError(f"{plan}: cannot be read: {error.strerror}") from None
    except (OSError, ValueError, RecursionError):
        document = None
    return _parse(document, plan)


def _parse(document: Json, path: Path | str) -> tuple[RunInfo, list[Row]]:
    if not isinstance(document, dict) or "usersync_plan" not in document:
        is_sheet = Path(path).suffix.lower() in (*TEXTS, *WORKBOOKS)
        remedy = f"to send the rows of a sheet: `usersync run {path}`" if is_sheet else f"make one with `{_MAKE}`"
        raise UsageError(f"{path}: not a plan that `usersync plan -o` saved; {remedy}")
    if document["usersync_plan"] != VERSION:
        raise UsageError(f"{path}: not a plan of version {VERSION}; make it again with `{_MAKE}`")
    if document.get("digest") != _digest(document):
        raise UsageError(
            f"{path}: the plan is damaged or was edited; change the file that it comes from, and plan again"
        )
    try:
        info = RunInfo(
            run=document["plan"],
            kind="plan",
            platform=document["platform"],
            started_at=document["made_at"],
            started_by=document["made_by"],
            settings=document["settings"],
            sources=tuple(document["sources"]),
            options=document["options"],
            rows_read=document["rows_read"],
        )
        rows = list(_parse_rows(document["rows"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: the plan is damaged ({error!r}); make it again") from None
    return info, rows


def _parse_rows(documents: list[dict[str, Any]]) -> Iterator[Row]:
    for document in documents:
        if not isinstance(document["key"], int) or not isinstance(document["new"], dict):
            raise TypeError(document["key"])
        values = {name: document[name] for name in _COLUMNS} | {"status": Status(document["status"])}
        changes = [FieldChange(n, document["old"].get(n, UNKNOWN), v) for n, v in document["new"].items()]
        row = Row(**values)
        yield row.with_changes(changes) if changes else row
