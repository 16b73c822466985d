"""An export that comes back changes what was touched, and nothing else, whatever happened on the platform meanwhile."""

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

import usersync
from tests.conftest import PATIENCE
from usersync.sandbox import Sandbox, StoredUser, running, user_token

ACCOUNT = {"account": 1, "account_token_env": "ACCOUNT_TOKEN"}
USERS = (
    StoredUser(1, "Ann", "ann@x.org", "Annie", {"seats": 5, "team": "Sales", "tags": ["a"]}, role="administrator"),
    StoredUser(2, "Bob", "bob@x.org", "Bobby", {"seats": 6, "team": "Support"}),
    StoredUser(3, "Cy", "cy@x.org", "Cyrus", {"seats": 7}),
)


@pytest.fixture
def office(desk: Callable[..., Any]) -> Callable[..., Any]:
    """Open a desk whose settings name the account: `with office() as (box, at)`."""

    @contextmanager
    def opened(users: Any = USERS, **more: Any) -> Iterator[tuple[Sandbox, Any]]:
        with desk(Sandbox(users=users, limit=None), platform=ACCOUNT, **more) as (box, at):
            at.env["ACCOUNT_TOKEN"] = user_token(1)
            yield box, at

    return opened


def read_sheet(path: Path) -> list[list[str]]:
    return [[str(c or "") for c in row] for row in load_workbook(path)["Users"].iter_rows(values_only=True)]


def edit(path: Path, changes: dict[tuple[int, str], str]) -> None:
    """Change cells of an exported file, given by user id and heading, as a person does."""
    if path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
        for (user_id, heading), text in changes.items():
            row = next(row for row in rows if row[0] == str(user_id))
            row[rows[0].index(heading)] = text
        written = io.StringIO()
        csv.writer(written).writerows(rows)
        path.write_text(written.getvalue(), "utf-8")
        return
    book = load_workbook(path)
    sheet = book["Users"]
    headings = [cell.value for cell in sheet[1]]
    ids = [cell.value for cell in sheet["A"]]
    for (user_id, heading), text in changes.items():
        sheet.cell(ids.index(str(user_id)) + 1, headings.index(heading) + 1).value = text or None
    book.save(path)


def by_libreoffice(path: Path) -> None:
    """Have LibreOffice open a workbook and save it again."""
    aside = path.parent / "saved"
    subprocess.run(
        ["soffice", f"-env:UserInstallation=file://{path.parent}/profile", "--headless", "--convert-to", "xlsx",
         "--outdir", str(aside), str(path)],
        check=True, capture_output=True, timeout=2 * PATIENCE,
    )  # fmt: skip
    (aside / path.name).replace(path)


MEANWHILE = {"same": None, "changed": "theirs", "changed to the same": "mine"}


@pytest.mark.parametrize("kind", ["xlsx", "csv"])
@pytest.mark.parametrize(
    ("touched", "meanwhile", "status", "ends_as"),
    [
        (False, "same", "unchanged", "base"),
        (False, "changed", "unchanged", "theirs"),
        (False, "changed to the same", "unchanged", "mine"),
        (True, "same", "updated", "mine"),
        (True, "changed", "conflict", "theirs"),
        (True, "changed to the same", "unchanged", "mine"),
    ],
)
def test_each_case_of_one_cell(
    office: Callable[..., Any], kind: str, *, touched: bool, meanwhile: str, status: str, ends_as: str
) -> None:
    with office([replace(USERS[0], name="base")]) as (box, at):
        at.run("export", f"users.{kind}")
        if MEANWHILE[meanwhile]:
            box.store.update(1, {"name": MEANWHILE[meanwhile]})
        if touched:
            edit(at.folder / f"users.{kind}", {(1, "name"): "mine"})
        ran = at.run("run", f"users.{kind}", "--yes")
        (line,) = ran.report
        assert line["status"] == status
        assert ran.code == (1 if status == "conflict" else 0)
        assert box.store.users[1].name == ends_as
        if status == "conflict":
            page = next(at.folder.glob("runs/*/report.html")).read_text("utf-8")
            for text in (line["message"], page):
                assert all(value in text for value in ("base", "theirs", "mine"))


