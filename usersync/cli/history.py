"""What the ledger remembers, as tables for people and JSON for scripts: runs, one run, one user."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

from usersync.cli.console import plural
from usersync.cli.table import table_text, window
from usersync.context import iso
from usersync.errors import UsageError
from usersync.ledger import Ledger, RunInfo
from usersync.models import Json, Line
from usersync.settings import Settings

_RUN = frozenset({0})
"""The column of run names."""


def runs(settings: Settings, *, as_json: bool) -> str:
    """List all runs, newest first."""
    with Ledger(settings.ledger) as ledger:
        heads = list(ledger.runs())
        counts = [book.counts() if (book := ledger.find(head.run)) else {} for head in heads]
    if as_json:
        return _dump([{**_head(head), "counts": count} for head, count in zip(heads, counts, strict=True)])
    rows = [("run", "kind", "by", "files", "ended", "rows")]
    for head, count in zip(heads, counts, strict=True):
        ended = "unfinished" if head.exit_code is None else f"exit {head.exit_code}"
        told = ", ".join(f"{n:,} {status}" for status, n in count.items())
        rows.append((head.run, head.kind, head.started_by, _files(head), ended, told))
    return table_text(rows, right=set(), width=window(sys.stdout), whole=_RUN) if heads else "no runs yet"


def show(run: str, settings: Settings, *, as_json: bool) -> str:
    """Show one run with all its rows."""
    with Ledger(settings.ledger) as ledger:
        book = ledger.find(run)
        if book is None:
            raise UsageError(f"there is no run {run} in {settings.ledger}; `usersync runs` lists all")
        lines, head = list(book.lines()), book.info
    if as_json:
        return _dump({**_head(head), "rows": [_line(line) for line in lines]})
    facts = [
        ("run", head.run),
        ("kind", head.kind + (f" of {head.parent}" if head.parent else "")),
        ("platform", head.platform),
        ("started", f"{head.started_at} by {head.started_by}"),
        ("finished", head.finished_at or "no"),
        ("files", _files(head)),
        ("overrides", ", ".join(head.overrides) or "none"),
    ]
    rows = [("row", "id", "status", "code", "old -> new")]
    rows += [(str(n.row), n.id, n.status, n.code, f"{n.old} -> {n.new}" if n.new else n.message) for n in lines]
    width = window(sys.stdout)
    return f"{table_text(facts, right=set())}\n\n{table_text(rows, right={0, 1}, width=width, status=2)}"


def history(user_id: int, settings: Settings, *, as_json: bool) -> str:
    """Show every change that was sent for a user, oldest first."""
    with Ledger(settings.ledger) as ledger:
        found = list(ledger.history(user_id))
    if as_json:
        return _dump([{**_head(head), "row": _line(line)} for head, line in found])
    rows = [("run", "by", "when", "status", "old -> new")]
    rows += [(h.run, h.started_by, n.finished_at, n.status, f"{n.old} -> {n.new}") for h, n in found]
    if not found:
        return f"nothing was ever sent for user {user_id}"
    return table_text(rows, right=set(), width=window(sys.stdout), status=3, whole=_RUN)


def pruned(settings: Settings, seconds: float | None) -> str:
    """Drop runs that finished longer ago than so many seconds."""
    before = datetime.now(UTC) - timedelta(seconds=seconds or 0)
    with Ledger(settings.ledger) as ledger:
        return f"{plural(ledger.prune(iso(before)), 'run')} dropped"


def _files(head: RunInfo) -> str:
    return ", ".join(source["file"] for source in head.sources)


def _head(head: RunInfo) -> dict[str, Json]:
    return {
        "run": head.run,
        "kind": head.kind,
        "parent": head.parent,
        "platform": head.platform,
        "started_at": head.started_at,
        "started_by": head.started_by,
        "finished_at": head.finished_at,
        "exit_code": head.exit_code,
        "stopped": head.stopped,
        "sources": [dict(source) for source in head.sources],
        "overrides": list(head.overrides),
    }


def _line(line: Line) -> dict[str, Json]:
    return {
        "file": line.file,
        "sheet": line.sheet,
        "row": line.row,
        "id": line.id,
        "status": line.status,
        "old": json.loads(line.old or "{}"),
        "new": json.loads(line.new or "{}"),
        "http_status": line.http_status,
        "attempts": line.attempts,
        "code": line.code,
        "message": line.message,
        "finished_at": line.finished_at,
    }


def _dump(document: Json) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2)
