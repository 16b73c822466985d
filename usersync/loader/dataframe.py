"""A DataFrame in, its rows as text out: what a sheet of the same values would show."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from usersync.errors import SourceError
from usersync.loader.raw_sheet import Fault, RawSheet
from usersync.models import Code

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from usersync.loader.raw_sheet import FindsId

FRAME: Final = "DataFrame"
"""What stands for the name of its file."""
_SURE = 1 << 53
"""From here on a float no longer holds every whole number: an id was rounded, and must be seen to be."""
_SURES: Final = {2: 1 << 11, 4: 1 << 24}
"""The same for floats of 2 and 4 bytes."""
_UNREADABLE = re.compile("[\0\ud800-\udfff]")


def read_frame(frame: DataFrame, *, finds_id: FindsId) -> tuple[str, RawSheet]:
    """Read a frame: its SHA-256, and its rows, numbered as under a header in row 1. The index is not read."""
    import numpy as np
    import pandas as pd

    header = tuple(map(str, frame.columns))
    if not finds_id(header):
        raise SourceError(FRAME, "no column means id; where the index holds the ids, give frame.reset_index()")
    columns = {i: _texts(frame.iloc[:, i]) for i in range(len(header))}
    faults = [
        Fault(at, Code.ENCODING, "a character that cannot be sent stands in the cell; write the cell again", i)
        for i, texts in columns.items()
        if _UNREADABLE.search("".join(texts))
        for at, text in enumerate(texts)
        if _UNREADABLE.search(text)
    ]
    digest = hashlib.sha256(repr((header, columns)).encode()).hexdigest()
    cells = pd.DataFrame(columns, index=range(len(frame)), dtype=object)
    rows = np.arange(2, len(frame) + 2, dtype=np.int64)
    return digest, RawSheet(header, 1, cells, rows, faults=tuple(sorted(faults, key=lambda fault: fault.at)))


def _texts(column: Series[Any]) -> list[str]:
    return [value if value.__class__ is str else _text(value) for value in column.array]


def _text(value: Any) -> str:
    import numpy as np
    import pandas as pd

    if isinstance(value, dict | list | tuple | np.ndarray):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    if isinstance(value, bytes | bytearray) or not pd.api.types.is_scalar(value):
        kind = type(value).__name__
        raise SourceError(FRAME, f"a cell holds {kind}, of which no text can be made; turn its column into text first")
    if pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    sure = _SURES.get(getattr(value, "itemsize", 8), _SURE)
    if isinstance(value, float | np.floating | Decimal) and abs(float(value)) < sure and value == int(value):
        return str(int(value))
    if isinstance(value, datetime):
        bare = value.time() == time.min and value.tzinfo is None
        return (value.date() if bare else value).isoformat()
    return str(value)


def _plain(value: Any) -> Any:
    """Give JSON what numpy and pandas hold."""
    return value.tolist() if hasattr(value, "tolist") else _text(value)