FIELDS = ("name", "display_name", "email", "custom_attributes.seats", "custom_attributes.tags")
#: Field -> what it holds at first, what others make of it, what the file makes of it; and the text of the last.
VALUES: dict[str, tuple[Any, Any, Any, str]] = {
    "name": ("Ann", "=SUM(A1)", "Zoë", "Zoë"),
    "display_name": ("A", "+A", "Z", "Z"),
    "email": ("ann{}@x.org", "theirs{}@x.org", "mine{}@x.org", "mine{}@x.org"),
    "custom_attributes.seats": (5, 6, 7, "7"),
    "custom_attributes.tags": (["a", "b"], {"a": 1}, ["c"], '["c"]'),
}
CELL = st.tuples(st.booleans(), st.sampled_from(list(MEANWHILE)))


def with_number(value: Any, number: int) -> Any:
    return value.format(number) if isinstance(value, str) else value


def body(values: dict[str, Any]) -> dict[str, Any]:
    attributes = {name.partition(".")[2]: value for name, value in values.items() if "." in name}
    return {**{name: value for name, value in values.items() if "." not in name}, "custom_attributes": attributes}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), kind=st.sampled_from(["xlsx", "csv"]))
def test_every_mix_of_touched_cells_and_changes_meanwhile(
    data: st.DataObject, kind: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    monkeypatch.setenv("APP_TOKEN", "sandbox-token")
    monkeypatch.setenv("ACCOUNT_TOKEN", user_token(1))
    cells = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, CELL)), min_size=1, max_size=4))
    first = {n: {f: with_number(VALUES[f][0], n) for f in FIELDS} for n in range(1, len(cells) + 1)}
    users = [StoredUser(n, **body(values)) for n, values in first.items()]
    with running(Sandbox(users=users, limit=None)) as box:
        platform = {"url": box.url, "token_env": "APP_TOKEN", **ACCOUNT}
        made = usersync.make_settings(
            {"platform": platform, "request": {"rate": "off"}, "ledger": str(folder / "l.db"),
             "report": {"dir": str(folder / "runs"), "formats": ["csv"]}, "limits": {"same_value": None}}
        )  # fmt: skip
        path = folder / f"users.{kind}"
        usersync.export(path, made)
        expected: dict[str, str] = {}
        ends: dict[int, dict[str, Any]] = {}
        edits: dict[tuple[int, str], str] = {}
        for n, row in enumerate(cells, 1):
            now = {
                f: with_number(VALUES[f][("same", "changed", "changed to the same").index(meanwhile)], n)
                for f, (_, meanwhile) in row.items()
            }
            box.store.update(n, body({f: v for f, v in now.items() if v != first[n][f]}))
            edits.update({(n, f): with_number(VALUES[f][3], n) for f, (touched, _) in row.items() if touched})
            conflict = (True, "changed") in row.values()
            change = (True, "same") in row.values()
            expected[str(n)] = "conflict" if conflict else "updated" if change else "unchanged"
            wanted = {f: with_number(VALUES[f][2], n) for f, (touched, _) in row.items() if touched and not conflict}
            ends[n] = {**now, **wanted}
        edit(path, edits)
        summary = usersync.run(path, made, confirm=lambda _: True)
        frame = summary.report_frame()
        assert dict(zip(frame["id"], frame["status"], strict=True)) == expected
        for n, values in ends.items():
            user = box.store.users[n]
            held = {f: user.custom_attributes[f[18:]] if "." in f else getattr(user, f) for f in FIELDS}
            assert held == values
        untouched = len(cells) * len(FIELDS) - len(edits)
        assert any(f"{untouched:,} cell" in note for note in summary.notes), summary.notes


