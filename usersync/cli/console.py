"""A plan or a summary in, the text that people read on a terminal out."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Sequence

from usersync.cli.table import cut, printable, table_text
from usersync.models import UNKNOWN, FieldChange, Place, ProblemGroup, Status, shown
from usersync.planning.plan import EXAMPLES, Plan
from usersync.report.files import Summary

_WIDEST = 30
PIPED = 80
"""Columns where there is no window."""
REASONS = 5
"""Kinds of reasons that are told; the report has all."""
_MEANING = {
    Status.UPDATED: "sent, and the platform confirms it",
    Status.UNCHANGED: "the platform holds these values already",
    Status.REJECTED: "a cell or the row is wrong; nothing was sent",
    Status.FAILED: "refused for good",
    Status.CONFLICT: "somebody else changed it; nothing was sent",
    Status.UNKNOWN: "sent, and no way to learn what became of it",
    Status.PLANNED: "to be sent",
    Status.NOT_SENT: "the run stopped before its turn",
}
_EXITS = {
    0: "all is well",
    1: "finished, but some rows need a person",
    3: "refused; nothing was sent",
    4: "stopped",
    130: "stopped by Ctrl-C",
    143: "stopped by SIGTERM",
}
_OPEN = {"darwin": "open", "win32": "start"}.get(sys.platform, "xdg-open")


def plan_text(plan: Plan, *, width: int | None = None, then: str = "") -> str:
    """Show what a run would do: counts, fields, old -> new of the first changes, and every kind of problem.

    Tables fit `width` columns (None: 80); `then` is the command to type next.
    """
    width = width or PIPED
    if not plan.rows:
        return "\n\n".join(["There is nothing to do: no data rows were read", *_notes(plan.notes)])
    users = plural(plan.changes, "user")
    parts = [f"Plan: {users} to change, {plural(plan.rows, 'row')} read"]
    counts = [(str(s), str(plan.counts[s]), _MEANING[s]) for s in Status if plan.counts[s]]
    parts.append(table_text(counts, right={1}, width=width, status=0))
    if plan.left_out:
        parts.append(f"{plural(plan.left_out, 'row')} left out by choice")
    if plan.fields:
        fields = sorted(plan.fields.items(), key=lambda item: (-item[1], item[0]))
        parts.append(table_text([("field", "users"), *((name, str(n)) for name, n in fields)], right={1}, width=width))
    if plan.examples:
        parts.append(_examples(plan, width))
    if plan.sets_passwords:
        parts.append(f"{plural(plan.sets_passwords, 'password')} will be set; a password cannot be put back")
    if plan.refusals:
        parts.append("\n".join(["Beyond the limits:", *(f"  {refusal.sentence()}" for refusal in plan.refusals)]))
    parts.extend(_notes(plan.notes))
    parts.extend(problems_text(plan.problems))
    if then and plan.changes and not plan.refusals:
        parts.append(f"next: {then}")
    return "\n\n".join(parts)


def _examples(plan: Plan, width: int) -> str:
    rows = [("row", "id", "field", "old", "", "new")]
    files = {place.file for place in plan.places.values()}
    for entry in plan.examples[:EXAMPLES]:
        for item in entry.change.fields if entry.change else ():
            place = _place(plan.places[entry.key], several=len(files) > 1)
            rows.append((place, entry.user, item.field, _old(item), "->", _text(shown(item.field, item.new))))
    more = plan.changes - min(EXAMPLES, len(plan.examples))
    return table_text(rows, right={0, 1}, width=width) + (f"\n  ... and {more} more" if more > 0 else "")


def _old(item: FieldChange) -> str:
    return "?" if item.old is UNKNOWN else _text(shown(item.field, item.old))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def problems_text(groups: Iterable[ProblemGroup]) -> list[str]:
    """Tell problems by kind, with the first few rows of each."""
    parts = []
    for group in groups:
        files = {place.file for place, _ in group.first}
        told = [f"{group.code}: {plural(group.count, 'row')}"]
        for place, problem in group.first:
            cell = f", {problem.column}" if problem.column else ""
            value = f" {cut(printable(problem.value), _WIDEST)!r}" if problem.value else ""
            where = f"row {_place(place, several=len(files) > 1)}"
            told.append(f"  {where}{cell}{value}: {problem.message}")
        if group.count > len(group.first):
            told.append(f"  ... and {group.count - len(group.first)} more")
        parts.append("\n".join(told))
    return parts


def summary_text(summary: Summary, *, width: int | None = None, options: Sequence[str] | None = ()) -> str:
    """Show what a run did, in counts, where the report is, and what to type next.

    Tables fit `width` columns (None: 80). `options` are words that the next command needs too, such as
    `-c FILE`; None: no run can follow this one.
    """
    counts = [(name, str(n), _MEANING[Status(name)]) for name, n in summary.counts.items() if name != "rows"]
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
        for reason in summary.reasons[:REASONS]
    )
    if len(summary.reasons) > REASONS:
        parts.append(f"... and {plural(len(summary.reasons) - REASONS, 'other reason')}, in the report")
    files = [summary.files.get(name) for name in ("report", "xlsx", "html")]
    parts.append("\n".join([*(f"report: {file}" for file in files if file), _ending(summary, options)]))
    return "\n\n".join(parts)


def _ending(summary: Summary, options: Sequence[str] | None) -> str:
    meaning = f"exit {summary.exit_code}: {_EXITS[summary.exit_code]}"
    rejects, page = summary.files["rejects"], summary.files["html"]
    if summary.exit_code == 0 and page:
        return f"{meaning}; look at it: {shlex.join([_OPEN, page])}"
    if options is None or summary.exit_code in (0, 3):
        return meaning
    if summary.exit_code != 1:
        return f"{meaning}; go on with: {command('resume', summary.run, *options)}"
    if rejects:
        return f"{meaning}; correct and run again: {command('run', rejects, *options)}"
    return f"{meaning}; look at them: {command('show', summary.run, *options)}"


def command(*words: str) -> str:
    """Write a command of ours, to be typed or pasted."""
    return shlex.join(["usersync", *words])


def _notes(notes: Sequence[str]) -> list[str]:
    return ["\n".join(f"note: {note}" for note in notes)] if notes else []


def _place(place: Place, *, several: bool) -> str:
    return f"{place.row} of {place.file}" if several else str(place.row)


def plural(number: int, noun: str) -> str:
    """Count a noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
