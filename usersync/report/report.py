"""Write the files of a run: report.csv, html, xlsx, rejects and summary."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from errno import EMFILE
from itertools import chain
from pathlib import Path

from usersync.context import StopReason
from usersync.errors import StoppedError, UsageError
from usersync.ledger import Cells
from usersync.loader.row_names import NameOf, no_name
from usersync.models import Json, ProblemGroup, TimeSlice
from usersync.report.columns import COLUMNS, MessageOf, by_column, no_message
from usersync.report.csv_lines import csv_lines
from usersync.report.html import Page, delete_rows_beside
from usersync.report.summary import RowCounter, Summary, status_of_run, write_summary

#: What the page says of the rows that it has no room for.
_REST = "All rows are in report.csv, in the folder of the run."


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a report contains besides the rows."""

    run: str
    """The name of the run, and of its folder."""
    info: Mapping[str, Json]
    """The fields of the ledger's RunInfo: `platform`, `started_at`, `sources` ..."""
    requests: Mapping[str, int]
    """`get`, `patch`, `retried` and `throttled`."""
    responses: Mapping[str, int] = field(default_factory=dict)
    """HTTP status -> responses; `none`: requests without a response."""
    seconds: float = 0.0
    stop: StopReason | None = None
    """Why the run ended early."""
    problems: Sequence[ProblemGroup] = ()
    left_out: int = 0
    """Rows left out by choice."""
    notes: Sequence[str] = ()
    """What the author of the files should know."""
    limits: Sequence[Json] = ()
    """Limits that the plan exceeds: `rule`, `sentence`, `overridden`."""
    timeline: Sequence[TimeSlice] = ()
    fields: Mapping[str, int] = field(default_factory=dict)
    """Changed field -> updated users."""
    name_of: NameOf = no_name
    """The names of rows as their sheet has them (`names_in`)."""
    message_of: MessageOf = no_message
    """What the problems of one code say of a row."""


def require_writable_folder(folder: Path, run: str) -> None:
    """Make the folder of a run's files, before anything is sent. Raises UsageError where it cannot be written."""
    home = folder / run
    probe = home / "report.csv.new"
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        remedy = "raise that limit (ulimit -n)" if error.errno == EMFILE else "name another folder under report.dir"
        raise UsageError(f"{home}: the report cannot be written here: {error.strerror}; {remedy}") from None


def prepare_folder(folder: Path, run: str) -> Path:
    """Make the folder of a run's files, after its rows were sent. Raises StoppedError where that fails."""
    home = folder / run
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_be_written(home, error) from None
    return home


def _cannot_be_written(home: Path, error: OSError) -> StoppedError:
    return StoppedError(
        f"{home}: the report cannot be written: {error.strerror}; the ledger has every row: free some space there, "
        f"then `usersync resume {home.name}` writes it"
    )


def write_report(
    lines: Callable[[], Iterable[Sequence[Cells]]],
    folder: Path,
    facts: RunFacts,
    *,
    formats: Collection[str] = (),
    write_rejects: Callable[[Path], Path | None] | None = None,
) -> Summary:
    """Write the files of a run below `folder`/RUN: report.csv, summary.json, and those that `formats` names.

    `lines` returns all lines of the run in input order, some at a time, each time it is called. `write_rejects` writes
    the rows that need attention into a folder, and returns the file. Raises StoppedError where a file cannot be
    written.
    """
    home = prepare_folder(folder, facts.run)
    counter = RowCounter(facts.name_of, facts.message_of)
    page = Page(facts.name_of, facts.message_of) if "html" in formats else None
    try:
        _write_csv(home / "report.csv", lines(), counter, page)
        rejects = write_rejects(home) if write_rejects and counter.need_attention else None
        summary = _summary(facts, counter, files=_files(home, rejects, formats))
        if page:
            fields, timeline = facts.fields, facts.timeline
            page.write(
                home / "report.html", summary.as_json(), facts.info, fields=fields, timeline=timeline, rest=_REST
            )
        if "xlsx" in formats:
            from usersync.report.workbook import write_workbook  # slow to import, and rarely asked for

            rows = chain.from_iterable(lines())
            write_workbook(home / "report.xlsx", rows, summary=summary.as_json(), info=facts.info)
        write_summary(summary)
        _delete_other_formats(home, formats)
    except OSError as error:
        raise _cannot_be_written(home, error) from None
    return summary


def _delete_other_formats(home: Path, formats: Collection[str]) -> None:
    """Delete what an earlier, interrupted part of the run wrote in formats that are no longer asked for."""
    for name in {"html", "xlsx"}.difference(formats):
        (home / f"report.{name}").unlink(missing_ok=True)
    if "html" not in formats:
        delete_rows_beside(home / "report.html")


def summarize(lines: Iterable[Sequence[Cells]], facts: RunFacts) -> Summary:
    """Return the summary of a run that writes no files."""
    counter = RowCounter(facts.name_of, facts.message_of)
    for some in lines:
        counter.add(by_column(some))
    return _summary(facts, counter, files=dict.fromkeys(("report", "rejects", "html", "summary")))


def _write_csv(path: Path, lines: Iterable[Sequence[Cells]], counter: RowCounter, page: Page | None) -> None:
    """Write report.csv, and count the lines and collect them for the page on the way."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8-sig", newline="") as file:
        file.write(f"{','.join(COLUMNS)}\r\n")
        for some in lines:
            columns = by_column(some)
            file.write(csv_lines(columns))
            counter.add(columns)
            if page:
                page.add(columns)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _files(home: Path, rejects: Path | None, formats: Collection[str]) -> dict[str, str | None]:
    files: dict[str, str | None] = {
        "report": str(home / "report.csv"),
        "rejects": str(rejects) if rejects else None,
        "html": str(home / "report.html") if "html" in formats else None,
        "summary": str(home / "summary.json"),
    }
    if "xlsx" in formats:
        files["xlsx"] = str(home / "report.xlsx")
    return files


def _summary(facts: RunFacts, counter: RowCounter, *, files: dict[str, str | None]) -> Summary:
    exit_code = facts.stop.exit_code if facts.stop else int(counter.need_attention)
    return Summary(
        run=facts.run,
        status=status_of_run(exit_code, stopped=facts.stop is not None),
        exit_code=exit_code,
        counts=counter.counts(),
        requests=dict(facts.requests),
        seconds=round(facts.seconds, 3),
        files=files,
        limits=list(facts.limits),
        problems=[group.as_json() for group in facts.problems],
        stopped=facts.stop.message if facts.stop else None,
        left_out=facts.left_out,
        notes=list(facts.notes),
        reasons=counter.reasons(),
        responses=dict(facts.responses),
        lines=counter.rows,
    )
