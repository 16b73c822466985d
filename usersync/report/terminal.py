"""A plan or a summary in, the text that people read on a terminal out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from usersync.model import UNKNOWN, FieldChange, Place, ProblemGroup, Status, shown
from usersync.planned import EXAMPLES, Plan
from usersync.report.files import Summary

_WIDEST = 30
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
    4: "stopped; `usersync resume` goes on",
    130: "stopped by Ctrl-C; `usersync resume` goes on",
    143: "stopped by SIGTERM; `usersync resume` goes on",
}


def plan_text(plan: Plan) -> str:
    """Show what a run would do: counts, fields, old -> new of the first changes, and every kind of problem."""
    if not plan.rows:
        return "\n\n".join(["There is nothing to do: no data rows were read", *_notes(plan.notes)])
    users = plural(plan.changes, "user")
    parts = [f"Plan: {users} to change, {plural(plan.rows, 'row')} read"]
    parts.append(
        table_text([(str(s), str(plan.counts[s]), _MEANING[s]) for s in Status if plan.counts[s]], right={1})
    )
    if plan.left_out:
        parts.append(f"{plural(plan.left_out, 'row')} left out by choice")
    if plan.fields:
        fields = sorted(plan.fields.items(), key=lambda item: (-item[1], item[0]))
        parts.append(table_text([("field", "users"), *((name, str(n)) for name, n in fields)], right={1}))
    if plan.examples:
        parts.append(_examples(plan))
    if plan.sets_passwords:
        parts.append(f"{plural(plan.sets_passwords, 'password')} will be set; a password cannot be put back")
    if plan.refusals:
        parts.append("\n".join(["Beyond the limits:", *(f"  {refusal.sentence()}" for refusal in plan.refusals)]))
    parts.extend(_notes(plan.notes))
    parts.extend(problems_text(plan.problems))
    return "\n\n".join(parts)


def _examples(plan: Plan) -> str:
    rows = [("row", "id", "field", "old", "", "new")]
    files = {place.file for place in plan.places.values()}
    for entry in plan.examples[:EXAMPLES]:
        for item in entry.change.fields if entry.change else ():
            place = _place(plan.places[entry.key], several=len(files) > 1)
            rows.append((place, entry.user, item.field, _old(item), "->", _value(shown(item.field, item.new))))
    more = plan.changes - min(EXAMPLES, len(plan.examples))
    return table_text(rows, right={0, 1}) + (f"\n  ... and {more} more" if more > 0 else "")


def _old(item: FieldChange) -> str:
    return "?" if item.old is UNKNOWN else _value(shown(item.field, item.old))


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def problems_text(groups: Iterable[ProblemGroup]) -> list[str]:
    """Tell problems by kind, with the first few rows of each."""
    parts = []
    for group in groups:
        files = {place.file for place, _ in group.first}
        told = [f"{group.code}: {plural(group.count, 'row')}"]
        for place, problem in group.first:
            cell = f", {problem.column}" if problem.column else ""
            value = f" {_value(problem.value)!r}" if problem.value else ""
            where = f"row {_place(place, several=len(files) > 1)}"
            told.append(f"  {where}{cell}{value}: {problem.message}")
        if group.count > len(group.first):
            told.append(f"  ... and {group.count - len(group.first)} more")
        parts.append("\n".join(told))
    return parts


def summary_text(summary: Summary) -> str:
    """Show what a run did, in counts, and where the report is."""
    counts = [(name, str(n), _MEANING[Status(name)]) for name, n in summary.counts.items() if name != "rows"]
    requests = summary.requests
    asked = requests["get"] + requests["patch"]
    parts = [
        table_text([*counts, ("rows", str(summary.counts["rows"]), "")], right={1}),
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
    if summary.files["rejects"]:
        parts.append(f"to correct and run again: {summary.files['rejects']}")
    parts.append(f"report: {summary.files['report']}\nexit {summary.exit_code}: {_EXITS[summary.exit_code]}")
    return "\n\n".join(parts)


def _notes(notes: Sequence[str]) -> list[str]:
    return ["\n".join(f"note: {note}" for note in notes)] if notes else []


def _place(place: Place, *, several: bool) -> str:
    return f"{place.row} of {place.file}" if several else str(place.row)


def plural(number: int, noun: str) -> str:
    """Count a noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def table_text(rows: Sequence[Sequence[str]], *, right: set[int]) -> str:
    """Align columns; those in `right` to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [t.rjust(w) if i in right else t.ljust(w) for i, (t, w) in enumerate(zip(row, widths, strict=True))]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)
