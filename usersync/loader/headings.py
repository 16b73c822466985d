"""Map the headings of a file to fields.

Case, blanks, `_`, `-`, `*`, `:` and line breaks in a heading do not matter, and common synonyms are known. A heading
that is only nearly a field's name, and stands where none has that name, or may be the password, is an error, never a
guess; what `columns:` says beats what a heading says.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from usersync.errors import SourceError, UsageError
from usersync.loader.heading_words import FIRST_NAMES, LAST_NAMES, NUMBERING, field_of, nearest_field, normalize, squash
from usersync.loader.raw_sheet import first_few
from usersync.models import ATTRIBUTE
from usersync.tables import Column
from usersync.values import normalize_text

if TYPE_CHECKING:
    from usersync.settings.source import MatchBy

#: As a value under `columns:`, says that a heading has no field.
IGNORE: Final = "ignore"
#: Headings of the rejects file, which come back with it.
OUR_COLUMNS: Final = ("usersync: row", "usersync: why")
#: Rows with an address, such as that of the author, that a header without an id may have in a preamble.
CONTACTS: Final = 1
#: No heading is longer; such a cell is not compared.
_LONGEST: Final = 200
_IN_BRACES: Final = re.compile(r"\{([^{}]*)\}")
#: Headings that can stand in YAML without quotes.
_PLAIN_YAML: Final = re.compile(r"[^\W\d_][\w ./()-]*(?<! )")
#: Texts that YAML takes for something else.
_YAML_CONSTANTS: Final = frozenset(("yes", "no", "on", "off", "true", "false", "null"))


@dataclass(frozen=True, slots=True)
class Template:
    """A field that is composed of several columns: `name: "{First name} {Last name}"`."""

    field: str
    text: str
    columns: tuple[int, ...]
    """Positions of the columns, in the order of the braces."""

    def fill(self, cells: Iterable[str]) -> str:
        """Put the cells of one row into the template; blank if all of them are."""
        values = [cell.strip() for cell in cells]
        if not any(values):
            return ""
        remaining = iter(values)
        return " ".join(_IN_BRACES.sub(lambda _: next(remaining), self.text).split())


class Headings:
    """The fields of headings, under the `columns:` of the settings.

    `columns` maps headings to fields, or fields to templates such as `{First name} {Last name}`. `match_by` says which
    column tells who a row is about: `id`, `email`, or `auto`: the e-mail address where there is no id. Raises
    UsageError for a template without a field.
    """

    def __init__(self, columns: Mapping[str, str] | None = None, *, match_by: MatchBy = "id") -> None:
        self._match_by = match_by
        self._mapping: dict[str, str] = {}
        self._templates: dict[str, str] = {}
        self._parts: dict[str, frozenset[str]] = {}  # of the templates: field -> squashed headings
        self._read: list[str] = []  # the headings of the mapping that have a field
        for heading, meaning in (columns or {}).items():
            if "{" not in meaning:
                self._mapping[squash(heading)] = meaning
                self._read += [heading] if meaning != IGNORE else []
                continue
            field = self.field(heading)
            if field is None or field == "id" or not _IN_BRACES.search(meaning):
                raise UsageError(f'columns: {heading}: write a template as FIELD: "{{Heading}} {{Heading}}"')
            self._templates[field] = meaning
            self._parts[field] = frozenset(map(squash, _IN_BRACES.findall(meaning)))

    def field(self, heading: str) -> str | None:
        """Return the field of a heading, whatever stands beside it; None if it has none."""
        key = squash(heading)
        if key in self._mapping:
            return None if self._mapping[key] == IGNORE else self._mapping[key]
        if field := field_of(heading):
            return field
        stem, dot, _ = key.partition(".")
        if dot and stem == "customattributes":
            written = " ".join(normalize_text(heading).split()).partition(".")[2].strip().rstrip("*: ")
            return ATTRIBUTE + written if written else None
        return None

    def fields(self, header: Sequence[str]) -> list[str | None]:
        """Return the field of each heading; a mapped heading, or a template, takes its field from those not mapped."""
        found = [self.field(heading) if heading and len(heading) < _LONGEST else None for heading in header]
        found = [None if self._is_part(heading, field) else field for heading, field in zip(header, found, strict=True)]
        mapped = {field for field, heading in zip(found, header, strict=True) if field and self._is_mapped(heading)}
        return [
            field if field not in mapped or self._is_mapped(heading) else None
            for field, heading in zip(found, header, strict=True)
        ]

    def are_read(self, header: Sequence[str]) -> list[bool]:
        """Return for each heading whether its cells are read: for a field, or for a part of one."""
        parts = frozenset().union(*self._parts.values())
        fields = self.fields(header)
        return [field is not None or squash(heading) in parts for field, heading in zip(fields, header, strict=True)]

    def _is_part(self, heading: str, field: str | None) -> bool:
        """Return whether the template of a field takes the heading for a part: `name: "{First name} {Name}"`."""
        return field in self._parts and squash(heading) in self._parts[field]

    def _is_mapped(self, heading: str) -> bool:
        return squash(heading) in self._mapping

    def key_column(self, cells: Sequence[str]) -> int | None:
        """Return the position of the column that tells who a row is about; None if these cells are not a header row.

        An e-mail column does so only beside another field: there would be nothing to change, and a title or a line
        of contact data may hold the word.
        """
        return self._key_column(self.fields(cells))

    def _key_column(self, fields: Sequence[str | None]) -> int | None:
        if "id" in fields and self._match_by != "email":
            return fields.index("id")
        others = sum(field not in (None, "id", "email") for field in fields) + len(self._templates)
        return fields.index("email") if self._match_by != "id" and "email" in fields and others else None

    def is_final(self, cells: Sequence[str]) -> bool:
        """Return whether no row below could be the header instead.

        One with an id column is preferred to one without, and any to `ID, 4711`, which stands above a table.
        """
        is_remark = not self.has_values(cells) and any(re.search(r"\d", cell) for cell in cells)
        return not is_remark and (self._match_by != "auto" or "id" in self.fields(cells))

    def has_values(self, cells: Sequence[str]) -> bool:
        """Return whether a header has a field beside the id."""
        return bool(self._templates) or not set(self.fields(cells)) <= {"id", None}

    def looks_like_header(self, cells: Sequence[str]) -> bool:
        """Return whether at least half of the cells that are not blank are headings of fields, the key among them."""
        filled = sum(bool(cell.strip()) for cell in cells)
        return self.key_column(cells) is not None and 2 * self.count_fields(cells) >= filled

    def splits_into_header(self, text: str, delimiter: str) -> bool:
        """Return whether a text is a header row with a key, and another field, if `delimiter` separates cells."""
        parts = [part.strip("\"' ") for part in text.split(delimiter)]
        return self.count_fields(parts) > 1 and self.key_column(parts) is not None

    def columns(self, header: Sequence[str], file: str) -> tuple[Column, ...]:
        """Return the field of every heading.

        Raises SourceError listing all headings that are nearly a field's name, and all that share a field.
        """
        found = tuple(Column(*pair) for pair in zip(header, self.fields(header), strict=True))
        problems = [*self._shared(found), *self._part_of_name(header), *self._nearly(header)]
        if problems:
            raise SourceError(file, "\n  ".join(problems))
        return found

    def templates(self, header: Sequence[str], file: str) -> tuple[Template, ...]:
        """Return the fields that are composed of columns. Raises SourceError where one of those is missing."""
        positions = {squash(heading): i for i, heading in reversed(list(enumerate(header)))}
        found = []
        for field, text in self._templates.items():
            parts = _IN_BRACES.findall(text)
            missing = [part for part in parts if squash(part) not in positions]
            if missing:
                raise SourceError(file, f"columns: {field}: {text!r} needs a column {missing[0]!r}; {_seen(header)}")
            if field in self.fields(header):
                raise SourceError(file, f"columns: {field}: {text!r}, but a column of the file means {field} as well")
            found.append(Template(field, text, tuple(positions[squash(part)] for part in parts)))
        return tuple(found)

    def absent(self, header: Sequence[str]) -> Iterable[str]:
        """Name the headings under `columns:` that are not in a header, each with the nearest one that is."""
        present = {squash(heading): heading.strip() for heading in header if heading.strip()}
        missing = [heading for heading in self._read if squash(heading) not in present]
        for heading in missing:
            near = difflib.get_close_matches(squash(heading), present, 1, 0.6)
            yield f"{heading!r} (did you mean {present[near[0]]!r}?)" if near else repr(heading)

    def suggest_name(self, header: Sequence[str]) -> str:
        """Return the line that composes the name of two columns; "" if there is a name, or no two such columns."""
        first, last = _headings_among(header, FIRST_NAMES), _headings_among(header, LAST_NAMES)
        if not first or not last or "name" in self._templates or "name" in self.fields(header):
            return ""
        return _template_line(first[0], last[0])

    def _part_of_name(self, header: Sequence[str]) -> Iterable[str]:
        """Yield what is wrong where a column `Name` may hold one part of the names: the other has its own column."""
        names = [heading for heading in _headings_among(header, ("name",)) if not self._is_mapped(heading)]
        first, last = _headings_among(header, FIRST_NAMES), _headings_among(header, LAST_NAMES)
        if not names or bool(first) == bool(last) or "name" in self._templates:
            return
        other, part = (first[0], "last") if first else (last[0], "first")
        composed = _template_line(other, names[0]) if first else _template_line(names[0], other)
        yield (
            f"the column {names[0]!r} stands beside {other!r}, so it may hold the {part} name alone; "
            f"add one of these lines under columns:\n    {composed}\n    {_mapping_line(names[0], 'name')}"
        )

    def _shared(self, columns: Sequence[Column]) -> Iterable[str]:
        headings: dict[str, list[str]] = {}
        for column in columns:
            if column.field:
                headings.setdefault(column.field, []).append(column.heading.strip())
        for field, same in headings.items():
            if len(same) < 2:
                continue
            names = " and ".join(map(repr, same))
            if len({squash(heading) for heading in same}) < len(same) or self._is_mapped(same[0]):
                yield f"the columns {names} both mean {field}; rename or delete one of them"
                continue
            choices = "\n".join(f"    {_mapping_line(heading, field)}" for heading in same)
            what = "the platform's user id" if field == "id" else field
            yield f"the columns {names} could both be {what}; add one of these lines under columns:\n{choices}"

    def _nearly(self, header: Sequence[str]) -> Iterable[str]:
        # a second name or address is another one; of two ids or passwords, one may be the wrong one
        present = {*self.fields(header), *self._templates} - {"id", "password"}
        near = {
            heading.strip(): meant for heading in header if (meant := self._nearest(heading)) and meant not in present
        }
        if not near:
            return
        names = ", ".join(f"{heading!r} ({meant})" for heading, meant in near.items())
        lines = "\n".join(f"    {_mapping_line(heading, meant)}" for heading, meant in near.items())
        what, it = (
            ("this heading is nearly a field", "it") if len(near) == 1 else ("these headings are nearly fields", "them")
        )
        yield f"{what}: {names}; correct {it}, or add under columns: ({IGNORE} if no field is meant)\n{lines}"

    def _nearest(self, heading: str) -> str | None:
        """Return the field that a heading without one is nearly."""
        if not heading.strip() or len(heading) >= _LONGEST or self._is_mapped(heading) or self.field(heading):
            return None
        if normalize(heading) in OUR_COLUMNS or squash(heading) in FIRST_NAMES + LAST_NAMES:
            return None
        stem, dot, key = normalize_text(heading).partition(".")
        if dot and nearest_field(stem) == "custom_attributes":
            return ATTRIBUTE + key.strip()
        return nearest_field(heading)

    def explain_missing_id(self, row: int, header: Sequence[str]) -> str:
        """Say what to do about a row that looks like the header but has no id column."""
        what, remedy = self._missing_id(header)
        found = f"row {row} looks like the header and has {what} ({_seen(header)})"
        if self._key_column([*self.fields(header), *map(self._nearest, header)]) is not None:
            return "; ".join([found, *self._nearly(header)])
        return "\n  ".join([f"{found}; {remedy}", *self._nearly(header)])

    def _missing_id(self, header: Sequence[str]) -> tuple[str, str]:
        """Return what a header has instead of an id column, and what to do about it."""
        fields = self.fields(header)
        if self._match_by == "email":
            remedy = "add one, or map its heading under columns: {Your heading: email}"
            return "no e-mail column beside another field", remedy
        if self._match_by == "auto" and "email" in fields:
            remedy = "add one, or map its heading under columns: {Your heading: name}"
            return "e-mail addresses, but no field to change", remedy
        candidates = [heading.strip() for heading in header if squash(heading).endswith(NUMBERING)]
        remedy = "add a column id with the platform's user ids"
        if candidates:
            lines = "\n".join(f"    {_mapping_line(heading, 'id')}" for heading in candidates[:3])
            remedy += f"; if one of the columns has them, add under columns:\n{lines}"
        return "e-mail addresses, but no ids" if "email" in fields else "no id column", remedy

    def resemblance(self, cells: Sequence[str]) -> int:
        """Count the cells that are headings of fields, or nearly: how much a row looks like the header."""
        return self.count_fields(cells) + sum(self._nearest(cell) is not None for cell in cells)

    def count_fields(self, cells: Sequence[str]) -> int:
        """Count the cells that are headings of fields."""
        return sum(field is not None for field in self.fields(cells))


def _seen(header: Sequence[str]) -> str:
    return f"headings: {first_few([repr(heading.strip()) for heading in header if heading.strip()], 20)}"


def _headings_among(header: Sequence[str], words: Sequence[str]) -> list[str]:
    return [heading.strip() for heading in header if squash(heading) in words]


def _template_line(first: str, last: str) -> str:
    return f'name: "{{{first}}} {{{last}}}"'


def _mapping_line(heading: str, field: str) -> str:
    plain = _PLAIN_YAML.fullmatch(heading) and heading.lower() not in _YAML_CONSTANTS
    return f"{heading if plain else json.dumps(heading, ensure_ascii=False)}: {field}"
