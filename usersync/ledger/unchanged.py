"""Keep unchanged rows that follow each other as one: most rows of most files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from usersync.models import Row, Status


class UnchangedRange(NamedTuple):
    """Unchanged rows of a source that follow each other; no row repeats one of them, and no request was sent."""

    key: int
    """Of the first row; so is `row`."""
    source: int
    row: int
    note: str
    """The remark on each of them."""
    ids: str
    """JSON list of the users' ids, as text: one for each row."""

    def numbered_ids(self) -> Iterator[tuple[int, str]]:
        """Return the distance from the first row and the user's id of each row."""
        return enumerate(json.loads(self.ids))

    def rows(self, file: str, sheet: str) -> Iterator[Row]:
        """Return the rows one by one."""
        key, source, row, note, _ = self
        for n, user_id in self.numbered_ids():
            yield Row(key + n, source, row + n, user_id, Status.UNCHANGED, note=note, file=file, sheet=sheet)
