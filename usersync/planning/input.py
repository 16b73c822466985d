"""Read and validate the files of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pandas as pd

from usersync.context import RunOptions
from usersync.loader import load
from usersync.loader.heading_words import normalize
from usersync.loader.rejects_columns import original_rows
from usersync.loader.row_filter import select
from usersync.loader.row_texts import NameOf, RowTexts, names_in
from usersync.models import Code, Place, Problem, ProblemGroup
from usersync.planning.matching import EmailIndex, Matching, match_rows
from usersync.planning.three_way_merge import Untouched, require_platform_of_bases, without_untouched
from usersync.settings import FieldSettings, SourceSettings
from usersync.tables import Column, DesiredValues, Files, Source, Table
from usersync.validation import validate

if TYPE_CHECKING:
    from usersync.settings import OfflineSettings, Settings

#: Problems of each kind that are shown one by one; the report has all.
PROBLEMS_SHOWN = 5
#: What whoever runs usersync can do about values that are right though they look damaged.
SUSPECT_NOTE = (
    "values that look damaged are rejected; to send them, set source: {suspect: accept}, or for one field "
    "fields: {NAME: {suspect: accept}}"
)


@dataclass(frozen=True, slots=True)
class Input:
    """The rows of files, as read and as understood."""

    table: Table
    """With the ids of users who were found by their e-mail addresses."""
    desired: DesiredValues
    matching: Matching = field(default_factory=Matching)
    source: SourceSettings = field(default_factory=SourceSettings)
    fields: Mapping[str, FieldSettings] = field(default_factory=dict)
    untouched: Untouched = field(default_factory=Untouched)
    """Cells of exports that are left alone."""
    is_hand_typed: bool = False
    """Whether a person typed the values for one user, so that no program has changed their form."""

    @property
    def needs_index(self) -> bool:
        """Whether users have to be found by their e-mail addresses."""
        return bool(self.matching.addresses)

    def matched(self, index: EmailIndex) -> Input:
        """Return the input with the users that an index finds for the addresses; as it is where all rows have ids."""
        return understand(self.table, self.source, self.fields, index) if self.needs_index else self

    @property
    def rows_read(self) -> int:
        """How many data rows the files have, those left out by choice too."""
        return len(self.table.cells) + self.table.left_out

    @property
    def filled_fields(self) -> tuple[str, ...]:
        """The fields that hold a value in any row, whatever is wrong with it."""
        cells = self.table.cells.drop(columns="id")
        return tuple(str(name) for name in cells if any(filter(None, cells[name].to_numpy(object))))

    @property
    def notes(self) -> list[str]:
        """What the authors of the files should know: how headings were understood, and what was ignored."""
        matching = [self.matching.note] if self.matching.note else []
        of_files = [
            f"{source.file}: {note}"
            for source in self.table.sources
            for note in (*_mapping_notes(source), *source.notes)
        ]
        return [*matching, *of_files, *self.untouched.notes, *([SUSPECT_NOTE] if self.rejects_suspects else [])]

    @property
    def rejects_suspects(self) -> bool:
        """Whether values are rejected that the settings could accept though they look damaged."""
        by_loader = {(p.key, p.column) for p in self.table.problems}
        return any(p.code is Code.VALUE_SUSPECT and (p.key, p.column) not in by_loader for p in self.desired.problems)

    @property
    def is_exported(self) -> bool:
        """Whether any file carries what it held when it was exported."""
        return any(source.base for source in self.table.sources)

    def exported_values(self, key: int, user_id: int) -> dict[str, str]:
        """Return the texts of a row's user when its file was exported, by field; empty where it was not.

        A display name that the list of users did not tell was none, or the name: such users are shown by their names.
        """
        base = self.table.source_of(key).base
        texts = base.texts.get(user_id) if base else None
        if base is None or texts is None:
            return {}
        found = dict(zip(base.fields, texts, strict=True))
        if found.get("display_name", "") is None:
            found["display_name"] = found.get("name")
        return {name: text for name, text in found.items() if text is not None}

    @property
    def name_of(self) -> NameOf:
        """Returns the name of a row as its sheet has it, by key."""
        return names_in(self.table)

    @property
    def texts(self) -> RowTexts:
        """What the input says about its rows."""
        found: dict[tuple[int, str], list[Problem]] = defaultdict(list)
        for problem in self.desired.problems:
            found[problem.key, problem.code].append(problem)
        return RowTexts(self.name_of, lambda key, code: "; ".join(p.sentence() for p in found.get((key, code), ())))

    def place(self, key: int, name_of: NameOf) -> Place:
        """Return where a row stands, and its name."""
        source = self.table.source_of(key)
        return Place(source.file, source.sheet, self.table.row_number(key), name_of(key))

    def problem_groups(
        self, shown: int | None = PROBLEMS_SHOWN, *, name_of: NameOf | None = None
    ) -> tuple[ProblemGroup, ...]:
        """Group all problems by code, with the first `shown` of each; None: with all.

        `name_of` returns the names of rows; None: those of the sheet.
        """
        name_of = name_of or self.name_of
        groups: dict[str, list[Problem]] = defaultdict(list)
        for problem in self.desired.problems:
            groups[problem.code].append(problem)
        return tuple(
            ProblemGroup(
                code, len({p.key for p in found}), tuple((self.place(p.key, name_of), p) for p in found[:shown])
            )
            for code, found in groups.items()
        )


#: The input of a run whose rows come from no file.
NO_INPUT = Input(Table(pd.DataFrame(), pd.DataFrame(), ()), DesiredValues(pd.DataFrame(), ()))


def _mapping_notes(source: Source) -> Iterator[str]:
    """List the headings that are not the name of their field."""
    mapped = [
        f"{column.heading.strip()!r} as {column.field}"
        for column in source.columns
        if column.field and normalize(column.heading) != normalize(column.field)
    ]
    if mapped:
        yield f"columns read: {', '.join(mapped)}"


def read_input(files: Files, settings: Settings, options: RunOptions) -> Input:
    """Read and validate files.

    Raises SourceError where one cannot be read, RefusedError where one was exported from another platform.
    """
    given = read_files(files, settings, options)
    require_platform_of_bases(given.table.sources, settings.platform.url)
    return given


def read_files(files: Files, settings: OfflineSettings, options: RunOptions | None = None) -> Input:
    """Read and validate files where no platform is configured, as `usersync inspect` does."""
    options = options or RunOptions()
    table = load(files, options=settings.source, columns=settings.columns, base=options.base)
    table = select(table, where=options.where, skip=options.skip)
    return understand(table, settings.source, settings.fields)


def understand(
    table: Table, source: SourceSettings, fields: Mapping[str, FieldSettings], index: EmailIndex | None = None
) -> Input:
    """Match and validate the rows of a table; without an `index` for those without ids, their users stay unknown."""
    table, understood, matching = match_rows(table, source.match_by, index)
    touched, untouched = without_untouched(understood)
    desired = validate(
        touched,
        fields,
        duplicates=source.duplicates,
        suspect=source.suspect,
        names=matching.names,
        exported=untouched.keys,
    )
    return _with_original_rows(Input(table, desired, matching, source, fields, untouched))


def _with_original_rows(given: Input) -> Input:
    """Note where the rows of a rejects file stood first."""
    notes = dict(given.desired.notes)
    for key, row in original_rows(given.table).items():
        notes[key] = "; ".join(filter(None, (f"originally row {row}", notes.get(key, ""))))
    return replace(given, desired=replace(given.desired, notes=notes))


def single_user(user_id: str, cells: Mapping[str, str], settings: Settings) -> Input:
    """Validate the values for one user as if they were a row of a file.

    `cells` maps fields (`name`, `custom_attributes.seats`) to text. Nobody names a field to leave it as it is: a blank
    text is rejected where a sheet's blank cell keeps the present value. A text without accents, or in another form, is
    meant as it is typed.
    """
    fields = {name: settings.fields.get(name, FieldSettings()) for name in cells}
    fields |= {name: one.model_copy(update={"blank": "reject"}) for name, one in fields.items() if one.blank == "keep"}
    texts = {"id": user_id, **cells}
    source = Source("command line", "", columns=tuple(Column(name, name) for name in texts))
    frame = pd.DataFrame({name: pd.Series([text], dtype=object) for name, text in texts.items()})
    table = Table(frame, pd.DataFrame({"source": [0], "at": [0], "row": [1]}), (source,))
    desired = validate(table, fields, suspect=settings.source.suspect)
    return Input(table, desired, fields={**settings.fields, **fields}, is_hand_typed=True)
