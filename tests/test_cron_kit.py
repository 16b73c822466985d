"""Test the samples in config/ with the tools that they are for."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from openpyxl import Workbook

from tests.conftest import PATIENCE, wait_until
from usersync.sandbox import Sandbox
from usersync.settings import Notify, make_settings

KIT = Path(__file__).parent.parent / "config"
HOME = "/var/lib/usersync"
PROGRAMS = "/opt/usersync/bin"
ROWS = 30
POSIX = pytest.mark.skipif(os.name == "nt", reason="the job is a shell script")


def crontab() -> list[str]:
    """Return the commands of the crontab: one at boot, one every night."""
    lines = [line for line in (KIT / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z_]+=\S+", setting) for setting in lines[:-2])
    assert "%" not in "".join(lines)  # cron's line end
    assert lines[-2].startswith("@reboot ")
    assert lines[-1].startswith("30 2 * * * ")
    return [lines[-2].removeprefix("@reboot "), lines[-1].removeprefix("30 2 * * * ")]


def exec_start(unit: str) -> str:
    found = re.search(r"^ExecStart=(.+)$", (KIT / unit).read_text(), re.MULTILINE)
    assert found
    return found[1]


def ci_step() -> str:
    steps = yaml.safe_load((KIT / "ci-job.yml").read_text())["jobs"]["sync"]["steps"]
    return str(steps[0]["run"])


NIGHTLY = {"crontab": crontab()[1], "systemd": exec_start("usersync.service"), "CI": ci_step()}
AT_BOOT = {"crontab": crontab()[0], "systemd": exec_start("usersync-resume.service")}


def install(at: Any, *, bad_row: bool = False) -> dict[str, str]:
    """Write a workbook and the programs of the job, and return the environment; `sleep` returns at once."""
    book = Workbook()
    book.active.append(["id", "name"])
    for number in range(1, ROWS + 1):
        book.active.append(["9999" if bad_row and number == 2 else str(number), f"New {number}"])
    book.save(at.folder / "changes.xlsx")
    programs = at.folder / "bin"
    programs.mkdir(exist_ok=True)
    usersync = f'echo $$ > {shlex.quote(str(at.folder / "pid"))}; exec {shlex.quote(sys.executable)} -m usersync "$@"'
    for name, text in (("usersync", usersync), ("sleep", "exit 0")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    shutil.copy(KIT / "nightly.sh", programs / "usersync-nightly")
    own = {"PATH": f"{programs}:/usr/bin:/bin", "USERSYNC_CONFIG": "usersync.yaml"}
    return {**at.prepare(), **own, "GITHUB_OUTPUT": str(at.folder / "output")}


def begin(at: Any, line: str, env: dict[str, str]) -> "subprocess.Popen[str]":
    """Start a line as cron or systemd does, with `sh`."""
    line = line.replace(HOME, str(at.folder)).replace(PROGRAMS, str(at.folder / "bin"))
    process = subprocess.Popen(
        ["/bin/sh", "-c", line], env=env, cwd=at.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    at.started.callback(kill_group, process)
    return process


def kill_group(process: "subprocess.Popen[str]") -> None:
    """Kill a shell with all that it started: a run that goes on would send to whoever gets the port next."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


def night(at: Any, line: str, *, bad_row: bool = False) -> tuple[int, str, str]:
    process = begin(at, line, install(at, bad_row=bad_row))
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def patched(box: Sandbox) -> Counter[int | None]:
    return Counter(request.user_id for request in box.log if request.method == "PATCH")


@POSIX
def test_the_nightly_job_is_silent_on_success(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        assert night(at, NIGHTLY["crontab"]) == (0, "", "")


@POSIX
@pytest.mark.parametrize("place", ["systemd", "CI"])
def test_the_nightly_job_reports_rows_that_need_a_person(desk: Callable[..., Any], place: str) -> None:
    with desk() as (_, at):
        code, out, err = night(at, NIGHTLY[place], bad_row=True)
        assert (code, out) == (1, "")
        for part in ("not-found: 1 row\n  row 3", "report: runs/", "exit 1: ", "rejects.xlsx"):
            assert part in err
        assert (at.folder / "output").exists() == (place == "CI")
        assert place != "CI" or (at.folder / "output").read_text() == "code=1\n"


@POSIX
def test_a_run_that_stops_is_resumed_three_times(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=3, token="another")) as (_, at):
        code, _, err = night(at, NIGHTLY["crontab"])
        assert (code, err.count("exit 4: ")) == (4, 4)


