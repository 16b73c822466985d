"""`usersync export` writes the users as they are, ready to be edited and run again."""

import csv
import io
import json
import signal
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

import usersync
from tests.conftest import PATIENCE, FakeClock, wait_until
from usersync.context import Context
from usersync.errors import UsageError
from usersync.loader import load
from usersync.models import User
from usersync.planning.three_way_merge import without_untouched
from usersync.report.export import ExportHead, write_export
from usersync.report.export_columns import all_columns, user_texts
from usersync.sandbox import Answer, Faults, Sandbox, StoredUser, running, user_token
from usersync.settings import SourceSettings
from usersync.tables import Table

ACCOUNT = {"account": 1, "account_token_env": "ACCOUNT_TOKEN"}
USERS = (
    StoredUser(10, "Zoe", "zoe@x.org", "Z", {"seats": 5, "team": "Sales"}, role="administrator"),
    StoredUser(2, "Ann", "ann@x.org", None, {"tags": ["a", {"b": 1.5}], "team": "Support", "beta": True}),
    StoredUser(3, "Cy", None, "Cyrus", {"gone": None}),
    StoredUser(4, "Di", "di@x.org", accounts=(2,)),
)
HEADER = [
    "id", "name", "display_name", "email", "custom_attributes.beta", "custom_attributes.gone",
    "custom_attributes.seats", "custom_attributes.tags", "custom_attributes.team",
]  # fmt: skip
ROWS = [
    ["2", "Ann", "", "ann@x.org", "true", "", "", '["a",{"b":1.5}]', "Support"],
    ["3", "Cy", "Cyrus", "", "", "", "", "", ""],
    ["10", "Zoe", "Z", "zoe@x.org", "", "", "5", "", "Sales"],
]


@pytest.fixture
def office(desk: Callable[..., Any]) -> Callable[..., Any]:
    """Open a desk whose settings name the account, or `platform`: `with office() as (box, at)`."""

    @contextmanager
    def opened(box: Sandbox | None = None, platform: Any = ACCOUNT, **more: Any) -> Iterator[tuple[Sandbox, Any]]:
        with desk(box or Sandbox(users=USERS, limit=None), platform=platform, **more) as (open_box, at):
            at.env["ACCOUNT_TOKEN"] = user_token(10)
            yield open_box, at

    return opened


def csv_rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def sheet_rows(path: Path) -> list[list[str]]:
    return [[str(c or "") for c in row] for row in load_workbook(path)["Users"].iter_rows(values_only=True)]


def requests(box: Sandbox) -> list[tuple[str, int | None]]:
    return [(request.listing, request.user_id) for request in box.log]


def test_all_users_of_the_account_are_exported_in_one_request_sorted_by_id(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        assert at.run("export", "users.xlsx").code == 0
        assert sheet_rows(at.folder / "users.xlsx") == [HEADER, *ROWS]
        assert requests(box) == [("agents", None)]
        assert at.run("export", "users.csv").code == 0
        assert csv_rows((at.folder / "users.csv").read_text("utf-8")) == [HEADER, *ROWS]


def test_the_sheet_is_made_for_editing(office: Callable[..., Any]) -> None:
    with office(fields={"custom_attributes.seats": {"type": "integer", "blank": "clear"}}) as (_, at):
        at.run("export", "users.xlsx")
        book = load_workbook(at.folder / "users.xlsx")
        sheet = book["Users"]
        assert book.active is sheet
        assert [(s.title, s.sheet_state) for s in book] == [("Users", "visible"), ("usersync base", "veryHidden")]
        assert sheet.freeze_panes == "B2"
        assert sheet.auto_filter.ref == "A1:I4"
        assert {cell.number_format for row in sheet.iter_rows() for cell in row if cell.value} == {"@"}
        assert [cell.value for cell in sheet["A"]] == ["id", "2", "3", "10"]
        notes = {cell.value: cell.comment.text for cell in sheet[1]}
        assert "keep all digits" in notes["id"]
        assert notes["custom_attributes.seats"] == (
            "A whole number, such as 12. Blank: is cleared. #CLEAR clears it. "
            "Only cells that you change are sent; all others are left alone."
        )


def test_standard_output_gets_the_same_csv_and_nothing_else(office: Callable[..., Any]) -> None:
    with office() as (_, at):
        ran = at.run("export", "-")
        assert csv_rows(ran.out) == [HEADER, *ROWS]
        assert not ran.out.startswith("\ufeff")
        assert list(at.folder.iterdir()) == [at.folder / "usersync.yaml"]
        assert at.run("export", "-", "--json").code == 2


@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_no_token_is_in_any_file_nor_in_what_is_printed(office: Callable[..., Any], kind: str) -> None:
    with office() as (_, at):
        printed = []
        for name, more in {"a": (), "b": ("--ids", "-")}.items():
            ran = at.run("export", f"{name}.{kind}", *more, "-vv", stdin="2\n3\n")
            printed.append(ran.out + ran.err)
        texts = []
        for path in at.folder.glob(f"*.{kind}"):
            packed = zipfile.ZipFile(path) if kind == "xlsx" else None
            texts += [packed.read(n).decode("latin-1") for n in packed.namelist()] if packed else [path.read_text()]
        texts += [path.read_text() for path in at.folder.glob("*.json")]
        for text in (*texts, *printed):
            assert "token" not in text.replace("USERSYNC_TOKEN", "").lower()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--where", "custom_attributes.team=Sales"], ["10"]),
        (["--where", "team=Sales"], None),
        (["--where", "name=Ann", "--where", "custom_attributes.team=Support"], ["2"]),
        (["--where", "name=Ann", "--where", "custom_attributes.team=Sales"], []),
        (["--where", "email="], ["3"]),
        (["--where", "custom_attributes.seats=5"], ["10"]),
        (["--where", "id=3"], ["3"]),
        (["--where", "E-Mail=zoe@x.org"], ["10"]),
        (["--where", "name"], None),
        (["--where", "custom_attributes=x"], None),
    ],
)
def test_only_users_for_whom_every_condition_holds(
    office: Callable[..., Any], words: list[str], expected: list[str] | None
) -> None:
    with office() as (_, at):
        ran = at.run("export", "users.csv", *words, "--columns", "name")
        if expected is None:
            assert ran.code == 2
            assert "--where" in ran.err
            assert not (at.folder / "users.csv").exists()
        else:
            rows = csv_rows((at.folder / "users.csv").read_text("utf-8"))
            assert [row[0] for row in rows[1:]] == expected


