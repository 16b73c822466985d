"""Show runs, one run or one user from the ledger, as tables or JSON."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from usersync.cli.console import change_lines, command, reasons_text
from usersync.cli.output import indented_json
from usersync.cli.table import table_text, window_width
from usersync.context import iso
from usersync.errors import UsageError
from usersync.ledger import Ledger, RunInfo
from usersync.masking import mask_secrets
from usersync.models import Json, Row
from usersync.planning.earlier_run import known_run
from usersync.report.summary import status_of_run
from usersync.settings import Settings
from usersync.wording import plural

#: Columns of `runs` that are never cut: run, kind, state and counts. The name of a run begins with its time.
_NEVER_CUT: Final = frozenset({0, 1, 4, 5})
#: What the JSON of a run has of its RunInfo.
_INFO_SHOWN: Final = (
    "run", "kind", "parent", "platform", "started_at", "started_by", "finished_at", "exit_code", "stopped", "sources",
    "overrides",
)  # fmt: skip


def runs(settings: Settings, *, as_json: bool, again: Sequence[str] = ()) -> str:
    """List all runs, newest first, with what became of each and how to continue those that are unfinished.

    `again` are the words of options, such as `-c FILE`, that a command to type next has to repeat.
    """
    with Ledger(settings.ledger) as ledger:
        infos = list(ledger.runs())
        counts = [run.counts() if (run := ledger.find(info.run)) else {} for info in infos]
        states = _RunStates.of(infos, ledger)
    if as_json:
        return indented_json([
            {**_info_json(info), "counts": count, **states.as_json(info)}
            for info, count in zip(infos, counts, strict=True)
        ])  # fmt: skip
    if not infos:
        return "no runs yet"
    cells = [("run", "kind", "by", "files", "state", "rows")]
    for info, count in zip(infos, counts, strict=True):
        by_status = ", ".join(f"{n:,} {status}" for status, n in count.items())
        cells.append((info.run, info.kind, info.started_by, _files(info), states.word(info), by_status))
    table = table_text(cells, right=set(), width=window_width(sys.stdout), whole=_NEVER_CUT)
    following = [
        f"{name}: {states.remark(name, again)}"
        for names in (states.unfinished, states.undone)
        for name in sorted(names, reverse=True)
    ]
    return "\n\n".join([table, *(["\n".join(following)] if following else [])])


@dataclass(frozen=True, slots=True)
class _RunStates:
    """Which runs `resume` can go on with, and which were undone."""

    unfinished: frozenset[str]
    undone: Mapping[str, str]
    """Run -> the run that undid it."""

    @classmethod
    def of(cls, infos: Sequence[RunInfo], ledger: Ledger) -> _RunStates:
        unfinished = {name for platform in {info.platform for info in infos} for name in ledger.resumable(platform)}
        return cls(frozenset(unfinished), ledger.undone())

    def word(self, info: RunInfo) -> str:
        """Return the state of a run; how it ended, in the word of its summary, where it is neither of these."""
        if info.run in self.unfinished:
            return "unfinished"
        if info.run in self.undone:
            return "undone"
        return "interrupted" if info.exit_code is None else status_of_run(info.exit_code, stopped=info.exit_code > 1)

    def remark(self, name: str, again: Sequence[str]) -> str:
        """Say how to continue a run, or what undid it; blank where it is neither unfinished nor undone."""
        if name in self.unfinished:
            return f"continue with `{command('resume', name, *again)}`"
        return f"undone by {self.undone[name]}" if name in self.undone else ""

    def phrase(self, info: RunInfo, again: Sequence[str]) -> str:
        """Return the state of a run together with its remark."""
        word, remark = self.word(info), self.remark(info.run, again)
        return {"unfinished": f"unfinished; {remark}", "undone": remark}.get(word, word)

    def as_json(self, info: RunInfo) -> dict[str, Json]:
        return {"resumable": info.run in self.unfinished, "undone_by": self.undone.get(info.run)}


def show(name: str, settings: Settings, *, as_json: bool, again: Sequence[str] = ()) -> str:
    """Show one run with its state and all its rows. Raises UsageError where there is none of that name.

    `again` are the words of options, such as `-c FILE`, that a command to type next has to repeat.
    """
    with Ledger(settings.ledger) as ledger:
        run = known_run(ledger, name, settings)
        rows = list(run.rows())
        names = run.snapshots.names(row.id for row in rows)
        info = run.info
        states = _RunStates.of(list(ledger.runs()), ledger)
    if as_json:
        return indented_json({**_info_json(info), **states.as_json(info), "rows": [_row_json(row) for row in rows]})
    rows = [row if row.name or row.email else replace(row, name=names.get(row.id)) for row in rows]
    facts = [
        ("run", info.run),
        ("kind", info.kind + (f" of {info.parent}" if info.parent else "")),
        ("platform", info.platform),
        ("started", f"{info.started_at} by {info.started_by}"),
        ("finished", info.finished_at or "no"),
        ("state", states.phrase(info, again)),
        ("files", _files(info)),
        ("overrides", ", ".join(info.overrides) or "none"),
    ]
    cells: list[tuple[str, ...]] = [("row", "id", "user", "status", "field", "old", "", "new")]
    for row in rows:
        start = (str(row.row), row.id, row.name or row.email or "", row.status)
        cells.extend(change_lines(start, row))
    table = table_text(cells, right={0, 1}, width=window_width(sys.stdout), status=3, pair=(5, 7))
    return "\n\n".join([table_text(facts, right=set()), table, *reasons_text(rows)])


def history(user_id: int, settings: Settings, *, as_json: bool) -> str:
    """Show every change that was sent for a user, oldest first."""
    with Ledger(settings.ledger) as ledger:
        found = list(ledger.history(user_id))
    if as_json:
        return indented_json([{**_info_json(info), "row": _row_json(row)} for info, row in found])
    if not found:
        return f"nothing was ever sent for user {user_id}"
    return "\n\n".join(_entry(info, row) for info, row in found)


def _entry(info: RunInfo, row: Row) -> str:
    """Return a line that says when, by whom and in which run, and the changes below it."""
    day, _, rest = (row.finished_at or info.started_at).partition("T")
    head = f"{day} {rest[:8]} UTC  {row.status}  by {info.started_by} in {info.run}"
    changes = table_text(list(change_lines((), row)), right=set(), width=window_width(sys.stdout), pair=(1, 3))
    return f"{head}\n{changes}"


def prune_question(settings: Settings, before: str, *, reports: bool) -> str:
    """Return the question to ask before `prune`, listing what it deletes; empty if nothing is deleted."""
    with Ledger(settings.ledger) as ledger:
        names = [info.run for info in ledger.prunable(before)]
    if not names:
        return ""
    folders = _report_folders(settings, names)
    lines = [f"  {name}" for name in [*names, *(folders if reports else [])]]
    lines.append("Delete these? Their history goes with them, and they can no longer be undone or resumed.")
    if folders and not reports:
        lines.append(f"The reports stay ({plural(len(folders), 'folder')}): add --reports to delete them.")
    return "\n".join(lines)


def prune(settings: Settings, before: str, *, reports: bool = False) -> str:
    """Delete runs that finished before a time, and their report folders where asked for."""
    with Ledger(settings.ledger) as ledger:
        folders = _report_folders(settings, [info.run for info in ledger.prunable(before)] if reports else [])
        for folder in folders:  # first: only the ledger knows which ones to delete
            _delete_folder(folder)
        done = f"{plural(ledger.prune(before), 'run')} deleted"
    return f"{done}, {plural(len(folders), 'report folder')} deleted" if reports else done


def _delete_folder(folder: Path) -> None:
    """Delete a folder; of a link to one, the link alone. Raises UsageError."""
    try:
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)
    except OSError as error:
        raise UsageError(
            f"{folder}: the report folder cannot be deleted: {error.strerror or error}; no run was deleted from the "
            "ledger: correct that, or move the folder away, then prune again"
        ) from None


def ago(seconds: float) -> str:
    """Return the time of so many seconds ago, as the ledger writes it."""
    return iso(datetime.now(UTC) - timedelta(seconds=seconds))


def _report_folders(settings: Settings, names: Iterable[str]) -> list[Path]:
    """Return the folders that reports of these runs were written to."""
    folders = [settings.report.dir / name for name in names]
    return [folder for folder in folders if (folder / "report.csv").is_file()]


def _files(info: RunInfo) -> str:
    return ", ".join(info.files)


def _info_json(info: RunInfo) -> dict[str, Json]:
    return {name: getattr(info, name) for name in _INFO_SHOWN}


def _row_json(row: Row) -> dict[str, Json]:
    return {
        "file": row.file,
        "sheet": row.sheet,
        "row": row.row,
        "id": row.id,
        "status": row.status,
        "old": mask_secrets(json.loads(row.old or "{}")),
        "new": mask_secrets(json.loads(row.new or "{}")),
        "http_status": row.http_status,
        "attempts": row.attempts,
        "code": row.code,
        "message": row.reason,
        "finished_at": row.finished_at,
    }
