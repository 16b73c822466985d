"""Recognize text that a spreadsheet, a database or an export has damaged.

`CHECKS` is the whole list: what is looked for, in which fields, whether the row is rejected or only gets a note, and
the sentence that its author reads. `source.suspect` and `fields.NAME.suspect` soften all of it.
"""
# ruff: noqa: RUF001 - characters that are easily taken for others are what this module is about

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from usersync.models import SECRET_FIELDS, Code
from usersync.validation.misread_text import ACCENTED_RUN, MISREAD
from usersync.values import INVISIBLE, MARKED

Kind = Literal["name", "attribute", "email", "password"]
Search = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class SuspectCheck:
    """One kind of damage, and what is to be done about it."""

    sentence: str
    """What is wrong and what to enter; never the value, which may be a secret."""
    fields: tuple[Kind, ...]
    in_cell: Search
    """Whether a cell is damaged in this way."""
    in_column: Search | None = None
    """The same for many cells at once, each on a line of its own, with line breaks around all of them."""
    marks: str = ""
    """ASCII characters of which every match holds at least one; empty where it holds one beyond ASCII."""
    words: frozenset[str] = frozenset()
    """The cells it looks for, where it has no use for `in_column`."""
    verdict: Literal["reject", "note"] = "reject"
    code: Code = Code.VALUE_SUSPECT

    def rejects(self, policy: str) -> bool:
        """Return whether the row is rejected where `source.suspect` is `policy`."""
        return policy == "reject" and self.verdict == "reject"


#: `#N/A`, `#NV`, `#REF!`, `#¿NOMBRE?`, `#ДЕЛ/0!`: capitals of any script behind a number sign. A closing mark or a
#: slash distinguishes them from hashtags; the words that have neither are listed.
_CAPITAL: Final = r"[^\W\d_a-zß-öø-ÿа-яёα-ω]"
_ERROR_WORD: Final = (
    rf"#[¡¿]?{_CAPITAL}(?:{_CAPITAL}|[/._0 ])*[!?]|#{_CAPITAL}{{1,2}}/{_CAPITAL}{{1,2}}"
    "|#(?:NV|YOK|HIÁNYZIK|PUUTTUU|SAKNAS|NENÍ_K_DISPOZICI|NEDOSTUPNÝ|NEPRIEINAMA)"
    "|#(?:GETTING_DATA|OBTENIENDO_DATOS|CHARGEMENT_DONNEES|DATEN_ABRUFEN)"
    r"|(?:Err|Error|Fehler|Erreur|Fout|Errore|Fel) ?:5\d\d"
)
#: `System.Object[]` and `System.Data.DataRow`, but not `System.Admin`; `[List]` is Power Query's.
_OBJECT: Final = (
    r"\[(?:object \w+|Record|List|Table|Binary)\]|<[\w.]+ object at 0x[0-9a-fA-F]+>|(?:java|javax)\.[\w.$]+@[0-9a-f]+"
    r"|System\.(?:[\w.]+\[\]|(?:Collections|Data|DirectoryServices|Management|Xml)\.[\w.]+(?:`\d[^\n]*)?"
    r"|Object|String|Char|Byte|Boolean|U?Int\d\d|Double|Single|Decimal|DateTime|TimeSpan|Guid|Uri|DBNull)"
)
#: What the fields of serial letters are called: `«Vorname»`, `*|FNAME|*`, `[First Name]`, `%LASTNAME%`, `{email}`.
_FIELD_WORD: Final = (
    r"(?:\w{1,20}[.:])?(?:(?:(?:first|last|full|given|family|sur|user|display|middle|[fl])[ _-]?)?name|vorname|nachname"
    r"|familienname|anrede|pr[ée]nom|nom|nombre|apellidos?|cognome|имя|фамилия|salutation|e-?mail(?:[ _-]?address)?)"
)
_TEMPLATE: Final = r"\{\{[^{}\n]+\}\}|\$\{[^{}\n]+\}|<<[^<>\n]+>>|%%[^%\n]+%%|<%=?[^%\n]+%>"
#: Those of serial letters alone: within an attribute, the others are how greetings and scripts are written.
_MERGE_FIELD: Final = r"<<[^\W\d_](?:[\w .-]{0,40}\w)?>>|%%\w+%%"
_LETTER_FIELD: Final = rf"(?i:(?:[{{\[<%#]|__|\*\|)\s?{_FIELD_WORD}\s?(?:[}}\]>%#]|__|\|\*))"
_LETTER_FIELD_OF_WORD: Final = rf"(?i:[«‹]\s?{_FIELD_WORD}\s?[»›])"
_ENTITY: Final = (
    r"#[0-9]{2,6}|#[xX][0-9a-fA-F]{2,6}|amp|lt|gt|quot|apos|nbsp|shy|euro|copy|reg|trade|deg|ndash|mdash|hellip|bull"
    "|[lrsb][sd]quo|[lr]aquo|szlig|[a-zA-Z](?:uml|acute|grave|circ|tilde|cedil|caron|ring|slash|breve|ogon|strok)"
    "|(?:ae|AE|oe|OE)lig|eth|ETH|thorn|THORN"
)
_TAG: Final = r"</?[a-zA-Z][^<>]{0,200}>"
_ESCAPE: Final = rf"&(?:{_ENTITY});|\\u[0-9a-fA-F]{{4}}|=\?[\w-]+\?[bqBQ]\?"
#: An equals sign, and further on a call or a reference: `=sum(a1)`, `=-B2`, `=Sheet1!C3`, `=IF(A1;1)+1`, `{=A1}`.
_FORMULA: Final = r"\{?=(?![=>])[^\n]*?(?:[A-ZÀ-ÞА-Я]\(|(?<![\w.])\$?[A-Za-z]{1,3}\$?\d)[^\n]*"
#: What a spreadsheet makes of `March 1` and `1/2`, in the forms that it writes into a .csv.
_MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DATE: Final = (
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\d{1,2}([./])\d{1,2}\1(?:\d\d){1,2}"
    rf"|\d{{1,2}}-{_MONTH}(?:-(?:\d\d){{1,2}})?|{_MONTH}-\d\d"
)
#: `'t Hooft` and `'s Gravesande` are names, and `'90s` are years.
_GUARD: Final = r"""="[^\n]*"|'(?![a-zA-Zà-ÿ]{1,2}[ -]|\d0s\b)[^\n]+"""

