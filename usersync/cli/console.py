"""Format a plan or a summary as text for a terminal.

What matters most stands last, where a small screen still shows it: the counts, and what to type next.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from usersync.cli.table import cut, printable, table_text
from usersync.masking import mask_field
from usersync.models import ATTRIBUTE, UNKNOWN, Place, ProblemGroup, Row, Status, json_text
from usersync.report.summary import Summary
from usersync.wording import EXIT_MEANINGS, STATUS_MEANINGS, plural

if TYPE_CHECKING:
    from usersync.planning.plan import Plan

#: Characters of a name that are shown beside a number.
_NAME_WIDTH: Final = 18
#: Changed users that are shown of a plan.
_EXAMPLES: Final = 10
#: Kinds of reasons that are shown; the report has all.
_REASONS: Final = 5
#: The command that opens a page.
_OPEN: Final = {"darwin": "open", "win32": "start"}.get(sys.platform, "xdg-open")


def plan_text(plan: Plan, *, width: int | None = None, then: str = "") -> str:
    """Show what a run would do: old -> new of the first changes, every kind of problem, limits and counts.

    Tables fit `width` columns (None: nothing is cut); `then` is the command to type next.
    """
    if not plan.rows:
        return "\n\n".join(["Nothing to do: no data rows were read", *_notes(plan.notes), *_limits(plan)])
    parts = [f"Plan: {plural(plan.changes, 'user')} to change, {plural(plan.rows, 'row')} read"]
    if plan.examples:
        parts.append(_examples(plan, width))
    if plan.fields:
        fields = sorted(plan.fields.items(), key=lambda item: (-item[1], item[0]))
        parts.append(table_text([("field", "users"), *((name, str(n)) for name, n in fields)], right={1}, width=width))
    parts.extend(_notes(plan.notes))
    parts.extend(problems_text(plan.problems))
    parts.extend(_left_out(plan.left_out))
    parts.extend(_limits(plan))
    if plan.sets_passwords:
        parts.append(f"{plural(plan.sets_passwords, 'password')} will be set; a password cannot be undone")
    parts.append(_counts(plan.counts, width, repeated=plan.counts[Status.PLANNED] - plan.changes))
    if then and plan.changes and not plan.violations:
        parts.append(f"next: {then}")
    return "\n\n".join(parts)


def _limits(plan: Plan) -> list[str]:
    sentences = [f"  {found.sentence()}" for found in plan.violations]
    return ["\n".join(["Limits exceeded:", *sentences])] if sentences else []


def _counts(counts: dict[Status, int], width: int | None, *, repeated: int = 0) -> str:
    rows = []
    for status in Status:
        if counts.get(status):
            meaning = STATUS_MEANINGS[status]
            if status is Status.PLANNED and repeated > 0:
                meaning += f"; {plural(repeated, 'row')} repeat{'s' if repeated == 1 else ''} another"
            rows.append((str(status), f"{counts[status]:,}", meaning))
    rows.append(("rows", f"{sum(counts.values()):,}", ""))
    return table_text(rows, right={1}, width=width, status=0)


def _examples(plan: Plan, width: int | None) -> str:
    several = len({row.file for row in plan.examples}) > 1
    cells: list[tuple[str, ...]] = [("row", "id", "user", "field", "old", "", "new")]
    for row in plan.examples[:_EXAMPLES]:
        name = printable(row.name or row.email or "")
        start = (_row_number(row, several=several), row.id, cut(name, _NAME_WIDTH) if width else name)
        cells.extend(change_lines(start, row))
    more = plan.changes - min(_EXAMPLES, len(plan.examples))
    rest = f"\n  ... and {plural(more, 'more user')}" if more > 0 else ""
    return table_text(cells, right={0, 1}, width=width, pair=(4, 6)) + rest


def change_lines(start: tuple[str, ...], row: Row) -> Iterator[tuple[str, ...]]:
    """Yield a line of cells for each change: `start` (blank from the second on), field, old value, arrow, new value.

    `.seats` is an attribute, `?` a value that nobody looked up. A row without changes has one line.
    """
    for change in row.changes:
        field = change.field.replace(ATTRIBUTE, ".", 1)
        old = "?" if change.old is UNKNOWN else _text(mask_field(change.field, change.old))
        yield (*start, field, old, "->", _text(mask_field(change.field, change.new)))
        start = ("",) * len(start)
    if not row.changes:
        yield (*start, "", "", "", "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)


def problems_text(groups: Iterable[ProblemGroup]) -> list[str]:
    """List problems by kind, with the names and values of the first few rows of each."""
    parts = []
    for group in groups:
        several = len({place.file for place, _ in group.first}) > 1
        lines = [f"{group.code}: {plural(group.count, 'row')}"]
        for place, problem in group.first:
            where = _place(_row_number(place, several=several), place.name)
            joint = ", " if problem.column else ": "
            lines.append(printable(f"  {where}{joint}{problem.sentence()}"))
        if group.count > len(group.first):
            lines.append(f"  ... and {group.count - len(group.first):,} more")
        parts.append("\n".join(lines))
    return parts


def reasons_text(rows: Iterable[Row]) -> list[str]:
    """List why rows ended as they did, by code or else by status: each reason once, with its first row."""
    kinds: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row.reason:
            kinds.setdefault(row.code or row.status, {}).setdefault(row.reason, []).append(row)
    several = len({row.file for reasons in kinds.values() for found in reasons.values() for row in found}) > 1
    parts = []
    for kind, reasons in kinds.items():
        lines = [f"{kind.replace(';', ', ')}: {plural(sum(map(len, reasons.values())), 'row')}"]
        for reason, (first, *others) in reasons.items():
            where = _place(_row_number(first, several=several), first.name or first.email or "")
            more = f" and {len(others):,} more" if others else ""
            lines.append(printable(f"  {where}{more}: {reason}"))
        parts.append("\n".join(lines))
    return parts


def summary_text(
    summary: Summary, *, width: int | None = None, options: Sequence[str] | None = (), plan_shown: bool = False
) -> str:
    """Show what a run did, where its report is, and what to type next.

    Tables fit `width` columns (None: nothing is cut). `options` are words that the next command needs too, such as
    `-c FILE`; None: no run can follow this one. `plan_shown` leaves out what the plan has listed.
    """
    parts = [] if plan_shown else [*_notes(summary.notes)]
    parts.extend(_reasons(summary, plan_shown=plan_shown))
    if not plan_shown:
        parts.extend(_left_out(summary.left_out))
    files = [f"report: {file}" for file in map(summary.files.get, ("report", "xlsx", "html")) if file]
    parts.append("\n".join([_requests(summary), *files]))
    if summary.stopped:
        parts.append(f"Stopped: {summary.stopped}")
    counts = {Status(name): n for name, n in summary.counts.items() if name != "rows"}
    parts.append(f"{_counts(counts, width)}\n{_ending(summary, options)}")
    return "\n\n".join(parts)


def _reasons(summary: Summary, *, plan_shown: bool) -> list[str]:
    listed = {group["code"]: group["count"] for group in summary.problems} if plan_shown else {}
    reasons = [reason for reason in summary.reasons if reason["rows"] > listed.get(reason["code"], 0)]
    parts = []
    for reason in reasons[:_REASONS]:
        where = _place(str(reason["row"]), reason.get("name", ""))
        parts.append(f"{reason['code']}: {plural(reason['rows'], 'row')}\n  {where}: {reason['message']}")
    if len(reasons) > _REASONS:
        parts.append(f"... and {plural(len(reasons) - _REASONS, 'other reason')}, in the report")
    return parts


def _requests(summary: Summary) -> str:
    requests = summary.requests
    kinds = [
        plural(requests["get"], "read"),
        plural(requests["patch"], "update"),
        f"{requests['retried']:,} retried",
        f"{requests['throttled']:,} throttled",
    ]
    return f"{plural(requests['get'] + requests['patch'], 'request')} in {summary.seconds:.1f} s ({', '.join(kinds)})"


def _ending(summary: Summary, options: Sequence[str] | None) -> str:
    meaning = f"exit {summary.exit_code}: {EXIT_MEANINGS[summary.exit_code]}"
    rejects = summary.files["rejects"]
    page = summary.files["html"]
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


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield "\n".join(f"note: {note}" for note in notes)


def _left_out(rows: int) -> Iterator[str]:
    if rows:
        yield f"{plural(rows, 'row')} left out by choice"


def _row_number(place: Place | Row, *, several: bool) -> str:
    return f"{place.row} of {place.file}" if several else str(place.row)


def _place(row: str, name: str) -> str:
    """Return `row 17 (Ann Jones)`, or `row 17` where there is no name."""
    return f"row {row} ({cut(printable(name), _NAME_WIDTH)})" if name else f"row {row}"