def test_only_the_columns_that_were_asked_for_in_their_order(office: Callable[..., Any]) -> None:
    with office() as (_, at):
        at.run("export", "a.csv", "--columns", "email, custom_attributes.team,id,name")
        assert csv_rows((at.folder / "a.csv").read_text("utf-8"))[0] == [
            "id",
            "email",
            "custom_attributes.team",
            "name",
        ]
        at.run("export", "b.csv", "--columns", "custom_attributes")
        assert csv_rows((at.folder / "b.csv").read_text("utf-8"))[0] == ["id", *HEADER[4:]]
        ran = at.run("export", "c.csv", "--columns", "name,nmae")
        assert ran.code == 2
        assert "--columns nmae: no such column; the columns are id, name, display_name" in ran.err


@pytest.mark.parametrize(
    "given_ids",
    [
        pytest.param(("ids.txt", "10\n2\n\n2\n"), id="one per line"),
        pytest.param(("ids.txt", "\ufeffid\r\n2\r\n10\r\n"), id="one per line with a heading"),
        pytest.param(("ids.csv", "Agent;ID\nZoe;10\nAnn;2\n"), id="a table"),
        pytest.param(("-", "10\n2\n"), id="standard input"),
    ],
)
def test_given_ids_are_read_one_by_one(office: Callable[..., Any], given_ids: tuple[str, str]) -> None:
    name, text = given_ids
    with office(platform={}) as (box, at):
        if name != "-":
            at.write(name, text)
        ran = at.run("export", "users.csv", "--ids", name, stdin=text)
        assert ran.code == 0
        assert [row[:4] for row in csv_rows((at.folder / "users.csv").read_text("utf-8"))[1:]] == [
            ["2", "Ann", "", "ann@x.org"], ["10", "Zoe", "Z", "zoe@x.org"],
        ]  # fmt: skip
        assert sorted(requests(box)) == [("", 2), ("", 10)]


@pytest.mark.parametrize("text", ["2\nx7\n", "id,name\n2,A\n-5,B\n", "", "99999999999999999999\n", "0\n"])
def test_a_list_with_something_that_is_no_id_is_an_error(office: Callable[..., Any], text: str) -> None:
    with office() as (box, at):
        at.write("ids.csv", text)
        ran = at.run("export", "users.csv", "--ids", "ids.csv")
        assert ran.code == 2
        assert "ids.csv" in ran.err
        assert not box.log