#: Placeholders for "no value" that cannot be a name, as databases and programs write them.
_EMPTY_WORDS: Final = frozenset(
    r"NULL null \N (null) (NULL) <null> <NULL> [null] [NULL] {null} #NULL nil undefined Undefined UNDEFINED "  # noqa: SIM905
    "(undefined) NaN nan NaT <NA> <NaN> -NaN 1.#QNAN -1.#IND (blank) (leer) (vide) (none) DBNull System.DBNull "
    "(empty) (пусто) (puste) (vuoto) (vazio) (boş) <blank> <empty> <none> "
    "Loading... Loading… loading... LOADING... Chargement... Cargando... Carregando... Caricamento... Загрузка... "
    "Yükleniyor... Laden... Ładowanie...".split()
) | {"Wird geladen...", "Wird geladen…", "Bezig met laden..."}
#: The same where it can be a name, or a value that somebody chose.
_DOUBTFUL_WORDS: Final = frozenset(("Null", "None", "NONE", "none", "Nan", "NAN", "Nil", "NIL"))
_NOT_AVAILABLE: Final = frozenset((
    "N/A", "n/a", "N.A.", "n.a.", "N/D", "n/d", "k.A.", "k. A.", "н/д", "Н/Д", "N.N.", "N. N.", "n.n.", "n. n.", "TBD",
    "tbd", "TBA", "tba",
))  # fmt: skip
#: What spreadsheets and databases write for the day 0.
_ZERO_DATES: Final = frozenset((
    "00.01.1900", "00/01/1900", "1/0/1900", "01/00/1900", "0-Jan-00", "00-Jan-00", "1900-01-00", "1899-12-30",
    "30.12.1899", "12/30/1899", "30/12/1899", "0000-00-00", "0000-00-00 00:00:00", "00.00.0000", "00/00/0000",
))  # fmt: skip
#: Signs that fill a cell; no name consists of them.
_DASHES: Final = frozenset(("-", "--", "---", "–", "—", "?"))
_SIGNS: Final = _DASHES | frozenset((".", "..", "...", "…", "*", "**", "***", "_", "__", "/", "//", "#", "~", "=", "+"))
#: What people write for the value of the cell above.
_DITTO: Final = frozenset((
    '"', "''", '-"-', '- " -', '—"—', "-''-", '"-"', ",,", "„", "“", "”", "«", "»", "〃", "´´", "-„-", "-”-",
    "dto.", "dto", "ditto", "dito", "idem", "s.o.", "s. o.", "siehe oben", "wie oben", "see above", "as above",
    "same as above", "ci-dessus", "voir ci-dessus", "véase arriba", "vedi sopra", "jw.", "j.w.", "то же", "同上",
))  # fmt: skip

