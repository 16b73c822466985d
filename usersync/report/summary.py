"""Sum up a run in numbers: what `--json` prints and `summary.json` holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from usersync.context import StopReason
from usersync.errors import RefusedError, RowCountError
from usersync.formulas import unescape_formula
from usersync.loader.row_texts import RowTexts
from usersync.models import Json, ProblemGroup, TimeSlice
from usersync.report.columns import FREE_TEXT
from usersync.report.output_file import write_whole
from usersync.report.row_counter import RowCounter

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run besides its rows."""

    info: Mapping[str, Json]
    """The fields of the ledger's RunInfo: `run`, `platform`, `started_at`, `sources` ..."""
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
    texts: RowTexts = field(default_factory=RowTexts)
    """What the input says about rows."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in numbers."""

    run: str
    status: str
    """`done`, `partial`, `refused` or `stopped`."""
    exit_code: int
    counts: dict[str, int]
    """Status -> rows, and `rows`: their sum."""
    requests: dict[str, int]
    """`get`, `patch`, `retried` and `throttled`."""
    seconds: float
    files: dict[str, str | None]
    """`report`, `rejects`, `html`, `summary` -> path; None where there is none. `xlsx` only where asked for."""
    limits: list[Json] = field(default_factory=list)
    """Limits that the plan exceeds: `rule`, `sentence`, `overridden`."""
    problems: list[Json] = field(default_factory=list)
    """The problems of the input by code, as `ProblemGroup.as_json` gives them."""
    stopped: str | None = None
    """Why the run ended early."""
    left_out: int = 0
    """Rows left out by choice; they are neither sent nor reported."""
    reasons: list[Json] = field(default_factory=list)
    """Why rows need attention: `code`, how many `rows`, and the first of them (`row`, `id`, `name`, `message`)."""
    notes: list[str] = field(default_factory=list)
    """What the author of the files should know: how headings were understood, which columns were ignored."""
    notices: list[str] = field(default_factory=list)
    """What went wrong after the run: a notification or a metrics file that could not be delivered."""
    responses: dict[str, int] = field(default_factory=dict)
    """HTTP status -> responses; `none`: requests without a response."""
    lines: int = 0
    """Data lines of report.csv."""

    def as_json(self) -> dict[str, Json]:
        """Return the summary as `summary.json` holds it."""
        document = asdict(self)
        del document["lines"]
        return document

    def report_frame(self) -> DataFrame:
        """Return report.csv as a DataFrame: one line per row, all text as it was, and `row` a whole number."""
        import pandas as pd  # slow to import, and not needed for the summary itself

        path = str(self.files["report"])
        frame = pd.read_csv(path, dtype=object, keep_default_na=False, encoding="utf-8-sig")
        for name in FREE_TEXT:
            frame[name] = frame[name].map(unescape_formula)
        return frame.astype({"row": "int64"})


def summary_of(facts: RunFacts, counter: RowCounter, files: dict[str, str | None]) -> Summary:
    """Return the summary of a run; `files` as `Summary` has them."""
    exit_code = facts.stop.exit_code if facts.stop else int(counter.need_attention > 0)
    return Summary(
        run=facts.info["run"],
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
        reasons=[reason.as_json() for reason in counter.reasons()],
        responses=dict(facts.responses),
        lines=counter.rows,
    )


def status_of_run(exit_code: int, *, stopped: bool) -> str:
    """Return the `status` of a summary."""
    if stopped and exit_code > 1:
        return "refused" if exit_code == RefusedError.exit_code else "stopped"
    return "partial" if exit_code else "done"


def write_summary(summary: Summary) -> None:
    """Write `summary.json` where `summary.files` says. Raises OSError."""
    text = json.dumps(summary.as_json(), ensure_ascii=False, indent=2) + "\n"
    write_whole(Path(str(summary.files["summary"])), text)


def verify_row_count(rows_in: int, summary: Summary) -> None:
    """Verify that every row of the input has exactly one line in the report. Raises RowCountError."""
    total = sum(n for name, n in summary.counts.items() if name != "rows")
    if not rows_in == summary.lines == summary.counts["rows"] == total:
        raise RowCountError(
            f"internal error: row counts do not match; please report it. {rows_in} rows were read, report.csv has"
            f" {summary.lines}, {total} were counted; the ledger holds every row of run {summary.run}"
        )
