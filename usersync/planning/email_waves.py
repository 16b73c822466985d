"""Put e-mail changes in order: whoever frees an address is sent before its taker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usersync.diff.email_order import Holder, open_cycle, order_changes, placeholder_address
from usersync.ledger import LedgerRun, Waves
from usersync.models import Code, Status
from usersync.values import normalize_email, same_email

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from usersync.platform.directory import Directory
    from usersync.settings import Diff


#: Rows that give their address up, now or when the run goes on.
_TO_MOVE = (Status.PLANNED, Status.NOT_SENT)


def order_emails(run: LedgerRun, settings: Diff, directory: Directory, *, with_both: Collection[int]) -> None:
    """Make each row wait for the row that frees its address; reject rows whose address will not be freed.

    Users in the directory without a row are known as holders of addresses too. `with_both` are the positions of
    sources whose rows name a user by id and by e-mail: there, an address of somebody else says that one is wrong.
    """
    waves = Waves(run)
    with_id_and_email: set[int] = set()
    taken: dict[int, int] = {}
    if directory.users:
        with_id_and_email = {key for key, *_, source in waves.holders() if source in with_both}
        taken = _taken_addresses(waves, directory)
        _reject(waves, {key: f"user {owner}" for key, owner in taken.items()}, with_id_and_email)
    holders = (
        Holder(key, held, wanted if status in _TO_MOVE else None) for key, status, held, wanted, *_ in waves.holders()
    )
    found = order_changes(holders)
    waves_by_key, depends_on = dict(found.waves), dict(found.depends_on)
    placeholders = {}
    for cycle in found.cycles if settings.swap_placeholder else ():
        cycle_waves, cycle_depends_on = open_cycle(cycle)
        waves_by_key |= cycle_waves
        depends_on |= cycle_depends_on
        placeholders[cycle[0]] = placeholder_address(settings.swap_placeholder or "", run=run.info.run, key=cycle[0])
    waves.set(waves_by_key, depends_on, placeholders)
    numbers = {row.key: row.row for row in run.by_key(found.blocked.values())}
    stuck = found.blocked.keys() | taken.keys()  # rows that would give up an address if they could
    kept = {key for key, first in found.blocked.items() if first not in stuck}
    _reject(
        waves,
        {key: f"the user of row {numbers[first]}" for key, first in found.blocked.items()},
        with_id_and_email & kept,
    )
    if not settings.swap_placeholder:
        waves.reject({key: _cycle_message(cycle) for cycle in found.cycles for key in cycle}, Code.SWAP_CYCLE)


def _taken_addresses(waves: Waves, directory: Directory) -> dict[int, int]:
    """Find the rows that want an address of a user who has no row that gives it up: key -> that user."""
    held: set[str] = set()
    moving: set[int] = set()
    wanting: dict[int, str] = {}
    for key, status, old, new, user_id, _ in waves.holders():
        held.add(normalize_email(old))
        if new is not None and status in _TO_MOVE and not same_email(old, new):
            wanting[key] = normalize_email(new)
            moving.add(int(user_id))
    owners = {key: directory.ids_by_email.get(new) for key, new in wanting.items() if new not in held}
    return {key: owner for key, owner in owners.items() if owner is not None and owner not in moving}


def _reject(waves: Waves, owners: Mapping[int, str], mismatched: AbstractSet[int]) -> None:
    """Reject rows that want an address of somebody else: key -> who that is; in `mismatched`, as a mistake."""
    mistakes = {
        key: f"the e-mail address is that of {owner}, the id that of another; correct one of them"
        for key, owner in owners.items()
        if key in mismatched
    }
    blocked = {
        key: f"not sent: {owner} has this e-mail address and keeps it in this run"
        for key, owner in owners.items()
        if key not in mismatched
    }
    waves.reject(mistakes, Code.ID_MISMATCH)
    waves.reject(blocked, Code.BLOCKED_BY)


def _cycle_message(cycle: Sequence[int]) -> str:
    return (
        f"{len(cycle)} users exchange e-mail addresses in a cycle, which the platform cannot do in one step; give one "
        "of them another address first, in a separate run, or ask whoever runs usersync to allow a placeholder for "
        "that moment (diff.swap_placeholder)"
    )
