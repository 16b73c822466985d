"""Write the files of a run: report.csv, html, xlsx, rejects and summary."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from errno import EMFILE
from itertools import chain
from pathlib import Path

from usersync.errors import StoppedError, UsageError
from usersync.ledger import Cells
from usersync.report.columns import COLUMNS, by_column
from usersync.report.csv_lines import csv_lines
from usersync.report.html import Page, PageText, delete_rows_beside
from usersync.report.row_counter import RowCounter
from usersync.report.summary import RunFacts, Summary, summary_of, write_summary

#: Where all rows are, for a page that cannot show them.
_REST = "All rows are in report.csv, in the folder of the run."


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
    home = folder / facts.info["run"]
    counter = RowCounter(facts.texts)
    page = Page(facts.texts.name_of) if "html" in formats else None
    try:
        home.mkdir(parents=True, exist_ok=True)
        _write_csv(home / "report.csv", lines(), counter, page)
        rejects = write_rejects(home) if write_rejects and counter.need_attention else None
        summary = summary_of(facts, counter, _files(home, rejects, formats))
        if page:
            text = PageText(summary.as_json(), facts.info, facts.fields, _REST, facts.timeline)
            page.write(home / "report.html", counter, text)
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
    counter = RowCounter(facts.texts)
    for some in lines:
        counter.add(by_column(some))
    return summary_of(facts, counter, dict.fromkeys(("report", "rejects", "html", "summary")))


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
