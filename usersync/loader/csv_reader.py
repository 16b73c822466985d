"""A text file in, its rows as text out: clean lines in C, block by block, and the others one by one."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from usersync.errors import SourceError
from usersync.loader.csv_dialect import Layout, describe, find_layout
from usersync.loader.encoding import to_utf8
from usersync.loader.raw_sheet import Fault, RawSheet
from usersync.models import Code

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from usersync.loader.csv_records import Block, Record
    from usersync.loader.raw_sheet import FindsId
    from usersync.settings import SourceSettings

_BLOCK = 1 << 21
_LOST = "\ufffd"
_SHOWN = 80
_ROW_SHOWN = 300


def read_text(data: bytes, *, file: str, finds_id: FindsId, options: SourceSettings) -> RawSheet:
    """Read a delimited text file; rows that are written wrongly are in `faults`.

    Raises SourceError where the file as a whole cannot be read: it is empty, its encoding or delimiter is in
    doubt, or no row names an id column.
    """
    text = to_utf8(data, file=file, encoding=options.encoding)
    if not text.data[text.start :][:4096].strip() and not text.data[text.start :].strip():
        raise SourceError(file, "the file is empty")
    layout = find_layout(text.data, text.start, file=file, finds_id=finds_id, options=options)
    body = _Body(layout)
    cells, rows = body.read()
    notes = text.notes
    if layout.row > 1:
        notes += (f"the header is row {layout.row}; what stands above it is not read",)
    why = "; ".join((text.why, *layout.why))
    return RawSheet(
        header=layout.header,
        header_row=layout.row,
        cells=cells,
        rows=rows,
        faults=tuple(body.faults),
        notes=notes,
        dialect={"encoding": text.encoding, **describe(layout), "why": why},
    )


class _Body:
    """The rows under a header."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._reader = layout, layout.reader()
        self._width = len(layout.header)
        self.faults: list[Fault] = []

    def read(self) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        """Read all rows: their cells, and their numbers."""
        frames, numbers = [], []
        at, row = 0, self._layout.row + 1
        for block in self._blocks():
            kept = block.sound.copy()
            kept[[i for i, record in block.others if record.cells is not None or record.flaw]] = True
            places = np.flatnonzero(kept)
            frames.append(self._cells(block, places, at))
            numbers.append(places + row)
            at += len(places)
            row += len(block.starts)
        if not frames:
            return pd.DataFrame(columns=range(self._width), dtype=object), np.empty(0, np.int64)
        return pd.concat(frames, ignore_index=True), np.concatenate(numbers).astype(np.int64)

    def _blocks(self) -> Iterator[Block]:
        start = self._layout.stop
        while start < len(self._layout.data):
            block = self._reader.block(start, _BLOCK)
            start = block.stop
            yield block

    def _cells(self, block: Block, places: NDArray[np.int64], at: int) -> pd.DataFrame:
        """Put the cells of one block together; its first row is at `at` in the whole."""
        sound = self._sound(block)
        others = [(i, r) for i, r in block.others if r.cells is not None or r.flaw]
        if not others:
            return sound
        table = np.full((len(places), self._width), "", object)
        table[block.sound[places]] = sound.to_numpy(object)
        for position, (_, record) in zip(np.searchsorted(places, [i for i, _ in others]).tolist(), others, strict=True):
            table[position] = self._judge(record, at + position)
        return pd.DataFrame(table, dtype=object)

    def _sound(self, block: Block) -> pd.DataFrame:
        """Read the sound lines of a block in C; they must come out as many as went in."""
        data = self._layout.data
        count = int(block.sound.sum())
        if not count:
            return pd.DataFrame(columns=range(self._width), dtype=object)
        start, stop = int(block.starts[0]), int(block.stops[-1])
        view: Any = memoryview(data)[start:stop]
        if count < len(block.sound):
            lines = np.repeat(block.sound, block.stops - block.starts)
            view = np.frombuffer(data, np.uint8, stop - start, start)[lines]
        frame = self._parse(view)
        if frame.shape == (count, self._width):
            return frame
        places = block.starts[block.sound].tolist()
        return pd.DataFrame([self._reader.records(place)[0].cells for place in places], dtype=object)

    def _parse(self, view: Any) -> pd.DataFrame:
        dialect = self._layout.dialect
        return pd.read_csv(
            io.BytesIO(view),
            sep=dialect.delimiter,
            header=None,
            names=range(self._width),
            index_col=False,
            dtype=object,
            quotechar=dialect.quote or '"',
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            na_filter=False,
            skip_blank_lines=False,
            low_memory=False,
            encoding="utf-8",
            engine="c",
        )

    def _judge(self, record: Record, at: int) -> Sequence[str]:
        """Give the cells of a row that was read alone, and note what is wrong with it."""
        if record.cells is None:
            raw = self._layout.data[record.start : record.stop]
            written = raw.decode("utf-8").strip()[:_ROW_SHOWN]
            self.faults.append(Fault(at, Code.ROW_RAGGED, sys.intern(record.flaw), value=written))
            if (seen := _unreadable(raw.decode("utf-8"))) is not None:
                self.faults.append(Fault(at, Code.ENCODING, f"{seen} stands in this row"))
            return [""] * self._width
        for column, cell in enumerate(record.cells):
            if (seen := _unreadable(cell)) is not None:
                message = f"{seen} stands in the cell; write the cell again, or settle source.encoding"
                shown = cell.replace("\0", _LOST)[:_SHOWN]
                self.faults.append(Fault(at, Code.ENCODING, message, column, shown))
        return [cell.replace("\0", _LOST) for cell in record.cells]


def _unreadable(text: str) -> str | None:
    if "\0" in text:
        return "a NUL character"
    if _LOST in text:
        return f"a character that cannot be read ({_LOST})"
    return None