def test_users_that_cannot_be_read_are_named_and_the_others_exported(office: Callable[..., Any]) -> None:
    with office(Sandbox(users=USERS, forbidden=[3], limit=None)) as (_, at):
        ran = at.run("export", "users.csv", "--ids", "-", "--json", stdin="2\n3\n99\n")
        assert ran.code == 1
        assert ran.summary["users"] == 1
        assert [one["id"] for one in ran.summary["unread"]] == [3, 99]
        assert ran.summary["unread"][0]["message"].startswith("this platform app may not manage this user")
        assert "user 99 was left out" in at.run("export", "b.csv", "--ids", "-", stdin="99\n").err


def test_without_the_token_of_a_user_the_ids_of_the_account_are_read_one_by_one(office: Callable[..., Any]) -> None:
    with office(platform={"account": 1}) as (box, at):
        assert at.run("export", "users.csv").code == 0
        assert csv_rows((at.folder / "users.csv").read_text("utf-8")) == [HEADER, *ROWS]
        assert requests(box)[0] == ("account_users", None)
        assert sorted(number for _, number in requests(box)[1:] if number) == [2, 3, 10]


def test_where_the_directory_cannot_be_read_a_note_says_why_and_users_are_read_singly(
    office: Callable[..., Any],
) -> None:
    with office() as (_, at):
        at.env["ACCOUNT_TOKEN"] = user_token(4)
        ran = at.run("export", "users.csv")
        assert ran.code == 0
        assert "read one by one, because they cannot be listed: the user of the account's token does not" in ran.err
        assert csv_rows((at.folder / "users.csv").read_text("utf-8")) == [HEADER, *ROWS]


def test_a_list_that_fails_for_a_while_is_asked_for_again(office: Callable[..., Any]) -> None:
    faults = Faults(script=lambda method, user_id, n: Answer(503, "<html>") if n == 1 else None)
    with office(Sandbox(users=USERS, faults=faults, limit=None)) as (box, at):
        assert at.run("export", "users.csv").code == 0
        assert [request.status for request in box.log] == [503, 200]


def test_a_list_is_asked_for_again_when_the_platform_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    waits = iter(["120", "90", "60"])

    def script(*_: object) -> Answer | None:
        wait = next(waits, None)
        return Answer(429, "Retry later", {"Retry-After": wait}) if wait else None

    monkeypatch.setenv("APP_TOKEN", "sandbox-token")
    monkeypatch.setenv("ACCOUNT_TOKEN", user_token(10))
    with running(Sandbox(users=USERS, faults=Faults(script=script), limit=None)) as box:
        settings = usersync.make_settings({"platform": {"url": box.url, "token_env": "APP_TOKEN", **ACCOUNT}})
        exported = usersync.export(tmp_path / "users.csv", settings, context=Context(clock=clock))
        assert (exported.users, exported.notes) == (3, ())
        assert [request.status for request in box.log] == [429, 429, 429, 200]
        assert clock.monotonic() >= 120 + 90 + 60


@pytest.mark.parametrize(
    ("platform", "sentence"),
    [
        ({}, "name the account under platform.account"),
        ({"account": 7}, "there is no account 7; correct platform.account; or name their ids with --ids FILE"),
    ],
)
def test_what_is_missing_in_the_settings_is_named(
    office: Callable[..., Any], platform: dict[str, Any], sentence: str
) -> None:
    with office(platform=platform) as (_, at):
        ran = at.run("export", "users.csv")
        assert ran.code == (2 if not platform else 4)
        assert sentence in ran.err
        assert not (at.folder / "users.csv").exists()


@pytest.mark.parametrize("there", ["users.xlsx", "users.csv", "users.base.json"])
def test_a_file_that_exists_is_never_overwritten(office: Callable[..., Any], there: str) -> None:
    with office() as (box, at):
        at.write(there, "precious")
        ran = at.run("export", there if there != "users.base.json" else "users.csv")
        assert ran.code == 2
        assert f"{there}: the file exists already; name another, or delete it" in ran.err
        assert (at.folder / there).read_text() == "precious"
        assert sorted(path.name for path in at.folder.iterdir()) == sorted([there, "usersync.yaml"])
        assert not box.log


@pytest.mark.parametrize("name", ["users", "users.ods", "users.tsv", "nowhere/users.csv", "nowhere/users.xlsx"])
def test_a_file_that_cannot_be_written_is_an_error(office: Callable[..., Any], name: str) -> None:
    with office() as (_, at):
        ran = at.run("export", name)
        assert ran.code == 2
        assert name in ran.err


def test_nothing_is_left_of_an_export_whose_platform_stops_answering(office: Callable[..., Any]) -> None:
    faults = Faults(script=lambda method, user_id, n: Answer(401, {"error": "Invalid access_token"}))
    with office(Sandbox(users=USERS, faults=faults, limit=None), platform={}) as (_, at):
        ran = at.run("export", "users.csv", "--ids", "-", stdin="2\n3\n")
        assert ran.code == 4
        assert "nothing was exported: the platform does not accept the token" in ran.err
        assert not (at.folder / "users.csv").exists()