def test_rows_sorted_deleted_and_inserted_and_columns_moved_and_removed_do_not_matter(
    office: Callable[..., Any],
) -> None:
    with office((*USERS, StoredUser(4, "Di", "di@x.org"))) as (box, at):
        at.run("export", "users.xlsx", "--ids", "-", stdin="1\n2\n3\n")
        path = at.folder / "users.xlsx"
        book = load_workbook(path)
        sheet = book["Users"]
        rows = [list(row) for row in sheet.iter_rows(values_only=True)]
        header, ann, _, cy = rows
        sheet.delete_rows(1, 4)
        cy[header.index("custom_attributes.seats")] = "70"
        columns = [header.index(name) for name in ("custom_attributes.seats", "name", "id", "email")]
        new = dict(zip(header, ["4", "Diana", *[None] * 9], strict=False))
        for row in (header, cy, [new.get(name) for name in header], ann):
            sheet.append([row[at] for at in columns])
        sheet["E1"], sheet["E4"] = "custom_attributes.floor", "second"
        book.save(path)
        for user_id in (1, 2, 3):
            box.store.update(user_id, {"name": "changed since", "custom_attributes": {"team": "new"}})
        ran = at.run("run", "users.xlsx", "--yes")
        assert ran.code == 0, ran.err
        assert {line["id"]: line["changed"] for line in ran.report} == {
            "3": "custom_attributes.seats",
            "4": "name",
            "1": "custom_attributes.floor",
        }
        assert box.store.users[3].custom_attributes["seats"] == 70
        assert {box.store.users[n].name for n in (1, 2, 3)} == {"changed since"}


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
@pytest.mark.parametrize("kind", ["xlsx", "csv"])
@pytest.mark.parametrize(
    "new",
    [
        pytest.param("2", id="to that of a user who has a row"),
        pytest.param("9", id="to that of a user who was not exported"),
    ],
)
def test_a_row_whose_id_was_changed_is_rejected(office: Callable[..., Any], kind: str, new: str) -> None:
    with office([*USERS, StoredUser(9, "Di", "di@x.org")]) as (box, at):
        at.run("export", f"users.{kind}", "--columns", "name,custom_attributes", "--ids", "-", stdin="1\n2\n3\n")
        edit(at.folder / f"users.{kind}", {(1, "id"): new})
        ran = at.run("run", f"users.{kind}", "--yes")
        assert (ran.report[0]["status"], ran.report[0]["code"]) == ("rejected", "id-mismatch")
        assert "the row holds what user 1 had in the export" in ran.report[0]["message"]
        assert [user.name for user in box.store.users.values()] == ["Ann", "Bob", "Cy", "Di"]


def test_two_users_exchange_all_their_values_in_an_export(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.run("export", "users.csv", "--columns", "name,custom_attributes.team")
        edit(at.folder / "users.csv", {(1, "name"): "Bob", (2, "name"): "Ann", (1, "custom_attributes.team"): "Support",
                                       (2, "custom_attributes.team"): "Sales"})  # fmt: skip
        assert [line["status"] for line in at.run("run", "users.csv", "--yes").report] == [
            "updated", "updated", "unchanged",
        ]  # fmt: skip
        assert [box.store.users[number].name for number in (1, 2)] == ["Bob", "Ann"]


def test_a_workbook_that_libreoffice_saved_is_merged_as_well(office: Callable[..., Any]) -> None:
    odd = StoredUser(4, " =1+1 _x0041_ 'x ", "odd@x.org", "<r>t</r>\nx", {"note": "'+4\t9", "long": "x" * 40_000})
    with office((*USERS, odd)) as (box, at):
        assert at.run("export", "users.xlsx").code == 0
        path = at.folder / "users.xlsx"
        by_libreoffice(path)
        assert load_workbook(path)["usersync base"].sheet_state in ("hidden", "veryHidden")
        assert at.run("run", "users.xlsx", "--yes", "--json").summary["counts"] == {"unchanged": 4, "rows": 4}
        edit(path, {(1, "name"): "mine", (2, "name"): "mine", (3, "name"): "mine"})
        by_libreoffice(path)
        box.store.update(2, {"name": "theirs"})
        box.store.update(3, {"name": "mine"})
        ran = at.run("run", "users.xlsx", "--yes")
        assert [line["status"] for line in ran.report] == ["updated", "conflict", "unchanged", "unchanged"]


def test_columns_that_are_named_one_by_one_are_all_exported(office: Callable[..., Any]) -> None:
    with office() as (_, at):
        ran = at.run("export", "-", "--columns", "email", "--columns", "name")
        assert ran.out.splitlines()[0] == "id,email,name"


def test_a_single_user_is_counted_in_the_singular(office: Callable[..., Any]) -> None:
    with office((USERS[0],)) as (_, at):
        assert ": 1 user; change cells" in at.run("export", "users.csv").err
        assert at.run("export", "-").err == "1 user\n"


def test_rows_that_nobody_touched_cost_no_request(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(2, "name"): "Robert"})
        before = len(box.log)
        at.run("run", "users.csv", "--yes")
        assert [(r.method, r.user_id) for r in box.log[before:]] == [("GET", 2), ("PATCH", 2)]


