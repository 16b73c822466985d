"""Test that the demo names its files, and that the command it ends with works."""

import re
import shlex
from collections.abc import Callable
from typing import Any


def test_the_demo_ends_with_its_files_and_a_command_that_works(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        ran = at.run("demo")
        *_, sandbox, workbook, page, rejects, _, following = ran.out.splitlines()
        checked = at.run(*shlex.split(following)[1:])
        assert (ran.code, ran.err) == (1, "")
        assert ran.out.startswith("Plan: 22 users to change, 40 rows read\n")
        assert "exit 1: finished, but some rows need attention" in ran.out
        assert "with the 60 users of account 1: 2 of 3 rows found" in ran.out
        assert re.search(r"^ +2 +2 +updated +Anna Nowak$", ran.out, re.M)
        assert re.search(r"^ +4 +rejected +E-mail 'nobody@example.org': nobody among the 60 users", ran.out, re.M)
        assert sandbox.startswith("This was the sandbox")
        assert all((at.folder / line.split()[1]).is_file() for line in (workbook, page, rejects))
        assert checked.code == 1, "the rejects are not corrected yet"
        assert re.search(r"'Agent name' +name", checked.out), "the settings of the demo are used"


def test_a_folder_that_the_demo_cannot_write_to_is_refused(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        at.write("taken", "a file\n")
        ran = at.run("demo", "--dir", "taken")
        assert ran.code == 2
        assert ran.err == "usersync: taken: no files can be written here: File exists; name a folder with --dir\n"