def test_texts_too_long_for_a_cell_are_left_out_and_never_sent_back(office: Callable[..., Any]) -> None:
    users = [StoredUser(10, "Z", "z@x.org", "Zz", {"long": "x" * 32_768, "fits": "\U0001f600" * 16_383})]
    settings = {"fields": {"custom_attributes.long": {"blank": "clear"}}}
    with office(Sandbox(users=users, limit=None), **settings) as (box, at):
        at.run("export", "users.xlsx")
        fits, long = sheet_rows(at.folder / "users.xlsx")[1][4:6]
        assert (len(fits), long) == (16_383, "")
        assert at.run("run", "users.xlsx", "--yes").statuses() == {"2": "unchanged"}
        assert box.store.users[10].custom_attributes["long"] == "x" * 32_768


def test_attributes_that_no_heading_can_mean_are_left_out_with_a_note(office: Callable[..., Any]) -> None:
    users = [StoredUser(10, "Z", "z@x.org", "Zz", {"a  b": 1, "": 2, "x" * 300: 3, "good": 4, "Good": 5})]
    with office(Sandbox(users=users, limit=None)) as (_, at):
        ran = at.run("export", "users.csv", "--json")
        header = csv_rows((at.folder / "users.csv").read_text("utf-8"))[0]
        assert header[4:] == ["custom_attributes.Good", "custom_attributes.good"]
        assert len(ran.summary["notes"]) == 3
        assert "left out 'custom_attributes.a  b': no heading can mean it" in ran.summary["notes"]


def test_headings_mean_the_same_fields_whatever_the_settings_map(office: Callable[..., Any]) -> None:
    columns = {"name": "custom_attributes.nick", "Full name": "name", "Mail": "email"}
    with office(columns=columns) as (_, at):
        at.run("export", "users.csv")
        assert csv_rows((at.folder / "users.csv").read_text("utf-8"))[0][:4] == [
            "id", "Full name", "display_name", "email",
        ]  # fmt: skip
        assert at.run("run", "users.csv", "--yes", "--json").summary["counts"] == {"unchanged": 3, "rows": 3}


def untouched_cells(table: Table) -> int:
    (note,) = without_untouched(table)[1].notes
    return int(note.rpartition(" cell")[0].rpartition(" ")[2])


