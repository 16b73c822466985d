"""Show what the loader reads in a file: as text, as JSON, or cell by cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import BinaryIO, Final

import numpy as np

from usersync.cli.console import problems_text
from usersync.cli.table import table_text
from usersync.loader.heading_words import normalize
from usersync.loader.rejects_columns import ROW, WHY
from usersync.models import Code, Json, ProblemGroup
from usersync.tables import Column, DesiredValues, Source, Table

#: Codes of rows that are wrong as they are written; their cells are not known.
_UNWRITABLE: Final = frozenset({Code.ROW_RAGGED, Code.ENCODING, Code.FORMULA_UNSAVED})
#: Headings that a rejects file adds -> what `inspect` says of them.
_OUR_COLUMNS: Final = {ROW: "(row of the original file)", WHY: "(why the row was rejected)"}
#: Notes on rows that are shown.
_NOTES_SHOWN: Final = 10


def as_text(table: Table, desired: DesiredValues, groups: Sequence[ProblemGroup]) -> str:
    """Show dialect, sheet, header row, the meaning of each column, every kind of problem, and row counts."""
    sources = [_source_text(source) for source in table.sources]
    counts = [
        ("to send", f"{len(desired.values):,}"),
        ("rejected", f"{len({p.key for p in desired.problems}):,}"),
        ("repeated", f"{len(desired.duplicates):,}"),
        *([("untouched", f"{len(desired.untouched):,}")] if desired.untouched else []),
        ("rows", f"{len(table.cells):,}"),
    ]
    return "\n\n".join([
        *sources, *_notes_text(table, desired), *problems_text(groups), table_text(counts, right={1}, status=0)
    ])  # fmt: skip


def _notes_text(table: Table, desired: DesiredValues) -> list[str]:
    numbers = table.places["row"].to_numpy()
    lines = [f"note: row {numbers[key]}: {desired.notes[key]}" for key in sorted(desired.notes)[:_NOTES_SHOWN]]
    if len(desired.notes) > _NOTES_SHOWN:
        lines.append(f"  ... and {len(desired.notes) - _NOTES_SHOWN} more")
    if any(problem.code is Code.VALUE_SUSPECT for problem in desired.problems):
        lines.append("note: values that look damaged are rejected (source.suspect and fields.NAME.suspect decide)")
    return ["\n".join(lines)] if lines else []


def _source_text(source: Source) -> str:
    lines = [source.file]
    if source.sheet:
        lines.append(f"sheet {source.sheet!r}")
    lines.extend(f"{name}: {value}" for name, value in source.dialect.items())
    lines.append(f"header in row {source.header_row}")
    meaning = [(repr(column.heading), _meaning(column)) for column in source.columns]
    lines.append(table_text([("column", "field"), *meaning], right=set()))
    lines.extend(f"note: {note}" for note in source.notes)
    return "\n".join(lines)


def _meaning(column: Column) -> str:
    return column.field or _OUR_COLUMNS.get(normalize(column.heading), "(ignored)")


def as_json(table: Table, desired: DesiredValues, groups: Sequence[ProblemGroup]) -> Json:
    """Return the same as one JSON document."""
    numbers = table.places["row"].to_numpy()
    return {
        "sources": [
            {
                "file": source.file,
                "sha256": source.sha256,
                "sheet": source.sheet,
                "header_row": source.header_row,
                "dialect": dict(source.dialect),
                "columns": [{"heading": c.heading, "field": c.field} for c in source.columns],
                "notes": list(source.notes),
                "skipped": source.skipped,
            }
            for source in table.sources
        ],
        "counts": {
            "rows": len(table.cells),
            "ready": len(desired.values),
            "rejected": len({p.key for p in desired.problems}),
            "repeated": len(desired.duplicates),
            **({"untouched": len(desired.untouched)} if desired.untouched else {}),
        },
        "problems": [group.as_json() for group in groups],
        "notes": [{"row": int(numbers[key]), "note": note} for key, note in sorted(desired.notes.items())],
    }


def write_cells(table: Table, stream: BinaryIO) -> list[str]:
    """Write the data rows of the first source as read, as CSV with its header.

    Rows that are wrong as they are *written* (ragged, encoding) are left out; returns a line for each of them.
    """
    bad = {p.key: p for p in reversed(table.problems) if p.code in _UNWRITABLE}
    keys = np.setdiff1d(np.arange(len(table.cells)), list(bad))
    rows = table.sheets[0].iloc[table.places["at"].to_numpy()[keys]]
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([column.heading for column in table.sources[0].columns])
    writer.writerows(rows.itertuples(index=False, name=None))
    text.detach()
    numbers = table.places["row"].to_numpy()
    return [f"row {numbers[key]}: {bad[key].code}: {bad[key].message}" for key in sorted(bad)]
