"""Test false answers, badly timed stops, and settings that are nearly right."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tests.conftest import PATIENCE, wait_until
from usersync.errors import SettingsError
from usersync.sandbox import Answer, Fault, Faults, Sandbox, StoredUser
from usersync.settings import make_settings

Opened = Callable[..., Any]
ROWS = "id,name\n1,Ann\n2,Bea\n3,Cid\n"


def scripted(**answers: Any) -> Sandbox:
    """Answer `METHOD_ID` as given, and all other requests as the platform does."""

    def script(method: str, user_id: int | None, nth: int) -> Any:
        return answers.get(f"{method}_{user_id}")

    return Sandbox(users=5, limit=None, faults=Faults(script=script))


def test_an_answer_with_another_user_fails_the_row(desk: Opened) -> None:
    other = Answer(200, {"id": 999, "name": "Ann", "email": "x@example.org"})
    with desk(scripted(PATCH_1=other)) as (_, at):
        at.write("changes.csv", ROWS)
        ran = at.run("run", "changes.csv", "--yes")
        assert list(ran.statuses().values()) == ["failed echo-differs", "updated", "updated"]
        says = "the platform answered with user 999; the user, read afterwards, does not hold the new values"
        assert ran.report[0]["message"] == says


def test_a_lone_surrogate_in_an_answer_is_replaced_in_the_report(desk: Opened) -> None:
    lone = Answer(422, '{"message": "no \\ud800 good"}')
    with desk(scripted(PATCH_1=lone)) as (_, at):
        at.write("changes.csv", ROWS)
        ran = at.run("run", "changes.csv", "--yes")
        assert list(ran.statuses().values()) == ["failed refused", "updated", "updated"]
        assert "no ? good" in ran.report[0]["message"]


def test_a_token_quoted_by_the_platform_is_masked(desk: Opened) -> None:
    with desk(scripted(PATCH_1=Answer(422, {"message": "token sandbox-token is odd", "attributes": []}))) as (
        _,
        at,
    ):
        at.write("changes.csv", ROWS)
        assert "token *** is odd" in at.run("run", "changes.csv", "--yes").report[0]["message"]


def test_an_absurd_retry_after_stops_the_run(desk: Opened) -> None:
    with desk(scripted(GET_1=Answer(429, "Retry later", {"Retry-After": "1e300"}))) as (_, at):
        at.write("changes.csv", ROWS)
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, "the platform asks to wait" in ran.err) == (4, True), ran.err


def test_a_stop_does_not_wait_out_retry_after(desk: Opened) -> None:
    """The answer arrives after Ctrl-C, and asks to retry in a minute."""
    faults = Faults(script=lambda *_: Answer(429, "", {"Retry-After": "60"}))
    with desk(Sandbox(users=5, limit=None, faults=faults)) as (box, at):
        at.write("changes.csv", ROWS)
        assert at.interrupt(box, "run", "changes.csv", "--yes", answers=0, in_flight=3).code == 130


def test_a_run_stopped_while_reading_sends_nothing(desk: Opened) -> None:
    with desk(Sandbox(users=50, limit=None)) as (_, at):
        at.settings["request"] = {"rate": "20/s", "concurrency": 2}
        at.write("changes.csv", "id,name\n" + "".join(f"{i},N{i}\n" for i in range(1, 51)))
        ran = at.run("run", "changes.csv", "--yes", "--max-duration", "0.6")
        assert (ran.code, set(ran.statuses().values())) == (4, {"not-sent"})


def test_only_if_blank_reads_the_user_even_with_compare_with_nothing(desk: Opened) -> None:
    careful = {"name": {"only_if_blank": True}}
    with desk(fields=careful) as (open_box, at):
        before = open_box.store.users[1].name
        at.write("changes.csv", "id,name,display_name\n1,Ann,A\n")
        assert at.run("run", "changes.csv", "--yes", "--compare-with", "nothing").code == 0
        assert (open_box.store.users[1].name, open_box.store.users[1].display_name) == (before, "A")


def test_only_if_blank_holds_for_an_attribute_in_a_json_object_too(desk: Opened) -> None:
    people = [StoredUser(1, "Ann", "ann@example.org", None, {"seats": 5})]
    careful = {"custom_attributes.seats": {"only_if_blank": True}}
    with desk(Sandbox(users=people, limit=None), fields=careful) as (open_box, at):
        at.write("changes.csv", 'id,custom_attributes\n1,"{""seats"": 9, ""plan"": ""pro""}"\n')
        ran = at.run("run", "changes.csv", "--yes", "--compare-with", "nothing")
        assert (ran.code, ran.report[0]["changed"]) == (0, "custom_attributes.plan")
        assert open_box.store.users[1].custom_attributes == {"seats": 5, "plan": "pro"}


def read_until(terminal: int, text: bytes) -> None:
    """Read what a program writes to its terminal, until it has written `text`."""
    seen = b""
    while text not in seen:
        assert select.select([terminal], [], [], PATIENCE)[0], seen
        seen += os.read(terminal, 4096)


def is_asleep(process: int) -> bool:
    """Return whether a process waits for input, or for anything else; True where the system does not tell."""
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize(
    ("answer", "code"),
    [("n\n", 3), ("\x03", 130), ("\x04", 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["no", "Ctrl-C", "Ctrl-D", "SIGTERM", "SIGHUP"],
)
def test_a_no_or_a_signal_at_the_question_sends_nothing(answer: str | signal.Signals, code: int, desk: Opened) -> None:
    with desk() as (open_box, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        env = at.prepare()
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "usersync", "run", "changes.csv"],
            cwd=at.folder, env=env, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )  # fmt: skip
        at.started.callback(process.kill)
        os.close(follower)
        read_until(leader, f"Send 1 update to {open_box.url}? [y/N]".encode())
        wait_until(lambda: is_asleep(process.pid), process)  # else it may miss a signal, or Ctrl-D
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            if isinstance(answer, signal.Signals):
                process.send_signal(answer)
            else:
                os.write(leader, answer.encode())  # again, as a person does if nothing happens
            with suppress(OSError):
                while select.select([leader], [], [], 10.0)[0]:
                    os.read(leader, 4096)
        assert process.wait(timeout=PATIENCE) == code
        os.close(leader)
        assert not [r for r in open_box.log if r.method == "PATCH"]


@pytest.mark.parametrize("words", [("run", "b.csv"), ("runs", "--prune", "0s")], ids=" ".join)
def test_an_answer_typed_before_the_question_is_none(words: tuple[str, ...], desk: Opened) -> None:
    with desk() as (open_box, at):
        at.write("a.csv", "id,name\n1,Ann\n")
        at.write("b.csv", "id,name\n2,Bea\n")
        assert at.run("run", "a.csv", "--yes").code == 0
        sent = [r for r in open_box.log if r.method == "PATCH"]
        leader, follower = pty.openpty()
        os.write(leader, b"y\n")
        process = subprocess.Popen(
            [sys.executable, "-m", "usersync", *words],
            cwd=at.folder, env=at.prepare(), stdin=follower, stdout=follower, stderr=follower,
        )  # fmt: skip
        at.started.callback(process.kill)
        os.close(follower)
        read_until(leader, b"[y/N]")
        os.write(leader, b"n\n")
        assert process.wait(timeout=PATIENCE) == 3
        os.close(leader)
        assert [r for r in open_box.log if r.method == "PATCH"] == sent
        assert "done" in at.run("runs").out


def test_a_run_that_ends_while_pruning_is_asked_about_is_kept(desk: Opened) -> None:
    with desk() as (_, at):
        at.write("a.csv", "id,name\n1,Ann\n")
        at.write("b.csv", "id,name\n2,Bea\n")
        assert at.run("run", "a.csv", "--yes").code == 0
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "usersync", "runs", "--prune", "0s"],
            cwd=at.folder, env=at.prepare(), stdin=follower, stdout=follower, stderr=follower,
        )  # fmt: skip
        at.started.callback(process.kill)
        os.close(follower)
        read_until(leader, b"[y/N]")
        assert at.run("run", "b.csv", "--yes").code == 0
        os.write(leader, b"y\n")
        assert process.wait(timeout=PATIENCE) == 0
        os.close(leader)
        assert [found["sources"][0]["file"] for found in json.loads(at.run("runs", "--json").out)] == ["b.csv"]


def test_a_run_with_the_same_file_twice_can_be_resumed(desk: Opened) -> None:
    with desk() as (_, at):
        at.env["USERSYNC_TOKEN"] = "wrong"
        at.write("changes.csv", ROWS)
        assert at.run("run", "changes.csv", "changes.csv", "--yes").code == 4
        at.env["USERSYNC_TOKEN"] = "sandbox-token"
        ran = at.run("resume", "--yes", "--json")
        assert (ran.code, ran.summary["counts"]) == (0, {"updated": 6, "rows": 6})


def test_a_resume_that_waited_for_the_lock_sees_the_finished_run(desk: Opened) -> None:
    with desk(Sandbox(users=40, limit=None)) as (box, at):
        at.write("changes.csv", "id,name\n" + "".join(f"{i},N{i}\n" for i in range(1, 41)))
        box.hold()
        first = at.start("run", "changes.csv", "--yes", "-q")
        wait_until(lambda: box.log, first)
        Timer(0.3, box.release).start()  # while the resume waits; where it comes sooner, the same must happen
        late = at.run("resume", "--yes", "--lock-wait", f"{PATIENCE:.0f}s")
        first.communicate(timeout=PATIENCE)
        assert first.returncode == 0
        assert "no interrupted run to resume" in late.err
        assert set(late.statuses().values()) == {"updated"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"platform": {"url": "http://127.0.0.1:99999"}},
        {"platform": {"url": "http://[::1"}},
        {"platform": {"url": "http://host?x=1"}},
        {"platform": {"token_header": "a b"}},
        {"request": {"proxy": "http://127.0.0.1:99999"}},
        {"request": {"timeout": float("inf")}},
    ],
)
def test_settings_that_are_nearly_right_are_refused(wrong: dict[str, dict[str, Any]]) -> None:
    settings = {"platform": {"url": "http://x", "token_env": "T"}, "request": {}}
    for section, values in wrong.items():
        settings[section] = {**settings[section], **values}
    with pytest.raises(SettingsError):
        make_settings(settings)


def test_a_bare_off_in_yaml_turns_the_rate_off(desk: Opened) -> None:
    settings = make_settings({"platform": {"url": "http://x", "token_env": "T"}, "request": {"rate": False}})
    assert settings.request.rate is None


def test_an_update_behind_a_proxy_error_is_verified_by_a_read(desk: Opened) -> None:
    """The platform updates, and the proxy in front answers 502."""

    def script(method: str, user_id: int | None, nth: int) -> Any:
        return Fault.RESET_AFTER if (method, user_id, nth) == ("PATCH", 1, 1) else (
            Answer(502, "<html>") if (method, user_id) == ("PATCH", 1) else None)  # fmt: skip

    box = Sandbox(users=5, limit=None, faults=Faults(script=script))
    with desk(box, request={"rate": "off", "retries": 1}) as (_, at):
        at.write("changes.csv", ROWS)
        assert list(at.run("run", "changes.csv", "--yes").statuses().values()) == ["updated"] * 3


@pytest.mark.parametrize(("where", "code"), [(">/dev/full", 0), (">&-", 0), ("2>&-", 0), ("<&-", 0)])
def test_closed_or_full_streams_do_not_stop_a_run(where: str, code: int, desk: Opened) -> None:
    with desk() as (open_box, at):
        at.write("changes.csv", ROWS)
        command = f"{sys.executable} -m usersync run changes.csv --yes --json {where}"
        done = subprocess.run(
            ["bash", "-c", command], cwd=at.folder, env=at.prepare(), capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert open_box.store.users[3].name == "Cid"


def test_a_password_or_token_quoted_in_an_error_reaches_no_file(desk: Opened) -> None:
    secret = 'Passw0rd!"x'

    def quoting(method: str, user_id: int | None, nth: int) -> Answer | None:
        text = f"{'x' * 190} {secret} sandbox-token"
        body = {"errors": {"why": text}} if user_id == 1 else {"message": text}
        return Answer(500, body) if method == "PATCH" else None

    with desk(Sandbox(users=5, limit=None, faults=Faults(script=quoting))) as (_, at):
        at.settings |= {"request": {"rate": "off", "retries": 0}, "report": {"formats": ["csv", "html"]}}
        at.write("changes.csv", 'id,name,password\n1,Ann,"Passw0rd!""x"\n2,Bea,"Passw0rd!""x"\n')
        ran = at.run("run", "changes.csv", "--yes", "-vv", "--log-file", "log.txt")
        files = [p.read_bytes() for p in at.folder.rglob("*") if p.is_file() and p.name != "changes.csv"]
        everything = b"".join(files) + ran.out.encode() + ran.err.encode()
        for part in (b"Passw0rd", b"Passw", b"sandbox-token"):
            assert part not in everything


def test_a_run_with_superseded_rows_that_was_stopped_while_reading_is_resumed(desk: Opened) -> None:
    with desk(Sandbox(users=60, limit=None)) as (box, at):
        at.settings |= {"request": {"rate": "off", "concurrency": 2}, "source": {"duplicates": "last"}}
        at.write("changes.csv", "id,name\n1,Old\n" + "".join(f"{i},N{i}\n" for i in range(1, 61)))
        assert at.interrupt(box, "run", "changes.csv", "--yes", answers=10, in_flight=2).code == 130
        at.settings["request"] = {"rate": "off"}
        ran = at.run("resume", "--yes", "--json")
        assert ran.summary["counts"] == {"updated": 60, "unchanged": 1, "rows": 61}


def test_a_quota_that_renews_in_a_day_stops_the_run_at_once(desk: Opened) -> None:
    used_up = {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "80000"}
    answer = Answer(200, {"id": 1, "name": "Ann"}, used_up)
    with desk(Sandbox(users=5, limit=None, faults=Faults(script=lambda *_: answer))) as (_, at):
        at.write("changes.csv", "id,name\n" + "".join(f"{i},N\n" for i in range(1, 31)))
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert (ran.code, "the platform allows the next request in" in str(ran.summary["stopped"])) == (4, True)


@pytest.mark.parametrize("compare_with", ["remote", "last-run"])
def test_attributes_that_are_tokens_are_in_no_file(desk: Opened, compare_with: str) -> None:
    hidden = {"bot_token": "T0pS3cret1", "deep": [{"apiToken": {"is": "T0pS3cret2"}}], "seats": 5}
    people = [StoredUser(i, f"User {i}", f"u{i}@example.org", custom_attributes=dict(hidden)) for i in (1, 2)]
    with desk(Sandbox(users=people, limit=None), diff={"compare_with": compare_with}) as (box, at):
        at.settings["report"] = {"formats": ["csv", "html", "xlsx"]}
        for name in ("Ann", "Bea", "Bea"):
            at.write("changes.csv", f"id,name,custom_attributes.seats\n1,{name},5\n2,User 2,5\n")
            ran = at.run("run", "changes.csv", "--yes", "-v")
            assert ran.code == 0, ran.err
        assert json.loads(ran.report[0]["custom_attributes"]) == {
            "bot_token": "***", "deep": [{"apiToken": "***"}], "seats": 5,
        }  # fmt: skip
        (latest, *_) = json.loads(at.run("runs", "--json").out)
        shown = at.run("history", "1", "--json").out + at.run("show", latest["run"], "--json").out
        texts = [path.read_bytes() for path in at.folder.rglob("*") if path.is_file()]
        assert not [text for text in [*texts, shown.encode()] if b"T0pS3cret" in text]
        assert box.store.users[1].custom_attributes == hidden


@pytest.mark.parametrize(
    "key",
    [
        "botToken",
        "password",
        "Wifi_Password",
        "client_secret",
        "WLAN-Passwort",
        "Kennwort",
        "db_passwd",
        "FTP pwd",
        "key_passphrase",
    ],
)
def test_an_attribute_that_is_a_secret_is_masked_where_people_look(desk: Opened, key: str) -> None:
    held = {key: "T0pOld", "deep": {"api_token": "T0pDeep", "passwd": "T0pDeep"}}
    with desk(Sandbox(users=[StoredUser(1, "Ann", "a@example.org", custom_attributes=held)], limit=None)) as (box, at):
        at.settings["report"] = {"formats": ["html", "xlsx"]}
        at.write("changes.csv", f"id,custom_attributes.{key}\n1,T0pNew\n")
        planned = at.run("plan", "changes.csv", "--html", "plan.html", "-o", "plan.json")
        ran = at.run("run", "changes.csv", "--yes")
        box.store.users[1].custom_attributes[key] = "T0pTheirs"
        conflict = at.run("run", "changes.csv", "--yes")
        box.store.users[1].custom_attributes[key] = "T0pNew"
        run = json.loads(at.run("runs", "--json").out)[-1]["run"]
        looked = at.run("show", run).out + at.run("show", run, "--json").out + at.run("history", "1", "--json").out
        assert (ran.code, conflict.code) == (0, 1)
        assert "T0pNew" in (at.folder / "plan.json").read_text(), "which `apply` sends"
        assert "T0p" not in json.dumps(ran.report + conflict.report)
        assert json.loads(ran.report[0]["old"]) == json.loads(ran.report[0]["new"]) == {
            f"custom_attributes.{key}": "***"
        }  # fmt: skip
        for text in (planned.out, planned.err, ran.err, conflict.err, looked, *map(str, ran.report + conflict.report)):
            assert "T0p" not in text
        assert at.run("undo", run, "--yes").code == 0
        assert box.store.users[1].custom_attributes == held


@pytest.mark.parametrize("key", ["bot_token", "wifi_password"])
def test_what_the_readme_says_of_secrets_is_true(desk: Opened, key: str) -> None:
    """Passwords and the platform's token are in no file; attributes named like secrets in those that are sent from."""
    with desk(Sandbox(users=5, limit=None)) as (_, at):
        at.settings["report"] = {"formats": ["csv", "html", "xlsx"]}
        at.settings["metrics"] = {"file": "usersync.prom"}
        rows = [
            "1,T0pAttr1,T0pPassw0rd!,",
            "2,T0pAttr2,T0pweak,",
            "x,T0pAttr3,T0pPassw0rd!,",
            "4,T0pAttr4,T0pPassw0rd!",
        ]
        at.write("changes.csv", "\n".join([f"id,custom_attributes.{key},password,notes", *rows, ""]))
        log = ("-vv", "--log-file", "log.txt")
        planned = at.run("plan", "changes.csv", "-o", "plan.json", "--html", "plan.html", *log)
        ran = at.run("run", "changes.csv", "--yes", *log)
        codes = [line["code"] for line in ran.report]
        assert codes == ["", "password-weak", "id-invalid", "row-ragged"]
        (run,) = (at.folder / "runs").iterdir()
        shown = at.run("show", run.name).out + at.run("show", run.name, "--json").out
        files = {path.name: _content(path) for path in at.folder.rglob("*") if path.is_file()}
    assert "T0p" not in planned.out + planned.err + ran.out + ran.err + shown
    assert {name for name, content in files.items() if b"sandbox-token" in content} == set()
    assert {name for name, content in files.items() if b"T0pPass" in content or b"T0pweak" in content} == {
        "changes.csv"
    }
    holding = {name for name, content in files.items() if b"T0pAttr" in content}
    assert holding == {"changes.csv", "plan.json", "usersync.db", "rejects.csv"}


