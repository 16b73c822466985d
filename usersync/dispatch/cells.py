"""Numbers by name in a flat array of doubles, so that several processes can look at the same ones."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Any

HEAD = 16
"""Cells that have a name; behind them are the starts of requests, in a ring."""
RING = 32_768
"""Starts that a shared array remembers."""


class Cells(Protocol):
    """A flat array of doubles."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, at: int, /) -> float:
        """Read one."""

    def __setitem__(self, at: int, value: float, /) -> None:
        """Write one."""


class Cell:
    """An attribute of an object with `cells` that lives in one of them."""

    def __init__(self, at: int) -> None:
        self._at = at

    def __get__(self, owner: Any, _: type | None = None) -> float:
        return owner.cells[self._at]  # type: ignore[no-any-return]

    def __set__(self, owner: Any, value: float) -> None:
        owner.cells[self._at] = value


def private(ring: int = 0) -> Cells:
    """Make cells that nobody else sees."""
    return array("d", bytes(8 * (HEAD + ring)))
