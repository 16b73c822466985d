"""Show runs, one run or one user from the ledger, as tables or JSON."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from usersync.cli.table import table_text, window_width
from usersync.context import iso
from usersync.errors import UsageError
from usersync.ledger import Ledger, RunInfo
from usersync.models import Json, Row
from usersync.report.wording import plural
from usersync.settings import Settings

#: The column of run names, which people copy.
_RUN: Final = frozenset({0})


def runs(settings: Settings, *, as_json: bool) -> str:
    """List all runs, newest first."""
    with Ledger(settings.ledger) as ledger:
        infos = list(ledger.runs())
        counts = [run.counts() if (run := ledger.find(info.run)) else {} for info in infos]
    if as_json:
        return _dump([{**_info_json(info), "counts": count} for info, count in zip(infos, counts, strict=True)])
    cells = [("run", "kind", "by", "files", "ended", "rows")]
    for info, count in zip(infos, counts, strict=True):
        ended = "unfinished" if info.exit_code is None else f"exit {info.exit_code}"
        by_status = ", ".join(f"{n:,} {status}" for status, n in count.items())
        cells.append((info.run, info.kind, info.started_by, _files(info), ended, by_status))
    return table_text(cells, right=set(), width=window_width(sys.stdout), whole=_RUN) if infos else "no runs yet"


def show(name: str, settings: Settings, *, as_json: bool) -> str:
    """Show one run with all its rows. Raises UsageError where there is none of that name."""
    with Ledger(settings.ledger) as ledger:
        run = ledger.find(name)
        if run is None:
            raise UsageError(f"there is no run {name} in {settings.ledger}; `usersync runs` lists all")
        rows = list(run.rows())
        info = run.info
    if as_json:
        return _dump({**_info_json(info), "rows": [_row_json(row) for row in rows]})
    facts = [
        ("run", info.run),
        ("kind", info.kind + (f" of {info.parent}" if info.parent else "")),
        ("platform", info.platform),
        ("started", f"{info.started_at} by {info.started_by}"),
        ("finished", info.finished_at or "no"),
        ("files", _files(info)),
        ("overrides", ", ".join(info.overrides) or "none"),
    ]
    cells = [("row", "id", "status", "code", "old -> new")]
    for row in rows:
        change = f"{row.old} -> {row.new}" if row.new else row.reason
        cells.append((str(row.row), row.id, row.status, row.code, change))
    table = table_text(cells, right={0, 1}, width=window_width(sys.stdout), status=2)
    return f"{table_text(facts, right=set())}\n\n{table}"


def history(user_id: int, settings: Settings, *, as_json: bool) -> str:
    """Show every change that was sent for a user, oldest first."""
    with Ledger(settings.ledger) as ledger:
        found = list(ledger.history(user_id))
    if as_json:
        return _dump([{**_info_json(info), "row": _row_json(row)} for info, row in found])
    if not found:
        return f"nothing was ever sent for user {user_id}"
    cells = [("run", "by", "when", "status", "old -> new")]
    for info, row in found:
        cells.append((info.run, info.started_by, row.finished_at, row.status, f"{row.old} -> {row.new}"))
    return table_text(cells, right=set(), width=window_width(sys.stdout), status=3, whole=_RUN)


def prune(settings: Settings, seconds: float | None) -> str:
    """Delete runs that finished longer ago than so many seconds."""
    before = datetime.now(UTC) - timedelta(seconds=seconds or 0)
    with Ledger(settings.ledger) as ledger:
        return f"{plural(ledger.prune(iso(before)), 'run')} deleted"


def _files(info: RunInfo) -> str:
    return ", ".join(source["file"] for source in info.sources)


def _info_json(info: RunInfo) -> dict[str, Json]:
    return {
        "run": info.run,
        "kind": info.kind,
        "parent": info.parent,
        "platform": info.platform,
        "started_at": info.started_at,
        "started_by": info.started_by,
        "finished_at": info.finished_at,
        "exit_code": info.exit_code,
        "stopped": info.stopped,
        "sources": [dict(source) for source in info.sources],
        "overrides": list(info.overrides),
    }


def _row_json(row: Row) -> dict[str, Json]:
    return {
        "file": row.file,
        "sheet": row.sheet,
        "row": row.row,
        "id": row.id,
        "status": row.status,
        "old": json.loads(row.old or "{}"),
        "new": json.loads(row.new or "{}"),
        "http_status": row.http_status,
        "attempts": row.attempts,
        "code": row.code,
        "message": row.reason,
        "finished_at": row.finished_at,
    }


def _dump(document: Json) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2)
