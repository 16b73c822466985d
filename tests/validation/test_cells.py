"""Test how single cells are read."""

import pytest

from usersync.validation.cells import InvalidCellError, read_attributes, read_email, read_id, read_password


@pytest.mark.parametrize(
    ("cell", "user_id"),
    [
        pytest.param("12", 12, id="a whole number"),
        pytest.param("1234567890123456789", 1234567890123456789, id="nineteen digits survive"),
        pytest.param("12.0", 12, id="what Excel makes of 12"),
        pytest.param("12.00", 12, id="two decimals"),
        pytest.param("1234.000", 1234, id="a point that separates no thousands"),
        pytest.param(" 12\u00a0", 12, id="blanks around, a no-break space among them"),
        pytest.param("\ufeff12\u200b", 12, id="invisible characters"),
        pytest.param("\uff11\uff12", 12, id="full-width digits"),
        pytest.param("007", 7, id="leading zeros"),
    ],
)
def test_reads_an_id(cell: str, user_id: int) -> None:
    assert read_id(cell) == user_id


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        pytest.param("", "id-missing", id="nothing"),
        pytest.param("\u200b", "id-missing", id="only an invisible character"),
        pytest.param("abc", "id-invalid", id="letters"),
        pytest.param("5/../7", "id-invalid", id="a path to another user"),
        pytest.param("-5", "id-invalid", id="a negative number"),
        pytest.param("0", "id-invalid", id="zero"),
        pytest.param("12.5", "id-invalid", id="a fraction"),
        pytest.param("9223372036854775808", "id-invalid", id="larger than any id"),
        pytest.param("9" * 5000, "id-invalid", id="five thousand digits"),
        pytest.param("104\u00b2", "id-invalid", id="a footnote at an id, which is not 1042"),
        pytest.param("104\u2079", "id-invalid", id="a footnote of another block"),
        pytest.param("\u2460", "id-invalid", id="a digit in a circle"),
        pytest.param("1.23457E+15", "id-damaged", id="E-notation"),
        pytest.param("1,23457E+15", "id-damaged", id="E-notation with a decimal comma"),
        pytest.param("1e5", "id-damaged", id="a short E-notation"),
        pytest.param("1.000", "id-damaged", id="a point before thousands"),
        pytest.param("12.000", "id-damaged", id="twelve thousand, or twelve"),
        pytest.param("1.234.567", "id-damaged", id="millions"),
        pytest.param("1,234", "id-damaged", id="a comma before thousands"),
        pytest.param("1'234", "id-damaged", id="an apostrophe before thousands"),
        pytest.param("1\u202f234", "id-damaged", id="a narrow blank before thousands"),
    ],
)
def test_rejects_an_id(cell: str, code: str) -> None:
    with pytest.raises(InvalidCellError) as caught:
        read_id(cell)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("cell", "stored"),
    [
        pytest.param("ann@example.org", "ann@example.org", id="as it is"),
        pytest.param("ann+sales@mail.example.co.uk", "ann+sales@mail.example.co.uk", id="a tag and a long domain"),
        pytest.param("ann@team.test", "ann@team.test", id="a domain that is for tests"),
        pytest.param(" Ann@Example.org ", "ann@example.org", id="trimmed and lower-cased"),
        pytest.param("ann@example.org\u200b", "ann@example.org", id="a zero-width space"),
        pytest.param("jörg@example.org", "jörg@example.org", id="an international address"),
    ],
)
def test_reads_an_email(cell: str, stored: str) -> None:
    assert read_email(cell) == stored


@pytest.mark.parametrize(
    "cell", ["ann", "ann@", "@example.org", "ann@example", "a b@example.org", "ann@@example.org", "a@b@example.org",
             "ann@example..org", "ann@-x.org", "x" * 65 + "@example.org"]
)  # fmt: skip
def test_rejects_an_email(cell: str) -> None:
    with pytest.raises(InvalidCellError, match="not a valid e-mail address"):
        read_email(cell)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        pytest.param("ann", "no @-sign", id="no at-sign"),
        pytest.param("ann@", "nothing after the @-sign", id="no domain"),
        pytest.param("@x.org", "nothing before the @-sign", id="no local part"),
        pytest.param("ann@example", "no period after the @-sign", id="no top-level domain"),
        pytest.param("ann@x..org", "it cannot have two periods in a row", id="two periods"),
    ],
)
def test_names_what_is_wrong_with_an_address(cell: str, reason: str) -> None:
    with pytest.raises(InvalidCellError) as caught:
        read_email(cell)
    assert str(caught.value) == f"not a valid e-mail address: {reason}"


@pytest.mark.parametrize(
    ("password", "missing"),
    [
        pytest.param("Aa1!x", "6 to 128 characters", id="too short"),
        pytest.param("Aa1!" + "x" * 125, "6 to 128 characters", id="too long"),
        pytest.param("aa1!xx", "an upper-case letter", id="no upper-case letter"),
        pytest.param("AA1!XX", "a lower-case letter", id="no lower-case letter"),
        pytest.param("Aax!xx", "a digit", id="no digit"),
        pytest.param("Aa1xxx", "a special character such as ! or #", id="no special character"),
        pytest.param("Aa1 xxx", "a special character such as ! or #", id="a blank is not special"),
    ],
)
def test_rejects_a_weak_password_and_names_the_missing_rules(password: str, missing: str) -> None:
    with pytest.raises(InvalidCellError) as caught:
        read_password(password)
    assert str(caught.value) == f"the password needs {missing}"


@pytest.mark.parametrize("password", ["Aa1!xx", "Aa1!" + "x" * 124, " Aa1!x ", "Aa1_xx"])
def test_returns_a_valid_password_unchanged(password: str) -> None:
    assert read_password(password) == password


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        pytest.param("{seats: 5}", "not valid JSON", id="not JSON"),
        pytest.param("[1]", "custom attributes must be a JSON object", id="a list"),
        pytest.param('"{}"', "custom attributes must be a JSON object", id="text that holds JSON"),
        pytest.param('{"a": 1, "a": 2}', "the key 'a' occurs twice", id="a repeated key"),
        pytest.param('{"a": NaN}', "NaN is not a JSON number", id="NaN"),
        pytest.param('{"a": 1e999}', "the number 1e999 is too large", id="a number beyond floats"),
        pytest.param('{"a": "\\ud800"}', "not valid JSON", id="half a character"),
        pytest.param('{"a":' + "[" * 100_000, "nested too deeply", id="nested without end"),
    ],
)
def test_rejects_custom_attributes(cell: str, reason: str) -> None:
    with pytest.raises(InvalidCellError, match=reason):
        read_attributes(cell)
