"""The rows of a run in, `report.csv` and `summary.json` out; and the exit code that they amount to."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from usersync.errors import UsageError
from usersync.models import Json, Line, ProblemGroup, Status, TimeSlice, owner_of
from usersync.report.html import Page

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = (
    "file", "sheet", "row", "id", "status", "changed", "old", "new", "http_status", "attempts", "code", "message",
    "who", "name", "email", "custom_attributes", "finished_at",
)  # fmt: skip
_BAD = (Status.REJECTED, Status.FAILED, Status.CONFLICT, Status.UNKNOWN)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SUSPECT = frozenset((*_FORMULA, "'"))


class Head(Protocol):
    """What the report needs of a run's head."""

    @property
    def run(self) -> str:
        """The name of the run."""


class Rows(Protocol):
    """Where the lines come from."""

    @property
    def info(self) -> Head:
        """The head of the run."""

    def lines(self) -> Iterator[Line]:
        """Give all lines in input order."""


class Requests(Protocol):
    """How many requests were sent."""

    get: int
    patch: int
    retried: int
    throttled: int
    codes: Counter[int | None]


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in numbers: what `--json` prints and `summary.json` holds."""

    run: str
    status: str
    """done, partial, refused or stopped."""
    exit_code: int
    counts: dict[str, int]
    """Status -> rows, and `rows`: their sum."""
    requests: dict[str, int]
    seconds: float
    files: dict[str, str | None]
    limits: list[Json] = field(default_factory=list)
    problems: list[Json] = field(default_factory=list)
    stopped: str | None = None
    left_out: int = 0
    reasons: list[Json] = field(default_factory=list)
    """Why rows need a person: `code`, how many `rows`, and the first of them (`row`, `message`)."""
    notices: list[str] = field(default_factory=list)
    """What went wrong after the run: a notification or a metrics file that could not be delivered."""
    responses: dict[str, int] = field(default_factory=dict)
    """HTTP status -> answers; `none`: requests without an answer."""
    lines: int = 0
    """Lines of report.csv."""

    def as_json(self) -> dict[str, Json]:
        """Give the summary as the contract has it."""
        document = asdict(self)
        del document["lines"]
        return document

    def report_frame(self) -> DataFrame:
        """Give report.csv as a DataFrame: one line per row, all text as it was, and `row` a whole number."""
        import pandas as pd

        path = str(self.files["report"])
        frame = pd.read_csv(path, dtype=object, keep_default_na=False, encoding="utf-8-sig")
        for name in ("file", "sheet", "id", "changed", "message", "name", "email"):
            frame[name] = frame[name].map(original)
        return frame.astype({"row": "int64"})


def make_home(folder: Path, run: str) -> Path:
    """Make the folder of a run's files; called before anything is sent. UsageError where that cannot be."""
    home = folder / run
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "report.csv").open("a").close()
    except OSError as error:
        raise UsageError(
            f"{home}: the report cannot be written here: {error.strerror}; name another place under report.dir"
        ) from None
    return home


@dataclass(frozen=True, slots=True)
class Facts:
    """What is told of a run beside its rows."""

    requests: Requests
    seconds: float
    stop: tuple[int, str] | None = None
    """Exit code and reason of a run that ended early."""
    problems: Sequence[ProblemGroup] = ()
    left_out: int = 0
    limits: Sequence[Json] = ()
    head: Mapping[str, Json] = field(default_factory=dict)
    """The head of the run, as the ledger has it."""
    timeline: Sequence[TimeSlice] = ()


