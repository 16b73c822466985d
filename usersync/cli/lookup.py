"""Define the commands that send nothing: inspect, template, runs, show, check."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from usersync.cli.completion import complete_files, complete_runs
from usersync.cli.options import (
    COMMON_OPTIONS,
    REQUEST_OPTIONS,
    SHEET_OPTION,
    make_settings_from,
    options_of,
    seconds_of,
)
from usersync.cli.output import indented_json, option_words, say, write_stdout, writing_stdout
from usersync.errors import RefusedError, UsageError

#: Problems of each kind that `inspect` lists one by one.
PROBLEMS_INSPECTED = 10


@click.command()
@click.argument("file", shell_complete=complete_files)
@click.option("--cells", is_flag=True, help="Print the data rows as read (passwords too), as CSV on stdout.")
@options_of(SHEET_OPTION, COMMON_OPTIONS)
def inspect(file: str, *, cells: bool, **options: Any) -> int:
    """Show what the loader sees in FILE, without a platform; settings are optional here."""
    from usersync.cli import inspection
    from usersync.planning.input import read_files
    from usersync.settings import load_offline_settings

    if cells and options["as_json"]:
        raise click.UsageError("stdout cannot hold both --cells and --json; leave out one of them")
    overrides = {"source": {"sheet": options["sheet"]}} if options["sheet"] else {}
    settings = load_offline_settings(options["config"], overrides)
    given = read_files([file], settings)
    groups = given.problem_groups(None if options["as_json"] or options["verbose"] else PROBLEMS_INSPECTED)
    if cells:
        with writing_stdout():
            left_out = inspection.write_cells(given.table, sys.stdout.buffer)
        for line in left_out:
            say(line)
    elif options["as_json"]:
        write_stdout(indented_json(inspection.as_json(given.table, given.desired, groups)))
    else:
        write_stdout(inspection.as_text(given.table, given.desired, groups))
    return 1 if given.desired.problems else 0


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@options_of(COMMON_OPTIONS)
def template(out: Path, **options: Any) -> int:
    """Write OUT.xlsx, an empty workbook for the people who fill it in; settings are optional here."""
    from usersync.report.template import write_template
    from usersync.settings import load_offline_settings

    settings = load_offline_settings(options["config"])
    write_template(out, columns=settings.columns, fields=settings.fields, sheet=settings.source.sheet)
    if options["as_json"]:
        write_stdout(json.dumps({"file": str(out)}))
    elif not options["quiet"]:
        say(f"{out}: fill it in, then review it with `usersync plan {out}`")
    return 0


@click.command()
@click.option("--prune", metavar="TIME", help="Delete runs that finished longer ago, like 90d; asks first.")
@click.option("--reports", is_flag=True, help="With --prune: delete their report folders too.")
@click.option("--yes", is_flag=True, help="With --prune: delete without asking.")
@options_of(COMMON_OPTIONS)
def runs(*, prune: str | None, reports: bool, yes: bool, **options: Any) -> int:
    """List what was done, newest first."""
    from usersync.cli import history as past

    settings = make_settings_from(options)
    seconds = seconds_of("--prune", prune)
    if seconds is None and (reports or yes):
        raise UsageError("--reports and --yes go with --prune TIME, such as --prune 90d")
    if seconds is not None:
        before = past.ago(seconds)  # once: a run that ends while the question waits was not named
        question = past.prune_question(settings, before, reports=reports)
        if question and not yes and not _may_delete(question):
            return RefusedError.exit_code
        say(past.prune(settings, before, reports=reports))
    write_stdout(past.runs(settings, as_json=options["as_json"], again=option_words(options, "config")))
    return 0


def _may_delete(question: str) -> bool:
    from usersync.cli.confirm import answer_of

    if not (sys.stdin and sys.stdin.isatty()):
        nobody = "nothing was deleted: there is no terminal to ask on; add --yes"
        raise RefusedError(f"these runs would be deleted:\n{question}\n{nobody}")
    return answer_of(question)


@click.command()
@click.argument("run_name", metavar="RUN", shell_complete=complete_runs)
@options_of(COMMON_OPTIONS)
def show(run_name: str, **options: Any) -> int:
    """Show one run: who, when, from which file, and every row."""
    from usersync.cli import history as past

    settings, again = make_settings_from(options), option_words(options, "config")
    write_stdout(past.show(run_name, settings, as_json=options["as_json"], again=again))
    return 0


@click.command()
@click.argument("user_id", type=click.IntRange(min=1))
@options_of(COMMON_OPTIONS)
def history(user_id: int, **options: Any) -> int:
    """Show every change that was sent for one user, old -> new."""
    from usersync.cli import history as past

    write_stdout(past.history(user_id, make_settings_from(options), as_json=options["as_json"]))
    return 0


@click.command()
@click.option(
    "--user", "user_id", type=click.IntRange(min=1), help="The user to read; default: one in the ledger, or 1."
)
@options_of(REQUEST_OPTIONS, COMMON_OPTIONS)
def check(*, user_id: int | None, **options: Any) -> int:
    """Check that everything is in place: settings, token, platform, permission, limit, ledger. Sends nothing."""
    from usersync.context import SystemClock
    from usersync.diagnostics import exit_code_of, run_diagnostics

    results = tuple(run_diagnostics(lambda: make_settings_from(options), SystemClock(), user_id=user_id))
    code = exit_code_of(results)
    if options["as_json"]:
        write_stdout(indented_json({"checks": [result.as_json() for result in results], "exit_code": code}))
        return code
    fancy = bool(sys.stdout) and sys.stdout.isatty() and "utf" in sys.stdout.encoding.lower()
    passed, failed = ("\N{CHECK MARK} ", "\N{BALLOT X} ") if fancy else ("ok      ", "not ok  ")
    for result in results:
        if result.exit_code or not options["quiet"]:
            remedy = f"; {result.remedy}" if result.remedy else ""
            write_stdout(f"{failed if result.exit_code else passed}{result.name:<12} {result.message}{remedy}")
    return code