def test_the_plan_and_both_pages_say_how_many_cells_were_not_touched(office: Callable[..., Any]) -> None:
    with office() as (_, at):
        at.run("export", "users.xlsx", "--columns", "name,email")
        edit(at.folder / "users.xlsx", {(2, "name"): "Robert"})
        planned = at.run("plan", "users.xlsx", "--html", "plan.html", "--json")
        assert any("5 cells were not touched since the export of 2" in note for note in planned.summary["notes"])
        assert "5 cells were not touched" in (at.folder / "plan.html").read_text("utf-8")
        at.run("run", "users.xlsx", "--yes")
        assert "5 cells were not touched" in next(at.folder.glob("runs/*/report.html")).read_text("utf-8")


@pytest.mark.parametrize("compare_with", ["nothing", "last-run", "users.csv"])
def test_no_way_of_comparing_sends_a_touched_cell_over_a_change_of_somebody_else(
    office: Callable[..., Any], compare_with: str
) -> None:
    with office() as (box, at):
        at.write("before.csv", "id,name\n1,Ann\n2,Bob\n")
        at.run("run", "before.csv", "--yes")  # the ledger knows both names
        at.run("export", "users.xlsx")
        at.run("export", "users.csv")
        edit(at.folder / "users.xlsx", {(1, "name"): "mine", (2, "name"): "mine"})
        box.store.update(1, {"name": "theirs"})
        ran = at.run("run", "users.xlsx", "--yes", "--compare-with", compare_with)
        assert [line["status"] for line in ran.report] == ["conflict", "updated", "unchanged"]


def test_what_usersync_wrote_before_the_export_is_no_conflict(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.write("before.csv", "id,name\n1,ours\n")
        at.run("run", "before.csv", "--yes")
        box.store.update(1, {"name": "theirs"})
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(1, "name"): "mine"})
        assert at.run("run", "users.csv", "--yes").code == 0
        assert box.store.users[1].name == "mine"


def test_overwriting_can_be_chosen_in_the_settings(office: Callable[..., Any]) -> None:
    with office(diff={"on_conflict": "overwrite"}) as (box, at):
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(1, "name"): "mine"})
        box.store.update(1, {"name": "theirs"})
        assert at.run("run", "users.csv", "--yes").code == 0
        assert box.store.users[1].name == "mine"


def test_cells_that_would_not_be_valid_are_left_alone_where_nobody_touched_them(office: Callable[..., Any]) -> None:
    users = [StoredUser(1, "NULL", "not an address", "#N/A", {"note": "{{name}}"}), StoredUser(2, "NULL", "b@x.org")]
    with office(users, fields={"custom_attributes.note": {"blank": "clear"}}) as (box, at):
        at.env["ACCOUNT_TOKEN"] = user_token(1)
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(2, "display_name"): "Bob"})
        assert at.run("run", "users.csv", "--yes").statuses() == {"2": "unchanged", "3": "updated"}
        assert box.store.users[2].custom_attributes == {}


def test_a_cell_that_was_emptied_clears_only_where_the_settings_say_so(office: Callable[..., Any]) -> None:
    with office(fields={"custom_attributes.seats": {"blank": "clear"}}) as (box, at):
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(1, "custom_attributes.seats"): "", (2, "custom_attributes.team"): ""})
        assert at.run("run", "users.csv", "--yes").statuses() == {"2": "updated", "3": "unchanged", "4": "unchanged"}
        assert box.store.users[1].custom_attributes["seats"] is None
        assert box.store.users[2].custom_attributes["team"] == "Support"


def test_rows_that_a_filter_hides_are_no_problem_where_nothing_in_them_was_touched(
    office: Callable[..., Any],
) -> None:
    with office() as (_, at):
        at.run("export", "users.xlsx")
        path = at.folder / "users.xlsx"
        edit(path, {(1, "name"): "mine", (3, "name"): "mine"})
        book = load_workbook(path)
        book["Users"].row_dimensions[3].hidden = True
        book["Users"].row_dimensions[4].hidden = True
        book.save(path)
        ran = at.run("run", "users.xlsx", "--yes")
        assert ran.statuses() == {"2": "updated", "3": "unchanged", "4": "rejected row-hidden"}
        assert "hidden rows that are not rejected, because nothing in them was touched: 1" in ran.err


