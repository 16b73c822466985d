"""Compare desired values with users, and insert the rows into the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from usersync.context import Clock, iso
from usersync.diff.compare import Comparison, attribute_keys, compare, current_values, readable_fields
from usersync.diff.limits import has_email_patterns
from usersync.diff.type_mismatches import KINDS, InputColumns, type_mismatches
from usersync.ledger import LedgerRun
from usersync.loader.spelling import similar_keys
from usersync.models import ATTRIBUTE, UNKNOWN, Code, FieldChange, Json, Result, Row, Status, User
from usersync.planning.baseline import baseline_from_file
from usersync.planning.input import Input
from usersync.planning.rows import RowFactory
from usersync.planning.users import UserLookup
from usersync.values import same_email

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    from usersync.settings import Settings

#: Users that are compared at once while they are read one by one.
READ_BATCH = 1000
#: Users whose last known values are looked up at once.
BASELINE_BATCH = 20_000

#: The remark on a row of an export that asks for nothing.
_UNTOUCHED = "left alone: no new values since the export"


class RowComparison:
    """Compares the rows of one run."""

    def __init__(self, given: Input, run: LedgerRun, settings: Settings, clock: Clock, users: UserLookup) -> None:
        self._given, self._run, self._settings, self._clock, self._users = given, run, settings, clock, users
        self._rows = RowFactory(given)
        self._input_columns = InputColumns(given.table.cells)
        self._typed = frozenset(name for name, field in given.fields.items() if "type" in field.model_fields_set)
        self._held_types: dict[str, set[type]] = {}
        """Attribute key -> the types of the values that users who were read hold."""
        self._text_for_none: set[str] = set()
        """Attributes without a configured type of which users get a text who had no value."""
        self._mismatched_fields: set[str] = set()
        self._only_if_blank = frozenset(name for name, field in given.fields.items() if field.only_if_blank)
        self._addresses = _addresses_to_verify(given)
        self._beside_ids = given.matching.beside_ids
        self._reads_anyway = has_email_patterns(settings.limits.protect) or bool(self._addresses) or given.is_exported
        """Whether what a user holds now decides about a row, whatever it is compared with."""
        self._ignores_conflicts = settings.diff.on_conflict == "overwrite"

    async def insert_rows(self, *, compared: Collection[int] = ()) -> list[str]:
        """Insert every row of the input, but for the keys `compared` before; returns notes for the author."""
        untouched = sorted(self._given.desired.untouched.difference(compared))
        self._insert_unchanged(np.array(untouched, dtype=np.int64), _UNTOUCHED)
        values = self._given.desired.values
        if compared:  # without any, it would be a copy
            values = values.drop(index=list(compared), errors="ignore")
        source = self._settings.diff.compare_with
        if source == "nothing" and not self._must_read(values):
            self._run.insert(self._changed(self._compare(values, None), {}, {}))
        else:
            if source not in ("remote", "nothing"):
                values = self._compare_with_baseline(values)
            await self._compare_with_users(values)
        self._run.insert(self._rows.rejected(self._users.directory.users))
        self._run.insert(row for row in self._rows.duplicates() if row.key not in compared)
        return list(self._notes())

    def _notes(self) -> Iterator[str]:
        similar = similar_keys(attribute_keys(self._given.desired.values), self._held_types)
        for new, held in similar.items():
            yield f"{ATTRIBUTE}{new}: no user that was read has this key, but {held!r}; is that one meant?"
        for name in sorted(self._mismatched_fields):
            remedy = f"add fields: {{{name}: {{type: text}}}}"
            yield f"{name}: text of another kind or form is rejected; to send it, {remedy}"
        for name in sorted(self._text_for_none):
            types = {KINDS.get(kind, "text") for kind in self._held_types.get(name[len(ATTRIBUTE) :], ())}
            if types and "text" not in types:
                kinds = " or ".join(sorted(types))
                yield f"{name}: users without a value get text, where others hold {kinds}; set its type under fields:"

    def _insert_unchanged(self, keys: NDArray[np.int64], remark: str = "") -> None:
        rows, unchanged_ranges = self._rows.unread_unchanged(keys, remark)
        self._run.insert(rows)
        self._run.insert_unchanged(unchanged_ranges)

    def _must_read(self, values: DataFrame) -> bool:
        """Return whether users have to be read even where nothing is compared."""
        only_if_blank = any(name in values or name.partition(".")[0] in values for name in self._only_if_blank)
        return self._reads_anyway or only_if_blank

    def _compare(self, values: DataFrame, current: DataFrame | None) -> Comparison:
        found = compare(values, current, only_if_blank=self._only_if_blank, typed_fields=self._typed)
        self._rows.add_notes({
            key: f"left alone: {', '.join(fields)}, which the user has (only_if_blank)"
            for key, fields in found.kept_fields().items()
        })  # fmt: skip
        return found

    def _changed(
        self, comparison: Comparison, users: Mapping[int, User], written: Mapping[int, Mapping[str, Json]]
    ) -> Iterator[Row]:
        """Make the rows that change something; `users` are by key, none where they were not read, `written` by id."""
        mismatches = type_mismatches(comparison, self._input_columns, is_hand_typed=self._given.is_hand_typed)
        self._mismatched_fields.update(*mismatches.values())
        for key, user_id, changes in comparison.changes():
            self._text_for_none.update(change.field for change in changes if self._is_text_for_none(change))
            yield self._rows.changed(
                key,
                user_id,
                changes,
                user=users.get(key),
                written=written.get(user_id, {}),
                exported=self._given.exported_values(key, user_id) if users and not self._ignores_conflicts else {},
                mismatches=mismatches.get(key, {}),
            )

    def _compare_with_baseline(self, values: DataFrame) -> DataFrame:
        """Compare with the last run, or with a file; returns the rows whose users have to be read."""
        source = self._settings.diff.compare_with
        look_up = self._run.snapshots.last_known if source == "last-run" else baseline_from_file(source, self._settings)
        must_verify = self._settings.diff.verify or self._reads_anyway
        unread = []
        fields = readable_fields(values)
        for start in range(0, len(values), BASELINE_BATCH):
            batch = values.iloc[start : start + BASELINE_BATCH]
            known = look_up(batch["id"].tolist(), fields)
            here = batch.iloc[known.index]
            comparison = self._compare(here, known.set_axis(here.index))
            self._insert_unchanged(comparison.unchanged_keys)
            if must_verify:
                unread.append(here[comparison.changed])
            elif source == "last-run":
                ids = here["id"][comparison.changed].tolist()
                self._run.insert(self._changed(comparison, {}, self._last_written(ids)))
            else:
                uncertain = [key for key, _, changes in comparison.changes() if any(map(self._is_uncertain, changes))]
                if uncertain:
                    certain = here[comparison.changed].drop(index=uncertain)
                    comparison = self._compare(certain, known.set_axis(here.index).loc[certain.index])
                    unread.append(here.loc[uncertain])
                self._run.insert(self._changed(comparison, {}, {}))
            unread.append(batch.drop(index=here.index))
        return pd.concat(unread) if unread else values

    def _is_uncertain(self, change: FieldChange) -> bool:
        """Return whether a file does not say what a user holds: a blank cell is no value, and text has no type."""
        return change.old is UNKNOWN or change.old is None or self._is_untyped(change.field)

    def _is_text_for_none(self, change: FieldChange) -> bool:
        return self._is_untyped(change.field) and change.old is None and isinstance(change.new, str)

    def _is_untyped(self, field: str) -> bool:
        return field.startswith(ATTRIBUTE) and field not in self._typed

    def _last_written(self, user_ids: Sequence[int]) -> dict[int, dict[str, Json]]:
        return {} if self._ignores_conflicts else self._run.snapshots.last_written(user_ids)

    async def _compare_with_users(self, values: DataFrame) -> None:
        """Read each user, and compare those read in batches, so that memory does not grow with them."""
        users: dict[int, User] = {}
        unread: list[Row] = []

        def insert_batch() -> None:
            self._run.insert(self._compared_with(values.loc[list(users)], users))
            self._run.insert(unread)
            users.clear()
            unread.clear()

        def take(key: int, found: User | Result) -> None:
            if isinstance(found, User) and (other := self._other_user(key, found)):
                unread.append(other)
            elif isinstance(found, User):
                users[key] = found
            else:
                unread.append(self._rows.unread(key, found))
            if len(users) + len(unread) >= READ_BATCH:
                insert_batch()

        names = values["display_name"].notna().tolist() if "display_name" in values else [False] * len(values)
        asked = iter(zip(values.index.tolist(), values["id"].tolist(), names, strict=True))
        await self._users.read_each(asked, len(values), take)
        insert_batch()
        self._run.insert(self._rows.row(key, Status.NOT_SENT) for key, *_ in asked)

    def _other_user(self, key: int, user: User) -> Row | None:
        """Return the row where its e-mail address says that another user is meant than the one of its id."""
        if key in self._addresses and not same_email(user.email, self._addresses[key]):
            message = f"user {user.id} had this e-mail address, and has another one now; correct it, or enter the id"
            return self._rows.rejected_row(key, user.id, Code.NO_MATCH, message, user)
        owner = self._users.directory.ids_by_email.get(self._beside_ids.get(key, ""), user.id)
        if owner == user.id:
            return None
        message = f"this e-mail address belongs to user {owner}, and the id to user {user.id}; correct one of them"
        return self._rows.rejected_row(key, user.id, Code.ID_MISMATCH, message, user)

    def _compared_with(self, values: DataFrame, users: dict[int, User]) -> Iterator[Row]:
        comparison = self._compare(
            values, current_values(list(users.values()), readable_fields(values)).set_axis(values.index)
        )
        written = self._last_written([user.id for user in users.values()])
        seen_at = iso(self._clock.now())
        for user in users.values():
            for name, value in user.custom_attributes.items():
                types = self._held_types.setdefault(name, set())
                if value is not None:
                    types.add(type(value))
        for key in comparison.unchanged_keys.tolist():
            yield self._rows.unchanged(key, users[key], seen_at)
        yield from self._changed(comparison, users, written)


def _addresses_to_verify(given: Input) -> Mapping[int, str]:
    """Return the addresses of rows by key, where they were matched with what the platform said earlier."""
    index = given.matching.index
    return given.matching.addresses if index and not index.is_current else {}
