"""Test the page in a real browser: readable, searchable, fetching nothing."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.conftest import PATIENCE
from usersync.errors import StoppedError
from usersync.ledger import Cells
from usersync.loader.row_texts import RowTexts
from usersync.models import TimeSlice
from usersync.report import RunFacts, Summary, html, write_report
from usersync.report.html import write_plan_page

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
MANY = 200_000
SCRIPT = "<script>alert(1)</script>"
INFO: dict[str, Any] = {
    "run": "20261124T120000-abcd", "kind": "run", "platform": "https://chat.example.org", "parent": None,
    "started_at": "2026-11-24T12:00:00.000Z", "started_by": "ann@desk", "overrides": ["same-name"], "options": {},
    "sources": [{"file": "changes.xlsx", "sheet": "Changes", "sha256": "c0ffee" * 10}],
    "settings": {"request": {"rate": "3000/60s"}, "limits": {"protect": ["</pre><b>1"]}},
}  # fmt: skip
FACTS = RunFacts(INFO, dict.fromkeys(("get", "patch", "retried", "throttled"), 0))


@dataclass
class Screen:
    """The one browser of this module, as a person sees it."""

    driver: webdriver.Chrome

    def open(self, page: Path) -> Screen:
        self.driver.get(page.as_uri())
        WebDriverWait(self.driver, PATIENCE).until(lambda _: self.text("#hits"))
        return self

    def rows(self) -> str:
        """Return all rows of the page, as JSON."""
        return str(self.driver.execute_script("return JSON.stringify(rows)"))

    def text(self, selector: str) -> str:
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def texts(self, selector: str) -> list[str]:
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return [element.text for element in found]

    def column(self, number: int) -> list[str]:
        """Give the cells of a column as they stand on the screen: 1 Row, 2 User, 3 Status, 4 Change, 5 Reason."""
        script = "return [...document.querySelectorAll(`td:nth-child(${arguments[0]})`)].map(cell => cell.innerText)"
        return list(self.driver.execute_script(script, number))

    def wait_for(self, hits: str) -> str:
        WebDriverWait(self.driver, PATIENCE).until(lambda _: self.text("#hits") == hits)
        return hits

    def find(self, text: str, *, until: str = "") -> str:
        box = self.driver.find_element(By.ID, "search")
        box.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE, text)
        return self.wait_for(until) if until else self.text("#hits")

    def choose(self, name: str, option: str, *, until: str = "") -> str:
        Select(self.driver.find_element(By.ID, name)).select_by_visible_text(option)
        return self.wait_for(until) if until else self.text("#hits")

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        events = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        return {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Chromium is not installed (Debian: chromium, chromium-driver), so the page is not looked at")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield Screen(opened)
    opened.quit()


def line_of(key: int) -> Cells:
    """Return a line: every tenth is rejected, every third of the rest unchanged; the name of row 2 is a script."""
    name = SCRIPT if key == 0 else f"Ann Number {key}"
    status, changed, old, new, code, message, who = "updated", "", "", "", "", "", "nobody"
    if key % 10 == 9:
        status, code, who, name = "rejected", "email-invalid;name-blank", "sheet", ""
        message = f"Mail 'user {key}': not a valid e-mail address"
    elif key % 3 == 2:
        status = "unchanged"
    else:
        changed, old = "name;custom_attributes.seats", '{"name":"Ann","custom_attributes.seats":null}'
        new = f'{{"name":"{name}","custom_attributes.seats":{2**63 + 1}}}'
    place = ("changes.xlsx", "Changes", key + 2, str(1000 + key))
    return (*place, status, changed, old, new, None, 1, code, message, who, name, "", "", "", key)


def report(folder: Path, count: int, timeline: Sequence[TimeSlice] = ()) -> Summary:
    requests = {"get": MANY, "patch": 60_000, "retried": 3, "throttled": 7}
    facts = RunFacts(INFO, requests, seconds=3200, timeline=timeline, texts=RowTexts(lambda key: f"Cid {key}"))
    lines = (list(map(line_of, range(start, min(count, start + 5000)))) for start in range(0, count, 5000))
    return write_report(lambda: lines, folder, facts, formats=("html",))


def page_of(folder: Path, *lines: Cells) -> Path:
    """Write a page of single lines."""
    return Path(str(write_report(lambda: [list(lines)], folder, FACTS, formats=("html",)).files["html"]))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    timeline = [
        TimeSlice(i * 10.0, 10.0, 480, int(i == 100), int(i == 200), None if i < 50 else 50.0, 0.1, 0.4)
        for i in range(320)
    ]
    summary = report(tmp_path_factory.mktemp("runs"), MANY, timeline=timeline)
    return Path(str(summary.files["html"]))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(str(report(tmp_path_factory.mktemp("runs"), 12).files["html"]))


def test_a_page_holds_200_000_rows_in_less_than_5_mb(screen: Screen, large: Path) -> None:
    assert large.stat().st_size < 5_000_000
    screen.open(large)
    assert screen.text("h1") == "Finished: 120,000 rows updated, 20,000 rows need attention"
    assert screen.text("#hits") == "200,000 rows, 1 to 50 shown"
    assert "on this page" not in screen.text("main")
    assert screen.choose("status", "rejected").startswith("20,000 rows")
    assert screen.complaints() == []


def test_search_finds_a_row_by_part_of_a_value(screen: Screen, large: Path) -> None:
    screen.open(large)
    assert screen.find("id-nobody-has") == "0 rows"
    assert screen.find("REJECTED 200999") == "1 row"
    assert screen.column(1) == ["200001"]
    assert screen.find(str(2**63 + 1)).endswith("1 to 50 shown"), "a number is not rounded"


@pytest.fixture
def divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a page that has room for a part of its 20,000 rows."""
    monkeypatch.setattr(html, "LIMIT", 60_000)
    return Path(str(report(tmp_path, 20_000).files["html"]))


