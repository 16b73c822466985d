"""Word a plan or a summary as the text that people read on a terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from usersync.cli.table import cut, printable, table_text
from usersync.models import UNKNOWN, FieldChange, Place, ProblemGroup, Row, Status, json_text, shown
from usersync.report.summary import Summary
from usersync.report.wording import EXIT_MEANINGS, STATUS_MEANINGS, plural

if TYPE_CHECKING:
    from usersync.planning.plan import Plan

#: Columns where there is no window.
PIPED: Final = 80
#: Characters of a cell that are shown with its problem.
_VALUE_WIDTH: Final = 30
#: Changes that are shown of a plan.
_EXAMPLES: Final = 10
#: Kinds of reasons that are shown; the report has all.
_REASONS: Final = 5
#: The command that opens a page.
_OPEN: Final = {"darwin": "open", "win32": "start"}.get(sys.platform, "xdg-open")


def plan_text(plan: Plan, *, width: int | None = None, then: str = "") -> str:
    """Show what a run would do: counts, fields, old -> new of the first changes, and every kind of problem.

    Tables fit `width` columns (None: 80); `then` is the command to type next.
    """
    width = width or PIPED
    if not plan.rows:
        return "\n\n".join(["There is nothing to do: no data rows were read", *_notes(plan.notes)])
    users = plural(plan.changes, "user")
    parts = [f"Plan: {users} to change, {plural(plan.rows, 'row')} read"]
    counts = [(str(s), str(plan.counts[s]), STATUS_MEANINGS[s]) for s in Status if plan.counts[s]]
    parts.append(table_text(counts, right={1}, width=width, status=0))
    if plan.left_out:
        parts.append(f"{plural(plan.left_out, 'row')} left out by choice")
    if plan.fields:
        fields = sorted(plan.fields.items(), key=lambda item: (-item[1], item[0]))
        parts.append(table_text([("field", "users"), *((name, str(n)) for name, n in fields)], right={1}, width=width))
    if plan.examples:
        parts.append(_examples(plan, width))
    if plan.sets_passwords:
        parts.append(f"{plural(plan.sets_passwords, 'password')} will be set; a password cannot be undone")
    if plan.violations:
        parts.append("\n".join(["Limits exceeded:", *(f"  {found.sentence()}" for found in plan.violations)]))
    parts.extend(_notes(plan.notes))
    parts.extend(problems_text(plan.problems))
    if then and plan.changes and not plan.violations:
        parts.append(f"next: {then}")
    return "\n\n".join(parts)


def _examples(plan: Plan, width: int) -> str:
    cells = [("row", "id", "field", "old", "", "new")]
    several = len({row.file for row in plan.examples}) > 1
    for row in plan.examples[:_EXAMPLES]:
        for item in row.changes:
            new = _text(shown(item.field, item.new))
            cells.append((_row_number(row, several=several), row.id, item.field, _old(item), "->", new))
    more = plan.changes - min(_EXAMPLES, len(plan.examples))
    return table_text(cells, right={0, 1}, width=width) + (f"\n  ... and {more} more" if more > 0 else "")


def _old(item: FieldChange) -> str:
    return "?" if item.old is UNKNOWN else _text(shown(item.field, item.old))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)


def problems_text(groups: Iterable[ProblemGroup]) -> list[str]:
    """List problems by kind, with the first few rows of each."""
    parts = []
    for group in groups:
        files = {place.file for place, _ in group.first}
        lines = [f"{group.code}: {plural(group.count, 'row')}"]
        for place, problem in group.first:
            cell = f", {problem.column}" if problem.column else ""
            value = f" {cut(printable(problem.value), _VALUE_WIDTH)!r}" if problem.value else ""
            where = f"row {_row_number(place, several=len(files) > 1)}"
            lines.append(f"  {where}{cell}{value}: {problem.message}")
        if group.count > len(group.first):
            lines.append(f"  ... and {group.count - len(group.first)} more")
        parts.append("\n".join(lines))
    return parts


def summary_text(summary: Summary, *, width: int | None = None, options: Sequence[str] | None = ()) -> str:
    """Show what a run did, where its report is, and what to type next.

    Tables fit `width` columns (None: 80). `options` are words that the next command needs too, such as
    `-c FILE`; None: no run can follow this one.
    """
    counts = [(name, str(n), STATUS_MEANINGS[Status(name)]) for name, n in summary.counts.items() if name != "rows"]
    requests = summary.requests
    asked = requests["get"] + requests["patch"]
    parts = [
        table_text([*counts, ("rows", str(summary.counts["rows"]), "")], right={1}, width=width or PIPED, status=0),
        f"{plural(asked, 'request')} in {summary.seconds:.1f} s"
        f" ({requests['get']} reads, {requests['patch']} updates, {requests['retried']} retries,"
        f" {requests['throttled']} throttled)",
    ]
    if summary.left_out:
        parts.append(f"{plural(summary.left_out, 'row')} left out by choice")
    if summary.stopped:
        parts.append(f"Stopped: {summary.stopped}")
    parts.extend(
        f"{reason['code']}: {plural(reason['rows'], 'row')}\n  row {reason['row']}: {reason['message']}"
        for reason in summary.reasons[:_REASONS]
    )
    if len(summary.reasons) > _REASONS:
        parts.append(f"... and {plural(len(summary.reasons) - _REASONS, 'other reason')}, in the report")
    files = [summary.files.get(name) for name in ("report", "xlsx", "html")]
    parts.append("\n".join([*(f"report: {file}" for file in files if file), _ending(summary, options)]))
    return "\n\n".join(parts)


def _ending(summary: Summary, options: Sequence[str] | None) -> str:
    meaning = f"exit {summary.exit_code}: {EXIT_MEANINGS[summary.exit_code]}"
    rejects, page = summary.files["rejects"], summary.files["html"]
    if summary.exit_code == 0 and page:
        return f"{meaning}; open the report: {shlex.join([_OPEN, page])}"
    if options is None or summary.exit_code in (0, 3):
        return meaning
    if summary.exit_code != 1:
        return f"{meaning}; continue with: {command('resume', summary.run, *options)}"
    if rejects:
        return f"{meaning}; correct the rejects and run: {command('run', rejects, *options)}"
    return f"{meaning}; show them: {command('show', summary.run, *options)}"


def command(*words: str) -> str:
    """Return a usersync command line, to be typed or pasted."""
    return shlex.join(["usersync", *words])


def _notes(notes: Sequence[str]) -> list[str]:
    return ["\n".join(f"note: {note}" for note in notes)] if notes else []


def _row_number(place: Place | Row, *, several: bool) -> str:
    return f"{place.row} of {place.file}" if several else str(place.row)