@POSIX
def test_a_run_that_is_killed_is_resumed(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=ROWS, limit=None), request={"rate": "off", "concurrency": 2}) as (box, at):
        box.hold(after=ROWS + 5)
        process = begin(at, NIGHTLY["crontab"], install(at))
        wait_until(lambda: len(box.log) == ROWS + 7, process)
        os.kill(int((at.folder / "pid").read_text()), signal.SIGKILL)
        box.release()
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        assert patched(box) == dict.fromkeys(range(1, ROWS + 1), 1)


@POSIX
@pytest.mark.parametrize("line", [AT_BOOT["systemd"], NIGHTLY["crontab"]], ids=["at boot", "the next night"])
def test_what_a_power_cut_interrupts_is_completed_later(desk: Callable[..., Any], line: str) -> None:
    with desk(Sandbox(users=ROWS, limit=None), request={"rate": "off", "concurrency": 2}) as (box, at):
        box.hold(after=ROWS + 5)
        env = install(at)
        process = begin(at, NIGHTLY["systemd"], env)
        wait_until(lambda: len(box.log) == ROWS + 7, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        box.release()
        again = begin(at, line, env)
        _, err = again.communicate(timeout=PATIENCE)
        assert again.returncode == 0, err
        assert patched(box) == dict.fromkeys(range(1, ROWS + 1), 1)


@POSIX
@pytest.mark.parametrize("line", AT_BOOT.values(), ids=AT_BOOT.keys())
def test_whatever_is_unfinished_is_completed_and_nothing_twice(desk: Callable[..., Any], line: str) -> None:
    with desk(Sandbox(users=ROWS, limit=None)) as (box, at):
        env = install(at)
        at.write("first.csv", "id,name\n1,One\n")
        at.write("gone.csv", "id,name\n2,Two\n")
        at.write("last.csv", "id,name\n3,Three\n")
        at.env["USERSYNC_TOKEN"] = "wrong"
        assert [at.run("run", name, "--yes").code for name in ("first.csv", "gone.csv", "last.csv")] == [4, 4, 4]
        (at.folder / "gone.csv").unlink()
        ended = []
        for _ in range(2):
            process = begin(at, line, env)
            ended.append((*process.communicate(timeout=PATIENCE), process.returncode))
        assert [box.store.users[n].name for n in (1, 2, 3)][::2] == ["One", "Three"]
        assert patched(box) == {1: 1, 3: 1}
        assert [(code, "gone.csv: there is no such file" in err) for _, err, code in ended] == [(2, True)] * 2


@POSIX
@pytest.mark.parametrize("line", AT_BOOT.values(), ids=AT_BOOT.keys())
def test_at_boot_nothing_happens_if_nothing_was_interrupted(desk: Callable[..., Any], line: str) -> None:
    with desk() as (box, at):
        assert night(at, line) == (0, "", "")
        assert box.log == ()


def test_the_image_copies_what_is_there_and_installs_extras_that_exist() -> None:
    text = (KIT / "Containerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert [name for name in copied if not name.startswith("--") and not (KIT.parent / name).exists()] == []
    project = tomllib.loads((KIT.parent / "pyproject.toml").read_text())["project"]
    extras = re.search(r"/src\[([\w,]+)\]", text)
    assert extras
    assert set(extras[1].split(",")) <= project["optional-dependencies"].keys()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    shutil.copy(KIT / "nightly.sh", tmp_path / "usersync-nightly")
    units = [tmp_path / name for name in ("usersync.service", "usersync.timer", "usersync-resume.service")]
    for unit in units:
        unit.write_text((KIT / unit.name).read_text().replace(f"{PROGRAMS}/usersync", str(tmp_path / "usersync")))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("logrotate"), reason="logrotate is not here")
def test_logrotate_accepts_its_snippet(tmp_path: Path) -> None:
    words = ["logrotate", "-d", "-s", str(tmp_path / "state"), str(KIT / "logrotate")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, "error" in done.stderr) == (0, False)


def test_the_airflow_dag_compiles() -> None:
    compile((KIT / "airflow_dag.py").read_text(), "airflow_dag.py", "exec")  # imported and run by hand: Airflow 2.10


def test_the_commented_out_settings_are_valid() -> None:
    text = (KIT / "usersync.yaml").read_text().partition("# metrics:")
    settings = yaml.safe_load(re.sub(r"^# ", "", "".join(text[1:]), flags=re.MULTILINE))
    made = make_settings({"platform": {"url": "http://x", "token_env": "T"}, **settings})
    assert made.notify.when == Notify().when
    assert made.metrics


def test_every_sample_has_at_most_45_lines() -> None:
    assert [p.name for p in KIT.iterdir() if p.suffix != ".yaml" and len(p.read_text().splitlines()) > 45] == []
