"""Test several platforms: own rates and reports, and one exit code."""

import json
import signal
from collections.abc import Callable
from typing import Any

from tests.conftest import PATIENCE, Desk, wait_until
from usersync.sandbox import Sandbox, running

Opened = Callable[..., Any]
SHEET = "id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, 41))


def platforms(at: Desk, **settings: dict[str, Any]) -> None:
    """Write a settings file for each platform into one folder."""
    (at.folder / "platforms").mkdir()
    at.write("changes.csv", SHEET)
    for name, own in settings.items():
        of = {"url": own.pop("url"), "token_env": "USERSYNC_TOKEN"}
        at.write(f"platforms/{name}.yaml", json.dumps({"request": {"rate": "off"}, "platform": of, **own}))


def names(box: Sandbox) -> set[str]:
    return {user.name.split()[0] for user in box.store.users.values()}


def test_the_platforms_of_a_folder_are_updated_at_the_same_time(desk: Opened) -> None:
    with desk(Sandbox(users=40, limit=None)) as (one, at), running(Sandbox(users=40, limit=None)) as two:
        slow = {"rate": "40/s"}
        platforms(at, a={"url": one.url, "request": slow}, b={"url": two.url, "request": slow})
        ran = at.run("run", "changes.csv", "-c", "platforms", "--yes")
        assert ran.code == 0, ran.err
        assert (names(one), names(two)) == ({"New"}, {"New"})
        assert max(one.log[0].at, two.log[0].at) < min(one.log[-1].at, two.log[-1].at)
        hosts = {box.url.removeprefix("http://") for box in (one, two)}
        assert {line.split(": ")[0] for line in ran.err.splitlines() if line} == hosts


def test_platforms_on_one_host_are_named_by_their_settings_files(desk: Opened) -> None:
    with desk(Sandbox(users=40, limit=None)) as (box, at):
        platforms(at, sales={"url": box.url}, support={"url": f"{box.url}/", "ledger": "support.db"})
        ran = at.run("run", "changes.csv", "-c", "platforms", "--yes")
        prefixes = {line.split(": ")[0] for line in ran.err.splitlines() if line}
        assert {"sales.yaml", "support.yaml"} <= prefixes <= {"sales.yaml", "support.yaml", "sales.yaml, support.yaml"}


def test_a_platform_that_is_down_stops_only_its_own_run(desk: Opened) -> None:
    with desk(Sandbox(users=40, limit=None)) as (box, at):
        down = {"url": "http://127.0.0.1:9", "request": {"rate": "off", "retries": 0, "stop_after": 0.2}}
        platforms(at, up={"url": box.url}, down=down)
        files = [word for name in ("down", "up") for word in ("-c", f"platforms/{name}.yaml")]
        ran = at.run("run", "changes.csv", "--yes", "--json", *files)
        assert ran.code == ran.summary["exit_code"] == 4, ran.err
        assert [p["exit_code"] for p in ran.summary["platforms"]] == [4, 0]
        assert ran.summary["platforms"][1]["counts"] == {"updated": 40, "rows": 40}
        assert names(box) == {"New"}


def test_one_wrong_settings_file_sends_nothing_anywhere(desk: Opened) -> None:
    with desk(Sandbox(users=40, limit=None)) as (box, at):
        platforms(at, a={"url": box.url}, b={"url": box.url, "leger": "b.db"})
        ran = at.run("run", "changes.csv", "-c", "platforms", "--yes")
        assert (ran.code, "b.yaml: 1 error\n  leger: unknown key; did you mean ledger?" in ran.err) == (2, True)
        at.write("platforms/b.yaml", at.folder.joinpath("platforms/a.yaml").read_text())
        ran = at.run("run", "changes.csv", "-c", "platforms")
        assert (ran.code, "2 platforms cannot be asked about at once; add --yes" in ran.err) == (3, True)
        assert not box.log


def test_ctrl_c_stops_the_runs_of_all_platforms(desk: Opened) -> None:
    with desk(Sandbox(users=40, limit=None)) as (one, at), running(Sandbox(users=40, limit=None)) as two:
        platforms(at, a={"url": one.url}, b={"url": two.url})
        one.hold(after=2)
        two.hold(after=2)
        process = at.start("run", "changes.csv", "-c", "platforms", "--yes", "--json")
        wait_until(lambda: len(one.log) > 2 and len(two.log) > 2, process)
        process.send_signal(signal.SIGINT)
        one.release()
        two.release()
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, err
        assert [p["exit_code"] for p in json.loads(out)["platforms"]] == [130, 130]


def test_a_folder_of_settings_files_may_hold_either_ending_and_hidden_files(desk: Opened) -> None:
    with desk(Sandbox(users=40, limit=None)) as (one, at), running(Sandbox(users=40, limit=None)) as two:
        platforms(at, a={"url": one.url}, b={"url": two.url})
        (at.folder / "platforms" / "b.yaml").rename(at.folder / "platforms" / "b.yml")
        at.write("platforms/._a.yaml", "what macOS puts beside a file on a foreign disk")
        (at.folder / "platforms" / ".#b.yml").symlink_to("the lock of an editor")
        ran = at.run("run", "changes.csv", "-c", "platforms", "--yes")
        assert ran.code == 0, ran.err
        assert (names(one), names(two)) == ({"New"}, {"New"})