def parts_of(page: Path) -> list[Path]:
    return sorted(page.parent.glob("report-rows-*.js"))


def test_rows_that_need_attention_are_on_a_page_without_room_for_all(screen: Screen, divided: Path) -> None:
    assert divided.stat().st_size < 100_000
    rows = json.loads(screen.open(divided).rows())
    words = screen.driver.execute_script("return words")
    assert 2_000 < len(rows) < 20_000
    assert sum(words[row[1]] == "rejected" for row in rows) == 2_000
    assert screen.text("#hits") == f"{len(rows):,} rows on this page, 1 to 50 shown"
    assert f"{len(rows):,} of 20,000 rows are on this page, because it is kept below 5 MB" in screen.text("#rest")
    assert not screen.driver.find_element(By.ID, "absent").is_displayed()


def test_a_search_loads_the_rows_beside_the_page(screen: Screen, divided: Path) -> None:
    assert len(parts_of(divided)) > 1
    screen.requests()
    screen.open(divided)
    assert screen.requests() == {divided.as_uri()}
    assert screen.find("20997 unchanged", until="1 row") == "1 row"
    assert screen.column(1) == ["19999"]
    assert screen.requests() == {part.as_uri() for part in parts_of(divided)}
    assert screen.choose("status", "updated", until="0 rows") == "0 rows"
    assert screen.find("", until="12,000 rows, 1 to 50 shown")
    assert not screen.driver.find_element(By.ID, "rest").is_displayed()
    assert screen.complaints() == []


def test_the_last_page_of_the_rows_at_hand_leads_to_all(screen: Screen, divided: Path) -> None:
    screen.open(divided).driver.execute_script("page = Math.floor((hits.length - 1) / SIZE); draw()")
    screen.driver.find_element(By.ID, "next").click()
    assert screen.wait_for("20,000 rows, 1 to 50 shown")
    assert screen.column(1)[:3] == ["2", "3", "4"]


def test_a_page_without_the_files_beside_it_says_which_rows_it_cannot_search(
    screen: Screen, divided: Path, tmp_path: Path
) -> None:
    alone = shutil.copy(divided, tmp_path / "from-a-mail.html")
    here = len(json.loads(screen.open(alone).rows()))
    assert screen.find("20997", until=f"0 rows of the {here:,} on this page")
    assert screen.text("#absent").startswith(f"{20_000 - here:,} rows cannot be shown or searched here: their files")
    assert "All rows are in report.csv" in screen.text("#absent")
    assert screen.find("20999", until=f"1 row of the {here:,} on this page"), "rejected"
    assert all("ERR_FILE_NOT_FOUND" in message for message in screen.complaints())


