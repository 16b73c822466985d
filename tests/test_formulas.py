"""Test that cells like formulas are escaped, and read back unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usersync.formulas import escape_formula, unescape_formula


@pytest.mark.parametrize("text", ["=1+1", "+49", "-5", "@a", "\tx", "\rx", "'=1", "''=1"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text: str) -> None:
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Ann", "-", "'", "'tis", "a=1", "5-3"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert escape_formula(text) == text


@given(st.text(st.sampled_from("=+-@\t\r'a1 ")))
def test_any_text_reads_back_the_same(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text
