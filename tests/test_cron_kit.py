"""Run the samples in config/ with the tools that they are for, where those are installed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from usersync.sandbox import Sandbox
from usersync.settings import Notify, make_settings

KIT = Path(__file__).parent.parent / "config"
HOME = "/var/lib/usersync"
LINES = [line for line in (KIT / "crontab").read_text().splitlines() if line and not line.startswith("#")]
POSIX = pytest.mark.skipif(os.name == "nt", reason="a shell of its own")


def night(at: Any, line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line as cron or systemd does: with `sh` and an environment of its own; `sleep` returns at once."""
    from openpyxl import Workbook

    book = Workbook()
    for row in (["id", "name"], ["1", "Ann"], ["9999" if at.settings.get("bad") else "2", "Bo"]):
        book.active.append(row)
    at.settings.pop("bad", None)
    book.save(at.folder / "changes.xlsx")
    programs = at.folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, does in (("usersync", f'exec {shlex.quote(sys.executable)} -m usersync "$@"'), ("sleep", "exit 0")):
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    env = {**at.prepare(), "PATH": f"{programs}:/usr/bin:/bin", "USERSYNC_CONFIG": "usersync.yaml"}
    env["GITHUB_OUTPUT"] = str(at.folder / "output")
    line = line.replace(HOME, str(at.folder))
    return subprocess.run(
        ["/bin/sh", "-c", line], env=env, cwd=at.folder, capture_output=True, text=True, timeout=60, check=False
    )


def cron_line() -> str:
    *settings, line = LINES
    assert all(re.fullmatch(r"[A-Z_]+=\S+", setting) for setting in settings)
    found = re.fullmatch(r"30 2 \* \* \* (.+)", line)
    assert found
    assert "%" not in found[1]  # cron's line end
    return found[1]


def service_line() -> str:
    text = (KIT / "usersync.service").read_text().replace("\\\n", "")
    found = re.search(r"^ExecStart=/bin/sh -c '(.+)'$", text, re.MULTILINE)
    assert found
    return found[1].replace("$$", "$")


@POSIX
@pytest.mark.parametrize("line", [cron_line(), service_line()], ids=["crontab", "systemd"])
def test_the_nightly_job_is_silent_on_success_and_resumes_a_stopped_run(desk: Callable[..., Any], line: str) -> None:
    with desk() as (_, at):
        done = night(at, line)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        at.settings["bad"] = True
        done = night(at, line)
        assert (done.returncode, done.stdout) == (1, "")
        for part in ("failed     1", "not-found: 1 row\n  row 3", "report: runs/", "exit 1: ", "rejects.xlsx"):
            assert part in done.stderr
    with desk(Sandbox(users=3, token="another")) as (_, at):
        done = night(at, line)
        assert (done.returncode, done.stderr.count("exit 4: ")) == (4, 2)  # run, then resume


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    units = [shutil.copy(KIT / name, tmp_path) for name in ("usersync.service", "usersync.timer")]
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("logrotate"), reason="logrotate is not here")
def test_logrotate_accepts_its_snippet(tmp_path: Path) -> None:
    words = ["logrotate", "-d", "-s", str(tmp_path / "state"), str(KIT / "logrotate")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "error" in done.stderr) == (0, False)


@POSIX
def test_the_ci_job_resumes_only_stopped_runs(desk: Callable[..., Any]) -> None:
    job = yaml.safe_load((KIT / "ci-job.yml").read_text())["jobs"]["sync"]
    run, resume, _ = job["steps"]
    with desk(Sandbox(users=3, token="another")) as (_, at):
        assert night(at, run["run"]).returncode == 0
        assert (at.folder / "output").read_text() == "code=4\n"
    assert 'fromJSON(\'["4", "130", "143"]\')' in resume["if"]
    assert "usersync resume --yes -q" in resume["run"]


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
