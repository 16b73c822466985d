"""Changes of e-mail in, the order in which the platform accepts them out: an address must be free to be taken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

_UNFIT: Final = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Move:
    """One user's change of e-mail."""

    key: int
    old: str | None
    """As the platform holds it now; None: unknown, or there is none."""
    new: str


@dataclass(frozen=True, slots=True)
class Order:
    """Owner waits for whom. Moves on a cycle are in `cycles` alone."""

    turns: Mapping[int, int]
    """Key -> turn (1, 2, ...) of the moves that must wait; all others go in turn 0."""
    after: Mapping[int, int]
    """Key -> key of the move that must be done first, for the same moves."""
    cycles: tuple[tuple[int, ...], ...]
    """Keys of moves that wait for each other: each for the next one, the last for the first; the smallest first."""


def order(moves: Iterable[Move]) -> Order:
    """Decide who goes when.

    No two moves share a key, an old address or a new one. Addresses are compared as the platform stores them,
    trimmed and in lower case.
    """
    holders: dict[str, int] = {}
    wishes: dict[int, str] = {}
    for move in moves:
        old, new = _address(move.old), _address(move.new)
        if old == new:
            continue  # neither frees an address nor needs one
        if old:
            holders[old] = move.key
        if new:
            wishes[move.key] = new
    after = {key: holders[new] for key, new in wishes.items() if new in holders}
    turns, cycles = _turns(after)
    return Order(turns, {key: after[key] for key in turns}, cycles)


def placeholder(template: str, *, run: str, key: int) -> str:
    """Fill in an address that nobody has: `swap+{run}-{key}@example.org`, in lower case.

    `{run}` and `{key}` go into the part before the @ where the template does not name them: they make it unique.
    """
    address = template.strip().lower()
    for part in ("{run}", "{key}"):
        if part not in address:
            local, at, domain = address.rpartition("@")
            address = f"{local}+{part}{at}{domain}"
    return address.replace("{run}", _UNFIT.sub("-", run.lower())).replace("{key}", str(key))


def opened(cycle: Sequence[int]) -> tuple[dict[int, int], dict[int, int]]:
    """Give turns and predecessors, as in `Order`, for a cycle whose first user steps aside before all of them.

    That frees an address for the last one; so it goes on backwards, until the first finds its own free. After any
    of them, all done so far can be undone from the latest to the first.
    """
    first, *others = cycle
    line = [*reversed(others), first]
    return {key: turn for turn, key in enumerate(line, 1)}, dict(zip(line, [first, *line], strict=False))


def _address(email: str | None) -> str:
    # lower(), not casefold(): to the platform straße@ and strasse@ are two addresses
    return (email or "").strip().lower()


def _turns(after: Mapping[int, int]) -> tuple[dict[int, int], tuple[tuple[int, ...], ...]]:
    depth: dict[int, int] = {}  # 0 on cycles
    cycles: list[tuple[int, ...]] = []
    for key in after:
        path: dict[int, int] = {}  # key -> its place on the path
        end = key
        while end in after and end not in depth and end not in path:
            path[end] = len(path)
            end = after[end]
        waiting = list(path)
        if end in path:
            cycle = waiting[path[end] :]
            del waiting[path[end] :]
            depth.update(dict.fromkeys(cycle, 0))
            smallest = cycle.index(min(cycle))
            cycles.append((*cycle[smallest:], *cycle[:smallest]))
        depth.update(zip(reversed(waiting), count(depth.get(end, 0) + 1), strict=False))
    return {key: turn for key, turn in depth.items() if turn}, tuple(sorted(cycles))
