"""Order e-mail changes so that an address is free before it is taken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from usersync.values import normalize_email

#: Characters of a run's name that are not allowed in an address.
_UNFIT: Final = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Holder:
    """A row whose user holds an address, or is to get one."""

    key: int
    held: str | None
    """The address that the platform holds now; None: unknown, or there is none."""
    wanted: str | None = None
    """The address that the row sets; None where it leaves the address alone, or is not sent."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which rows wait for which. Rows of a cycle are in `cycles` alone, rows that can never be sent in `blocked`."""

    waves: Mapping[int, int]
    """Key -> wave (1, 2, ...) of the rows that must wait; all others are sent in wave 0."""
    depends_on: Mapping[int, int]
    """Key -> key of the row that must be sent before, for the same rows."""
    cycles: tuple[tuple[int, ...], ...]
    """Keys of rows that wait for each other: each for the next one, the last for the first; the smallest first."""
    blocked: Mapping[int, int]
    """Key -> key of the row whose user keeps the address."""


def order_changes(holders: Iterable[Holder]) -> Order:
    """Decide which row is sent when."""
    owners: dict[str, int] = {}
    wanted: dict[int, str] = {}
    for holder in holders:
        held, new = normalize_email(holder.held), normalize_email(holder.wanted)
        if held:
            owners[held] = holder.key
        if holder.wanted is not None and new != held:
            wanted[holder.key] = new
    depends_on = {key: owners[new] for key, new in wanted.items() if owners.get(new, key) != key}
    blocked = _blocked(depends_on, wanted)
    waiting = {key: first for key, first in depends_on.items() if key not in blocked}
    waves, cycles = _waves(waiting)
    return Order(waves, {key: waiting[key] for key in waves}, cycles, blocked)


def _blocked(depends_on: Mapping[int, int], moving: Mapping[int, str]) -> dict[int, int]:
    """Find the rows that wait, directly or not, for a user who keeps the address."""
    followers: dict[int, list[int]] = {}
    for key, first in depends_on.items():
        followers.setdefault(first, []).append(key)
    blocked: dict[int, int] = {}
    stuck = [first for first in followers if first not in moving]
    while stuck:
        first = stuck.pop()
        for key in followers.get(first, ()):
            if key not in blocked:
                blocked[key] = first
                stuck.append(key)
    return blocked


def placeholder_address(template: str, *, run: str, key: int) -> str:
    """Fill in the template of an address that nobody has, such as `swap+{run}-{key}@example.org`, in lower case.

    `{run}` and `{key}` are added to the part before the @ where the template lacks them: they make it unique.
    """
    address = template.strip().lower()
    for part in ("{run}", "{key}"):
        if part not in address:
            local, at, domain = address.rpartition("@")
            address = f"{local}+{part}{at}{domain}"
    return address.replace("{run}", _UNFIT.sub("-", run.lower())).replace("{key}", str(key))


def open_cycle(cycle: Sequence[int]) -> tuple[dict[int, int], dict[int, int]]:
    """Return waves and dependencies, as in `Order`, of a cycle whose first user moves to a placeholder before all.

    That frees an address for the last user, and so on backwards, until the first user's new address is free. After
    each step, all steps so far can be reverted in reverse order.
    """
    first, *others = cycle
    line = [*reversed(others), first]
    return {key: wave for wave, key in enumerate(line, 1)}, dict(zip(line, [first, *line], strict=False))


def _waves(depends_on: Mapping[int, int]) -> tuple[dict[int, int], tuple[tuple[int, ...], ...]]:
    depth: dict[int, int] = {}  # 0 on cycles
    cycles: list[tuple[int, ...]] = []
    for key in depends_on:
        path: dict[int, int] = {}  # key -> its place on the path
        end = key
        while end in depends_on and end not in depth and end not in path:
            path[end] = len(path)
            end = depends_on[end]
        waiting = list(path)
        if end in path:
            cycle = waiting[path[end] :]
            del waiting[path[end] :]
            depth.update(dict.fromkeys(cycle, 0))
            smallest = cycle.index(min(cycle))
            cycles.append((*cycle[smallest:], *cycle[:smallest]))
        depth.update(zip(reversed(waiting), count(depth.get(end, 0) + 1), strict=False))
    return {key: wave for key, wave in depth.items() if wave}, tuple(sorted(cycles))