def _content(path: Path) -> bytes:
    """Return the content of a file, of a workbook that of its parts."""
    if path.suffix != ".xlsx":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return b"".join(map(archive.read, archive.namelist()))


@pytest.mark.parametrize(
    ("heading", "cell"),
    [
        pytest.param("custom_attributes.wifi_password", "#N/A T0pSecret", id="an attribute"),
        pytest.param("custom_attributes", '"{""wifi_password"": ""T0pSecret"""', id="JSON that cannot be read"),
    ],
)
def test_a_secret_that_is_wrong_is_not_quoted(desk: Opened, heading: str, cell: str) -> None:
    with desk(Sandbox(users=5, limit=None), fields={"custom_attributes.wifi_password": {"type": "integer"}}) as (_, at):
        at.write("changes.csv", f"id,{heading}\n1,{cell}\n")
        ran, planned = at.run("run", "changes.csv", "--yes"), at.run("plan", "changes.csv")
        assert (ran.code, f"{heading} '***': " in ran.report[0]["message"]) == (1, True)
        inspected = at.run("inspect", "changes.csv")
        assert "T0p" not in ran.err + planned.out + inspected.out + inspected.err + json.dumps(ran.report)


@pytest.mark.parametrize("option", ["-o", "--html"])
@pytest.mark.parametrize("name", ["changes.csv", "usersync.yaml", "usersync.db", "notes.txt"])
def test_a_plan_is_written_over_no_file_of_another_kind(desk: Opened, option: str, name: str) -> None:
    with desk(Sandbox(users=5, limit=None)) as (_, at):
        at.write("changes.csv", ROWS)
        at.write("notes.txt", "mine")
        assert at.run("run", "changes.csv", "--yes").code == 0
        before = (at.folder / name).read_bytes()
        ran = at.run("plan", "changes.csv", option, name)
        assert ran.code == 2
        assert f"{name}: this file was not written by {option}, and is not overwritten" in ran.err
        assert (at.folder / name).read_bytes() == before
        for _ in range(2):
            assert at.run("plan", "changes.csv", option, "plan").code == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_page_is_written_through_pipes_and_links(desk: Opened) -> None:
    with desk(Sandbox(users=5, limit=None)) as (_, at):
        at.write("changes.csv", ROWS)
        os.mkfifo(at.folder / "pipe")
        reader = subprocess.Popen(["cat", "pipe"], cwd=at.folder, stdout=subprocess.PIPE)
        assert at.run("plan", "changes.csv", "--html", "pipe").code == 0
        assert reader.communicate()[0].startswith(b"<!DOCTYPE html>")
        assert (at.folder / "pipe").is_fifo()
        at.write("target.html", "")
        (at.folder / "link.html").symlink_to("target.html")
        assert at.run("plan", "changes.csv", "--html", "link.html").code == 0
        assert (at.folder / "link.html").is_symlink()
        assert (at.folder / "target.html").read_text("utf-8").startswith("<!DOCTYPE html>")
        (at.folder / "folder").mkdir()
        assert at.run("plan", "changes.csv", "--html", "folder").code == 2
        assert not list(at.folder.glob("*.new"))


@pytest.mark.parametrize("compare_with", ["remote", "nothing", "last-run"])
def test_what_only_if_blank_leaves_alone_is_said(desk: Opened, compare_with: str) -> None:
    careful = {"name": {"only_if_blank": True}}
    people = [StoredUser(1, "User 1", "u1@example.org"), StoredUser(2, "", "u2@example.org")]
    with desk(Sandbox(users=people, limit=None), fields=careful, diff={"compare_with": compare_with}) as (_, at):
        left_alone = "left alone: name, which the user has (only_if_blank)"
        for _ in range(2):
            at.write("changes.csv", "id,name,display_name\n1,Ann,\n2,Bea,\n1,Ann,\n")
            ran = at.run("run", "changes.csv", "--yes")
            assert ran.code == 0, ran.err
            assert ran.report[0]["message"].count(left_alone) == 1
        updated = at.run("update", "1", "--name", "Ann")
        assert (updated.code, json.loads(updated.out)["name"]) == (0, "User 1")
        assert f"user 1: {left_alone}" in updated.err
        both = at.run("update", "1", "--name", "Ann", "--display-name", "A")
        assert (both.code, left_alone in both.err) == (0, True)
        assert at.run("update", "1", "--name", "User 1").err == ""