@pytest.mark.parametrize("name", ["plan #12.html", "why?.html", "50%20.html", "http:x.html", "üb er's.html"])
def test_rows_beside_a_page_are_found_whatever_its_name(
    screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(html, "LIMIT", 20_000)
    plan = {"status": "planned", "exit_code": 1, "counts": {"rows": 5000}, "limits": [], "changes": 1, "fields": {}}
    write_plan_page(tmp_path / name, [list(map(line_of, range(5000)))], plan, INFO, RowTexts())
    screen.open(tmp_path / name)
    assert screen.find("5997", until="1 row") == "1 row"
    assert screen.complaints() == []


def test_rows_that_pack_badly_are_divided_until_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "LIMIT", 1_000_000)
    chance = random.Random(5)
    lines = [
        (*line_of(key)[:6], "", json.dumps({"name": chance.randbytes(140).hex()}), *line_of(key)[8:])
        for key in range(9_000)
    ]
    page = page_of(tmp_path, *lines)
    sizes = [file.stat().st_size for file in (page, *parts_of(page))]
    assert len(sizes) > 2
    assert 500_000 < sizes[0] < 1_100_000
    assert max(sizes) < 1_100_000


def test_a_page_that_cannot_be_written_leaves_no_rows_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "LIMIT", 60_000)
    folder = tmp_path / INFO["run"]
    (folder / "report.html").mkdir(parents=True)
    with pytest.raises(StoppedError, match="Is a directory"):
        report(tmp_path, 20_000)
    assert {file.name for file in folder.iterdir()} == {"report.csv", "report.html"}


def test_rows_of_several_files_stand_in_input_order(screen: Screen, tmp_path: Path) -> None:
    names = ["b.csv", "a.csv", "Z.csv", "c.csv", "0.csv"]
    lines = [(name, *line_of(9 if name == "c.csv" else key)[1:-1], key) for key, name in enumerate(names)]
    screen.open(page_of(tmp_path, *lines))
    assert [cell.splitlines()[1] for cell in screen.column(1)] == [f"{name}, Changes" for name in names]


def test_a_reason_shows_as_many_rows_as_it_counts(screen: Screen, tmp_path: Path) -> None:
    codes = ("id-invalid;name-blank", "name-blank", "name-blank;email-invalid")
    lines = [(*line_of(9)[:10], code, *line_of(9)[11:-1], key) for key, code in enumerate(codes)]
    screen.open(page_of(tmp_path, *lines))
    for reason, count in (("id-invalid", "1 row"), ("name-blank", "3 rows"), ("email-invalid", "1 row")):
        link = screen.driver.find_element(By.CSS_SELECTOR, f"[data-reason={reason}]")
        assert count in link.find_element(By.XPATH, "..").text
        link.click()
        assert screen.text("#hits") == count


@pytest.mark.parametrize("key", ["a  b", "a;b", "a&amp;b", "tab\there"])
def test_rows_are_filtered_by_fields_of_any_name(screen: Screen, tmp_path: Path, key: str) -> None:
    field = f"custom_attributes.{key}"
    line = ("a.csv", "", 2, "7", "failed", field, "", json.dumps({field: 1}), 422, 1, "refused", "", "sheet", "Ann", "",
            "", "", 0)  # fmt: skip
    screen.open(page_of(tmp_path, line))
    Select(screen.driver.find_element(By.ID, "field")).select_by_value(field)
    assert screen.text("#hits") == "1 row"


def test_files_of_formats_that_are_no_longer_asked_for_are_deleted(divided: Path) -> None:
    assert parts_of(divided)
    write_report(lambda: [[line_of(0)]], divided.parent.parent, FACTS, formats=("xlsx",))
    assert {file.name for file in divided.parent.iterdir()} == {"report.csv", "report.xlsx", "summary.json"}
    write_report(lambda: [[line_of(0)]], divided.parent.parent, FACTS)
    assert {file.name for file in divided.parent.iterdir()} == {"report.csv", "summary.json"}