@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_the_rejects_file_is_merged_as_its_source_is(office: Callable[..., Any], kind: str) -> None:
    with office((*USERS[:1], replace(USERS[1], name="=B")), report={"formats": ["csv"]}) as (box, at):
        at.run("export", f"users.{kind}")
        edit(at.folder / f"users.{kind}", {(2, "email"): "no address", (1, "name"): "Anna"})
        ran = at.run("run", f"users.{kind}", "--yes", "--json")
        box.store.update(2, {"display_name": "theirs"})
        rejects = Path(ran.summary["files"]["rejects"])
        path = at.folder / rejects
        if kind == "csv":
            path.write_text(path.read_text("utf-8-sig").replace("no address", "robert@x.org"), "utf-8")
        else:
            book = load_workbook(path)
            sheet = book.worksheets[0]
            cell = next(c for row in sheet.iter_rows() for c in row if c.value == "no address")
            cell.value = "robert@x.org"
            book.save(path)
        again = at.run("run", str(rejects), "--yes", "--json")
        assert again.summary["counts"] == {"updated": 1, "rows": 1}, again.err
        user = box.store.users[2]
        assert (user.name, user.email, user.display_name) == ("=B", "robert@x.org", "theirs")


def test_a_saved_plan_is_not_sent_once_the_base_is_another(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(1, "name"): "mine"})
        assert at.run("plan", "users.csv", "-o", "plan.json").code == 0
        base = at.folder / "users.base.json"
        kept = base.read_bytes()
        base.unlink()
        ran = at.run("apply", "plan.json", "--yes")
        assert ran.code == 3
        assert "(its base) is not the one" in ran.err
        base.write_bytes(kept)
        assert at.run("apply", "plan.json", "--yes").code == 0
        assert box.store.users[1].name == "mine"


def test_a_named_base_is_used_by_run_plan_and_apply(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(1, "name"): "mine"})
        (at.folder / "users.base.json").rename(at.folder / "kept.json")
        box.store.update(2, {"name": "theirs"})
        assert at.run("plan", "users.csv", "--json").summary["changes"] == 2  # nobody knows what was touched
        planned = at.run("plan", "users.csv", "--base", "kept.json", "-o", "plan.json", "--json")
        assert planned.summary["changes"] == 1
        assert at.run("plan", "users.csv", "--base", "kept.json").out.splitlines()[-1].endswith("--base kept.json")
        assert at.run("apply", "plan.json", "--yes").code == 0
        assert (box.store.users[1].name, box.store.users[2].name) == ("mine", "theirs")


def test_a_workbook_can_be_the_base_of_what_was_saved_as_csv(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.run("export", "users.xlsx")
        rows = read_sheet(at.folder / "users.xlsx")
        rows[1][1] = "mine"
        saved = io.StringIO()
        csv.writer(saved).writerows(rows)
        at.write("saved.csv", saved.getvalue())
        box.store.update(2, {"name": "theirs"})
        planned = at.run("plan", "saved.csv", "--base", "users.xlsx", "--json").summary
        assert planned["counts"] == {"planned": 1, "unchanged": 2, "rows": 3}


@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_an_export_of_another_platform_is_refused(office: Callable[..., Any], kind: str) -> None:
    with office() as (box, at):
        at.run("export", f"users.{kind}")
        edit(at.folder / f"users.{kind}", {(1, "name"): "mine"})
        with running(Sandbox(users=USERS, limit=None)) as other:
            at.url = other.url
            ran = at.run("run", f"users.{kind}", "--yes")
        assert ran.code == 3
        assert f"was exported from {box.url}, not from {other.url}" in ran.err
        assert not other.log


@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_a_base_that_was_tampered_with_is_refused(office: Callable[..., Any], kind: str) -> None:
    with office() as (box, at):
        at.run("export", f"users.{kind}")
        if kind == "xlsx":
            book = load_workbook(at.folder / "users.xlsx")
            sheet = book["usersync base"]
            sheet["A2"] = str(sheet["A2"].value).replace("Ann", "Zoe")
            book.save(at.folder / "users.xlsx")
        else:
            base = at.folder / "users.base.json"
            base.write_text(base.read_text().replace("Ann", "Zoe"))
        before = len(box.log)
        ran = at.run("run", f"users.{kind}", "--yes")
        assert ran.code == 2
        assert "are damaged or were edited" in ran.err
        assert len(box.log) == before


def test_an_interrupted_plan_is_completed_with_the_same_base(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(1, "name"): "mine", (2, "name"): "mine"})
        box.store.update(2, {"name": "theirs"})
        box.store.update(3, {"name": "theirs too"})
        stopped = at.run("run", "users.csv", "--yes", "--max-duration", "0.000001")
        assert stopped.code == 4
        assert at.run("resume", "--yes").code == 1
        names = {n: user.name for n, user in box.store.users.items()}
        assert names == {1: "mine", 2: "theirs", 3: "theirs too"}


