"""Test which texts are recognized as converted by a spreadsheet."""

import pytest

from usersync.diff.auto_conversion import is_auto_converted, is_without_accents


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param("7", "007", id="leading zeros"),
        pytest.param("49301234", "+49301234", id="the plus of a telephone number"),
        pytest.param("1.5", "1.50", id="a zero at the end"),
        pytest.param("10.0", "10", id="decimals, as pandas writes whole numbers beside blanks"),
        pytest.param("2", "2.0", id="a version without its decimals"),
        pytest.param("4711.0", "4711", id="decimals of a long number"),
        pytest.param("10,00", "10", id="decimals of a German number format"),
        pytest.param("1,5", "1.5", id="a decimal comma"),
        pytest.param("1000", "1,000", id="a thousands separator"),
        pytest.param("0.05", "5%", id="percent"),
        pytest.param("100000", "1e5", id="E-notation"),
        pytest.param("4111111111111110", "4111111111111111", id="more than 15 digits"),
        pytest.param("3.141592654", "3.14159265358979", id="decimals that Excel does not write into a .csv"),
        pytest.param("0,123456789", "0.12345678949", id="nine decimals of a number below one"),
        pytest.param("3.1415926536", "3.14159265358979", id="decimals that LibreOffice does not write into a .csv"),
        pytest.param("52.5200066", "52.52000659999999", id="digits beyond the fifteenth"),
        pytest.param("05.01.2026", "2026-01-05", id="a German date"),
        pytest.param("1/5/2026", "2026-01-05", id="an American date"),
        pytest.param("05/01/2026", "2026-01-05", id="a French date"),
        pytest.param("2026-01-05", "05.01.2026", id="the date of a workbook's cell"),
        pytest.param("1/5/2026", "01/05/2026", id="a date without zeros"),
        pytest.param("05.01.2026 10:00", "2026-01-05T10:00:00", id="a date with time"),
        pytest.param("05.01.2026", "2026-01-05T10:20:30Z", id="a date that lost its time"),
        pytest.param("2026-01-05 00:00:00", "2026-01-05", id="a date with the time of midnight"),
        pytest.param("1/5/2026 1:20 PM", "2026-01-05 13:20:30", id="a date with an American time"),
        pytest.param("01. Mai", "1.5", id="a number that became a day"),
        pytest.param("02-Jan", "1/2", id="a fraction that became a day"),
        pytest.param("1-Mai", "5/1", id="a day of another language"),
        pytest.param("01.\u043c\u0430\u0439", "1.5", id="a Russian day"),
        pytest.param("May-01", "5/1", id="a month of a year"),
        pytest.param("2026-03-01", "March 1", id="a name that became a date"),
        pytest.param("2026-05-01", "1.5", id="a number that became a date"),
        pytest.param("01-Mar", "Mar1", id="a name that became a day"),
        pytest.param("46027", "2026-01-05", id="the number of a day"),
        pytest.param("46027.5", "05.01.2026 12:00", id="the number of a day with a time"),
        pytest.param("10:00:00", "10:00", id="seconds"),
        pytest.param("8:30", "08:30", id="an hour without its zero"),
        pytest.param("08:30", "8:30", id="an hour with a zero"),
        pytest.param("WAHR", "true", id="a German boolean"),
        pytest.param("TRUE", "true", id="a boolean in capitals"),
    ],
)
def test_finds_the_same_text_in_the_form_of_a_spreadsheet(new: str, old: str) -> None:
    assert is_auto_converted(new, old)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param("007", "7", id="added zeros"),
        pytest.param("+49301234", "49301234", id="an added plus"),
        pytest.param("8", "007", id="another number"),
        pytest.param("10", "1", id="ten times the number"),
        pytest.param("4111111111111112", "4111111111111111", id="another long number"),
        pytest.param("06.01.2026", "2026-01-05", id="another day"),
        pytest.param("02/01/2026", "01/02/2026", id="another day in the same form"),
        pytest.param("02-Jan", "3/4", id="a day of other numbers"),
        pytest.param("3.14", "3.14159265358979", id="two decimals, which somebody chose"),
        pytest.param("1234567.89", "1234567.891", id="cents"),
        pytest.param("52.5200067", "52.52000659999999", id="another decimal"),
        pytest.param("12:00", "10:00", id="another time"),
        pytest.param("10:00", "10:00:00", id="a time without its seconds"),
        pytest.param("FALSE", "true", id="the other boolean"),
        pytest.param("true", "TRUE", id="small letters"),
        pytest.param("no", "0", id="a word for a digit"),
        pytest.param("Sales 2", "Sales 1", id="other words"),
        pytest.param("46027", "10115", id="another number of five digits"),
        pytest.param("7", "", id="nothing before"),
        pytest.param("May-26", "Apr-26", id="another month"),
        pytest.param("12-May", "12-Apr", id="the same day of another month"),
        pytest.param("Floor 12", "Room 12", id="another word before a number"),
        pytest.param("12 EUR", "12 USD", id="another currency"),
        pytest.param("2026-05-12", "Room 5", id="a day in place of a room"),
        pytest.param("02-Mar", "1/2", id="a day of another month"),
        pytest.param("2026-01-05T10:21:00Z", "2026-01-05T10:20:00Z", id="another time of the same day"),
        pytest.param("2026-01-05 10:20:31", "2026-01-05 10:20:30", id="another second"),
        pytest.param("2026-01-05 10:20:30.250", "2026-01-05 10:20:30.125", id="another part of a second"),
        pytest.param("1/5/2026 1:20 PM", "1/5/2026 1:20 AM", id="the other half of the day"),
        pytest.param("2026-01-05 10:20", "2026-01-05", id="a time that was not known"),
        pytest.param("1.2.3", "1.2", id="a version with another part"),
        pytest.param("1.2.10", "1.2", id="a version with another part of two digits"),
        pytest.param("4711", "4711.0", id="a number that pandas has spoilt"),
        pytest.param("490000000000", "4.9E+11", id="a number that a spreadsheet has spoilt"),
        pytest.param("1e5", "1E+05", id="a code that a spreadsheet has spoilt"),
        pytest.param("004930123456", "+4930123456", id="zeros for a plus"),
    ],
)
def test_takes_another_text_for_a_change(new: str, old: str) -> None:
    assert not is_auto_converted(new, old)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param("Jose Garcia", "José García", id="accents"),
        pytest.param("Mueller", "Müller", id="an umlaut in two letters"),
        pytest.param("Muller", "Müller", id="an umlaut in one letter"),
        pytest.param("STRASSE", "Straße", id="capitals"),
        pytest.param("Lukasz Bak", "Łukasz Bąk", id="Polish letters"),
        pytest.param("Soren", "Søren", id="a Danish letter"),
    ],
)
def test_finds_a_text_that_lost_its_accents(new: str, old: str) -> None:
    assert is_without_accents(new, old)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param("José García", "Jose Garcia", id="accents that come back"),
        pytest.param("Josef Garcia", "José García", id="another name"),
        pytest.param("JOSE GARCIA", "Jose Garcia", id="no accents before"),
        pytest.param("Anna", "\u0410\u043d\u043d\u0430", id="another script"),
        pytest.param("O'Brien", "O\u2019Brien", id="a straight apostrophe"),
    ],
)
def test_takes_another_spelling_for_a_change(new: str, old: str) -> None:
    assert not is_without_accents(new, old)
