"""Sum up a run in numbers: what `--json` prints and `summary.json` holds."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from usersync.errors import RefusedError, RowCountError
from usersync.ledger import Cells
from usersync.loader.row_names import NameOf, no_name
from usersync.models import Json, Status
from usersync.report.columns import (
    FREE_TEXT,
    ID,
    ROW,
    STATUS,
    Columns,
    MessageOf,
    lines_of_attention,
    message_under,
    name_of_line,
    no_message,
    reasons_of,
)
from usersync.report.output_file import write_whole
from usersync.values import unescape_formula

if TYPE_CHECKING:
    from pandas import DataFrame


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


class RowCounter:
    """Count the lines of a report by status, and by reason where they need attention."""

    def __init__(self, name_of: NameOf = no_name, message_of: MessageOf = no_message) -> None:
        self._name_of, self._message_of = name_of, message_of
        self.rows = 0
        self.by_status: Counter[str] = Counter()
        self._reasons: dict[str, dict[str, Json]] = {}

    def add(self, columns: Columns) -> None:
        """Count lines."""
        self.rows += len(columns[STATUS])
        self.by_status.update(columns[STATUS])
        for line in lines_of_attention(columns):
            for code in reasons_of(line):
                if code not in self._reasons:
                    self._reasons[code] = self._reason(code, line)
                self._reasons[code]["rows"] += 1

    def _reason(self, code: str, first: Cells) -> dict[str, Json]:
        name = name_of_line(first, self._name_of)
        message = message_under(code, first, self._message_of)
        return {"code": code, "rows": 0, "row": first[ROW], "id": first[ID], "name": name, "message": message}

    @property
    def need_attention(self) -> bool:
        """Whether any row needs attention."""
        return any(Status(status).needs_attention for status in self.by_status)

    def counts(self) -> dict[str, int]:
        """Return status -> rows in the order of Status, and `rows`: their sum."""
        found = {status.value: self.by_status[status] for status in Status if self.by_status[status]}
        return {**found, "rows": self.by_status.total()}

    def reasons(self) -> list[Json]:
        """Return why rows need attention, the most frequent reason first."""
        return sorted(self._reasons.values(), key=lambda reason: -int(reason["rows"]))


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