_PLAIN_ADDRESS: Final = r"[^\s@<>(),;:\"']+@[^\s@<>(),;:\"']+"
_WRAPPED: Final = (
    r"(?=[^\n]{0,400}(?:\n|\Z))(?:[mM][aA][iI][lL][tT][oO]:[^\n]*"
    rf"|[^\n]*<\s*{_PLAIN_ADDRESS}\s*>[^\n]*|[\"'(\[][^\n]*@[^\n]*|{_PLAIN_ADDRESS}[\"')\];,:.>]+)"
)
_TYPOGRAPHIC: Final = (
    rf"[\u2010-\u2015\u2018-\u201f\u2024-\u2026\u2032-\u2036\u00b4\u02b9-\u02bc\u2212\u00b7\u00aa\u00ba{MARKED}]"
)
_LATIN: Final = "A-Za-zÀ-ɏ"
_OTHER_ALPHABETS: Final = "ıɐ-ʯͰ-֏Ꭰ-\u13ff\u1d00-\u1d7f"
#: Cyrillic and Greek letters that look like Latin ones: a word of nothing else is a disguise.
_LOOK_ALIKE: Final = "[авсԁеһіјӏорԛѕтуѵѡхАВЕЅІЈКМНОРСТУХαονρτυικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ]"
_FOREIGN_LETTER: Final = (
    rf"[{_LATIN}][^@.\n]{{0,64}}[{_OTHER_ALPHABETS}]|[{_OTHER_ALPHABETS}][^@.\n]{{0,64}}[{_LATIN}]"
    rf"|(?:^|[@.]){_LOOK_ALIKE}+(?=[@.])|İ|i\u0307"
)
_INVISIBLE: Final = rf"[\s{INVISIBLE}]"


def _whole(pattern: str, sentence: str, fields: tuple[Kind, ...], **others: Any) -> SuspectCheck:
    """Check for cells that a pattern matches from end to end."""
    in_column = re.compile(rf"\n(?:{pattern})(?=\n)").search
    return SuspectCheck(sentence, fields, re.compile(pattern).fullmatch, in_column, **others)


def _part(pattern: str, sentence: str, fields: tuple[Kind, ...], **others: Any) -> SuspectCheck:
    """Check for cells that hold a pattern."""
    search = re.compile(pattern, re.M).search
    return SuspectCheck(sentence, fields, search, search, **others)


def _outside_markup(pattern: str, sentence: str, fields: tuple[Kind, ...], **others: Any) -> SuspectCheck:
    """Check for cells that hold a pattern and are no HTML, in which it may be right."""
    search, markup = re.compile(pattern, re.M).search, re.compile(_TAG).search
    return SuspectCheck(sentence, fields, lambda text: search(text) and not markup(text), search, **others)


def _rare(characters: str, pattern: str, sentence: str, fields: tuple[Kind, ...]) -> SuspectCheck:
    """Check for cells that hold a pattern, which has one of some characters that few columns have."""
    search = re.compile(pattern, re.M).search

    def in_column(text: str) -> object:
        return any(character in text for character in characters) and search(text)

    return SuspectCheck(sentence, fields, search, in_column)


def _word(words: frozenset[str], sentence: str, fields: tuple[Kind, ...], **others: Any) -> SuspectCheck:
    """Check for cells that are one of some words, in exactly this case."""
    return SuspectCheck(sentence, fields, words.__contains__, words=words, **others)