def test_a_page_that_is_written_again_leaves_no_files_of_the_former_one(divided: Path) -> None:
    (divided.parent / "report-rows-of-mine.js").write_text("")
    before = parts_of(divided)
    report(divided.parent.parent, 10_000)
    after = parts_of(divided)
    assert set(before) & set(after) == {divided.parent / "report-rows-of-mine.js"}
    assert 1 < len(after) < len(before)
    assert all(part.name in divided.read_text("utf-8") for part in after if part.name != "report-rows-of-mine.js")


def test_rows_have_the_names_of_their_users_or_of_their_sheet(screen: Screen, small: Path) -> None:
    screen.open(small)
    assert screen.column(2)[1:3] == ["1001\nAnn Number 1", "1002\nAnn Number 2"]
    assert screen.column(2)[9] == "1009\nCid 9"
    assert "row 11 (Cid 9): Mail 'user 9': not a valid e-mail address" in screen.text(".owner")


def test_the_table_is_paged(screen: Screen, large: Path) -> None:
    first = screen.open(large).column(1)
    screen.driver.find_element(By.ID, "back").click()
    assert screen.column(1) == first
    screen.driver.find_element(By.ID, "next").click()
    assert len(first) == 50
    assert int(screen.column(1)[0]) > int(first[-1])
    assert "51 to 100 shown" in screen.text("#hits")


def test_headings_sort_from_the_keyboard_and_announce_it(screen: Screen, small: Path) -> None:
    heading = screen.open(small).driver.find_elements(By.CSS_SELECTOR, "th")[1]
    heading.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "descending"
    assert [user.split()[0] for user in screen.column(2)] == [str(1000 + key) for key in reversed(range(12))]


def test_rows_are_filtered_by_status_field_and_reason(screen: Screen, small: Path) -> None:
    screen.open(small)
    assert screen.choose("status", "unchanged") == "4 rows"
    assert set(screen.column(3)) == {"unchanged"}
    assert screen.choose("field", "name") == "0 rows"
    screen.driver.find_element(By.CSS_SELECTOR, "[data-reason=email-invalid]").click()
    assert screen.text("#hits") == "1 row"
    assert screen.column(5) == ["email-invalid, name-blank\nMail 'user 9': not a valid e-mail address"]


def test_values_are_shown_as_they_are(screen: Screen, tmp_path: Path) -> None:
    old = '{"a":0,"b":true,"c":null,"d":"","e":1.0,"g":[1.50,{"h":9007199254740993}]}'
    new = '{"a":-9007199254740993,"b":123456789012345,"c":1e-07,"d":" = 1","e":false,"f":"","g":"%s"}' % ("x" * 400)
    plain = (
        "a.csv", "", 2, "7", "updated", "a", '{"a":12}', '{"a":"a\\"b: 7"}', 200, 1, "", "", "nobody", "", "", "", "",
        0,
    )  # fmt: skip
    cells = (*plain[:2], 3, "8", "updated", "a;b", old, new, *plain[8:-1], 1)
    screen.open(page_of(tmp_path, plain, cells))
    first, second = (text.replace("\N{NO-BREAK SPACE}→ ", ">") for text in screen.column(4))
    assert first == 'a 12>a"b: 7'
    assert second.splitlines() == [
        "a 0>-9007199254740993", "b true>123456789012345", "c null>1e-07", "d empty> = 1", "e 1.0>false",
        "f ?>empty", f'g [1.5,{{"h":9007199254740993}}]>{"x" * 299}…',
    ]  # fmt: skip


def test_a_name_is_kept_once_where_it_is_the_new_name(screen: Screen, tmp_path: Path) -> None:
    names = {'Zoë "Z" \\': 'Zoë "Z" \\', "Ann": "Anna", 'Ann","x': "Ann", "Bo" * 200: "Bo" * 200, "": "Cy"}
    lines = [
        ("a.csv", "", key + 2, "7", "updated", "name", "", json.dumps({"name": new}, ensure_ascii=False), 200, 1, "",
         "", "nobody", name, "", "", "", key)
        for key, (name, new) in enumerate(names.items())
    ]  # fmt: skip
    screen.open(page_of(tmp_path, *lines))
    shown = [name if len(name) <= 300 else f"{name[:299]}…" for name in names]
    assert screen.driver.execute_script("return rows.map(row => row[NAME])") == shown