NASTY = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"]) | st.sampled_from("=+-@'\t\n\r\"`,;|_xX0 "), max_size=12
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(texts=st.lists(st.tuples(NASTY, NASTY, NASTY), min_size=1, max_size=4), kind=st.sampled_from(["csv", "xlsx"]))
def test_any_text_survives_the_way_through_a_file(
    texts: list[tuple[str, str, str]], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Formulas, quotes, delimiters and line ends come back as they were, as a plan sees them: nothing was touched."""
    path = tmp_path_factory.mktemp("nasty") / f"users.{kind}"
    users = [User(n, name, shown, f"u{n}@x.org", {"k": value}) for n, (name, shown, value) in enumerate(texts, 1)]
    columns, _ = all_columns({"k"}, {})
    head = ExportHead("https://x.org", "2026-11-24T12:00:00.000Z", columns, {})
    write_export(str(path), user_texts(((user, True) for user in users), columns, []), head)
    table = load([path], options=SourceSettings())
    assert untouched_cells(table) == len(users) * len(columns)


@pytest.mark.parametrize("name", ["'x'", "''", "='", "'it''s'", "'a,b'", '"x"', "\\'x\\'"])
@pytest.mark.parametrize("again", ["as written", "saved by a spreadsheet"])
def test_quotes_around_the_only_value_of_a_column_belong_to_it(tmp_path: Path, name: str, again: str) -> None:
    path = tmp_path / "users.csv"
    user = User(1, name, "", "u1@x.org", {})
    columns, _ = all_columns(set(), {})
    head = ExportHead("https://x.org", "2026-11-24T12:00:00.000Z", columns, {})
    write_export(str(path), user_texts([(user, True)], columns, []), head)
    if again == "saved by a spreadsheet":
        rows = csv_rows(path.read_text("utf-8"))
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter=";").writerows(rows)
    table = load([path], options=SourceSettings())
    assert table.cells["name"][0].removeprefix("'=").removeprefix("=") == name.removeprefix("=")
    assert untouched_cells(table) == len(columns)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_csv_holds_nothing_that_a_spreadsheet_would_run(office: Callable[..., Any], kind: str) -> None:
    users = [StoredUser(10, '=HYPERLINK("x")', "+z@x.org", "-1+1", {"a": "@SUM(1)", "n": -5})]
    with office(Sandbox(users=users, limit=None)) as (_, at):
        at.run("export", f"users.{kind}")
        if kind == "csv":
            row = csv_rows((at.folder / "users.csv").read_text("utf-8"))[1]
            assert row[1:] == ['\'=HYPERLINK("x")', "'-1+1", "'+z@x.org", "'@SUM(1)", "-5"]
        else:
            sheet = load_workbook(at.folder / "users.xlsx")["Users"]
            assert {cell.data_type for cell in sheet[2]} <= {"inlineStr", "s"}


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_memory_does_not_grow_with_the_users(kind: str, tmp_path: Path) -> None:
    columns, _ = all_columns({"team", "seats"}, {})
    head = ExportHead("https://x.org", "2026-11-24T12:00:00.000Z", columns, {})

    def users(count: int) -> Iterator[tuple[User, bool]]:
        for n in range(1, count + 1):
            yield User(n, f"User {n}", None, f"u{n}@x.org", {"team": f"Team {n}", "seats": n}), True

    write_export(str(tmp_path / f"first.{kind}"), user_texts(users(10), columns, []), head)
    tracemalloc.start()
    try:
        assert write_export(str(tmp_path / f"users.{kind}"), user_texts(users(5_000), columns, []), head) == 5_000
        assert tracemalloc.get_traced_memory()[1] < 1_500_000  # the file has more
    finally:
        tracemalloc.stop()


def test_the_public_function_returns_what_was_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_TOKEN", "sandbox-token")
    monkeypatch.setenv("ACCOUNT_TOKEN", user_token(10))
    with running(Sandbox(users=USERS, limit=None)) as box:
        platform = {"url": box.url, "token_env": "APP_TOKEN", **ACCOUNT}
        made = usersync.make_settings({"platform": platform, "request": {"rate": "off"}})
        found = usersync.export(tmp_path / "users.csv", made, where=["name=Ann"], columns=["name"])
        assert (found.users, found.unread, found.notes) == (1, (), ())
        assert found.files == (tmp_path / "users.csv", tmp_path / "users.base.json")
        base = json.loads(found.files[1].read_text())
        assert base[0]["platform"] == box.url
        assert base[0]["fields"] == ["name"]
        assert base[1] == [2, "Ann"]
        assert datetime.fromisoformat(base[0]["exported_at"]).astimezone(UTC).year >= 2026
        with pytest.raises(UsageError, match="exists already"):
            usersync.export(tmp_path / "users.csv", made)


@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_an_export_of_nobody_has_its_header_and_is_no_silent_success(office: Callable[..., Any], kind: str) -> None:
    with office() as (_, at):
        none = at.run("export", f"users.{kind}", "--where", "name=Nobody")
        assert none.code == 2
        assert "--where name=Nobody: no user has this value; there are: Ann, Cy, Zoe" in none.err
        assert not (at.folder / f"users.{kind}").exists()
        assert at.run("export", f"users.{kind}", "--where", "name=Ann", "--where", "name=Cy").code == 0
        planned = at.run("plan", f"users.{kind}")
        assert (planned.code, "there must be at least 1 row" in planned.out) == (3, True)
        assert "Nothing to do: no data rows were read" in planned.out


def test_a_progress_bar_counts_the_users_that_are_read_and_written(office: Callable[..., Any]) -> None:
    phases: list[tuple[str, int]] = []
    rows: list[str] = []

    class Watch:
        def begin(self, phase: str, total: int) -> None:
            phases.append((phase, total))

        def row(self, status: usersync.Status) -> None:
            rows.append(status.value)

        def tick(self) -> None:
            pass

        def end(self) -> None:
            phases.append(("end", len(rows)))

    with office() as (_, at):
        at.prepare()
        with pytest.MonkeyPatch.context() as own:
            own.chdir(at.folder)
            for name, value in at.env.items():
                own.setenv(name, value)
            usersync.export("users.csv", ids=[3, 2, 3], context=Context(progress=Watch()))
    assert phases == [("reading", 2), ("end", 2), ("writing", 2), ("end", 4)]


def test_ctrl_c_leaves_no_half_export(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.write("ids.txt", "2\n3\n")
        box.hold()
        process = at.start("export", "users.csv", "--ids", "ids.txt")
        wait_until(lambda: box.in_flight == 2, process)
        process.send_signal(signal.SIGINT)
        box.release()
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert "nothing was exported: stopped by Ctrl-C" in err
        assert not (at.folder / "users.csv").exists()