_TEXT: Final[tuple[Kind, ...]] = ("name", "attribute")
_VISIBLE: Final[tuple[Kind, ...]] = (*_TEXT, "email")
_ALL: Final[tuple[Kind, ...]] = (*_VISIBLE, "password")
_EMPTY: Final = "a placeholder for an empty value; leave the cell blank to keep the present value"
_ROUNDED: Final = "a spreadsheet has rounded this number; format the column as text and enter all digits"
_NOT_FILLED_IN: Final = "a template's placeholder that nobody filled in; enter the value"
_MAYBE_EMPTY: Final = "this may be a placeholder for an empty value"
_WRONG_ENCODING: Final = (
    "letters damaged by a wrong encoding, such as JÃ¼rgen for Jürgen; export as UTF-8, or type the text again"
)
#: Signs that the encodings of central Europe, Turkey and Kazakhstan have letters for: Pawe³, £ukasz.
#: Not for what is written so: Team², ¿Quién?
_SIGNS_FOR_LETTERS: Final = "¡¢£¤¥¦¬¯±²³¹¼½¾¿÷"
_SIGN_AT_LETTER: Final = (
    r"(?![¡¿][^\n!?]{0,60}[!?])"
    rf"(?:²(?=[^\W\d_])|[{_SIGNS_FOR_LETTERS.replace('²', '')}](?:(?<=[^\W\d_].)|(?=[^\W\d_])))"
)
#: Letters of Iceland in one word with letters that only others have: Çaðlar, Þükrü.
_TURKISH_MISREAD: Final = r"[þðÞÐ](?=[^\W\d_]{0,30}[çüÇÜ])|[çüÇÜ](?=[^\W\d_]{0,30}[þðÞÐ])"
_CODE: Final = "a character written as code, such as &#39; or \\u00fc; enter the character itself"
_LOST_LETTER: Final = "a question mark in place of a letter; export as UTF-8, or type the text again"

CHECKS: Final = (
    _whole(
        _ERROR_WORD, "a spreadsheet's error, not a value; correct the formula, or enter the value",
        _VISIBLE, marks="#:",
    ),
    _whole(
        "#{2,}", "the column was too narrow to show the value when it was saved as text; widen it and export again",
        _VISIBLE, marks="#",
    ),
    _whole(
        r"[+-]?\d+(?:[.,]\d+)?[eE][+-]\d+", _ROUNDED, ("name",), marks="+-",
    ),
    _whole(  # programs write 1.5e-07, with all digits
        r"[+-]?\d+(?:[.,]\d+)?(?:[eE]\+|E-)\d+", _ROUNDED, ("attribute",), marks="+-",
    ),
    _word(_EMPTY_WORDS, _EMPTY, _VISIBLE),
    _word(
        _ZERO_DATES, "the day 0, which stands for no date; leave the cell blank to keep the present value", _TEXT
    ),
    _word(_NOT_AVAILABLE, _EMPTY, ("name", "email")),
    _word(_NOT_AVAILABLE, _MAYBE_EMPTY, ("attribute",), verdict="note"),
    _word(_DOUBTFUL_WORDS, _MAYBE_EMPTY, _TEXT, verdict="note"),
    _word(_DITTO, "this stands for the value of the cell above; enter the value itself", _TEXT),
    _word(_SIGNS, _EMPTY, ("name",)),
    _word(
        frozenset(("TRUE", "FALSE")),
        "a spreadsheet may have turned this name into TRUE or FALSE; format the cell as text and type the name again",
        ("name",),
    ),
    _whole(
        _DATE, "a date, not a name; format the cell as text and type the name again",
        ("name",), marks="-./",
    ),
    _whole(
        r"[+-]?(?:0|[1-9][0-9,' ]*)",
        "a number, not a name; a formula that refers to a blank cell gives 0; enter the name",
        ("name",), marks="0123456789",
    ),
    _whole(
        r"(?!#CLEAR(?:\n|\Z))# ?(?i:clear)[!.]?",
        "this looks like the mark that clears an attribute, which is written #CLEAR",
        _TEXT, marks="#",
    ),
    _word(_DASHES, _MAYBE_EMPTY, ("attribute",), verdict="note"),
    _whole(_OBJECT, "a program's object, not its text; export the text", _VISIBLE, marks="[<."),
    _part(_TEMPLATE, _NOT_FILLED_IN, ("name", "email"), marks="{<%"),
    _whole(_TEMPLATE, _NOT_FILLED_IN, ("attribute",), marks="{<%"),
    _part(_MERGE_FIELD, _NOT_FILLED_IN, ("attribute",), marks="<%"),
    _part(_TEMPLATE, "this may be a template that nobody filled in", ("attribute",), marks="{<%", verdict="note"),
    _part(_LETTER_FIELD, _NOT_FILLED_IN, ("name", "email"), marks="{[<%#_*"),
    _part(_LETTER_FIELD_OF_WORD, _NOT_FILLED_IN, ("name", "email")),
    _part(MISREAD, _WRONG_ENCODING, _ALL),
    _part(ACCENTED_RUN, _WRONG_ENCODING, _VISIBLE),
    _rare(_SIGNS_FOR_LETTERS, _SIGN_AT_LETTER, _WRONG_ENCODING, ("name",)),
    _rare("þðÞÐ", _TURKISH_MISREAD, _WRONG_ENCODING, ("name",)),
    _part(r"\?(?:\?|[^\W\d_])", _LOST_LETTER, ("name",), marks="?"),
    _whole(r"[? .,-]*\?\?[? .,-]*", _LOST_LETTER, ("attribute",), marks="?"),
    _whole(r"[^/=&:?\n]*\?[^\W\d_][^/=&:\n]*", _LOST_LETTER, ("attribute",), marks="?"),
    _part(
        r"\?(?<=[^\W\d_]\?)$", "a letter may have been lost at the question mark",
        ("name",), marks="?", verdict="note",
    ),
    _part(_ESCAPE, _CODE, ("name", "email", "password"), marks="&\\="),
    _outside_markup(_ESCAPE, _CODE, ("attribute",), marks="&\\="),
    _whole(
        _FORMULA, "a formula, not its result; replace formulas by their values and export again",
        _TEXT, marks="=",
    ),
    _whole(
        _GUARD, 'a guard against formulas, as in ="007" or \'Anna, has become part of the text; remove it',
        _TEXT, marks="='",
    ),
    _whole(
        _WRAPPED, "there is other text around the address; enter the address alone",
        ("email",), marks="@", code=Code.EMAIL_INVALID,
    ),
    _part(
        _TYPOGRAPHIC,
        "a typographic character in the address, such as a curly apostrophe, a long dash or a raised digit; "
        "type the address again",
        ("email",),
    ),
    _part(
        _FOREIGN_LETTER, "letters of another alphabet that look like Latin ones; type the address again", ("email",)
    ),
    _part(
        rf"\A{_INVISIBLE}|{_INVISIBLE}\Z",
        "a blank or an invisible character at the start or end of the password; remove it",
        ("password",),
    ),
)  # fmt: skip