def test_a_name_that_is_a_script_is_not_run(screen: Screen, small: Path) -> None:
    screen.open(small)
    assert screen.find("<script>") == "1 row"
    assert screen.column(4) == [
        f"name Ann\N{NO-BREAK SPACE}→ {SCRIPT}\ncustom_attributes.seats null\N{NO-BREAK SPACE}→ {2**63 + 1}"
    ]
    assert SCRIPT not in small.read_text("utf-8")
    assert "</pre><b>1" in str(screen.driver.find_element(By.TAG_NAME, "pre").get_attribute("textContent"))
    assert screen.complaints() == []


def test_nothing_is_fetched(screen: Screen, small: Path) -> None:
    screen.requests()
    screen.open(small)
    assert screen.requests() == {small.as_uri()}
    assert set(re.findall(r"https?://[^\s<\"]*", small.read_text("utf-8"))) == {INFO["platform"]}


def test_the_timeline_is_drawn_only_where_there_is_one(screen: Screen, large: Path, small: Path) -> None:
    screen.open(large)
    assert "At most 48.0 requests a second. 1 request throttled" in screen.text("section[aria-labelledby=timeline]")
    assert len(screen.driver.find_elements(By.CSS_SELECTOR, "svg path")) == 4
    assert len(screen.driver.find_elements(By.CSS_SELECTOR, "svg line")) == 2
    assert not screen.open(small).driver.find_elements(By.ID, "timeline")


def test_a_phone_needs_no_sideways_scrolling(screen: Screen, large: Path) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    screen.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        screen.open(large)
        assert screen.driver.execute_script("return document.documentElement.scrollWidth") == 390
    finally:
        screen.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_print_has_more_rows_than_the_screen(screen: Screen, large: Path) -> None:
    screen.open(large).driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert "1 to 2,000 shown" in screen.text("#hits")
    screen.driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert "1 to 50 shown" in screen.text("#hits")


def test_pages_of_run_and_plan_count_users_by_field_not_rows(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        source = at.write("changes.csv", "id,name\n1,Ann New\n2,Bea New\n1,Ann New\n")
        planned = at.run("plan", str(source), "--html", "plan.html", "--json")
        done = at.run("run", str(source), "--yes", "--json")
        assert (planned.summary["fields"], done.summary["counts"]["updated"]) == ({"name": 2}, 3)
        for page in (at.folder / "plan.html", at.folder / done.summary["files"]["html"]):
            assert '<span class="num">2 users</span>' in page.read_text("utf-8")


def test_pages_of_run_and_plan_hold_no_secret(screen: Screen, desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        source = at.write("changes.csv", "id,name,password\n1,Ann New,Sesame#2026\n2,,\n")
        planned = at.run("plan", str(source), "--html", "plan.html")
        assert (planned.code, [call for call in box.log if call.method == "PATCH"]) == (1, [])
        screen.open(at.folder / "plan.html")
        assert screen.text("h1") == "1 user would change, 1 row cannot be sent"
        assert screen.column(4)[0].splitlines()[0].endswith("→ Ann New")
        assert "SHA-256" in screen.text("header")
        assert at.run("plan", str(source), "--html", "no/such/plan.html").code == 2
        done = at.run("run", str(source), "--yes", "--json")
        page = Path(at.folder / done.summary["files"]["html"])
        assert screen.open(page).text("h1") == "Finished: 1 row updated, 1 row needs attention"
        for path in (page, at.folder / "plan.html"):
            text = path.read_text("utf-8") + screen.open(path).rows()
            assert not re.search("Sesame|sandbox-token", text)
        at.settings["report"] = {"formats": ["csv"]}
        assert at.run("run", str(source), "--yes", "--json").summary["files"]["html"] is None
        assert screen.complaints() == []


def test_who_has_to_act_is_named_as_in_the_report(tmp_path: Path) -> None:
    reasons = [("rejected", "duplicate"), ("failed", "not-permitted"), ("failed", "timeout"), ("conflict", "")]
    owners = ["sheet", "permission", "platform", "nobody"]
    lines = [
        ("a.csv", "", key + 2, "7", status, "", "", "", None, 0, code, "so", owner, "Ann", "", "", "", key)
        for key, ((status, code), owner) in enumerate(zip(reasons, owners, strict=True))
    ]
    page = page_of(tmp_path, *lines).read_text("utf-8")
    assert re.findall(r"<h3>Action by: (.*?) <span", page) == owners