def test_undo_restores_what_a_merge_changed(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(1, "name"): "mine"})
        run = json.loads(at.run("run", "users.csv", "--yes", "--json").out)["run"]
        assert at.run("undo", run, "--yes").code == 0
        assert box.store.users[1].name == "Ann"


def test_a_column_that_nobody_touches_any_more_is_not_taken_for_blank(office: Callable[..., Any]) -> None:
    with office() as (_, at):
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(1, "name"): "mine"})
        assert at.run("run", "users.csv", "--yes").code == 0
        for name in ("users.csv", "users.base.json"):
            (at.folder / name).unlink()
        at.run("export", "users.csv")
        edit(at.folder / "users.csv", {(1, "email"): "mine@x.org"})
        assert at.run("run", "users.csv", "--yes").code == 0


def test_of_two_rows_of_one_user_the_one_that_was_touched_counts(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.run("export", "users.csv")
        path = at.folder / "users.csv"
        lines = path.read_text("utf-8-sig").splitlines()
        copied = lines[1].replace("Ann,", "mine,")
        path.write_text("\n".join([*lines, copied]), "utf-8")
        ran = at.run("run", "users.csv", "--yes")
        assert ran.statuses() == {"2": "unchanged", "3": "unchanged", "4": "unchanged", "5": "updated"}
        assert ran.report[0]["message"] == "left alone: no new values since the export"
        assert box.store.users[1].name == "mine"


def test_each_of_several_files_is_compared_with_its_own_base(office: Callable[..., Any]) -> None:
    with office() as (box, at):
        at.run("export", "a.xlsx", "--where", "id=1")
        box.store.update(1, {"name": "theirs"})
        at.run("export", "b.csv", "--where", "id=2")
        at.write("c.csv", "id,name\n3,mine\n")
        edit(at.folder / "b.csv", {(2, "name"): "mine"})
        planned = at.run("plan", "a.xlsx", "b.csv", "c.csv", "--json").summary
        assert planned["counts"] == {"planned": 2, "unchanged": 1, "rows": 3}
        assert at.run("run", "a.xlsx", "b.csv", "c.csv", "--yes").code == 0
        assert {n: user.name for n, user in box.store.users.items()} == {1: "theirs", 2: "mine", 3: "mine"}


def test_two_users_swap_their_addresses_in_an_export(office: Callable[..., Any]) -> None:
    with office(diff={"swap_placeholder": "swap+{run}-{key}@x.org"}) as (box, at):
        at.run("export", "users.xlsx")
        edit(at.folder / "users.xlsx", {(1, "email"): "bob@x.org", (2, "email"): "ann@x.org"})
        ran = at.run("run", "users.xlsx", "--yes")
        assert ran.code == 0, ran.err
        assert (box.store.users[1].email, box.store.users[2].email) == ("bob@x.org", "ann@x.org")


def test_inspect_counts_the_rows_that_nobody_touched(office: Callable[..., Any]) -> None:
    with office() as (_, at):
        at.run("export", "users.xlsx")
        edit(at.folder / "users.xlsx", {(1, "name"): "mine"})
        inspected = at.run("inspect", "users.xlsx", "--json")
        assert inspected.summary["counts"] == {"rows": 3, "ready": 1, "rejected": 0, "repeated": 0, "untouched": 2}


@pytest.mark.parametrize(
    ("before", "meanwhile", "status"),
    [
        pytest.param(None, None, "updated", id="none"),
        pytest.param("Ann", None, "updated", id="the name"),
        pytest.param(None, "Ann", "updated", id="the name since"),
        pytest.param(None, "theirs", "conflict", id="another since"),
    ],
)
def test_a_display_name_that_the_list_did_not_tell_conflicts_with_a_later_one(
    office: Callable[..., Any], before: str | None, meanwhile: str | None, status: str
) -> None:
    user = StoredUser(1, "Ann", "ann@x.org", before, role="administrator")
    with office(users=[user, StoredUser(2, "Bob", "bob@x.org")]) as (box, at):
        assert at.run("export", "users.xlsx").code == 0
        edit(at.folder / "users.xlsx", {(1, "display_name"): "mine"})
        if meanwhile:
            box.store.update(1, {"display_name": meanwhile})
        ran = at.run("run", "users.xlsx", "--yes")
        assert [line["status"] for line in ran.report] == [status, "unchanged"]
        assert box.store.users[1].display_name == ("mine" if status == "updated" else meanwhile)
