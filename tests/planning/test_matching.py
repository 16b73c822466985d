"""Check how rows without ids are matched with users by e-mail address."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usersync.models import Code, Problem, Row, Status
from usersync.planning.input import Input, understand
from usersync.planning.matching import STAND_IN, EmailIndex, Matching, index_of_rows, match_rows, sources_with_both
from usersync.settings import SourceSettings
from usersync.tables import Column, Source, Table

INDEX = EmailIndex({"ann@x.org": 1, "ben@x.org": 2, "cy@x.org": 3}, "three users")


def table(*sources: list[dict[str, str]]) -> Table:
    """Make a table of several files; a file has the columns of its first row."""
    frames, places, described = [], [], []
    for number, rows in enumerate(sources):
        frames.append(pd.DataFrame(rows, dtype=object))
        places += [{"source": number, "at": at, "row": at + 2} for at in range(len(rows))]
        columns = tuple(Column({"email": "Mail"}.get(name, name), name) for name in rows[0])
        described.append(Source(f"{number}.csv", "", columns=columns))
    cells = pd.concat(frames, ignore_index=True).astype(object)
    sheets = tuple(frame.set_axis(range(frame.shape[1]), axis=1) for frame in frames)
    return Table(cells.where(cells.notna(), None), pd.DataFrame(places), tuple(described), sheets)


def understood(source: Table, *, index: EmailIndex | None = INDEX, match_by: str = "auto") -> Input:
    return understand(source, SourceSettings.model_validate({"match_by": match_by}), {}, index)


@pytest.mark.parametrize(
    ("cell", "user"),
    [
        ("ann@x.org", 1),
        (" Ann@X.org\t", 1),
        ("a\u200bnn@x.org", 1),
        ("ann@x.org.", None),
        ("ann @x.org", None),
        ("", None),
    ],
)
def test_addresses_match_trimmed_and_in_lower_case_and_not_otherwise(cell: str, user: int | None) -> None:
    found = understood(table([{"email": cell, "name": "New"}]))
    assert found.desired.values["id"].tolist() == ([user] if user else [])
    assert found.table.cells["id"].tolist() == [str(user or "")]


def test_a_problem_names_the_heading_and_the_address() -> None:
    (unknown, blank) = understood(
        table([{"email": "X@x.org", "name": "N"}, {"email": " ", "name": "N"}])
    ).desired.problems
    assert (unknown.code, unknown.sentence()) == (
        Code.NO_MATCH,
        "Mail 'x@x.org': nobody among three users has this e-mail address",
    )
    assert blank.code == Code.ID_MISSING


@pytest.mark.parametrize("column", ["", "Mail"], ids=["of the row", "of the cell"])
def test_an_unmatched_row_with_a_problem_from_reading_has_no_other(column: str) -> None:
    source = table([{"email": "x@x.org", "name": "N"}])
    problem = Problem(0, Code.ROW_HIDDEN, "hidden", column)
    assert understood(replace(source, problems=(problem,))).desired.problems == (problem,)


def test_every_reason_of_an_unmatched_row_is_listed() -> None:
    found = understood(table([{"email": "x@x.org", "new_email": "no address", "name": "N"}]))
    assert [problem.code for problem in found.desired.problems] == ["no-match", "email-invalid"]


def test_the_address_that_says_who_is_meant_is_not_set() -> None:
    values = understood(table([{"email": "ann@x.org", "name": "N"}])).desired.values
    assert values.columns.tolist() == ["id", "name"]


@pytest.mark.parametrize(
    ("row", "email"),
    [
        pytest.param({"email": "ann@x.org", "new_email": "a@new.org"}, "a@new.org", id="beside the old one"),
        pytest.param({"id": "1", "email": "ann@x.org", "new_email": "a@new.org"}, "a@new.org", id="beside an id"),
        pytest.param({"id": "1", "new_email": "a@new.org"}, "a@new.org", id="an id and nothing else"),
        pytest.param({"id": "1", "email": "a@new.org"}, "a@new.org", id="an id and one address"),
    ],
)
def test_the_address_to_set_is_the_new_one(row: dict[str, str], email: str) -> None:
    values = understood(table([row])).desired.values
    assert (values["id"].tolist(), values["email"].tolist()) == ([1], [email])


def test_files_with_and_without_ids_are_matched_each_in_its_way() -> None:
    rows = table([{"id": "9", "email": "n@x.org"}], [{"email": "ben@x.org", "name": "B"}])
    values = understood(rows).desired.values
    assert values["id"].tolist() == [9, 2]
    assert values["email"].tolist() == ["n@x.org", None]
    assert sources_with_both(rows, "auto") == {0}


def test_rows_with_ids_are_left_as_they_are() -> None:
    source = table([{"id": "9", "email": "n@x.org"}])
    assert match_rows(source, "auto", None) == (source, source, Matching())


def test_without_an_index_rows_are_checked_and_no_id_is_shown() -> None:
    found = understood(table([{"email": "a@x.org", "name": "N"}, {"email": "A@x.org", "name": "M"}]), index=None)
    assert found.table.cells["id"].tolist() == ["", ""]
    assert [problem.value for problem in found.desired.problems] == ["a@x.org", "a@x.org"]
    assert not [note for note in found.notes if "matched" in note]


def test_a_file_without_rows_is_understood() -> None:
    rows = table([{"email": "a@x.org", "name": "N"}])
    empty = Table(rows.cells.iloc[:0], rows.places.iloc[:0], rows.sources, (rows.sheets[0].iloc[:0],))
    assert not len(understood(empty).desired.values)
    assert not len(understood(empty, index=None).desired.values)


def test_the_rows_of_a_plan_keep_their_users_though_addresses_have_moved() -> None:
    rows = table([{"email": f"{name}@x.org", "name": "N"} for name in ("ann", "ben", "zoe", "cy")])
    matching = understood(rows, index=None).matching
    planned = [Row(key, 0, key + 2, user, Status.PLANNED) for key, user in ((0, "7"), (1, "8"), (2, ""))]
    again = understood(rows, index=index_of_rows(matching, planned, "run 1"))
    assert again.table.cells["id"].tolist() == ["7", "8", "", str(STAND_IN)]
    assert [problem.code for problem in again.desired.problems] == ["no-match"]


SPELLINGS = st.sampled_from([str.upper, str.title, lambda text: f"  {text} ", lambda text: f"\u200b{text}\n", str])
NAMES = st.text("abcdefghij", min_size=1, max_size=3)
ROWS = st.lists(st.tuples(NAMES, SPELLINGS, st.sampled_from(["", "A", "B"])), min_size=1, max_size=12)


@settings(deadline=None)
@given(known=st.dictionaries(NAMES, st.integers(1, 10**6)).filter(lambda d: len(set(d.values())) == len(d)), rows=ROWS)
def test_a_sheet_of_addresses_asks_for_the_same_as_a_sheet_of_ids(
    known: dict[str, int], rows: list[tuple[Any, ...]]
) -> None:
    """Rows of users whom nobody knows are rejected; all others end as they do in a sheet with ids instead."""
    index = EmailIndex({f"{name}@x.org": user for name, user in known.items()}, "users")
    by_email = understood(
        table([{"email": spell(f"{n}@x.org"), "name": value} for n, spell, value in rows]), index=index
    )
    by_id = understood(table([{"id": str(known.get(n, "")), "name": value} for n, _, value in rows]))
    assert by_email.desired.values.equals(by_id.desired.values)
    assert by_email.desired.duplicates == by_id.desired.duplicates
    assert by_email.table.cells["id"].tolist() == by_id.table.cells["id"].tolist()
    renamed = {Code.ID_MISSING: Code.NO_MATCH}
    expected = [(p.key, renamed.get(p.code, p.code)) for p in by_id.desired.problems]
    assert [(p.key, p.code) for p in by_email.desired.problems] == expected