def write_report(
    rows: Rows,
    folder: Path,
    facts: Facts,
    *,
    formats: Collection[str] = (),
    rejects: Callable[[Iterable[Line], Path], Path | None] | None = None,
) -> Summary:
    """Write the files of a run below `folder`/RUN: report.csv, summary.json, and those that `formats` names.

    `rejects` writes the file of the rows that need a person, as `write_rejects` does. Raises UsageError where the
    folder cannot be written.
    """
    home = make_home(folder, rows.info.run)
    count = _Count()
    try:
        page = Page() if "html" in formats else None
        counted = count.noting(rows.lines())
        _write_csv(home / "report.csv", page.noting(counted) if page else counted)
        rejected = rejects(rows.lines(), home) if rejects and count.bad else None
        summary = _summary(home, rows.info.run, facts, count, rejected=rejected, formats=formats)
        if page:
            rest = "All rows are in report.csv, beside this page."
            text = page.text(summary.as_json(), facts.head, timeline=facts.timeline, rest=rest)
            _write_text(home / "report.html", text)
        if "xlsx" in formats:
            from usersync.report.workbook import write_workbook

            write_workbook(home / "report.xlsx", rows.lines(), told=summary.as_json(), head=facts.head)
        write_summary(summary)
    except OSError as error:
        raise UsageError(
            f"{home}: the report cannot be written: {error.strerror}; the ledger holds every row of run {rows.info.run}"
        ) from None
    return summary


def _summary(
    home: Path, run: str, facts: Facts, count: _Count, *, rejected: Path | None, formats: Collection[str]
) -> Summary:
    code = facts.stop[0] if facts.stop else int(count.bad)
    more = {name: str(home / f"report.{name}") for name in ("html", "xlsx") if name in formats}
    requests = facts.requests
    return Summary(
        run=run,
        status=_verdict(code, stopped=facts.stop is not None),
        exit_code=code,
        counts={**{s.value: count.by[s] for s in Status if count.by[s]}, "rows": count.by.total()},
        requests={name: getattr(requests, name) for name in ("get", "patch", "retried", "throttled")},
        responses={str(code or "none"): n for code, n in sorted(requests.codes.items(), key=str)},
        seconds=round(facts.seconds, 3),
        files={
            "report": str(home / "report.csv"),
            "rejects": str(rejected) if rejected else None,
            "html": None,
            "summary": str(home / "summary.json"),
            **more,
        },
        problems=[group.as_json() for group in facts.problems],
        stopped=facts.stop[1] if facts.stop else None,
        left_out=facts.left_out,
        limits=list(facts.limits),
        reasons=sorted(count.reasons.values(), key=lambda reason: -int(reason["rows"])),
        lines=count.lines,
    )


def write_summary(summary: Summary) -> None:
    """Write `summary.json`; OSError where that cannot be."""
    text = json.dumps(summary.as_json(), ensure_ascii=False, indent=2) + "\n"
    _write_text(Path(str(summary.files["summary"])), text)


def _verdict(exit_code: int, *, stopped: bool) -> str:
    if stopped:
        return "refused" if exit_code == 3 else "stopped"
    return "partial" if exit_code else "done"


class _Count:
    """Counts lines as they pass."""

    def __init__(self) -> None:
        self.lines = 0
        self.by: Counter[str] = Counter()
        self.reasons: dict[str, Json] = {}

    @property
    def bad(self) -> bool:
        return any(self.by[status] for status in _BAD)

    def noting(self, lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            self.lines += 1
            self.by[line.status] += 1
            if line.status in _BAD:
                code = line.code.partition(";")[0] or line.status.value
                first = {"code": code, "rows": 0, "row": line.row, "message": line.message}
                self.reasons.setdefault(code, first)["rows"] += 1
            yield line


def _write_csv(path: Path, lines: Iterable[Line]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for line in lines:
            writer.writerow(cells(line, harmless))
        file.flush()
        os.fsync(file.fileno())


def cells(line: Line, safe: Callable[[str], str]) -> tuple[str | int | None, ...]:
    """Give the cells of a line in the order of COLUMNS; what people wrote passes through `safe`."""
    code = line.code.partition(";")[0]
    return (
        safe(line.file), safe(line.sheet), line.row, safe(line.id), line.status,
        safe(line.changed), line.old, line.new, line.http_status, line.attempts, line.code,
        safe(line.message), owner_of(code), safe(line.name or ""), safe(line.email or ""),
        line.custom_attributes, line.finished_at,
    )  # fmt: skip


def harmless(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run as a formula; `original` takes it off again."""
    return f"'{text}" if text[:1] in _SUSPECT and _runs(text) else text


def original(text: str) -> str:
    """Undo `harmless`."""
    return text[1:] if text.startswith("'") and _runs(text) else text


def _runs(text: str) -> bool:
    bare = text.lstrip("'")
    return len(bare) > 1 and bare.startswith(_FORMULA)


def _write_text(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
