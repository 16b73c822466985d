"""Test that a cell is read alike, whatever else stands in its column."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.validation.tables import table
from usersync.settings import FieldSettings
from usersync.validation.columns import read_column, read_ids
from usersync.validation.problems import ProblemLog

#: Cells of which each needs another rule, beside those that need none.
CELLS = (
    "", " ", "Ann", " Ann", "Ann ", "Ann\nLee", "\n", "\u00a0", "\u200b", "Jo\u200bAnn", "Zo\u00eb", "Zoe\u0308",
    "\u0308", "a@x.org", "A@X.org", " a@x.org", "a@x", "a{{b}}@x.org", "A{{b}}@x.org", "{{b}}", "J\u00c3\u00bcrgen",
    "NULL", " NULL", "None", "n/a", "#CLEAR", " #CLEAR", "#N/A", "x\n#N/A", "\x07", "5", "1", "2.0", "\uff11", "1\n2",
    "J\u00fcrgen@X.org", "A\u212a@X.org", "MAILTO:A@X.org", "1e5", '{"a": 1}', '{"a": "NULL"}',
)  # fmt: skip
#: Settings that mean what the defaults mean, but with which no cell is taken as it stands.
EACH_ALONE = FieldSettings(replace={"no such cell": ""})
columns = st.lists(st.one_of(st.sampled_from(CELLS), st.just("Ann"), st.text(max_size=4)), min_size=1, max_size=9)


def objects(cells: list[str | None]) -> np.ndarray:
    return np.array([*cells, None], dtype=object)[:-1]


def log_of(count: int) -> ProblemLog:
    return ProblemLog(table(*({"id": "1", "name": "x"} for _ in range(count))))


@pytest.mark.parametrize("name", ["name", "email", "custom_attributes.a", "custom_attributes", "password"])
@given(policy=st.sampled_from(["reject", "note", "accept"]), cells=columns, missing=st.booleans())
def test_a_cell_is_read_alike_in_every_column(name: str, policy: str, cells: list[str], *, missing: bool) -> None:
    texts = [*cells, None] if missing else cells
    log = log_of(len(texts))
    values = read_column(name, objects(texts), FieldSettings(), log, suspect=policy)
    for key, text in enumerate(texts):
        alone = log_of(1)
        (value,) = read_column(name, objects([text]), EACH_ALONE, alone, suspect=policy)
        assert (values[key], type(values[key])) == (value, type(value))
        found = [(p.code, p.message, p.column, p.value) for p in log.problems if p.key == key]
        assert found == [(p.code, p.message, p.column, p.value) for p in alone.problems]
        assert log.notes.get(key) == alone.notes.get(0)


@given(columns)
def test_an_id_is_read_alike_in_every_column(cells: list[str]) -> None:
    log = log_of(len(cells))
    ids = read_ids(objects(cells), log).tolist()
    for key, text in enumerate(cells):
        alone = log_of(1)
        assert read_ids(objects([text]), alone).tolist() == [ids[key]]
        assert [p.message for p in log.problems if p.key == key] == [p.message for p in alone.problems]
        assert log.notes.get(key) == alone.notes.get(0)


def test_one_odd_cell_leaves_the_others_as_they_are() -> None:
    log = log_of(3)
    values = read_column("name", objects(["Ann", " Bea\u200b", "Cid"]), FieldSettings(), log, suspect="reject")
    assert values.tolist() == ["Ann", "Bea", "Cid"]
    assert list(log.notes) == [1]