_WORDS: Final = frozenset().union(*(check.words for check in CHECKS))
#: All bytes but the marks: what is left of a column without them is short.
_UNMARKED: Final = bytes(set(range(256)) - set("".join(check.marks for check in CHECKS).encode()))


def find_suspects(field: str, cells: Sequence[str], joined: str | None = None) -> dict[int, SuspectCheck]:
    """Return the positions of damaged cells, each with the first check that finds it so.

    A clean column costs a few searches over all its cells, which are done in `joined`: its cells, each on a line.
    """
    checks = _checks_for(field)
    if field not in SECRET_FIELDS:  # the ends of a password have to be looked at one by one
        checks = _possible(checks, cells, "\n".join(cells) if joined is None else joined)
    found: dict[int, SuspectCheck] = {}
    for check in reversed(checks):  # the first one wins
        found.update((i, check) for i, text in enumerate(cells) if check.in_cell(text))
    return found


def _checks_for(field: str) -> list[SuspectCheck]:
    if field in SECRET_FIELDS:
        kind: Kind = "password"
    elif field == "email":
        kind = "email"
    else:
        kind = "name" if field in ("name", "display_name") else "attribute"
    return [check for check in CHECKS if kind in check.fields]


def _possible(checks: Sequence[SuspectCheck], cells: Sequence[str], joined: str) -> list[SuspectCheck]:
    """Return the checks that find anything in a column."""
    words = _WORDS.intersection(cells)
    marks = frozenset(map(chr, set(joined.encode("utf-8", "surrogatepass").translate(None, _UNMARKED))))
    text, is_ascii = f"\n{joined}\n", joined.isascii()

    def is_possible(check: SuspectCheck) -> bool:
        if check.in_column is None:
            return not words.isdisjoint(check.words)
        may_match = not marks.isdisjoint(check.marks) if check.marks else not is_ascii
        return may_match and bool(check.in_column(text))

    return [check for check in checks if is_possible(check)]
