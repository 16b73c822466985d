"""Read a DataFrame as a sheet of the same values would be read.

pandas is imported in the functions, because `FRAME` is needed where no frame is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from usersync.errors import SourceError
from usersync.loader.raw_sheet import CellError, RawSheet, no_text
from usersync.models import Code

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from usersync.loader.headings import Headings

#: Stands for the name of the file.
FRAME: Final = "DataFrame"
#: From here on a float no longer holds every whole number: an id may have been rounded, and is shown so.
_EXACT_LIMIT = 1 << 53
#: The same for floats of 2 and 4 bytes.
_EXACT_LIMITS: Final = {2: 1 << 11, 4: 1 << 24}
_UNREADABLE = re.compile("[\0\ud800-\udfff]")


def read_frame(frame: DataFrame, *, headings: Headings) -> tuple[str, RawSheet]:
    """Return the frame's SHA-256 and its rows, numbered as under a header in row 1. The index is not read."""
    import numpy as np  # slow to import: commands that read no file start without it
    import pandas as pd  # as numpy

    header = tuple(map(str, frame.columns))
    headings.columns(header, FRAME)  # a heading that is nearly a field may be the missing one
    if headings.key_column(header) is None:
        raise SourceError(FRAME, "has no id column; if the index holds the ids, pass frame.reset_index()")
    columns = {i: _texts(frame.iloc[:, i]) for i in range(len(header))}
    errors = [
        CellError(at, Code.ENCODING, "the cell holds a character that cannot be sent; type the text again", i)
        for i, texts in columns.items()
        if _UNREADABLE.search("".join(texts))
        for at, text in enumerate(texts)
        if _UNREADABLE.search(text)
    ]
    for i, field in enumerate(headings.fields(header)):
        messages = ((at, no_text(value, field)) for at, value in enumerate(frame.iloc[:, i].array))
        errors += [CellError(at, Code.TYPE_INVALID, message, i, columns[i][at]) for at, message in messages if message]
    digest = hashlib.sha256(repr((header, columns)).encode()).hexdigest()
    cells = pd.DataFrame(columns, index=range(len(frame)), dtype=object)
    rows = np.arange(2, len(frame) + 2, dtype=np.int64)
    return digest, RawSheet(header, 1, cells, rows, errors=tuple(sorted(errors, key=lambda error: error.at)))


def _texts(column: Series[Any]) -> list[str]:
    return [value if value.__class__ is str else _text(value) for value in column.array]


def _text(value: Any) -> str:
    import numpy as np  # slow to import: commands that read no file start without it
    import pandas as pd  # as numpy

    if isinstance(value, dict | list | tuple | np.ndarray):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    if isinstance(value, bytes | bytearray) or not pd.api.types.is_scalar(value):
        kind = type(value).__name__
        raise SourceError(FRAME, f"a cell holds {kind}, which has no text form; convert its column to text first")
    if pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    limit = _EXACT_LIMITS.get(getattr(value, "itemsize", 8), _EXACT_LIMIT)
    if isinstance(value, float | np.floating | Decimal) and abs(float(value)) < limit and value == int(value):
        return str(int(value))
    if isinstance(value, datetime):
        bare = value.time() == time.min and value.tzinfo is None
        return (value.date() if bare else value).isoformat()
    return str(value)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else _text(value)
